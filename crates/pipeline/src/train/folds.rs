//! Cross-validation: one run folder per fold, resumable as a whole.

use std::path::{Path, PathBuf};

use brainreel_artifact::{ContentHash, FolderLock, HashBuilder, hash_file, write_atomic, write_json};
use brainreel_cohort::{FoldConfig, ScanTable, Split, split_folds};
use brainreel_statistics::MetricsReport;
use brainreel_trackers::TrackerConfig;
use brainreel_training::{CheckpointKind, Prediction, ResumeFrom, TrainConfig};
use serde::{Deserialize, Serialize};

use super::TrainRequest;
use crate::evaluate::{
    self, EvaluateRequest, EvaluateSummary, MEASURES, Measure, Metrics, predictions_table,
};
use crate::folders::{self, Kind};
use crate::run_folder::RunFolder;
use crate::{IoContext, Observer, ResultExt, Stage, StageError, notice};

/// A cross-validation.
#[derive(Debug, Clone)]
pub struct FoldsRequest {
    /// The derivatives.
    pub derivatives: PathBuf,
    /// Folder of the run folders.
    pub out: PathBuf,
    /// Number of folds.
    pub n_folds: usize,
    /// Share of the scans that decides when to stop. Default: 0.1.
    pub validation: f64,
    /// Settings of every training. Default: those of [`TrainConfig`].
    pub config: TrainConfig,
    /// Which checkpoint an interrupted fold resumes from. Default: the last one.
    pub resume_from: ResumeFrom,
    /// What is tracked; the group is the name of the folder unless it is given. Default: event files for TensorBoard.
    pub tracking: TrackerConfig,
    /// Whether the network must not be used. Default: it may be used.
    pub offline: bool,
    /// Refuses runs that would take more bytes of memory. Default: a warning if it is more than is free.
    pub memory_limit: Option<u64>,
    /// Why splits that do not pass the audit are accepted. Default: they are refused.
    pub override_audit: Option<String>,
}

impl FoldsRequest {
    /// A cross-validation with the default settings.
    #[must_use]
    pub fn new(derivatives: impl Into<PathBuf>, n_folds: usize, out: impl Into<PathBuf>) -> Self {
        Self {
            derivatives: derivatives.into(),
            out: out.into(),
            n_folds,
            validation: FoldConfig::default().validation,
            config: TrainConfig::default(),
            resume_from: ResumeFrom::Last,
            tracking: TrackerConfig::default(),
            offline: false,
            memory_limit: None,
            override_audit: None,
        }
    }
}

/// What all folds have in common: the content of `folds.json`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    /// How subjects are assigned to folds.
    folds: FoldConfig,
    /// Hash of the scan table.
    scans_sha256: ContentHash,
    /// Hash of the settings and the pretrained weights, except the number of epochs.
    settings_sha256: ContentHash,
}

/// The result of a cross-validation: the content of `cross_validation.json`.
#[derive(Debug, Clone, Serialize)]
pub struct FoldsSummary {
    /// What this is, and what it is not for.
    pub notice: &'static str,
    /// The folder.
    pub out: PathBuf,
    /// Number of folds.
    pub n_folds: usize,
    /// Mean and standard deviation over the folds, over scans and over subjects.
    pub summary: Vec<Spread>,
    /// Test scans of all folds together, each classified by the network that was not trained on its subject.
    pub pooled_scans: MetricsReport,
    /// The same over subjects.
    pub pooled_subjects: MetricsReport,
    /// The folds.
    pub folds: Vec<EvaluateSummary>,
}

/// A measure over the folds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spread {
    /// The measure's title.
    pub measure: &'static str,
    /// Over scans.
    pub scans: MeanAndStd,
    /// Over subjects, whose scans' probabilities are averaged.
    pub subjects: MeanAndStd,
}

/// Mean and sample standard deviation (n - 1); nothing if a fold lacks the measure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MeanAndStd {
    /// The mean.
    pub mean: Option<f64>,
    /// The standard deviation; nothing for a single fold.
    pub std: Option<f64>,
}

