//! Time per epoch: `timing.jsonl`, a log rather than a result.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::paths::RunPaths;

/// Time of an epoch by phase.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochTiming {
    /// The epoch, from 1 as in `metrics.csv`.
    pub epoch: usize,
    /// Steps that this process performed. Fewer than the whole epoch if it was resumed.
    pub n_steps: usize,
    /// Seconds of training.
    pub seconds_train: f64,
    /// Seconds of training in which the network waited for scans to be read and augmented.
    pub seconds_waiting: f64,
    /// Seconds of validation.
    pub seconds_validate: f64,
}

impl EpochTiming {
    /// Adds a line to the log of a run.
    ///
    /// # Errors
    /// [`TrainError::Log`] names the file.
    pub(crate) fn append(&self, run_dir: &Path) -> Result<(), TrainError> {
        let path = RunPaths::new(run_dir).timing_log();
        let line = serde_json::to_string(self).expect("plain data serialises") + "\n";
        let appended = OpenOptions::new().create(true).append(true).open(&path);
        appended
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .map_err(|source| TrainError::Log { path, source })
    }
}
