//! `brainreel evaluate`: a run folder to predictions and metrics.

use std::path::PathBuf;

use brainreel_cohort::Partition;
use brainreel_models::DeviceKind;
use brainreel_pipeline::evaluate::{EvaluateRequest, EvaluateSummary, MEASURES, Measure, run};
use brainreel_pipeline::notice;
use brainreel_statistics::Estimate;
use brainreel_training::CheckpointKind;
use clap::Args;

use crate::finish::Finish;
use crate::leaks::{PermitArgs, closing};
use crate::named;
use crate::observer::TerminalObserver;
use crate::ui::{Ui, table};

const EXAMPLES: &str = "\
Examples:
  brainreel evaluate run
  brainreel evaluate run --checkpoint best_accuracy
  brainreel evaluate run --partition validation

Writes predictions.tsv (scans), subjects.tsv and metrics.json to RUN_DIR/evaluation, or to a folder
such as evaluation_validation or evaluation_last for another partition or checkpoint. Intervals are 95 %: those of
AUC, accuracy and balanced accuracy come from resampling subjects; those of sensitivity and specificity
are Wilson's, over the scans or subjects of their column.
The device and the cache of trunk features are those of the run.";

/// Classify the test partition and measure how well it went
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct EvaluateArgs {
    /// Run folder, as `brainreel train` writes it
    run_dir: PathBuf,
    #[arg(long, value_parser = named::one_of(&CHECKPOINTS), default_value_t = CheckpointKind::BestLoss)]
    checkpoint: CheckpointKind,
    #[arg(long, value_parser = named::one_of(&PARTITIONS), default_value_t = Partition::Test)]
    partition: Partition,
    /// The derivatives, if they are no longer where training found them
    #[arg(long, value_name = "DIR")]
    derivatives: Option<PathBuf>,
    /// Where to compute [default: the device of the run]
    #[arg(long, value_name = "DEVICE", value_parser = named::any::<DeviceKind>())]
    device: Option<DeviceKind>,
    #[command(flatten)]
    leaks: PermitArgs,
}

/// The checkpoints of a finished run.
pub(crate) const CHECKPOINTS: [CheckpointKind; 3] =
    [CheckpointKind::BestLoss, CheckpointKind::BestAccuracy, CheckpointKind::Last];

/// The partitions that may be evaluated.
const PARTITIONS: [Partition; 2] = [Partition::Test, Partition::Validation];

/// Runs the subcommand.
pub(crate) fn execute(args: &EvaluateArgs, ui: &Ui) -> anyhow::Result<Finish> {
    let request = EvaluateRequest {
        checkpoint: args.checkpoint,
        partition: args.partition,
        derivatives: args.derivatives.clone(),
        device: args.device,
        leaks: args.leaks.policy(),
        override_audit: args.leaks.reason(),
        ..EvaluateRequest::new(&args.run_dir)
    };
    let summary = run(&request, &mut TerminalObserver::new(ui))?;
    ui.result(render(&summary));
    ui.summary(&summary)?;
    Ok(Finish::AllWell)
}

/// Metrics and confusion matrix for the terminal.
pub(crate) fn render(summary: &EvaluateSummary) -> String {
    let row = |Measure { title, of }: Measure| {
        vec![title.to_owned(), text(of(&summary.scans)), text(of(&summary.subjects))]
    };
    let (scans, subjects) = (
        format!("{} {} scans [95 %]", summary.scans.n_scans, summary.partition),
        format!("{} {} subjects [95 %]", summary.subjects.n_subjects, summary.partition),
    );
    let metrics = table(&["", &scans, &subjects], &MEASURES.map(row));
    let c = &summary.scans.confusion;
    let counts = [
        ["true AD".to_owned(), c.true_positive.to_string(), c.false_negative.to_string()],
        ["true CN".to_owned(), c.false_positive.to_string(), c.true_negative.to_string()],
    ];
    let confusion = table(&["scans", "called AD", "called CN"], &counts.map(Vec::from));
    let start = if summary.initial_weights_sha256.is_none() {
        format!("The network was {}.\n", notice::NOT_PRETRAINED)
    } else {
        String::new()
    };
    format!("{metrics}\n\n{confusion}\n\n{start}{}", closing(summary.leaky))
}

/// An estimate with its interval.
pub(crate) fn text(estimate: &Estimate) -> String {
    let value = estimate.value.map_or_else(|| "n/a".to_owned(), |value| format!("{value:.3}"));
    match &estimate.interval {
        Some(interval) => format!("{value} [{:.3}, {:.3}]", interval.lower, interval.upper),
        None => format!("{value} [no interval]"),
    }
}
