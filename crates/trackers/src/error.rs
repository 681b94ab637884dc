//! What can go wrong with a log.

use std::path::{Path, PathBuf};

use brainreel_artifact::ArtifactError;

/// A log that could not be opened or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrackerError {
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
    /// A file could not be read or written.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}

impl TrackerError {
    pub(crate) fn read(path: &Path) -> impl Fn(std::io::Error) -> Self + Copy + '_ {
        |source| ArtifactError::Read { path: path.to_owned(), source }.into()
    }

    pub(crate) fn write(path: &Path) -> impl Fn(std::io::Error) -> Self + Copy + '_ {
        |source| ArtifactError::Write { path: path.to_owned(), source }.into()
    }
}
