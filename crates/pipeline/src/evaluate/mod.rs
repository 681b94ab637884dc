//! Stage `evaluate`: classifies a partition with a trained network and measures how well it went.

mod measures;
mod report;
mod tables;

use std::path::PathBuf;

use brainreel_artifact::{FolderLock, write_atomic, write_json};
use brainreel_cohort::{LeakPolicy, Partition, check_no_shared_subject};
use brainreel_models::{DeviceKind, InstructionSet};
use brainreel_statistics::EvaluateConfig;
use brainreel_training::{CacheConfig, CheckpointKind, PredictRequest, Prediction, TrainingScan, predict};
use serde::Serialize;

pub use measures::{MEASURES, Measure};
pub use report::{EvaluateSummary, Metrics};
pub(crate) use tables::predictions_table;

use crate::folders::{self, Kind};
use crate::gate::Gate;
use crate::run_folder::{EvaluationFolder, InstructionSetChange, RunFolder, RunInputs};
use crate::training_scans::read_training_scans;
use crate::{IoContext, Observer, Remedy, Reporter, Stage, StageError, notice};

/// Raise whenever the same run gives other results.
pub const STAGE_REVISION: u32 = 1;

/// What to evaluate.
#[derive(Debug, Clone)]
pub struct EvaluateRequest {
    /// The run folder.
    pub run: PathBuf,
    /// Which network of the run. Default: the one of the least validation loss.
    pub checkpoint: CheckpointKind,
    /// Which scans: the test or the validation partition. Default: test.
    pub partition: Partition,
    /// The derivatives. Default: where training found them.
    pub derivatives: Option<PathBuf>,
    /// Where to compute. Default: the run's device.
    pub device: Option<DeviceKind>,
    /// Where trunk features are cached, and how many bytes of them. Default: as in training.
    pub cache: Option<CacheConfig>,
    /// Whether the split may be leaky on purpose. Default: refused.
    pub leaks: LeakPolicy,
    /// Why a split that does not pass the audit is accepted. Default: it is refused.
    pub override_audit: Option<String>,
}

/// What an evaluation depends on, beside the run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvaluateParameters {
    checkpoint: CheckpointKind,
    partition: Partition,
    metrics: EvaluateConfig,
}

/// An evaluation with its predictions.
pub(crate) struct Evaluated {
    pub(crate) summary: EvaluateSummary,
    pub(crate) predictions: Vec<Prediction>,
}

impl EvaluateRequest {
    /// The usual evaluation of a run: the checkpoint of the least validation loss on the test partition.
    #[must_use]
    pub fn new(run: impl Into<PathBuf>) -> Self {
        Self {
            run: run.into(),
            checkpoint: CheckpointKind::BestLoss,
            partition: Partition::Test,
            derivatives: None,
            device: None,
            cache: None,
            leaks: LeakPolicy::Refuse,
            override_audit: None,
        }
    }

    /// What the result depends on, beside the run.
    #[must_use]
    pub fn parameters(&self) -> EvaluateParameters {
        EvaluateParameters {
            checkpoint: self.checkpoint,
            partition: self.partition,
            metrics: EvaluateConfig::default(),
        }
    }

    fn folder(&self) -> EvaluationFolder {
        RunFolder::new(&self.run).evaluation(self.partition, self.checkpoint)
    }
}

/// Classifies a partition and writes predictions and metrics to the run folder.
///
/// # Errors
/// [`StageError`]: no run folder, a split or images that were changed after training, a split that leaks or does not
/// pass the audit, a damaged checkpoint.
pub fn run(request: &EvaluateRequest, observer: &mut dyn Observer) -> Result<EvaluateSummary, StageError> {
    Ok(run_with_predictions(request, observer)?.summary)
}

