//! The cache folder of weights.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use brainreel_artifact::{hash_file, write_atomic, write_json};
use brainreel_checkpoint::Published;
use serde::{Deserialize, Serialize};

use crate::{Catalogue, WeightsError};

/// The variable that names the cache folder.
pub const CACHE_VARIABLE: &str = "BRAINREEL_CACHE_DIR";

/// A folder of weights, each with a record.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

/// Record of a weight file, stored beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Name of the model.
    pub model: String,
    /// SHA-256 of the file when it was added.
    pub sha256: String,
    /// Its size.
    pub n_bytes: u64,
    /// The source URL, or `import`.
    pub source: String,
    /// Whether it is the published file. `None` if the authors publish no digest.
    pub published: Option<bool>,
}

/// A file of weights in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cached {
    /// The file.
    pub path: PathBuf,
    /// Its record.
    pub record: Record,
}

/// State of a model's weights in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Missing.
    Missing,
    /// Matches its record.
    Whole,
    /// Differs from its record, or has none.
    Damaged,
}

impl Cache {
    /// Creates a cache in a folder, which need not exist.
    #[must_use]
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The user's cache: `weights` below `$BRAINREEL_CACHE_DIR`, or below `brainreel` in the place that the
    /// system has for caches (`$XDG_CACHE_HOME` or `~/.cache`, `~/Library/Caches`, `%LOCALAPPDATA%`).
    ///
    /// # Errors
    /// [`WeightsError::NoFolder`] if none of the variables is set.
    pub fn of_user() -> Result<Self, WeightsError> {
        let folder =
            user_folder(|name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from));
        folder
            .map(|folder| Self::in_folder(folder.join("weights")))
            .ok_or(WeightsError::NoFolder { variable: CACHE_VARIABLE })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Path of the weights of a model.
    #[must_use]
    pub fn path_of(&self, model: &Published) -> PathBuf {
        self.folder.join(model.file_name)
    }

    fn record_path(&self, model: &Published) -> PathBuf {
        self.folder.join(format!("{}.json", model.file_name))
    }

    /// The record of a model, if it exists.
    #[must_use]
    pub fn record_of(&self, model: &Published) -> Option<Record> {
        let record: Record = serde_json::from_slice(&fs::read(self.record_path(model)).ok()?).ok()?;
        (record.model == model.name).then_some(record)
    }

    /// The weights of a model. Whether the file still is what its record says shows when it is read: compare
    /// the digests, or ask [`Cache::health`].
    ///
    /// # Errors
    /// [`WeightsError::Missing`] says how to get them.
    pub fn find(&self, model: &Published) -> Result<Cached, WeightsError> {
        let path = self.path_of(model);
        match self.record_of(model).filter(|_| path.is_file()) {
            Some(record) => Ok(Cached { path, record }),
            None => Err(WeightsError::Missing { name: model.name, path, url: model.url }),
        }
    }

    /// Returns an error for a file whose digest differs from its record.
    ///
    /// # Errors
    /// [`WeightsError::Damaged`].
    pub fn check_digest(model: &Published, cached: &Cached, sha256: &str) -> Result<(), WeightsError> {
        if cached.record.sha256 == sha256 {
            return Ok(());
        }
        Err(WeightsError::Damaged {
            name: model.name,
            path: cached.path.clone(),
            got: sha256.to_owned(),
            expected: cached.record.sha256.clone(),
        })
    }

    /// Reads the file of a model, if it exists, and compares it with its record.
    ///
    /// # Errors
    /// [`WeightsError::Write`] if the file cannot be read.
    pub fn health(&self, model: &Published) -> Result<Health, WeightsError> {
        let path = self.path_of(model);
        if !path.is_file() {
            return Ok(Health::Missing);
        }
        let sha256 = hash_file(&path)?;
        let is_whole = self.record_of(model).is_some_and(|record| record.sha256 == sha256.as_str());
        Ok(if is_whole { Health::Whole } else { Health::Damaged })
    }

    /// All entries of the catalogue with their records.
    pub fn list<'a>(
        &self,
        catalogue: &'a Catalogue,
    ) -> impl Iterator<Item = (&'a Published, Option<Cached>)> {
        catalogue.entries().iter().map(|model| (model, self.find(model).ok()))
    }

    /// Writes a file, then its record.
    pub(crate) fn put(
        &self,
        model: &Published,
        bytes: &[u8],
        record: Record,
    ) -> Result<Cached, WeightsError> {
        let path = self.path_of(model);
        write_atomic(&path, bytes)?;
        write_json(&self.record_path(model), &record)?;
        Ok(Cached { path, record })
    }
}

/// brainreel's folder in the system's cache folder. Relative paths in the variables are ignored, as the XDG
/// standard requires.
fn user_folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    if let Some(folder) = variable(CACHE_VARIABLE) {
        return Some(folder);
    }
    let place = if cfg!(windows) {
        variable("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        variable("HOME").map(|home| home.join("Library/Caches"))
    } else {
        let xdg = variable("XDG_CACHE_HOME").filter(|folder| folder.is_absolute());
        xdg.or_else(|| variable("HOME").map(|home| home.join(".cache")))
    };
    place.map(|place| place.join("brainreel"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(not(any(windows, target_os = "macos")))]
    fn the_folder_follows_the_variables() {
        let with = |set: &[(&str, &str)]| {
            user_folder(|name| {
                set.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value))
            })
        };
        let all = [(CACHE_VARIABLE, "here"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(with(&all), Some("here".into()));
        assert_eq!(with(&all[1..]), Some("/x/brainreel".into()));
        assert_eq!(with(&all[2..]), Some("/h/.cache/brainreel".into()));
        assert_eq!(with(&[("XDG_CACHE_HOME", "x"), ("HOME", "/h")]), Some("/h/.cache/brainreel".into()));
        assert_eq!(with(&[]), None);
    }
}
