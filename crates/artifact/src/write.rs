//! Atomic writes: write to a temporary file in the same folder, then rename.
//!
//! A killed process never leaves a partial file under its final name. Only [`write_durable_with`] also syncs
//! to disk, which protects against power loss. That costs milliseconds per file: too much for the hundreds of
//! slices of a scan, negligible for a checkpoint.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde::Serialize;

use crate::ArtifactError;

pub(crate) const PART_PREFIX: &str = ".brainreel-";
pub(crate) const PART_SUFFIX: &str = ".part";

/// Writes `bytes` to `path`. The file is either the old one or the complete new one. Missing parent folders
/// are created.
///
/// # Errors
/// [`ArtifactError::Write`] names the path.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), ArtifactError> {
    write_atomic_with(path, |file| file.write_all(bytes))
}

/// Like [`write_atomic`], with the content streamed by `fill`.
///
/// # Errors
/// [`ArtifactError::Write`] names the path. An error of `fill` leaves the old file in place.
pub fn write_atomic_with(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<(), ArtifactError> {
    replace(path, fill, false)
}

/// Like [`write_atomic_with`], and syncs the file to disk before returning.
///
/// # Errors
/// [`ArtifactError::Write`] names the path. An error of `fill` leaves the old file in place.
pub fn write_durable_with(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<(), ArtifactError> {
    replace(path, fill, true)
}

fn replace(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
    durable: bool,
) -> Result<(), ArtifactError> {
    let error = |source| ArtifactError::Write { path: path.to_owned(), source };
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).map_err(error)?;
    let mut temporary = temporary_in(folder).map_err(error)?;
    {
        let mut buffered = BufWriter::new(temporary.as_file_mut());
        fill(&mut buffered).map_err(error)?;
        buffered.flush().map_err(error)?;
    }
    if durable {
        temporary.as_file().sync_data().map_err(error)?;
    }
    temporary.persist(path).map_err(|failed| error(failed.error))?;
    Ok(())
}

/// Hard-links the finished file `from` as `to`, replacing an existing file. Copies it if the file system does
/// not support hard links. Later writes to either name do not affect the other, because every write creates a
/// new file.
///
/// # Errors
/// [`ArtifactError::Write`] names `to`.
pub fn link_atomic(from: &Path, to: &Path) -> Result<(), ArtifactError> {
    let error = |source| ArtifactError::Write { path: to.to_owned(), source };
    let folder = to.parent().unwrap_or(Path::new("."));
    let temporary = temporary_in(folder).map_err(error)?.into_temp_path();
    fs::remove_file(&temporary).map_err(error)?;
    if fs::hard_link(from, &temporary).is_err() {
        fs::copy(from, &temporary).map_err(error)?;
    }
    let name = temporary.to_path_buf();
    temporary.persist(to).map_err(|failed| error(failed.error))?;
    // By POSIX, renaming one hard link to another of the same file does nothing and leaves both.
    match fs::remove_file(&name) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(error(source)),
        _ => Ok(()),
    }
}

/// Writes `value` as indented JSON with a final newline, atomically.
///
/// # Errors
/// [`ArtifactError::Write`] or [`ArtifactError::Json`], both naming the path.
pub fn write_json<T: Serialize + ?Sized>(path: &Path, value: &T) -> Result<(), ArtifactError> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|source| ArtifactError::Json { path: path.to_owned(), source })?;
    bytes.push(b'\n');
    write_atomic(path, &bytes)
}

fn temporary_in(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PART_PREFIX).suffix(PART_SUFFIX);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Use the permissions of the umask, not tempfile's private default.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_keeps_what_it_was_when_the_first_name_is_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let (last, best) = (dir.path().join("last"), dir.path().join("best"));
        for (content, kept) in [(b"one", true), (b"two", true), (b"six", false)] {
            write_atomic(&last, content).unwrap();
            if kept {
                // The second time both names already refer to the same file.
                link_atomic(&last, &best).unwrap();
                link_atomic(&last, &best).unwrap();
            }
        }
        assert_eq!(fs::read(&best).unwrap(), b"two");
        assert_eq!(fs::read(&last).unwrap(), b"six");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_litter() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/table.tsv");
        write_atomic(&path, b"old").unwrap();
        let outcome = write_atomic_with(&path, |file| {
            file.write_all(b"half of the n")?;
            Err(std::io::Error::other("disk full"))
        });
        assert!(matches!(outcome, Err(ArtifactError::Write { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