/// Like [`run`], and returns the predictions too.
pub(crate) fn run_with_predictions(
    request: &EvaluateRequest,
    observer: &mut dyn Observer,
) -> Result<Evaluated, StageError> {
    let reporter = Reporter::new(Stage::Evaluate, observer);
    let run = RunFolder::new(&request.run);
    folders::check_input(run.path(), Kind::Run.describe())?;
    folders::check_kind(run.path(), Kind::Run)?;
    if request.partition == Partition::Train {
        let expected =
            "the test or the validation partition: a network is not tested on what it was trained on";
        return Err(StageError::setting("partition", request.partition, expected));
    }
    let inputs = RunInputs::read(&run)?;
    let split = inputs.read_split(&run, request.leaks)?;
    notice::check_leaky(&split, request.leaks, &reporter)?;
    if !split.is_leaky() {
        check_no_shared_subject(split.subjects_of(Partition::Train), split.subjects_of(request.partition))?;
    }
    let _lock = FolderLock::acquire(run.path())?;
    let derivatives = request.derivatives.clone().unwrap_or_else(|| run.path().join(&inputs.derivatives));
    let scans: Vec<TrainingScan> = read_training_scans(&derivatives, &split)
        .map_err(|error| error.with_remedy(Remedy::NameDerivatives))?
        .into_iter()
        .filter(|scan| scan.partition == request.partition)
        .collect();
    inputs.check_images(&derivatives, &run, &scans)?;
    let gate = Gate {
        run: &run,
        derivatives: &derivatives,
        split: &split,
        inputs: &inputs,
        override_reason: request.override_audit.as_deref(),
    };
    let audit = gate.pass(&reporter)?;
    let cache = request.cache.clone().unwrap_or_else(|| inputs.cache.to_config());
    let prediction = PredictRequest {
        device: request.device,
        ..PredictRequest::new(run.path(), request.checkpoint, &scans, &cache)
    };
    if let Some(change) = InstructionSetChange::detect(&inputs.instruction_sets, InstructionSet::detect()) {
        reporter.warn(change.to_string());
    }
    let predictions = predict(&prediction, &mut |event| reporter.training_event(&event))?;
    let metrics = Metrics::new(&predictions)?;
    let summary = EvaluateSummary::new(request, &inputs, audit, metrics);
    let folder = request.folder();
    write_results(&folder, &predictions, &summary)?;
    reporter.note(format!(
        "{} scans of {} subjects, in {}",
        summary.scans.n_scans,
        summary.scans.n_subjects,
        folder.path().display()
    ));
    Ok(Evaluated { summary, predictions })
}

/// Reads the result of an earlier evaluation.
///
/// # Errors
/// [`StageError::Io`] if there is none, [`StageError::Damaged`].
pub fn read_summary(folder: &EvaluationFolder) -> Result<EvaluateSummary, StageError> {
    let path = folder.metrics();
    let bytes = std::fs::read(&path).io_context("read", &path)?;
    serde_json::from_slice(&bytes).map_err(|error| StageError::damaged(path, error))
}

fn write_results(
    folder: &EvaluationFolder,
    predictions: &[Prediction],
    summary: &EvaluateSummary,
) -> Result<(), StageError> {
    let is_leaky = summary.leaky;
    let scans = notice::mark_table(predictions_table(predictions, summary.scans.threshold), is_leaky);
    write_atomic(&folder.predictions(), scans.as_bytes())?;
    let subjects = tables::subjects_table(predictions, summary.subjects.threshold)?;
    write_atomic(&folder.subjects(), notice::mark_table(subjects, is_leaky).as_bytes())?;
    Ok(write_json(&folder.metrics(), summary)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fault, Silent};

    #[test]
    fn the_training_partition_is_not_evaluated() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(RunFolder::new(dir.path()).inputs(), "{}").unwrap();
        let request = EvaluateRequest { partition: Partition::Train, ..EvaluateRequest::new(dir.path()) };
        let error = run(&request, &mut Silent).unwrap_err();
        assert_eq!(error.fault(), Fault::Settings, "{error}");
    }

    #[test]
    fn a_folder_that_is_not_a_run_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = run(&EvaluateRequest::new(dir.path()), &mut Silent).unwrap_err();
        assert!(error.to_string().contains("is not a run folder: it has no inputs.json"), "{error}");
        std::fs::write(RunFolder::new(dir.path()).inputs(), "{}").unwrap();
        let error = run(&EvaluateRequest::new(dir.path()), &mut Silent).unwrap_err();
        assert!(matches!(error, StageError::Damaged { .. }), "{error}");
    }
}
