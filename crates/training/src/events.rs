//! Progress events of training.

use brainreel_models::{Architecture, ParameterCounts};
use serde::Serialize;

use crate::checkpoint::CheckpointState;
use crate::forecast::{Forecast, Workload};
use crate::metrics::EpochMetrics;
use crate::stopping::Improvement;
use crate::timing::EpochTiming;

/// Metrics of one optimizer step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StepMetrics {
    /// The epoch, from 0.
    pub epoch: usize,
    /// The step within the epoch, from 0.
    pub step: usize,
    /// Steps in the epoch.
    pub n_steps: usize,
    /// Steps since the start of the run, including this one.
    pub n_steps_in_all: u64,
    /// Loss of the batch before the step.
    pub loss: f64,
    /// Learning rate of the layer below the final one.
    pub learning_rate: f64,
    /// Learning rate of the final layer.
    pub learning_rate_fc: f64,
    /// Norm of the gradients over all parameters, before clipping.
    pub gradient_norm: f64,
}

impl StepMetrics {
    /// Names and values for the logs.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, f64); 4] {
        [
            ("loss", self.loss),
            ("learning_rate", self.learning_rate),
            ("learning_rate_fc", self.learning_rate_fc),
            ("gradient_norm", self.gradient_norm),
        ]
    }
}

/// A progress event. Epochs and steps count from 0; `done` counts finished items.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum TrainEvent<'a> {
    /// Images are being checked against the scan table.
    Checking {
        /// Total number of images.
        n_scans: usize,
    },
    /// Forecast of memory and work, sent before training starts. Not sent for devices and engines without a
    /// cost model.
    Forecast {
        /// Memory and work.
        forecast: &'a Forecast,
        /// What the forecast covers.
        workload: &'a Workload,
    },
    /// The network is ready.
    Network {
        /// Its architecture.
        architecture: Architecture,
        /// Its sizes.
        parameters: ParameterCounts,
    },
    /// Training resumes from the last checkpoint.
    Resumed {
        /// Position in the run at which it was written.
        state: &'a CheckpointState,
    },
    /// Batch-norm statistics of the trunk are being estimated.
    Calibrating {
        /// Scans processed.
        done: usize,
        /// Total number of scans.
        total: usize,
    },
    /// Trunk features are being computed or read from the cache.
    Features {
        /// Scans processed. A scan counts once per augmentation draw.
        done: usize,
        /// Total number of scans.
        total: usize,
    },
    /// An epoch starts.
    EpochStart {
        /// The epoch.
        epoch: usize,
        /// Maximum number of epochs.
        max_epochs: usize,
        /// Steps of this epoch that were done before an interruption.
        first_step: usize,
        /// Steps per epoch.
        n_steps: usize,
    },
    /// The optimizer performed a step.
    Step {
        /// Its metrics.
        metrics: &'a StepMetrics,
        /// Fraction of the epoch's elapsed time that the network waited for scans.
        share_waiting: f64,
    },
    /// A checkpoint was written within an epoch.
    Checkpoint {
        /// The step it was written after.
        metrics: &'a StepMetrics,
    },
    /// Scans are being classified.
    Evaluating {
        /// Scans processed.
        done: usize,
        /// Total number of scans.
        total: usize,
    },
    /// An epoch ended and its checkpoint was written.
    EpochEnd {
        /// Its metrics.
        metrics: &'a EpochMetrics,
        /// Optimizer steps since the start of the run.
        n_steps_in_all: u64,
        /// Which measures are the best so far.
        improvement: Improvement,
        /// Where its time went.
        timing: &'a EpochTiming,
    },
}
