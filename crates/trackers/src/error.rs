//! Errors of logging.

use std::path::{Path, PathBuf};

use brainreel_artifact::ArtifactError;

/// A log cannot be opened or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrackerError {
    /// Another file is in the place of the log.
    #[error("{} is {found}, not the {expected}: it is left alone, move it away", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: String,
        /// The expected kind of file.
        expected: &'static str,
    },
    /// A metric has a reserved name.
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
