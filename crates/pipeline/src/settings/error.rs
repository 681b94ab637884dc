//! What can be wrong with a settings file.

use std::fmt;
use std::path::PathBuf;

/// Why a settings file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The file has keys that no setting has.
    #[error("{}, {}", path.display(), join_keys(keys))]
    UnknownKeys {
        /// The file.
        path: PathBuf,
        /// The keys, in the order of the file.
        keys: Vec<UnknownKey>,
    },
    /// The file is not TOML, or a value in it does not fit.
    #[error("{} cannot be read as settings", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// The cause, with its line.
        #[source]
        source: toml::de::Error,
    },
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// A key of a settings file that no setting has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownKey {
    /// One-based line in the file.
    pub line: usize,
    /// The key with the names of its sections.
    pub key: String,
    /// The setting that was probably meant.
    pub nearest: Option<String>,
    /// The keys of the section.
    pub expected: Vec<String>,
}

impl fmt::Display for UnknownKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: unknown key `{}`", self.line, self.key)?;
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
            None => write!(f, ", expected one of {}", self.expected.join(", ")),
        }
    }
}

fn join_keys(keys: &[UnknownKey]) -> String {
    let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
    keys.join("\n")
}
