//! `brainreel train`: derivatives and a split to a run folder.

mod folds;
pub(crate) mod settings;
mod tracking;
mod verify;

use std::path::PathBuf;

use anyhow::Context;
use brainreel_cohort::Split;
use brainreel_pipeline::train::{TrainRequest, TrainSummary, run};
use brainreel_training::ResumeFrom;
use clap::Args;

use crate::finish::Finish;
use crate::leaks::{PermitArgs, closing};
use crate::memory_size;
use crate::named;
use crate::observer::TerminalObserver;
use crate::ui::{Ui, table};

const EXAMPLES: &str = "\
Examples:
  brainreel train derivatives --split split.tsv --out run --weights kinetics400/r3d_18
  brainreel train derivatives --split split.tsv --out run --config train.toml --epochs 20
  brainreel train derivatives --split split.tsv --out run-thesis --norm batch --augmentation thesis
  brainreel train derivatives --split split.tsv --out run-mc3 --weights kinetics400/mc3_18
  brainreel train derivatives --folds 5 --out cv --weights kinetics400/r3d_18
  brainreel train derivatives --split split.tsv --out run --verify-resume
  brainreel train derivatives --split split.tsv --out run-mvit --architecture mvit_v2_s --memory-limit 12GB

By default R3D-18 with stem, layer1, layer2 and layer3 frozen; layer4 and fc are trained. Without --weights
the network starts from random numbers: fine for a trial, not for a result.
Ctrl-C stops after the step, with a checkpoint. Run the same command again after an interruption of any
kind: training goes on where it was, within the epoch, and ends in the same bytes. A run folder that
holds another run is never touched.";

/// Fine-tune a video network on the training partition, stopping by the validation partition
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TrainArgs {
    /// Derivatives, as `brainreel preprocess` writes them
    derivatives_dir: PathBuf,
    /// The split, as `brainreel split` writes it
    #[arg(long, value_name = "FILE", required_unless_present = "folds")]
    split: Option<PathBuf>,
    /// Run folder to write to, or to go on with; with --folds a folder of run folders
    #[arg(long, value_name = "RUN_DIR")]
    out: PathBuf,
    /// Cross-validation: deal the subjects to K folds, test each fold with a network trained on the others
    #[arg(long, value_name = "K", conflicts_with_all = ["split", "verify_resume"])]
    folds: Option<usize>,
    /// With --folds: share of the scans that decides when to stop
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, requires = "folds")]
    validation: f64,
    /// Which checkpoint to go on from, should the last be damaged
    #[arg(long, value_parser = named::any::<ResumeFrom>(), default_value_t = ResumeFrom::Last)]
    resume_from: ResumeFrom,
    /// Prove that an interrupted run ends in the same bytes: train on a few of the scans, once in one go and
    /// once killed and resumed, and compare; the run folder itself is not touched
    #[arg(long, conflicts_with = "resume_from")]
    verify_resume: bool,
    /// Refuse a run that would take more memory than this, such as 12GB or 8GiB, and say which setting to change
    /// [default: warn if it is more than is free]
    #[arg(long, value_name = "SIZE", value_parser = memory_size::parse)]
    memory_limit: Option<u64>,
    /// End after so many steps of the optimizer, as an interruption would
    #[arg(long, value_name = "N", hide = true)]
    stop_after_steps: Option<u64>,
    #[command(flatten)]
    leaks: PermitArgs,
    #[command(flatten)]
    settings: settings::Settings,
    #[command(flatten)]
    tracking: tracking::TrackingArgs,
}

/// Runs the subcommand.
pub(crate) fn execute(args: &TrainArgs, offline: bool, ui: &Ui) -> anyhow::Result<Finish> {
    let config = args.settings.config()?;
    if let Some(n_folds) = args.folds {
        return folds::execute(args, n_folds, config, offline, ui);
    }
    let path = args.split.as_deref().context("--split is required without --folds")?;
    let split = Split::read_with(path, args.leaks.policy())?;
    if args.verify_resume {
        return verify::execute(args, config, split, ui);
    }
    let request = TrainRequest {
        config,
        resume_from: args.resume_from,
        stop_after_steps: args.stop_after_steps,
        tracking: args.tracking.config(),
        offline,
        memory_limit: args.memory_limit,
        leaks: args.leaks.policy(),
        override_audit: args.leaks.reason(),
        ..TrainRequest::new(&args.derivatives_dir, split, &args.out)
    };
    let summary = run(&request, &mut TerminalObserver::new(ui))?;
    ui.result(format!("{}\n\n{}", history_table(&summary), closing(summary.leaky)));
    ui.summary(&summary)?;
    Ok(Finish::AllWell)
}

/// The table of epochs.
fn history_table(summary: &TrainSummary) -> String {
    let rows: Vec<Vec<String>> = summary
        .training
        .history
        .iter()
        .map(|epoch| {
            vec![
                (epoch.epoch + 1).to_string(),
                format!("{:.4}", epoch.train_loss),
                format!("{:.4}", epoch.validation_loss),
                format!("{:.3}", epoch.validation_accuracy),
                epoch.validation_auc.map_or_else(|| "n/a".to_owned(), |auc| format!("{auc:.3}")),
            ]
        })
        .collect();
    table(&["epoch", "train loss", "validation loss", "accuracy", "AUC"], &rows)
}
