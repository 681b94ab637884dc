//! `brainreel evaluate`: a run folder to predictions and metrics.

use std::path::{Path, PathBuf};

use anyhow::Context;
use brainreel_artifact::{ContentHash, FolderLock, write_atomic, write_json};
use brainreel_cohort::{LeakPolicy, check_no_shared_subject};
use brainreel_statistics::{Estimate, EvaluateConfig, MetricsReport, aggregate_by_subject};
use brainreel_training::{CheckpointKind, Partition, Prediction, TrainingScan, predict};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::commands::train::training_scans;
use crate::finish::Finish;
use crate::folders::{self, Kind};
use crate::gate::{AuditOutcome, Gate};
use crate::leaks::{self, PermitArgs};
use crate::named;
use crate::run_inputs::RunInputs;
use crate::training_view::TrainingView;
use crate::ui::{Ui, table};

/// Raise whenever the same run gives other results.
pub(crate) const STAGE_REVISION: u32 = 1;

const EXAMPLES: &str = "\
Examples:
  brainreel evaluate run
  brainreel evaluate run --checkpoint best_accuracy
  brainreel evaluate run --partition validation

Writes predictions.tsv (scans), subjects.tsv and metrics.json to RUN_DIR/evaluation, or to a folder
such as evaluation_validation or evaluation_last for another partition or checkpoint. Intervals are 95 %: those of
AUC, accuracy and balanced accuracy come from resampling subjects; those of sensitivity and specificity
are Wilson's, over the scans or subjects of their column.";

/// Classify the test partition and measure how well it went
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct EvaluateArgs {
    /// Run folder, as `brainreel train` writes it
    run_dir: PathBuf,
    /// Which checkpoint
    #[arg(long, value_parser = named::one_of(&CHECKPOINTS), default_value_t = CheckpointKind::BestLoss)]
    checkpoint: CheckpointKind,
    /// Which scans; the test partition is for the end
    #[arg(long, value_parser = named::one_of(&PARTITIONS), default_value_t = Partition::Test)]
    partition: Partition,
    /// The derivatives, if they are no longer where training found them
    #[arg(long, value_name = "DIR")]
    derivatives: Option<PathBuf>,
    #[command(flatten)]
    leaks: PermitArgs,
}

/// The checkpoints of a finished run.
pub(crate) const CHECKPOINTS: [CheckpointKind; 3] =
    [CheckpointKind::BestLoss, CheckpointKind::BestAccuracy, CheckpointKind::Last];

/// The partitions that may be evaluated.
const PARTITIONS: [Partition; 2] = [Partition::Test, Partition::Validation];

/// What to evaluate.
pub(crate) struct Request<'a> {
    run: &'a Path,
    checkpoint: CheckpointKind,
    partition: Partition,
    derivatives: Option<&'a Path>,
    leaks: LeakPolicy,
    override_audit: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// The usual evaluation: the checkpoint of least validation loss on the test partition.
    pub(crate) fn of_run(run: &'a Path) -> Self {
        Self {
            run,
            checkpoint: CheckpointKind::BestLoss,
            partition: Partition::Test,
            derivatives: None,
            leaks: LeakPolicy::Refuse,
            override_audit: None,
        }
    }

    /// The same, with a say about splits that are leaky on purpose.
    pub(crate) fn with_leaks(self, leaks: LeakPolicy) -> Self {
        Self { leaks, ..self }
    }

    /// What the result depends on beside the run.
    pub(crate) fn parameters(&self) -> (CheckpointKind, Partition, EvaluateConfig) {
        (self.checkpoint, self.partition, EvaluateConfig::default())
    }

    /// Where the result goes.
    fn folder(&self) -> PathBuf {
        let mut name = "evaluation".to_owned();
        if self.partition != Partition::Test {
            name += &format!("_{}", self.partition);
        }
        if self.checkpoint != CheckpointKind::BestLoss {
            name += &format!("_{}", self.checkpoint);
        }
        self.run.join(name)
    }
}

/// The content of `metrics.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EvaluationReport {
    /// What this is, and what it is not for.
    pub(crate) notice: String,
    /// Whether the split is leaky on purpose: scans of the same people were trained and tested on.
    #[serde(default, skip_serializing_if = "leaks::is_not")]
    pub(crate) leaky: bool,
    /// What the audit of the split said; nothing in results of earlier versions.
    #[serde(default)]
    pub(crate) audit: Option<AuditOutcome>,
    /// Hash of the pretrained weights that training started from; nothing if it started from random
    /// numbers, and then this is a trial and no result.
    pub(crate) initial_weights_sha256: Option<ContentHash>,
    /// Which scans were classified.
    pub(crate) partition: Partition,
    /// Which checkpoint classified them.
    pub(crate) checkpoint: CheckpointKind,
    /// Content hash of the split.
    pub split_sha256: String,
    /// Metrics over scans; intervals resample subjects.
    pub(crate) scans: MetricsReport,
    /// Metrics over subjects, whose scans' probabilities are averaged.
    pub(crate) subjects: MetricsReport,
}

