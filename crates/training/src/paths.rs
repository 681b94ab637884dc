//! The files that training writes to a run folder, by name: nowhere else are these names spelled.

use std::path::{Path, PathBuf};

/// Paths of the files of a run that training writes. Checkpoints are named by [`CheckpointKind`](crate::CheckpointKind).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunPaths<'a> {
    folder: &'a Path,
}

impl<'a> RunPaths<'a> {
    /// The files in this folder.
    #[must_use]
    pub const fn new(folder: &'a Path) -> Self {
        Self { folder }
    }

    /// Every setting of the run, without paths.
    #[must_use]
    pub fn config(self) -> PathBuf {
        self.folder.join("config.json")
    }

    /// Metrics, one row per epoch.
    #[must_use]
    pub fn metrics_table(self) -> PathBuf {
        self.folder.join("metrics.csv")
    }

    /// Metrics, one JSON object per step and per epoch.
    #[must_use]
    pub fn metrics_log(self) -> PathBuf {
        self.folder.join("metrics.jsonl")
    }

    /// How long the epochs took: a log, not a result.
    #[must_use]
    pub fn timing_log(self) -> PathBuf {
        self.folder.join("timing.jsonl")
    }

    /// What augmentation did to each scan of an epoch, counted from 0.
    #[must_use]
    pub fn draws(self, epoch: usize) -> PathBuf {
        self.folder.join("draws").join(format!("epoch-{:04}.jsonl", epoch + 1))
    }

    /// Folder of the checkpoints.
    #[must_use]
    pub fn checkpoints(self) -> PathBuf {
        self.folder.join("checkpoints")
    }

    /// Default folder of the cache of trunk features.
    #[must_use]
    pub fn cache(self) -> PathBuf {
        self.folder.join("cache")
    }
}
