//! `brainreel simulate`: a cohort with known truth, written as an ADNI-like download.

use std::path::{Path, PathBuf};

use anyhow::Context;
use brainreel_artifact::FolderLock;
use brainreel_simulate::{CohortSummary, SimulateConfig, simulate_cohort};
use clap::Args;

use crate::finish::Finish;
use crate::folders;
use crate::ui::Ui;

/// Raise whenever the same configuration gives other files.
pub(crate) const STAGE_REVISION: u32 = 1;

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
    /// Number of subjects
    #[arg(long, value_name = "N", default_value_t = SimulateConfig::default().n_subjects)]
    subjects: usize,
    /// Most visits a subject can have; subjects have between one and this many
    #[arg(long, value_name = "V", default_value_t = SimulateConfig::default().n_visits)]
    visits: usize,
    /// Everything random follows from it
    #[arg(long, value_name = "S", default_value_t = SimulateConfig::default().seed)]
    seed: u64,
    /// Voxel size in mm; the simulated scanners vary a little around it
    #[arg(long, value_name = "MM", default_value_t = SimulateConfig::default().spacing_mm)]
    spacing: f64,
    /// Size of the disease effect: 1 as in the literature, 0 none
    #[arg(long, value_name = "FACTOR", default_value_t = SimulateConfig::default().effect_size)]
    effect_size: f64,
    /// Share of subjects with AD
    #[arg(long, value_name = "SHARE", default_value_t = SimulateConfig::default().ad_fraction)]
    ad_fraction: f64,
    /// Rician noise, as a fraction of the white-matter signal
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
    let summary = perform(&args.out_dir, &args.config(), ui)?;
    ui.summary(&summary)?;
    Ok(Finish::AllWell)
}

/// Simulates the cohort.
pub(crate) fn perform(out: &Path, config: &SimulateConfig, ui: &Ui) -> anyhow::Result<CohortSummary> {
    config.validate()?;
    folders::check_output(out)?;
    let lock = FolderLock::acquire(out)?;
    lock.remove_litter();
    let bar = ui.progress("simulate", 0);
    let summary = simulate_cohort(out, config, &|done, total| bar.set(done, total))
        .with_context(|| format!("simulating a cohort in {}", out.display()))?;
    bar.finish();
    ui.note(format!(
        "{:>12} {} scans of {} subjects with AD and {} without, in {}",
        "simulate",
        summary.n_scans,
        summary.n_subjects_ad,
        summary.n_subjects_cn,
        out.display()
    ));
    Ok(summary)
}
