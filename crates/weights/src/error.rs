//! Errors of finding and installing weights.

use std::path::PathBuf;

use brainreel_artifact::ArtifactError;
use brainreel_checkpoint::CheckpointError;

/// Why weights are not available.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// No model has this name.
    #[error("no published weights are called {name}, expected one of: {known}")]
    Unknown {
        /// The name.
        name: String,
        /// The known names.
        known: String,
    },
    /// They are not in the cache.
    #[error(
        "the weights of {name} are not in the cache ({} does not exist): \
         `brainreel weights fetch {name}` downloads them from {url}, \
         `brainreel weights import FILE` takes a file that you have",
        path.display()
    )]
    Missing {
        /// The model.
        name: &'static str,
        /// The expected path.
        path: PathBuf,
        /// The published URL.
        url: &'static str,
    },
    /// The network may not be used.
    #[error(
        "{url} is not fetched: brainreel is told to stay offline; \
         `brainreel weights import FILE` takes a file that you have"
    )]
    Offline {
        /// The address.
        url: String,
    },
    /// The address is not one to download from.
    #[error("{url} is not fetched: expected an address that begins with https://")]
    Address {
        /// The address.
        url: String,
    },
    /// Too many redirections.
    #[error("{url} leads to more than {limit} other addresses")]
    Redirects {
        /// The first address.
        url: String,
        /// How many are followed.
        limit: usize,
    },
    /// The server returned an error status.
    #[error(
        "{url} answers with status {status}, expected 200; try again later, or import a file that you have"
    )]
    Status {
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The connection fails.
    #[error(
        "cannot download {url}; a file fetched on another computer is taken by `brainreel weights import FILE`"
    )]
    Network {
        /// The address.
        url: String,
        /// The cause.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The connection broke.
    #[error("the download of {url} broke off after {got_bytes} bytes")]
    BrokenOff {
        /// The address.
        url: String,
        /// Number of bytes received.
        got_bytes: u64,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Fewer bytes came than were announced.
    #[error("{url} sent {got_bytes} bytes, expected {expected_bytes}")]
    Truncated {
        /// The address.
        url: String,
        /// Number of bytes received.
        got_bytes: u64,
        /// Number of bytes announced.
        expected_bytes: u64,
    },
    /// The file is larger than any weights of the model.
    #[error("{origin} has more than the {limit_bytes} bytes that weights of {name} may have")]
    TooLarge {
        /// The model.
        name: &'static str,
        /// Address or file.
        origin: String,
        /// The limit.
        limit_bytes: u64,
    },
    /// The file is not the published one.
    #[error("{origin} has SHA-256 {got}, expected {expected}: it is not the published file and is not kept")]
    Hash {
        /// The address.
        origin: String,
        /// Digest of the received bytes.
        got: String,
        /// The published digest.
        expected: String,
    },
    /// The file differs from the one that was trusted first.
    #[error(
        "{origin} has SHA-256 {got}, but the file that was trusted first had {expected}; \
         if the change is right, repeat with --replace"
    )]
    Changed {
        /// Address or file.
        origin: String,
        /// Digest of the new file.
        got: String,
        /// Digest in the record.
        expected: String,
    },
    /// The file in the cache is not the one that its record describes.
    #[error(
        "{} has SHA-256 {got}, its record says {expected}: it was changed or damaged; \
         `brainreel weights fetch {name} --replace` gets it again",
        path.display()
    )]
    Damaged {
        /// The model.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// Its digest.
        got: String,
        /// The digest in the record.
        expected: String,
    },
    /// The file does not hold the network.
    #[error("these are not the weights of {names}")]
    NotTheNetwork {
        /// The model or models that were tried.
        names: String,
        /// What is wrong with it.
        #[source]
        source: Box<CheckpointError>,
    },
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The cache folder cannot be determined.
    #[error("no folder for the cache: set {variable} to one")]
    NoFolder {
        /// The variable that names one.
        variable: &'static str,
    },
    /// The cache cannot be written.
    #[error(transparent)]
    Write(#[from] ArtifactError),
}
