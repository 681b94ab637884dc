//! `brainreel demo`: the main job, from DICOM to an evaluated classifier, on a simulated cohort.

use std::path::PathBuf;

use brainreel_cohort::SplitConfig;
use brainreel_preprocess::{ExtractorChoice, PreprocessConfig};
use brainreel_simulate::SimulateConfig;
use brainreel_trackers::TrackerConfig;
use brainreel_training::{AugmentationConfig, TrainConfig};
use clap::Args;

use crate::commands::evaluate::render;
use crate::commands::run;
use crate::experiment::{Experiment, Input};
use crate::finish::Finish;
use crate::leaks::PermitArgs;
use crate::ui::Ui;
use brainreel_pipeline::batch;

const EXAMPLES: &str = "\
Examples:
  brainreel demo
  brainreel demo --shuffle-labels        # the same with permuted diagnoses: chance level, or something leaks
  brainreel demo --seed 7 --out demo-7";

/// Run the main job, from DICOM to an evaluated classifier, on a simulated cohort
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DemoArgs {
    /// Folder to write to [default: brainreel-demo, or brainreel-demo-shuffled]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Everything random follows from it
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Permute the diagnoses among subjects: the result must fall to chance level
    #[arg(long)]
    shuffle_labels: bool,
}

/// Runs the subcommand.
pub(crate) fn execute(args: &DemoArgs, ui: &Ui) -> anyhow::Result<Finish> {
    let experiment = experiment(args);
    ui.note(format!("{:>12} {}", "demo", caveat()));
    let (mut report, finish) =
        run::walk(&experiment, batch::default_jobs(), true, &PermitArgs::default(), ui)?;
    report.caveat = Some(caveat());
    ui.result(format!("\n{}\n{}.", render(&report.evaluation), caveat()));
    let auc = &report.evaluation.subjects.auc;
    ui.result(format!(
        "\ntest AUC {} over {} subjects{}",
        auc.value.map_or_else(|| "n/a".to_owned(), |value| format!("{value:.3}")),
        report.evaluation.subjects.n_subjects,
        if args.shuffle_labels { " (labels shuffled: about 0.5 is right)" } else { "" }
    ));
    ui.result(paths(&experiment.out));
    ui.summary(&report)?;
    Ok(finish)
}

/// How much larger than in the literature the demo's disease effect is: a network that starts from
/// random numbers and sees 90 subjects for two minutes would learn little at 1.
const EFFECT_SIZE: f64 = 2.5;

/// What the demo's numbers are not.
fn caveat() -> String {
    format!(
        "Simulated heads, disease effect {EFFECT_SIZE} times the literature's, network from random numbers: \
         a check of the way through, not a result"
    )
}

/// A cohort and settings small enough for about three minutes on two cores.
fn experiment(args: &DemoArgs) -> Experiment {
    let folder = if args.shuffle_labels { "brainreel-demo-shuffled" } else { "brainreel-demo" };
    let cohort = SimulateConfig {
        n_subjects: 140,
        n_visits: 2,
        seed: args.seed,
        spacing_mm: 2.5,
        effect_size: EFFECT_SIZE,
        truth_images: false,
        ..SimulateConfig::default()
    };
    Experiment {
        out: args.out.clone().unwrap_or_else(|| PathBuf::from(folder)),
        input: Input {
            dicom: None,
            labels: Vec::new(),
            bids: None,
            masks: None,
            synthstrip_weights: None,
            simulate: Some(cohort),
            shuffle_labels: args.shuffle_labels.then_some(args.seed),
        },
        cohort: None,
        preprocess: PreprocessConfig {
            brain_extractor: ExtractorChoice::Bet, // works without weights
            size_voxels: 48,
            spacing_mm: 2.5,
            ..PreprocessConfig::default()
        },
        split: SplitConfig { train: 0.63, validation: 0.12, test: 0.25, ..SplitConfig::default() },
        train: TrainConfig {
            seed: args.seed,
            max_epochs: 5,
            batch_size: 6,
            calibration_scans: 12,
            augmentation: AugmentationConfig::none(),
            ..TrainConfig::default()
        },
        tracking: TrackerConfig::default(),
    }
}

fn paths(out: &std::path::Path) -> String {
    let rows = [
        ("download", "simulated DICOM, collection table and truth"),
        ("bids", "BIDS dataset, conversion_ledger.tsv"),
        ("derivatives", "network inputs, scans.tsv, qc.html"),
        ("split.tsv", "who is where"),
        ("run", "config.json, metrics.csv, checkpoints"),
        ("run/evaluation", "predictions.tsv, subjects.tsv, metrics.json"),
    ];
    let lines: Vec<String> =
        rows.iter().map(|(path, what)| format!("  {:<40} {what}", out.join(path).display())).collect();
    lines.join("\n")
}