/// Files of a cross-validation, beside the run folders.
struct FoldsFolder<'a>(&'a Path);

impl FoldsFolder<'_> {
    fn plan(&self) -> PathBuf {
        self.0.join("folds.json")
    }

    fn result(&self) -> PathBuf {
        self.0.join("cross_validation.json")
    }

    fn table(&self) -> PathBuf {
        self.0.join("folds.csv")
    }

    fn predictions(&self) -> PathBuf {
        self.0.join("predictions.tsv")
    }

    /// `fold-1`, `fold-2`, ...
    fn run(&self, fold: usize) -> PathBuf {
        self.0.join(format!("fold-{}", fold + 1))
    }
}

/// Trains and tests once per fold; finished folds are not trained again.
///
/// # Errors
/// Those of [`train`](super::run) and [`evaluate`](evaluate::run), a folder that holds another cross-validation, and
/// too few subjects for the folds.
pub fn run(request: &FoldsRequest, observer: &mut dyn Observer) -> Result<FoldsSummary, StageError> {
    let FoldsRequest { derivatives, out, n_folds, config, .. } = request;
    folders::check_input(derivatives, Kind::Derivatives.describe())?;
    folders::check_kind(derivatives, Kind::Derivatives)?;
    folders::check_apart(derivatives, out)?;
    folders::check_output(out)?;
    config.validate()?;
    let folds = FoldConfig {
        n_folds: *n_folds,
        validation: request.validation,
        seed: config.seed,
        ..FoldConfig::default()
    };
    let table_path = derivatives.join("scans.tsv");
    let scans = ScanTable::read(&table_path)?;
    let splits = split_folds(scans.scans(), &folds)
        .with_context(|| format!("cannot assign the scans of {} to folds", table_path.display()))?;
    let plan = Plan { folds, scans_sha256: hash_file(&table_path)?, settings_sha256: hash_settings(config)? };
    let folder = FoldsFolder(out);
    let _lock = FolderLock::acquire(out)?;
    check_plan(&folder, &plan)?;
    let mut summaries = Vec::new();
    let mut predictions = Vec::new();
    for (fold, split) in splits.into_iter().enumerate() {
        observer.note(Stage::Train, &format!("fold {} of {n_folds}", fold + 1));
        let training = request.for_fold(split, folder.run(fold));
        super::run(&training, observer)?;
        let evaluated = evaluate::run_with_predictions(&EvaluateRequest::new(&training.run), observer)?;
        summaries.push(evaluated.summary);
        predictions.extend(evaluated.predictions);
    }
    let summary = FoldsSummary::new(out, summaries, &predictions)?;
    let rows = predictions_table(&predictions, summary.pooled_scans.threshold);
    write_atomic(&folder.predictions(), rows.as_bytes())?;
    write_atomic(&folder.table(), folds_table(&summary.folds).as_bytes())?;
    write_json(&folder.result(), &summary)?;
    Ok(summary)
}

impl FoldsRequest {
    fn for_fold(&self, split: Split, run: PathBuf) -> TrainRequest {
        // Only an unfinished fold has a checkpoint before its last.
        let has_previous = RunFolder::new(&run).checkpoint(CheckpointKind::Previous).exists();
        let mut tracking = self.tracking.clone();
        let name = || Some(self.out.file_name()?.to_string_lossy().into_owned());
        tracking.group = tracking.group.or_else(name);
        TrainRequest {
            config: self.config.clone(),
            resume_from: if has_previous { self.resume_from } else { ResumeFrom::Last },
            tracking,
            offline: self.offline,
            memory_limit: self.memory_limit,
            override_audit: self.override_audit.clone(),
            ..TrainRequest::new(&self.derivatives, split, run)
        }
    }
}

/// A digest of what decides the results of all folds, beside the scans.
fn hash_settings(config: &TrainConfig) -> Result<ContentHash, StageError> {
    let weights = match &config.weights {
        None => HashBuilder::new().part("random").finish(),
        Some(path) => hash_file(path)?,
    };
    Ok(config.hash(&weights))
}

