//! Stage `train`: fine-tunes a video network on the training partition, stopping by the validation partition.
//!
//! [`folds`] trains and tests once per fold, [`verify`] shows that an interrupted run ends in the same bytes.

pub mod folds;
pub mod verify;

mod forecast;
mod tracking;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use brainreel_artifact::FolderLock;
use brainreel_cohort::{LeakPolicy, Split};
use brainreel_trackers::TrackerConfig;
use brainreel_training::{Forecast, ResumeFrom, TrainConfig, TrainEvent};
use serde::{Serialize, Serializer};

use self::tracking::Tracking;
use crate::folders::{self, Kind};
use crate::gate::Gate;
use crate::run_folder::{RunFolder, RunInputs};
use crate::training_scans::read_training_scans;
use crate::{Observer, Reporter, Stage, StageError, notice};

/// Raise whenever the same inputs and settings give another run.
pub const STAGE_REVISION: u32 = 1;

/// What to train on, where to write and how to train.
#[derive(Debug, Clone)]
pub struct TrainRequest {
    /// The derivatives.
    pub derivatives: PathBuf,
    /// The split.
    pub split: Split,
    /// The run folder to write, or to resume.
    pub run: PathBuf,
    /// Settings. Default: those of [`TrainConfig`].
    pub config: TrainConfig,
    /// Which checkpoint an interrupted run resumes from. Default: the last one.
    pub resume_from: ResumeFrom,
    /// Ends the work after this number of steps in all, as an interruption would. Default: never.
    pub stop_after_steps: Option<u64>,
    /// What is tracked. Default: event files for TensorBoard.
    pub tracking: TrackerConfig,
    /// Whether the network must not be used. Default: it may be used.
    pub offline: bool,
    /// Refuses a run that would take more bytes of memory. Default: a warning if it is more than is free.
    pub memory_limit: Option<u64>,
    /// Whether the split may be leaky on purpose. Default: refused.
    pub leaks: LeakPolicy,
    /// Why a split that does not pass the audit is accepted. Default: it is refused.
    pub override_audit: Option<String>,
}

impl TrainRequest {
    /// A run from its start, or from its last checkpoint, with the default settings.
    #[must_use]
    pub fn new(derivatives: impl Into<PathBuf>, split: Split, run: impl Into<PathBuf>) -> Self {
        Self {
            derivatives: derivatives.into(),
            split,
            run: run.into(),
            config: TrainConfig::default(),
            resume_from: ResumeFrom::Last,
            stop_after_steps: None,
            tracking: TrackerConfig::default(),
            offline: false,
            memory_limit: None,
            leaks: LeakPolicy::Refuse,
            override_audit: None,
        }
    }
}

/// What a finished training came to.
#[derive(Debug, Clone, Serialize)]
pub struct TrainSummary {
    /// What this is, and what it is not for.
    pub notice: String,
    /// Whether the split is leaky on purpose.
    #[serde(skip_serializing_if = "notice::is_not_leaky")]
    pub leaky: bool,
    /// The run folder.
    pub run: PathBuf,
    /// Content hash of the split.
    pub split_sha256: String,
    /// The training; epochs are serialised counted from 1, as in `metrics.csv`.
    #[serde(flatten, serialize_with = "serialize_counting_from_one")]
    pub training: brainreel_training::TrainSummary,
    /// What the run was expected to take; nothing for a device or engine that the forecast does not know.
    pub forecast: Option<Forecast>,
}

/// Trains a network, or resumes an interrupted training.
///
/// # Errors
/// [`StageError`]: scans, settings or weights that cannot be used, a split that leaks or does not pass the audit, a
/// folder that holds another run, a damaged checkpoint. [`StageError::TrainingStopped`] if the observer cancelled it.
pub fn run(request: &TrainRequest, observer: &mut dyn Observer) -> Result<TrainSummary, StageError> {
    let reporter = Reporter::new(Stage::Train, observer);
    let TrainRequest { derivatives, split, config, .. } = request;
    let run = RunFolder::new(&request.run);
    folders::check_input(derivatives, Kind::Derivatives.describe())?;
    folders::check_apart(derivatives, run.path())?;
    notice::check_leaky(split, request.leaks, &reporter)?;
    let scans = read_training_scans(derivatives, split)?;
    if split.edited_by_hand() {
        reporter.note(format!("{} was edited by hand; this is recorded", split.source().display()));
    }
    config.validate()?;
    if let Some(weights) = &config.weights {
        folders::check_file(weights, "torchvision's .pth, or safetensors with its names")?;
    }
    folders::check_output(run.path())?;
    let lock = FolderLock::acquire(run.path())?;
    lock.remove_litter();
    let mut inputs = RunInputs::new(derivatives, &run, config, split, &scans)?;
    inputs.check_same_run(&run)?;
    let change = inputs.merge_instruction_sets(&run)?;
    let override_reason = request.override_audit.as_deref();
    Gate { run: &run, derivatives, split, inputs: &inputs, override_reason }.pass(&reporter)?;
    if config.weights.is_none() {
        reporter.warn(format!("the network is {}", notice::NOT_PRETRAINED));
    }
    if let Some(change) = &change {
        reporter.warn(change.to_string());
    }
    if change.is_some() || !run.has_checkpoint() {
        inputs.write(&run, split)?;
    }
    let is_cancelled = AtomicBool::new(false);
    let training = brainreel_training::TrainRequest {
        split_sha256: Some(split.content_hash()),
        resume_from: request.resume_from,
        stop_after_steps: request.stop_after_steps,
        interrupt: Some(&is_cancelled),
        memory_limit: request.memory_limit,
        ..brainreel_training::TrainRequest::new(run.path(), &scans, config)
    };
    let mut tracking = Tracking::new(request, &inputs, &reporter)?;
    let mut forecast = None;
    let summary = brainreel_training::train(&training, &mut |event: TrainEvent<'_>| {
        if let TrainEvent::Forecast { forecast: expected, workload } = event {
            forecast = Some(expected.clone());
            forecast::report(expected, workload, request, &reporter);
        }
        tracking.log(&event);
        reporter.training_event(&event);
        // An event comes after every step and every scan, so this is soon enough.
        is_cancelled.store(reporter.is_cancelled(), Ordering::Relaxed);
    })?;
    inputs.write(&run, split)?;
    if !summary.is_finished {
        return Err(StageError::TrainingStopped { run: run.path().to_owned(), n_steps: summary.n_steps });
    }
    tracking.finish();
    let why = if summary.stopped_early { "stopped early" } else { "all epochs done" };
    reporter.note(format!(
        "{} epochs ({why}), least validation loss in epoch {}, in {}",
        summary.history.len(),
        summary.best_loss_epoch + 1,
        run.path().display()
    ));
    Ok(TrainSummary {
        notice: notice::for_report(split.is_leaky()),
        leaky: split.is_leaky(),
        run: run.path().to_owned(),
        split_sha256: split.content_hash(),
        training: summary,
        forecast,
    })
}

/// Epochs count from 1 for people.
fn serialize_counting_from_one<S: Serializer>(
    summary: &brainreel_training::TrainSummary,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut counted = summary.clone();
    counted.best_accuracy_epoch += 1;
    counted.best_loss_epoch += 1;
    for row in &mut counted.history {
        row.epoch += 1;
    }
    counted.serialize(serializer)
}
