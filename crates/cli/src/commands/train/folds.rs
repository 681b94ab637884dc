//! `train --folds`: cross-validation, one run folder a fold, resumable as a whole.

use std::path::{Path, PathBuf};

use anyhow::Context;
use brainreel_artifact::{ContentHash, FolderLock, HashBuilder, hash_file, write_atomic, write_json};
use brainreel_cohort::{FoldConfig, ScanTable, split_folds};
use brainreel_statistics::{Estimate, MetricsReport};
use brainreel_training::{CheckpointKind, Prediction, ResumeFrom, TrainConfig};
use serde::{Deserialize, Serialize};

use super::{DERIVATIVES, NOTICE, Request, TrainArgs, perform};
use crate::commands::evaluate::{self, EvaluationReport, metrics_of, predictions_table, text};
use crate::finish::Finish;
use crate::folders::{self, Kind};
use crate::ui::{Ui, table};

/// Says which cross-validation a folder holds.
const PLAN: &str = "folds.json";
/// The result.
const RESULT: &str = "cross_validation.json";

/// What all folds have in common.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    /// How subjects are dealt.
    folds: FoldConfig,
    /// Hash of the scan table.
    scans_sha256: ContentHash,
    /// Hash of the settings and the pretrained weights, but for the number of epochs.
    settings_sha256: ContentHash,
}

/// The content of `cross_validation.json`.
#[derive(Debug, Serialize)]
struct Report {
    /// What this is, and what it is not for.
    notice: &'static str,
    /// The folder.
    out: PathBuf,
    /// Number of folds.
    n_folds: usize,
    /// Mean and standard deviation over the folds, over scans and over subjects.
    summary: Vec<Spread>,
    /// Test scans of all folds together, each classified by the network that had not seen its subject.
    pooled_scans: MetricsReport,
    /// The same over subjects.
    pooled_subjects: MetricsReport,
    /// The folds.
    folds: Vec<EvaluationReport>,
}

/// A measure over the folds.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Spread {
    measure: &'static str,
    /// Over scans.
    scans: MeanAndStd,
    /// Over subjects, whose scans' probabilities are averaged.
    subjects: MeanAndStd,
}

/// Mean and sample standard deviation (n - 1); nothing if a fold lacks the measure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct MeanAndStd {
    mean: Option<f64>,
    std: Option<f64>,
}

/// Runs `train --folds`.
pub(super) fn execute(
    args: &TrainArgs,
    config: &TrainConfig,
    offline: bool,
    ui: &Ui,
) -> anyhow::Result<Finish> {
    let n_folds = args.folds.unwrap_or_default();
    let (derivatives, out) = (args.derivatives_dir.as_path(), args.out.as_path());
    folders::check_input(derivatives, DERIVATIVES)?;
    folders::check_kind(derivatives, Kind::Derivatives)?;
    folders::check_apart(derivatives, out)?;
    folders::check_output(out)?;
    config.validate()?;
    let folds =
        FoldConfig { n_folds, validation: args.validation, seed: config.seed, ..FoldConfig::default() };
    let table_path = derivatives.join("scans.tsv");
    let scans = ScanTable::read(&table_path)?;
    let splits = split_folds(scans.scans(), &folds)
        .with_context(|| format!("cannot deal the scans of {} to folds", table_path.display()))?;
    let plan = Plan { folds, scans_sha256: hash_file(&table_path)?, settings_sha256: settings_hash(config)? };
    let _lock = FolderLock::acquire(out)?;
    keep_plan(out, &plan)?;
    let mut tracking = args.tracking.config();
    tracking.group = tracking.group.or_else(|| Some(out.file_name()?.to_string_lossy().into_owned()));
    let mut reports = Vec::new();
    let mut predictions = Vec::new();
    for (fold, split) in splits.iter().enumerate() {
        ui.note(format!("{:>12} {} of {n_folds}", "fold", fold + 1));
        let run = fold_dir(out, fold);
        // Only an unfinished fold has a checkpoint before its last.
        let has_previous = CheckpointKind::Previous.path(&run).exists();
        let request = Request {
            offline,
            override_audit: args.leaks.reason(),
            resume_from: if has_previous { args.resume_from } else { ResumeFrom::Last },
            memory_limit: args.memory_limit,
            ..Request::new(derivatives, split, &run, config, &tracking)
        };
        perform(&request, ui)?;
        let (report, of_fold) = evaluate::perform_with_predictions(&evaluate::Request::of_run(&run), ui)?;
        reports.push(report);
        predictions.extend(of_fold);
    }
    let report = conclude(out, reports, &predictions)?;
    ui.result(report.table());
    ui.summary(&report)?;
    Ok(Finish::AllWell)
}

/// `fold-1`, `fold-2`, ...
fn fold_dir(out: &Path, fold: usize) -> PathBuf {
    out.join(format!("fold-{}", fold + 1))
}

/// A digest of what decides the results of all folds beside the scans.
fn settings_hash(config: &TrainConfig) -> anyhow::Result<ContentHash> {
    let weights = match &config.weights {
        None => HashBuilder::new().part("random").finish(),
        Some(path) => hash_file(path)?,
    };
    Ok(config.hash(&weights))
}

