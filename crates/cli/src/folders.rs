//! Folders that must be apart, and folders that are of the wrong kind.

use std::path::{Component, Path, PathBuf};

/// Refuses an output folder that is an input folder, lies inside it or holds it: a stage would read what it
/// writes, or write over what it reads.
pub(crate) fn check_apart(input: &Path, output: &Path) -> anyhow::Result<()> {
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
    anyhow::bail!(
        "the input {} and the output {} {how}; choose an output folder beside the input",
        input.display(),
        output.display()
    )
}

/// Refuses an input that is not there or is no folder. `expected` says what it should be.
pub(crate) fn check_input(folder: &Path, expected: &str) -> anyhow::Result<()> {
    match std::fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => anyhow::bail!("{} is a file; expected {expected}", folder.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => anyhow::bail!(
            "{} does not exist; expected {expected} (looked for {})",
            folder.display(),
            std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()).display()
        ),
        Err(error) => Err(anyhow::Error::from(error).context(format!("cannot read {}", folder.display()))),
    }
}

/// Refuses an output folder that is a file.
pub(crate) fn check_output(folder: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        folder.is_dir() || !folder.exists(),
        "{} is a file; expected a folder to write to",
        folder.display()
    );
    Ok(())
}

/// A kind of folder that a stage reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A BIDS dataset.
    Bids,
    /// What `preprocess` writes.
    Derivatives,
    /// What `train` writes.
    Run,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Run, Self::Derivatives, Self::Bids];

    /// Whether a folder is plainly of this kind.
    pub(crate) fn is(self, folder: &Path) -> bool {
        match self {
            Self::Bids => {
                folder.join("participants.tsv").is_file() || folder.join("dataset_description.json").is_file()
            }
            Self::Derivatives => folder.join("scans.tsv").is_file(),
            Self::Run => folder.join("inputs.json").is_file(),
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Bids => "a BIDS dataset, as `brainreel convert` writes it",
            Self::Derivatives => "derivatives, as `brainreel preprocess` writes them",
            Self::Run => "a run folder, as `brainreel train` writes it",
        }
    }
}

/// Refuses a folder that is plainly of another kind than `expected`. A folder of no known kind passes: what
/// is missing in it will be named.
pub(crate) fn check_kind(folder: &Path, expected: Kind) -> anyhow::Result<()> {
    if expected.is(folder) {
        return Ok(());
    }
    match Kind::ALL.into_iter().find(|kind| kind.is(folder)) {
        None => Ok(()),
        Some(found) => {
            anyhow::bail!("{} is {}; expected {}", folder.display(), found.describe(), expected.describe())
        }
    }
}

/// Refuses a file that is not there or is a folder. `expected` says what it should be.
pub(crate) fn check_file(file: &Path, expected: &str) -> anyhow::Result<()> {
    match std::fs::metadata(file) {
        Ok(metadata) if metadata.is_dir() => {
            anyhow::bail!("{} is a folder; expected a file: {expected}", file.display())
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            anyhow::bail!("{} does not exist; expected {expected}", file.display())
        }
        Err(error) => Err(anyhow::Error::from(error).context(format!("cannot read {}", file.display()))),
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