/// Writes the plan, or refuses a folder that holds another one.
fn check_plan(folder: &FoldsFolder<'_>, plan: &Plan) -> Result<(), StageError> {
    let (path, out) = (folder.plan(), folder.0);
    let refuse = |found: String, expected| Err(StageError::output(out, found, expected));
    if !path.exists() {
        let run = RunFolder::new(out);
        if run.is_run() || run.training().checkpoints().exists() {
            return refuse("holds a single run".to_owned(), "choose another folder for the cross-validation");
        }
        return Ok(write_json(&path, plan)?);
    }
    let bytes = std::fs::read(&path).io_context("read", &path)?;
    let found: Plan = serde_json::from_slice(&bytes).map_err(|error| StageError::damaged(&path, error))?;
    let what = if found.folds != plan.folds {
        "folds, validation share or seed"
    } else if found.scans_sha256 != plan.scans_sha256 {
        "set of scans"
    } else if found.settings_sha256 != plan.settings_sha256 {
        "settings or pretrained weights"
    } else {
        return Ok(());
    };
    refuse(
        format!("holds a cross-validation with another {what}"),
        "choose another folder, or repeat its settings",
    )
}

impl FoldsSummary {
    fn new(out: &Path, folds: Vec<EvaluateSummary>, predictions: &[Prediction]) -> Result<Self, StageError> {
        let pooled = Metrics::new(predictions)?;
        let summary = MEASURES.map(|Measure { title, of }| Spread {
            measure: title,
            scans: MeanAndStd::new(folds.iter().map(|fold| of(&fold.scans).value)),
            subjects: MeanAndStd::new(folds.iter().map(|fold| of(&fold.subjects).value)),
        });
        Ok(Self {
            notice: notice::NOTICE,
            out: out.to_owned(),
            n_folds: folds.len(),
            summary: summary.to_vec(),
            pooled_scans: pooled.scans,
            pooled_subjects: pooled.subjects,
            folds,
        })
    }
}

impl MeanAndStd {
    fn new(values: impl Iterator<Item = Option<f64>>) -> Self {
        let Some(values) = values.collect::<Option<Vec<f64>>>().filter(|values| !values.is_empty()) else {
            return Self { mean: None, std: None };
        };
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self { mean: Some(mean), std: (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()) }
    }
}

/// `folds.csv`: two rows per fold, over scans and over subjects.
fn folds_table(folds: &[EvaluateSummary]) -> String {
    let mut text =
        "fold,unit,n,n_subjects,auc,accuracy,balanced_accuracy,sensitivity,specificity\n".to_owned();
    for (fold, summary) in folds.iter().enumerate() {
        for (unit, metrics) in [("scan", &summary.scans), ("subject", &summary.subjects)] {
            let values: Vec<String> = MEASURES
                .iter()
                .map(|measure| {
                    (measure.of)(metrics).value.map_or_else(String::new, |value| value.to_string())
                })
                .collect();
            text += &format!(
                "{},{unit},{},{},{}\n",
                fold + 1,
                metrics.n_scans,
                metrics.n_subjects,
                values.join(",")
            );
        }
    }
    text
}

impl std::fmt::Display for MeanAndStd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.mean, self.std) {
            (Some(mean), Some(std)) => write!(f, "{mean:.3} ± {std:.3}"),
            (Some(mean), None) => write!(f, "{mean:.3}"),
            _ => f.write_str("n/a"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_deviation_is_that_of_a_sample() {
        let got = MeanAndStd::new([Some(0.75), Some(0.8), Some(0.76)].into_iter());
        assert!((got.mean.unwrap() - 0.77).abs() < 1e-12);
        assert!((got.std.unwrap() - 0.026_457_513).abs() < 1e-8);
        assert_eq!(got.to_string(), "0.770 ± 0.026");
        assert_eq!(MeanAndStd::new([Some(0.5), None].into_iter()).to_string(), "n/a");
        assert_eq!(MeanAndStd::new([Some(0.5)].into_iter()).to_string(), "0.500");
    }
}
