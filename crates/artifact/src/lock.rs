//! Folder lock: one writer per folder.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use crate::ArtifactError;
use crate::write::{PART_PREFIX, PART_SUFFIX};

const LOCK_NAME: &str = ".brainreel.lock";

/// An exclusive lock on an output folder, held until dropped or until the process ends.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
    folder: PathBuf,
}

impl FolderLock {
    /// Creates the folder if necessary and locks it.
    ///
    /// # Errors
    /// [`ArtifactError::Locked`] if another process has the lock, [`ArtifactError::Write`] if the folder
    /// cannot be created.
    pub fn acquire(folder: &Path) -> Result<Self, ArtifactError> {
        let error = |source| ArtifactError::Write { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(error)?;
        let file = File::create(folder.join(LOCK_NAME)).map_err(error)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file, folder: folder.to_owned() }),
            Err(TryLockError::WouldBlock) => Err(ArtifactError::Locked { folder: folder.to_owned() }),
            // Some network file systems do not support locks. Continue without one.
            Err(TryLockError::Error(_)) => Ok(Self { _file: file, folder: folder.to_owned() }),
        }
    }

    /// Deletes unfinished temporary files of a killed process in the folder and below. Returns their number.
    /// Does not follow links.
    pub fn remove_litter(&self) -> usize {
        remove_litter_below(&self.folder)
    }
}

fn remove_litter_below(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => remove_litter_below(&entry.path()),
            Ok(kind) if kind.is_file() && is_litter(&entry.file_name().to_string_lossy()) => {
                usize::from(fs::remove_file(entry.path()).is_ok())
            }
            _ => 0,
        })
        .sum()
}

fn is_litter(name: &str) -> bool {
    name.starts_with(PART_PREFIX) && name.ends_with(PART_SUFFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_writer_and_litter_goes() {
        let dir = tempfile::tempdir().unwrap();
        let lock = FolderLock::acquire(dir.path()).unwrap();
        assert!(matches!(FolderLock::acquire(dir.path()), Err(ArtifactError::Locked { .. })));
        fs::create_dir(dir.path().join("sub-01")).unwrap();
        fs::write(dir.path().join("sub-01/.brainreel-x1.part"), b"half").unwrap();
        fs::write(dir.path().join("sub-01/whole.part"), b"not ours").unwrap();
        assert_eq!(lock.remove_litter(), 1);
        assert!(dir.path().join("sub-01/whole.part").exists());
        drop(lock);
        assert!(FolderLock::acquire(dir.path()).is_ok());
    }
}