/// Runs the subcommand.
pub(crate) fn execute(args: &EvaluateArgs, ui: &Ui) -> anyhow::Result<Finish> {
    let request = Request {
        run: &args.run_dir,
        checkpoint: args.checkpoint,
        partition: args.partition,
        derivatives: args.derivatives.as_deref(),
        leaks: args.leaks.policy(),
        override_audit: args.leaks.reason(),
    };
    let report = perform(&request, ui)?;
    ui.result(report.table());
    ui.summary(&report)?;
    Ok(Finish::AllWell)
}

/// Classifies a partition and writes predictions and metrics.
pub(crate) fn perform(request: &Request<'_>, ui: &Ui) -> anyhow::Result<EvaluationReport> {
    Ok(perform_with_predictions(request, ui)?.0)
}

/// Like [`perform`], and gives the predictions too.
pub(crate) fn perform_with_predictions(
    request: &Request<'_>,
    ui: &Ui,
) -> anyhow::Result<(EvaluationReport, Vec<Prediction>)> {
    let run = request.run;
    folders::check_input(run, "a run folder, as `brainreel train` writes it")?;
    folders::check_kind(run, Kind::Run)?;
    let inputs = RunInputs::read(run)?;
    let split = inputs.read_split(run, request.leaks)?;
    leaks::check(&split, request.leaks, ui)?;
    if !split.is_leaky() {
        check_no_shared_subject(split.subjects_of(Partition::Train), split.subjects_of(request.partition))?;
    }
    let _lock = FolderLock::acquire(run)?;
    let derivatives = request.derivatives.map_or_else(|| run.join(&inputs.derivatives), Path::to_owned);
    let scans: Vec<TrainingScan> = training_scans(&derivatives, &split)
        .context("pass the derivatives with --derivatives if they have moved")?
        .into_iter()
        .filter(|scan| scan.partition == request.partition)
        .collect();
    inputs.check_images(&derivatives, run, &scans)?;
    let gate = Gate {
        run,
        derivatives: &derivatives,
        split: &split,
        inputs: &inputs,
        reason: request.override_audit,
    };
    let audit = gate.pass(ui)?;
    let mut view = TrainingView::new(ui, "evaluate");
    let predictions = predict(run, request.checkpoint.into(), &scans, &mut |event| view.show(&event))?;
    view.finish();
    let report = measure(request, &inputs, audit, &predictions)?;
    write_results(&request.folder(), &predictions, &report)?;
    ui.note(format!(
        "{:>12} {} scans of {} subjects, in {}",
        "evaluate",
        report.scans.n_scans,
        report.scans.n_subjects,
        request.folder().display()
    ));
    Ok((report, predictions))
}

/// Reads the result of an earlier evaluation of the test partition.
pub(crate) fn read_report(run: &Path) -> anyhow::Result<EvaluationReport> {
    let path = Request::of_run(run).folder().join("metrics.json");
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))
}

fn measure(
    request: &Request<'_>,
    inputs: &RunInputs,
    audit: AuditOutcome,
    predictions: &[Prediction],
) -> anyhow::Result<EvaluationReport> {
    let [scans, subjects] = metrics_of(predictions)?;
    Ok(EvaluationReport {
        notice: leaks::notice(inputs.leaky),
        leaky: inputs.leaky,
        audit: Some(audit),
        initial_weights_sha256: inputs.weights_sha256.clone(),
        partition: request.partition,
        checkpoint: request.checkpoint,
        split_sha256: inputs.split_sha256.clone(),
        scans,
        subjects,
    })
}

/// Metrics over scans, with intervals that resample subjects, and over subjects.
pub(crate) fn metrics_of(predictions: &[Prediction]) -> anyhow::Result<[MetricsReport; 2]> {
    let config = EvaluateConfig::default();
    let labels: Vec<bool> = predictions.iter().map(|p| p.label == 1).collect();
    let probabilities: Vec<f64> = predictions.iter().map(|p| p.probability).collect();
    let subjects: Vec<&str> = predictions.iter().map(|p| p.subject_id.as_str()).collect();
    let by_subject = aggregate_by_subject(&labels, &probabilities, &subjects)?;
    let subject_labels: Vec<bool> = by_subject.iter().map(|p| p.label).collect();
    let subject_probabilities: Vec<f64> = by_subject.iter().map(|p| p.probability).collect();
    let subject_names: Vec<&str> = by_subject.iter().map(|p| p.subject.as_str()).collect();
    Ok([
        brainreel_statistics::evaluate(&labels, &probabilities, &subjects, &config)?,
        brainreel_statistics::evaluate(&subject_labels, &subject_probabilities, &subject_names, &config)?,
    ])
}

