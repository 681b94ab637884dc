//! `brainreel simulate`: a cohort with known truth, written as an ADNI-like download.

use std::path::{Path, PathBuf};

use anyhow::Context;
use brainreel_artifact::FolderLock;
use brainreel_simulate::{CohortSummary, SimulateConfig, simulate_cohort};
use clap::Args;

use crate::finish::Finish;
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
    #[arg(long, value_name = "N")]
    subjects: Option<usize>,
    /// Most visits a subject can have; subjects have between one and this many
    #[arg(long, value_name = "V")]
    visits: Option<usize>,
    /// Everything random follows from it
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Voxel size in mm; the simulated scanners vary a little around it
    #[arg(long, value_name = "MM")]
    spacing: Option<f64>,
    /// Size of the disease effect: 1 as in the literature, 0 none
    #[arg(long, value_name = "FACTOR")]
    effect_size: Option<f64>,
    /// Share of subjects with AD
    #[arg(long, value_name = "SHARE")]
    ad_fraction: Option<f64>,
    /// Rician noise, as a fraction of the white-matter signal
    #[arg(long, value_name = "FRACTION")]
    noise: Option<f64>,
    /// Leave out tissue labels, masks and bias fields; the table of true volumes stays
    #[arg(long)]
    no_truth: bool,
}

impl SimulateArgs {
    fn config(&self) -> SimulateConfig {
        let default = SimulateConfig::default();
        SimulateConfig {
            n_subjects: self.subjects.unwrap_or(default.n_subjects),
            n_visits: self.visits.unwrap_or(default.n_visits),
            seed: self.seed.unwrap_or(default.seed),
            spacing_mm: self.spacing.unwrap_or(default.spacing_mm),
            effect_size: self.effect_size.unwrap_or(default.effect_size),
            ad_fraction: self.ad_fraction.unwrap_or(default.ad_fraction),
            noise: self.noise.unwrap_or(default.noise),
            truth_images: !self.no_truth,
            ..default
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
