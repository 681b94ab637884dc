//! What can go wrong with a log.

use std::path::{Path, PathBuf};

use brainreel_artifact::ArtifactError;

/// A log that could not be opened or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrackerError {
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Something else is where the log belongs.
    #[error("{} is {found}, not the {expected}: it is left alone, move it away", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What belongs there.
        expected: &'static str,
    },
    /// A metric has a name that the logs use themselves.
    #[error("`{name}` cannot be the name of a metric: `step`, `epoch` and names with `_` in front are taken")]
    ReservedName {
        /// The name.
        name: String,
    },
    /// The door to output files refused.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}

impl TrackerError {
    pub(crate) fn read(path: &Path) -> impl Fn(std::io::Error) -> Self + Copy + '_ {
        |source| Self::Read { path: path.to_owned(), source }
    }

    pub(crate) fn write(path: &Path) -> impl Fn(std::io::Error) -> Self + Copy + '_ {
        |source| Self::Write { path: path.to_owned(), source }
    }
}