fn write_results(folder: &Path, predictions: &[Prediction], report: &EvaluationReport) -> anyhow::Result<()> {
    let diagnosis = |positive: bool| if positive { "AD" } else { "CN" };
    let scans = leaks::marked(predictions_table(predictions, report.scans.threshold), report.leaky);
    write_atomic(&folder.join("predictions.tsv"), scans.as_bytes())?;

    let labels: Vec<bool> = predictions.iter().map(|p| p.label == 1).collect();
    let probabilities: Vec<f64> = predictions.iter().map(|p| p.probability).collect();
    let names: Vec<&str> = predictions.iter().map(|p| p.subject_id.as_str()).collect();
    let mut subjects = String::from("participant_id\tdiagnosis\tn_scans\tprobability_ad\tpredicted\n");
    for p in aggregate_by_subject(&labels, &probabilities, &names)? {
        let predicted = diagnosis(p.probability >= report.subjects.threshold);
        let truth = diagnosis(p.label);
        subjects += &format!("{}\t{truth}\t{}\t{:.6}\t{predicted}\n", p.subject, p.n_scans, p.probability);
    }
    write_atomic(&folder.join("subjects.tsv"), leaks::marked(subjects, report.leaky).as_bytes())?;
    Ok(write_json(&folder.join("metrics.json"), report)?)
}

/// `predictions.tsv`: a row a scan.
pub(crate) fn predictions_table(predictions: &[Prediction], threshold: f64) -> String {
    let diagnosis = |positive: bool| if positive { "AD" } else { "CN" };
    let mut scans =
        String::from("scan_id\tparticipant_id\tdiagnosis\tlogit_cn\tlogit_ad\tprobability_ad\tpredicted\n");
    for p in predictions {
        let predicted = diagnosis(p.probability >= threshold);
        let [cn, ad] = p.logits;
        scans += &format!(
            "{}\t{}\t{}\t{cn:.6}\t{ad:.6}\t{:.6}\t{predicted}\n",
            p.scan_id,
            p.subject_id,
            diagnosis(p.label == 1),
            p.probability
        );
    }
    scans
}

impl EvaluationReport {
    /// Metrics and confusion matrix for the terminal.
    pub(crate) fn table(&self) -> String {
        let rows: Vec<Vec<String>> = [
            ("AUC", self.scans.auc, self.subjects.auc),
            ("accuracy", self.scans.accuracy, self.subjects.accuracy),
            ("balanced accuracy", self.scans.balanced_accuracy, self.subjects.balanced_accuracy),
            ("sensitivity (AD)", self.scans.sensitivity, self.subjects.sensitivity),
            ("specificity (CN)", self.scans.specificity, self.subjects.specificity),
        ]
        .into_iter()
        .map(|(name, scans, subjects)| vec![name.to_owned(), text(&scans), text(&subjects)])
        .collect();
        let partition = self.partition;
        let (scans, subjects) = (
            format!("{} {partition} scans [95 %]", self.scans.n_scans),
            format!("{} {partition} subjects [95 %]", self.subjects.n_subjects),
        );
        let metrics = table(&["", &scans, &subjects], &rows);
        let c = &self.scans.confusion;
        let counts = [
            ["true AD".to_owned(), c.true_positive.to_string(), c.false_negative.to_string()],
            ["true CN".to_owned(), c.false_positive.to_string(), c.true_negative.to_string()],
        ];
        let confusion = table(&["scans", "called AD", "called CN"], &counts.map(Vec::from));
        let start = if self.initial_weights_sha256.is_none() {
            "\nThe network was trained from random numbers, without pretrained weights: a trial, not a result."
        } else {
            ""
        };
        let leaky = leaks::line(self.leaky);
        format!("{metrics}\n\n{confusion}\n\nFor research use only: not a medical device.{start}{leaky}")
    }
}

pub(crate) fn text(estimate: &Estimate) -> String {
    let value = estimate.value.map_or_else(|| "n/a".to_owned(), |value| format!("{value:.3}"));
    match &estimate.interval {
        Some(interval) => format!("{value} [{:.3}, {:.3}]", interval.lower, interval.upper),
        None => format!("{value} [no interval]"),
    }
}
