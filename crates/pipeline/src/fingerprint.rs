//! Cheap fingerprints of folders, to see whether a stage is up to date.

use std::fs::Metadata;
use std::path::Path;
use std::time::UNIX_EPOCH;

use brainreel_artifact::{ContentHash, HashBuilder, hash_file};
use walkdir::{DirEntry, WalkDir};

use crate::{IoContext, StageError};

/// Tables and records, whose content counts: a corrected label has the size of the wrong one.
const TEXTS: [&str; 4] = ["tsv", "csv", "json", "txt"];

/// Stands before a link, so that it never equals a file.
const LINK: &str = "link";

/// The fingerprint of a folder that we wrote: relative path and size of every file, and the content of
/// tables and records, which hold the hashes of the images.
///
/// Hidden files do not count: they are locks and stamps, or belong to the operating system.
///
/// # Errors
/// [`StageError::Io`] if a folder or file cannot be read.
pub fn of_folder(folder: &Path) -> Result<ContentHash, StageError> {
    fingerprint(folder, |_| 0)
}

/// The fingerprint of a folder that others write: the same, and the times of the files, since images may
/// be changed in place. Their content is not read: a download of a thousand scans has 200,000 files.
///
/// # Errors
/// [`StageError::Io`] if a folder or file cannot be read.
pub fn of_input(folder: &Path) -> Result<ContentHash, StageError> {
    fingerprint(folder, |metadata| {
        let age = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        age.map_or(0, |age| age.as_nanos())
    })
}

fn fingerprint(folder: &Path, time: impl Fn(&Metadata) -> u128) -> Result<ContentHash, StageError> {
    // Only the folder itself may be a link. A link inside it counts by its path and target: the target may be missing,
    // outside the folder, or the folder itself.
    let root = folder.canonicalize().io_context("read", folder)?;
    let walk =
        WalkDir::new(&root).follow_links(false).sort_by_file_name().into_iter().filter_entry(is_visible);
    let mut builder = HashBuilder::new();
    for entry in walk {
        let entry = entry.map_err(|error| StageError::list(folder, error))?;
        let relative = entry.path().strip_prefix(&root).unwrap_or(entry.path());
        if entry.path_is_symlink() {
            let target = std::fs::read_link(entry.path()).io_context("read", entry.path())?;
            builder = builder
                .part(LINK)
                .part(relative.to_string_lossy().as_bytes())
                .part(target.to_string_lossy().as_bytes());
        } else if entry.file_type().is_file() {
            let metadata = entry.metadata().map_err(|error| StageError::list(folder, error))?;
            builder = builder.part(relative.to_string_lossy().as_bytes()).part(metadata.len().to_le_bytes());
            let extension =
                entry.path().extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
            builder = if TEXTS.contains(&extension.as_str()) {
                builder.part(hash_file(entry.path())?.as_str())
            } else {
                builder.part(time(&metadata).to_le_bytes())
            };
        }
    }
    Ok(builder.finish())
}

fn is_visible(entry: &DirEntry) -> bool {
    entry.depth() == 0 || !entry.file_name().to_string_lossy().starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_sizes_count_hidden_files_do_not() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::write(dir.path().join("a/x"), b"12").unwrap();
        let before = of_folder(dir.path()).unwrap();
        std::fs::write(dir.path().join("a/.brainreel.lock"), b"").unwrap();
        assert_eq!(before, of_folder(dir.path()).unwrap());
        std::fs::write(dir.path().join("a/x"), b"123").unwrap();
        assert_ne!(before, of_folder(dir.path()).unwrap());
    }

    #[test]
    fn a_corrected_label_counts_though_the_size_stays() {
        let dir = tempfile::tempdir().unwrap();
        let table = dir.path().join("sub-01_sessions.tsv");
        std::fs::write(&table, b"ses-m06\tAD\n").unwrap();
        let before = (of_folder(dir.path()).unwrap(), of_input(dir.path()).unwrap());
        std::fs::write(&table, b"ses-m06\tCN\n").unwrap();
        assert_ne!(before.0, of_folder(dir.path()).unwrap());
        assert_ne!(before.1, of_input(dir.path()).unwrap());
    }

    #[cfg(unix)]
    #[test]
    fn links_count_by_their_target_and_are_not_followed() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("ADNI");
        std::fs::create_dir_all(folder.join("a")).unwrap();
        std::fs::write(folder.join("a/1.dcm"), b"12").unwrap();
        let plain = of_input(&folder).unwrap();
        symlink("..", folder.join("a/loop")).unwrap();
        symlink("/nowhere/at/all", folder.join("a/dangling")).unwrap();
        symlink("1.dcm", folder.join("a/2.dcm")).unwrap();
        let linked = of_input(&folder).unwrap();
        assert_ne!(plain, linked);
        assert_eq!(linked, of_input(&folder).unwrap());
        std::fs::remove_file(folder.join("a/dangling")).unwrap();
        symlink("/nowhere/else", folder.join("a/dangling")).unwrap();
        assert_ne!(linked, of_input(&folder).unwrap(), "the target changed");
        assert!(of_folder(&folder).is_ok());
        symlink(&folder, dir.path().join("download")).unwrap();
        assert_eq!(of_input(&dir.path().join("download")).unwrap(), of_input(&folder).unwrap());
        assert!(of_input(&dir.path().join("missing")).is_err());
    }
}
