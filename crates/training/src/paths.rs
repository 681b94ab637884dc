//! Names of the files that training writes to a run folder. They are defined only here.

use std::path::{Path, PathBuf};

/// Paths of the files that training writes to a run folder. [`CheckpointKind`](crate::CheckpointKind) names
/// the checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunPaths<'a> {
    folder: &'a Path,
}

impl<'a> RunPaths<'a> {
    /// Paths below this run folder.
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

    /// Time per epoch. This is a log, not a result.
    #[must_use]
    pub fn timing_log(self) -> PathBuf {
        self.folder.join("timing.jsonl")
    }

    /// Augmentation draws of each scan in an epoch. Epochs count from 0.
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