/// Writes the plan down, or refuses a folder that holds another one.
fn keep_plan(out: &Path, plan: &Plan) -> anyhow::Result<()> {
    let path = out.join(PLAN);
    if !path.exists() {
        anyhow::ensure!(
            !out.join("inputs.json").exists() && !out.join("checkpoints").exists(),
            "{} holds a single run; choose another folder for the cross-validation",
            out.display()
        );
        return Ok(write_json(&path, plan)?);
    }
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let found: Plan =
        serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))?;
    let what = if found.folds != plan.folds {
        "folds, validation share or seed"
    } else if found.scans_sha256 != plan.scans_sha256 {
        "set of scans"
    } else if found.settings_sha256 != plan.settings_sha256 {
        "settings or pretrained weights"
    } else {
        return Ok(());
    };
    anyhow::bail!(
        "{} holds a cross-validation with another {what}; choose another folder, or repeat its settings",
        out.display()
    )
}

fn conclude(out: &Path, folds: Vec<EvaluationReport>, predictions: &[Prediction]) -> anyhow::Result<Report> {
    let [pooled_scans, pooled_subjects] = metrics_of(predictions)?;
    let rows = predictions_table(predictions, pooled_scans.threshold);
    write_atomic(&out.join("predictions.tsv"), rows.as_bytes())?;
    write_atomic(&out.join("folds.csv"), folds_table(&folds).as_bytes())?;
    let summary = MEASURES.map(|(measure, of)| Spread {
        measure,
        scans: spread(folds.iter().map(|fold| of(&fold.scans).value)),
        subjects: spread(folds.iter().map(|fold| of(&fold.subjects).value)),
    });
    let report = Report {
        notice: NOTICE,
        out: out.to_owned(),
        n_folds: folds.len(),
        summary: summary.to_vec(),
        pooled_scans,
        pooled_subjects,
        folds,
    };
    write_json(&out.join(RESULT), &report)?;
    Ok(report)
}

/// Measures and where they are.
type Measure = (&'static str, fn(&MetricsReport) -> &Estimate);
const MEASURES: [Measure; 5] = [
    ("AUC", |report| &report.auc),
    ("accuracy", |report| &report.accuracy),
    ("balanced accuracy", |report| &report.balanced_accuracy),
    ("sensitivity (AD)", |report| &report.sensitivity),
    ("specificity (CN)", |report| &report.specificity),
];

fn spread(values: impl Iterator<Item = Option<f64>>) -> MeanAndStd {
    let Some(values) = values.collect::<Option<Vec<f64>>>().filter(|values| !values.is_empty()) else {
        return MeanAndStd { mean: None, std: None };
    };
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    MeanAndStd { mean: Some(mean), std: (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()) }
}

/// `folds.csv`: a row a fold.
fn folds_table(folds: &[EvaluationReport]) -> String {
    let mut text =
        "fold,unit,n,n_subjects,auc,accuracy,balanced_accuracy,sensitivity,specificity\n".to_owned();
    for (fold, report) in folds.iter().enumerate() {
        for (unit, metrics) in [("scan", &report.scans), ("subject", &report.subjects)] {
            let values: Vec<String> = MEASURES
                .iter()
                .map(|(_, of)| of(metrics).value.map_or_else(String::new, |value| value.to_string()))
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

impl Report {
    /// Folds, mean and standard deviation, and the pooled measures, for the terminal.
    fn table(&self) -> String {
        let value = |estimate: &Estimate| match estimate.value {
            None => "n/a".to_owned(),
            Some(value) => format!("{value:.3}"),
        };
        let mut rows: Vec<Vec<String>> = Vec::new();
        for (fold, report) in self.folds.iter().enumerate() {
            let metrics = &report.scans;
            let counts = format!("{} of {}", metrics.n_scans, metrics.n_subjects);
            let values = MEASURES.iter().map(|(_, of)| value(of(metrics)));
            rows.push([(fold + 1).to_string(), counts].into_iter().chain(values).collect());
        }
        let spreads = self.summary.iter().map(|spread| spread.scans.to_string());
        rows.push(["mean ± SD".to_owned(), String::new()].into_iter().chain(spreads).collect());
        let spreads = self.summary.iter().map(|spread| spread.subjects.to_string());
        rows.push(["over subjects".to_owned(), String::new()].into_iter().chain(spreads).collect());
        let header: Vec<&str> =
            ["fold", "scans of subjects"].into_iter().chain(MEASURES.map(|(name, _)| name)).collect();
        let pooled: Vec<Vec<String>> = MEASURES
            .iter()
            .map(|(name, of)| {
                vec![(*name).to_owned(), text(of(&self.pooled_scans)), text(of(&self.pooled_subjects))]
            })
            .collect();
        let (scans, subjects) = (
            format!("all {} scans [95 %]", self.pooled_scans.n_scans),
            format!("all {} subjects [95 %]", self.pooled_subjects.n_subjects),
        );
        let start = if self.folds.iter().any(|fold| fold.initial_weights_sha256.is_none()) {
            "\nThe networks were trained from random numbers, without pretrained weights: a trial, not a result."
        } else {
            ""
        };
        format!(
            "{}\n\n{}\n\nFolds share training scans, so that their standard deviation understates the \
             uncertainty; the intervals resample subjects.\nProbabilities of different folds come from \
             different networks; the AUC over all scans takes them as comparable.\n\nFor research use only: not \
             a medical device.{start}",
            table(&header, &rows),
            table(&["", &scans, &subjects], &pooled)
        )
    }
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
    fn the_standard_deviation_is_the_samples() {
        let got = spread([Some(0.75), Some(0.8), Some(0.76)].into_iter());
        assert!((got.mean.unwrap() - 0.77).abs() < 1e-12);
        assert!((got.std.unwrap() - 0.026_457_513).abs() < 1e-8);
        assert_eq!(got.to_string(), "0.770 ± 0.026");
        assert_eq!(spread([Some(0.5), None].into_iter()).to_string(), "n/a");
        assert_eq!(spread([Some(0.5)].into_iter()).to_string(), "0.500");
    }
}
