//! `brainreel export`: a trained network for torchvision.

use std::path::PathBuf;

use brainreel_pipeline::export::{ExportRequest, run};
use brainreel_training::CheckpointKind;
use clap::Args;

use crate::commands::evaluate::CHECKPOINTS;
use crate::finish::Finish;
use crate::leaks::{LeakArgs, closing};
use crate::named;
use crate::observer::TerminalObserver;
use crate::ui::Ui;

const EXAMPLES: &str = "\
Examples:
  brainreel export run --out model.safetensors
  brainreel export run --checkpoint best_accuracy --out best_accuracy.safetensors

Writes the weights in torchvision's naming and two files of the same name beside them: .json says what the
network expects and from which run it is, .py has the Python lines that load it, which are printed too.";

/// Write a trained network for torchvision
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExportArgs {
    /// Run folder, as `brainreel train` writes it
    run_dir: PathBuf,
    /// File to write
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
    /// Which checkpoint
    #[arg(long, value_parser = named::one_of(&CHECKPOINTS), default_value_t = CheckpointKind::BestLoss)]
    checkpoint: CheckpointKind,
    /// Replace files that are not an earlier export
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    leaks: LeakArgs,
}

/// Runs the subcommand.
pub(crate) fn execute(args: &ExportArgs, ui: &Ui) -> anyhow::Result<Finish> {
    let request = ExportRequest {
        checkpoint: args.checkpoint,
        replace: args.replace,
        leaks: args.leaks.policy(),
        ..ExportRequest::new(&args.run_dir, &args.out)
    };
    let summary = run(&request, &mut TerminalObserver::new(ui))?;
    ui.result(summary.python_lines());
    ui.note(format!("\n{}", closing(summary.content.leaky)));
    ui.summary(&summary)?;
    Ok(Finish::AllWell)
}
