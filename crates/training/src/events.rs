//! What training tells its caller while it runs.

use brainreel_models::{Architecture, ParameterCounts};
use serde::Serialize;

use crate::checkpoint::CheckpointState;
use crate::forecast::{Forecast, Workload};
use crate::metrics::EpochMetrics;
use crate::stopping::Improvement;
use crate::timing::EpochTiming;

/// What is known of a step of the optimizer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StepMetrics {
    /// The epoch, from 0.
    pub epoch: usize,
    /// The step within the epoch, from 0.
    pub step: usize,
    /// Steps in the epoch.
    pub n_steps: usize,
    /// Steps since the run began, this one included.
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
    /// The numbers that logs hold, by name.
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

/// A step forward. Epochs and steps count from 0; `done` counts what is finished.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum TrainEvent<'a> {
    /// Images are being checked against the scan table.
    Checking {
        /// Images in all.
        n_scans: usize,
    },
    /// What the run will take, before it takes it. Not told of devices and engines that the forecast does not know.
    Forecast {
        /// Memory and work.
        forecast: &'a Forecast,
        /// What of.
        workload: &'a Workload,
    },
    /// The network is ready.
    Network {
        /// Which one.
        architecture: Architecture,
        /// Its sizes.
        parameters: ParameterCounts,
    },
    /// Training goes on from the last checkpoint.
    Resumed {
        /// Where it was written.
        state: &'a CheckpointState,
    },
    /// Batch-norm statistics of the trunk are being estimated.
    Calibrating {
        /// Scans seen.
        done: usize,
        /// Scans to see.
        total: usize,
    },
    /// Trunk features are being computed, or found in the cache.
    Features {
        /// Scans done (a scan counts once for each augmentation draw).
        done: usize,
        /// Scans in all.
        total: usize,
    },
    /// An epoch begins.
    EpochStart {
        /// The epoch.
        epoch: usize,
        /// Upper bound on their number.
        max_epochs: usize,
        /// Steps of it that were done before an interruption.
        first_step: usize,
        /// Steps in each.
        n_steps: usize,
    },
    /// The optimizer made a step.
    Step {
        /// What is known of it.
        metrics: &'a StepMetrics,
        /// Share of the epoch's time so far in which the network waited for scans.
        share_waiting: f64,
    },
    /// A checkpoint was written within an epoch.
    Checkpoint {
        /// The step it was written after.
        metrics: &'a StepMetrics,
    },
    /// Scans are being classified.
    Evaluating {
        /// Scans done.
        done: usize,
        /// Scans in all.
        total: usize,
    },
    /// An epoch is over and its checkpoint is written.
    EpochEnd {
        /// Its metrics.
        metrics: &'a EpochMetrics,
        /// Steps of the optimizer since the run began.
        n_steps_in_all: u64,
        /// Which of its measures are the best so far.
        improvement: Improvement,
        /// Where its time went.
        timing: &'a EpochTiming,
    },
}
