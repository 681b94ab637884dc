//! `brainreel demo`: the main job, from DICOM to an evaluated classifier, on a simulated cohort.

use std::path::PathBuf;

use brainreel_pipeline::demo;
use brainreel_pipeline::run::{self, RunRequest};
use clap::Args;

use crate::commands::evaluate::render;
use crate::finish::Finish;
use crate::observer::TerminalObserver;
use crate::ui::Ui;

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
    let folder = if args.shuffle_labels { "brainreel-demo-shuffled" } else { "brainreel-demo" };
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from(folder));
    let caveat = demo::caveat();
    ui.note(format!("{:>12} {caveat}", "demo"));
    let experiment = demo::experiment(&out, args.seed, args.shuffle_labels);
    let request = RunRequest { offline: true, ..RunRequest::new(experiment) };
    let mut summary = run::run(&request, &mut TerminalObserver::new(ui))?;
    ui.result(format!("\n{}\n{caveat}.", render(&summary.evaluation)));
    summary.caveat = Some(caveat);
    let auc = &summary.evaluation.subjects.auc;
    ui.result(format!(
        "\ntest AUC {} over {} subjects{}",
        auc.value.map_or_else(|| "n/a".to_owned(), |value| format!("{value:.3}")),
        summary.evaluation.subjects.n_subjects,
        if args.shuffle_labels { " (labels shuffled: about 0.5 is right)" } else { "" }
    ));
    ui.result(paths(&out));
    ui.summary(&summary)?;
    Ok(Finish::from_failures(summary.n_failed()))
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
