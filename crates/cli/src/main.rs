//! The brainreel command line: arguments, progress, tables and exit codes around the stages.
//!
//! Exit codes: 0 all well, 1 failed, 2 bad usage, 3 finished with failed scans, 4 an audit found a leak, 130 stopped
//! by Ctrl-C with a checkpoint.

mod commands;
mod finish;
mod hints;
mod interrupt;
mod leaks;
mod memory_size;
mod named;
mod observer;
mod setting_options;
mod training_view;
mod ui;

use std::path::PathBuf;
use std::process::ExitCode;

use brainreel_models::InstructionSet;
use brainreel_pipeline::{Fault, StageError};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands::{
    audit, cohort, convert, demo, evaluate, export, preprocess, run, simulate, split, strip, train, weights,
};
use crate::finish::Finish;
use crate::ui::Ui;

const ABOUT: &str = "From a download of T1-weighted brain MRI to a trained, evaluated Alzheimer's classifier";

const AFTER_HELP: &str = "\
The stages, each reading the files of the one before:
  simulate   a cohort with known truth, written as an ADNI-like download
  convert    a tree of DICOM files        -> a BIDS dataset
  preprocess a BIDS dataset               -> network inputs (derivatives)
  split      derivatives                  -> split.tsv, subjects kept apart
  train      derivatives and split.tsv    -> a run folder
  evaluate   a run folder                 -> predictions and metrics
  run        all of these, from one experiment.toml, skipping what is up to date

Beside them:
  cohort     tables of a study, images    -> who is in, who is out and why
  strip      heads (NIfTI)                -> brain masks
  weights    published weights: fetch, import, list, verify
  export     a run folder                 -> weights for torchvision
  audit      a split, anybody's           -> leaks, confounds, verdicts

Examples:
  brainreel demo
  brainreel convert ADNI bids --labels ADNI1_Complete_5_01_2026.csv
  brainreel run experiment.toml

Exit codes: 0 all well, 1 failed, 2 bad usage, 3 finished but some scans failed, 4 an audit found a
leak, 130 stopped by Ctrl-C.
For research use only: not a medical device, not for diagnosis.";

#[derive(Parser)]
#[command(name = "brainreel", version, about = ABOUT, after_help = AFTER_HELP, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

/// Options that every subcommand takes.
#[derive(Args)]
struct GlobalArgs {
    /// Write a machine-readable summary to FILE (`-` for standard output)
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Number of threads, at most 1024; 0 takes one for each core. Results do not depend on it
    #[arg(long, global = true, value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u16).range(0..=1024))]
    threads: u16,
    /// Never touch the network; BRAINREEL_OFFLINE=1 does the same
    #[arg(long, global = true)]
    offline: bool,
    /// Only results, warnings and errors
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Show details: why a stage runs again; -vv one line per scan
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Subcommand)]
enum Command {
    Simulate(simulate::SimulateArgs),
    Cohort(cohort::CohortArgs),
    Convert(convert::ConvertArgs),
    Preprocess(preprocess::PreprocessArgs),
    Split(split::SplitArgs),
    Train(Box<train::TrainArgs>),
    Evaluate(evaluate::EvaluateArgs),
    Run(run::RunArgs),
    Demo(demo::DemoArgs),
    Strip(strip::StripArgs),
    Weights(weights::WeightsArgs),
    Export(export::ExportArgs),
    Audit(audit::AuditArgs),
}

fn main() -> ExitCode {
    let matches = setting_options::describe(Cli::command()).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|mistake| mistake.exit());
    if let Err(mistake) = InstructionSet::from_environment() {
        Cli::command().error(ErrorKind::ValueValidation, mistake).exit();
    }
    let offline = cli.global.offline || is_told_offline();
    let ui = Ui::new(cli.global.quiet, cli.global.json).with_verbosity(cli.global.verbose);
    let ready = start_threads(cli.global.threads.into()).and_then(|()| ui.check_summary());
    match ready.and_then(|()| execute(&cli.command, offline, &ui)) {
        Ok(finish) => finish.into(),
        Err(error) if is_stop(&error) => {
            ui.note(format!("{error:#}"));
            ExitCode::from(interrupt::EXIT_CODE)
        }
        Err(error) => {
            ui.error(&error, &hints::for_error(&error));
            ExitCode::FAILURE
        }
    }
}

/// Whether the work was stopped, which is not a failure.
fn is_stop(error: &anyhow::Error) -> bool {
    error.downcast_ref::<StageError>().is_some_and(|error| error.fault() == Fault::Stopped)
}

fn execute(command: &Command, offline: bool, ui: &Ui) -> anyhow::Result<Finish> {
    match command {
        Command::Simulate(args) => simulate::execute(args, ui),
        Command::Cohort(args) => cohort::execute(args, ui),
        Command::Convert(args) => convert::execute(args, ui),
        Command::Preprocess(args) => preprocess::execute(args, ui),
        Command::Split(args) => split::execute(args, ui),
        Command::Train(args) => train::execute(args, offline, ui),
        Command::Evaluate(args) => evaluate::execute(args, ui),
        Command::Run(args) => run::execute(args, offline, ui),
        Command::Demo(args) => demo::execute(args, ui),
        Command::Strip(args) => strip::execute(args, ui),
        Command::Weights(args) => weights::execute(args, offline, ui),
        Command::Export(args) => export::execute(args, ui),
        Command::Audit(args) => audit::execute(args, ui),
    }
}

/// Whether the environment forbids the network.
fn is_told_offline() -> bool {
    std::env::var_os("BRAINREEL_OFFLINE").is_some_and(|value| !value.is_empty() && value != "0")
}

fn start_threads(n_threads: usize) -> anyhow::Result<()> {
    Ok(rayon::ThreadPoolBuilder::new().num_threads(n_threads).build_global()?)
}
