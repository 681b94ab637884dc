//! Fine-tuning of a video network on preprocessed scans: dataset, augmentation, feature cache, loop,
//! checkpoints, prediction.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use brainreel_training::{CheckpointKind, PredictRequest, TrainConfig, TrainRequest, TrainingScan, predict, train};
//!
//! # fn scans() -> Vec<TrainingScan> { Vec::new() }
//! # fn main() -> Result<(), brainreel_training::TrainError> {
//! let scans: Vec<TrainingScan> = scans();
//! let run = Path::new("run");
//! let config = TrainConfig::default();
//! let summary = train(&TrainRequest::new(run, &scans, &config), &mut |_event| {})?;
//! let request = PredictRequest::new(run, CheckpointKind::BestLoss, &scans, &config.cache);
//! let predictions = predict(&request, &mut |_event| {})?;
//! # Ok(())
//! # }
//! ```
//!
//! This crate reads preprocessed images. It does not preprocess, and it does not assign subjects to
//! partitions.
//!
//! # Determinism
//! The same scans, configuration and weights give the same bytes for any number of threads. A run that was
//! interrupted and resumed gives the same bytes as an uninterrupted one.

mod adamw;
mod cache;
mod checkpoint;
mod config;
mod dataset;
mod epoch;
mod error;
mod events;
mod features;
mod forecast;
mod gradients;
mod loader;
mod loss;
mod metrics;
mod paths;
mod predict;
mod schedule;
mod stopping;
mod timing;
mod trainer;

pub use adamw::{AdamW, AdamWConfig, Moments};
pub use brainreel_augmentation::{AugmentError, AugmentationConfig, AugmentationPreset, Draw};
pub use brainreel_cohort::Partition;
pub use cache::{CacheConfig, CacheUse, FeatureCache, FeatureType, Features};
pub use checkpoint::{Checkpoint, CheckpointKind, CheckpointState, EpochProgress};
pub use config::{ScheduleUnit, TrainConfig};
pub use dataset::TrainingScan;
pub use epoch::{StepOutcome, training_step};
pub use error::TrainError;
pub use events::{StepMetrics, TrainEvent};
pub use forecast::{Forecast, ForecastSeconds, RunMemory, Workload, advice};
pub use loss::{class_weights, probability, weighted_cross_entropy};
pub use metrics::EpochMetrics;
pub use paths::RunPaths;
pub use predict::{PredictRequest, Prediction, predict};
pub use schedule::warm_restart_factor;
pub use stopping::{EarlyStopping, Improvement};
pub use timing::EpochTiming;
pub use trainer::{ResumeFrom, ScanCounts, TrainRequest, TrainSummary, train};
