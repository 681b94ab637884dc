//! `brainreel run`: all stages from one `experiment.toml`, skipping what is up to date.

use std::path::PathBuf;

use brainreel_pipeline::experiment::{self, Experiment};
use brainreel_pipeline::run::{self, RunRequest};
use clap::Args;

use crate::commands::evaluate::render;
use crate::finish::Finish;
use crate::hints;
use crate::leaks::PermitArgs;
use crate::observer::TerminalObserver;
use crate::ui::Ui;

const EXAMPLES: &str = "\
Examples:
  brainreel run experiment.toml
  brainreel run --print-defaults > experiment.toml    # every setting, with its default and its meaning
  brainreel run --print-schema > experiment.schema.json    # for editors that complete and check TOML

A small experiment.toml (paths are relative to the file; every setting has a default):
  out = \"results\"
  [input]
  dicom = \"ADNI\"
  labels = [\"ADNI1_Complete_5_01_2026.csv\"]
  [cohort]                       # select, one scan a visit, AD and CN in balance; without it all images
  min_age_years = 55
  [train]
  weights = \"r3d_18-b3b3357e.pth\"

Stages whose inputs, settings and code are unchanged are skipped. Interrupt at any moment and run
again: the final files are the same, byte for byte.";

/// Run all stages of an experiment, skipping what is up to date
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RunArgs {
    /// The experiment
    #[arg(required_unless_present_any = ["print_defaults", "print_schema"])]
    experiment: Option<PathBuf>,
    /// Print an experiment.toml with every setting, its default and what it means, and do nothing else
    #[arg(long)]
    print_defaults: bool,
    /// Print the JSON Schema of experiment.toml, and do nothing else
    #[arg(long, conflicts_with = "print_defaults")]
    print_schema: bool,
    /// Scans to convert or preprocess at a time [default: one for each thread, at most 8]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    #[command(flatten)]
    leaks: PermitArgs,
}

/// Runs the subcommand.
pub(crate) fn execute(args: &RunArgs, offline: bool, ui: &Ui) -> anyhow::Result<Finish> {
    if args.print_schema {
        ui.result(serde_json::to_string_pretty(&experiment::schema())?);
        return Ok(Finish::AllWell);
    }
    let Some(path) = args.experiment.as_ref().filter(|_| !args.print_defaults) else {
        ui.result(experiment::annotated().trim_end());
        return Ok(Finish::AllWell);
    };
    let mut request = RunRequest {
        offline,
        leaks: args.leaks.policy(),
        override_audit: args.leaks.reason(),
        ..RunRequest::new(Experiment::read(path)?)
    };
    request.n_jobs = args.jobs.unwrap_or(request.n_jobs);
    let summary = run::run(&request, &mut TerminalObserver::new(ui))?;
    hints::show_remedies(&summary.remedies, ui);
    ui.result(render(&summary.evaluation));
    ui.result(format!("\nresults in {}", summary.out.display()));
    ui.summary(&summary)?;
    Ok(Finish::from_failures(summary.n_failed()))
}
