//! Cheap fingerprints of folders, to see whether a stage is up to date.

use std::path::Path;

use anyhow::Context;
use brainreel_artifact::{ContentHash, HashBuilder};
use walkdir::{DirEntry, WalkDir};

/// The hash of the sorted listing (relative path and size) of all files below `folder`.
///
/// Hidden files are left out: they are ours (locks, stamps) or the operating system's. Content is not
/// read: a download of a thousand scans has 200,000 files.
pub(crate) fn of_folder(folder: &Path) -> anyhow::Result<ContentHash> {
    let walk = WalkDir::new(folder).sort_by_file_name().into_iter().filter_entry(is_visible);
    let mut builder = HashBuilder::new();
    for entry in walk {
        let entry = entry.with_context(|| format!("listing {}", folder.display()))?;
        if entry.file_type().is_file() {
            let relative = entry.path().strip_prefix(folder).unwrap_or(entry.path());
            let size = entry.metadata().with_context(|| format!("listing {}", folder.display()))?.len();
            builder = builder.part(relative.to_string_lossy().as_bytes()).part(size.to_le_bytes());
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
}
