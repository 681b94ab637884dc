//! Output files: atomic writes, content hashes, provenance stamps, derived seeds and random streams.
//!
//! ```
//! # fn main() -> Result<(), brainreel_artifact::ArtifactError> {
//! # let dir = tempfile::tempdir().expect("a temporary directory");
//! # let path = dir.path().join("answer.txt");
//! brainreel_artifact::write_atomic(&path, b"42\n")?;
//! assert_eq!(brainreel_artifact::hash_file(&path)?, brainreel_artifact::hash_bytes(b"42\n"));
//! # Ok(())
//! # }
//! ```
//!
//! This crate is independent of images, tables and networks.

mod hash;
mod lock;
mod provenance;
mod random;
mod seed;
mod write;

pub use hash::{ContentHash, HashBuilder, hash_bytes, hash_file, hash_json};
pub use lock::FolderLock;
pub use provenance::{Provenance, TOOL_VERSION};
pub use random::Random;
pub use seed::derive_seed;
pub use write::{link_atomic, write_atomic, write_atomic_with, write_durable_with, write_json};

use std::path::PathBuf;

/// Errors of output files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
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
    /// Another process is writing to the same folder.
    #[error("another brainreel is writing to {}", folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// A value could not be converted to or from JSON.
    #[error("{} is not the JSON that brainreel writes there", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
}
