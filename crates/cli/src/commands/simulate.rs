//! `brainreel simulate`: a cohort with known truth, written as an ADNI-like download.

use std::path::PathBuf;

use brainreel_pipeline::StageError;
use brainreel_pipeline::simulate::{self, SimulateRequest, SimulateSummary};
use brainreel_simulate::SimulateConfig;
use clap::Args;

use crate::finish::Finish;
use crate::observer::TerminalObserver;
use crate::ui::Ui;

const EXAMPLES: &str = "\
Examples:
  brainreel simulate cohort
  brainreel simulate cohort --subjects 200 --visits 3 --spacing 1 --seed 7
  brainreel simulate null --effect-size 0      # no difference between AD and CN";

/// Simulate a cohort of heads with known truth, written as an ADNI-like download
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SimulateArgs {
    /// Folder to write to
    out_dir: PathBuf,
    #[arg(long, value_name = "N", default_value_t = SimulateConfig::default().n_subjects)]
    subjects: usize,
    #[arg(long, value_name = "V", default_value_t = SimulateConfig::default().n_visits)]
    visits: usize,
    #[arg(long, value_name = "S", default_value_t = SimulateConfig::default().seed)]
    seed: u64,
    #[arg(long, value_name = "MM", default_value_t = SimulateConfig::default().spacing_mm)]
    spacing: f64,
    #[arg(long, value_name = "FACTOR", default_value_t = SimulateConfig::default().effect_size)]
    effect_size: f64,
    #[arg(long, value_name = "SHARE", default_value_t = SimulateConfig::default().ad_fraction)]
    ad_fraction: f64,
    #[arg(long, value_name = "FRACTION", default_value_t = SimulateConfig::default().noise)]
    noise: f64,
    /// Leave out tissue labels, masks and bias fields; the table of true volumes stays
    #[arg(long)]
    no_truth: bool,
}

impl SimulateArgs {
    fn config(&self) -> SimulateConfig {
        SimulateConfig {
            n_subjects: self.subjects,
            n_visits: self.visits,
            seed: self.seed,
            spacing_mm: self.spacing,
            effect_size: self.effect_size,
            ad_fraction: self.ad_fraction,
            noise: self.noise,
            truth_images: !self.no_truth,
            ..SimulateConfig::default()
        }
    }
}

/// Runs the subcommand.
pub(crate) fn execute(args: &SimulateArgs, ui: &Ui) -> anyhow::Result<Finish> {
    let request = SimulateRequest { out: args.out_dir.clone(), config: args.config() };
    ui.summary(&perform(&request, ui)?)?;
    Ok(Finish::AllWell)
}

/// Simulates, and shows what was simulated.
pub(crate) fn perform(request: &SimulateRequest, ui: &Ui) -> Result<SimulateSummary, StageError> {
    let summary = simulate::run(request, &mut TerminalObserver::new(ui))?;
    ui.note(format!(
        "{:>12} {} scans of {} subjects with AD and {} without, in {}",
        "simulate",
        summary.n_scans,
        summary.n_subjects_ad,
        summary.n_subjects_cn,
        request.out.display()
    ));
    Ok(summary)
}
