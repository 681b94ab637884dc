//! Folders that must be apart, and folders that are of the wrong kind.

use std::path::{Component, Path, PathBuf};

use crate::run_folder::{self, RunFolder};
use crate::{IoContext, StageError};

/// Refuses an output folder that is an input folder, lies inside it or holds it: a stage would read what it
/// writes, or overwrite what it reads.
///
/// # Errors
/// [`StageError::Output`] names both folders.
pub fn check_apart(input: &Path, output: &Path) -> Result<(), StageError> {
    let (one, other) = (resolved(input), resolved(output));
    let how = if one == other {
        "are the same folder"
    } else if other.starts_with(&one) {
        "must be apart, but the output lies inside the input"
    } else if one.starts_with(&other) {
        "must be apart, but the input lies inside the output"
    } else {
        return Ok(());
    };
    Err(StageError::output(
        output,
        format!("(the output) and {} (the input) {how}", input.display()),
        "choose an output folder beside the input",
    ))
}

/// Whether a path lies in a folder.
#[must_use]
pub fn is_within(path: &Path, folder: &Path) -> bool {
    resolved(path).starts_with(resolved(folder))
}

/// Refuses an input folder that does not exist or is a file. `expected` says what it should be.
///
/// # Errors
/// [`StageError::Input`], or [`StageError::Io`] if the folder cannot be read.
pub fn check_input(folder: &Path, expected: &str) -> Result<(), StageError> {
    match std::fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(StageError::input(folder, "is a file", expected)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
            let found = format!("does not exist (as an absolute path: {})", absolute.display());
            Err(StageError::input(folder, found, expected))
        }
        Err(error) => Err(error).io_context("read", folder),
    }
}

/// Refuses an output folder that is a file.
///
/// # Errors
/// [`StageError::Input`].
pub fn check_output(folder: &Path) -> Result<(), StageError> {
    if folder.is_dir() || !folder.exists() {
        return Ok(());
    }
    Err(StageError::input(folder, "is a file", "a folder to write to"))
}

/// A kind of folder that a stage reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A BIDS dataset.
    Bids,
    /// What `preprocess` writes.
    Derivatives,
    /// What `train` writes.
    Run,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Run, Self::Derivatives, Self::Bids];

    /// Whether a folder is clearly of this kind.
    #[must_use]
    pub fn is(self, folder: &Path) -> bool {
        match self {
            Self::Bids => {
                folder.join("participants.tsv").is_file() || folder.join("dataset_description.json").is_file()
            }
            Self::Derivatives => folder.join("scans.tsv").is_file(),
            Self::Run => RunFolder::new(folder).is_run(),
        }
    }

    /// What such a folder is, for messages.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Bids => "a BIDS dataset, as the stage `convert` writes it",
            Self::Derivatives => "derivatives, as the stage `preprocess` writes them",
            Self::Run => run_folder::DESCRIPTION,
        }
    }
}

/// Refuses a folder that is clearly of another kind than `expected`. A folder of unknown kind passes: the stage names
/// what is missing in it.
///
/// # Errors
/// [`StageError::Input`] names both kinds.
pub fn check_kind(folder: &Path, expected: Kind) -> Result<(), StageError> {
    if expected.is(folder) {
        return Ok(());
    }
    match Kind::ALL.into_iter().find(|kind| kind.is(folder)) {
        None => Ok(()),
        Some(found) => {
            Err(StageError::input(folder, format!("is {}", found.describe()), expected.describe()))
        }
    }
}

/// Refuses a file that does not exist or is a folder. `expected` says what it should be.
///
/// # Errors
/// [`StageError::Input`], or [`StageError::Io`] if the file cannot be read.
pub fn check_file(file: &Path, expected: &str) -> Result<(), StageError> {
    match std::fs::metadata(file) {
        Ok(metadata) if metadata.is_dir() => {
            Err(StageError::input(file, "is a folder", format!("a file: {expected}")))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(StageError::input(file, "does not exist", expected))
        }
        Err(error) => Err(error).io_context("read", file),
    }
}

/// An absolute path without `..` and, as far as it exists, without links.
fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut resolved = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::ParentDir => {
                resolved.pop();
            }
            Component::CurDir => {}
            other => resolved.push(other),
        }
        if let Ok(real) = std::fs::canonicalize(&resolved) {
            resolved = real;
        }
    }
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_and_nested_folders_are_refused_siblings_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("bids/sub")).unwrap();
        let said = |one: &str, other: &str| check_apart(&at(one), &at(other)).map_err(|e| e.to_string());
        assert!(said("bids", "bids").unwrap_err().contains("same folder"));
        assert!(said("bids", "bids/../bids/.").unwrap_err().contains("same folder"));
        assert!(said("bids", "bids/new/out").unwrap_err().contains("inside the input"));
        assert!(said("bids/sub", "bids").unwrap_err().contains("inside the output"));
        assert_eq!(said("bids", "bids-2"), Ok(()));
        assert_eq!(said("bids", "derivatives"), Ok(()));
    }

    #[cfg(unix)]
    #[test]
    fn links_do_not_hide_nesting() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("bids")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("bids"), dir.path().join("link")).unwrap();
        assert!(check_apart(&dir.path().join("bids"), &dir.path().join("link/out")).is_err());
    }
}
