//! What training tells its caller while it runs.

use brainreel_models::ParameterCounts;

use crate::metrics::EpochMetrics;

/// A step forward. Epochs and steps count from 0; `done` counts what is finished.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum TrainEvent<'a> {
    /// Images are being checked against the scan table.
    Checking {
        /// Images in all.
        n_scans: usize,
    },
    /// The network is ready.
    Network {
        /// Its sizes.
        parameters: ParameterCounts,
    },
    /// Training goes on from the last checkpoint.
    Resumed {
        /// The next epoch.
        epoch: usize,
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
        /// Steps in each.
        n_steps: usize,
    },
    /// The optimizer made a step.
    Step {
        /// The epoch.
        epoch: usize,
        /// The step within the epoch.
        step: usize,
        /// Steps in the epoch.
        n_steps: usize,
        /// Loss of the batch.
        loss: f64,
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
        /// Whether it has the best validation accuracy so far.
        best_accuracy: bool,
        /// Whether it has the least validation loss so far.
        best_loss: bool,
    },
}
