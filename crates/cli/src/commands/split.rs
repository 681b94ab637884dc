//! `brainreel split`: subjects to training, validation and test, round robin.

use std::path::{Path, PathBuf};

use anyhow::Context;
use brainreel_artifact::write_atomic;
use brainreel_cohort::{SPLIT_MARK, Scan, ScanTable, SplitConfig, SplitSummary, split_round_robin};
use clap::Args;
use serde::Serialize;

use crate::commands::train::DERIVATIVES;
use crate::finish::Finish;
use crate::folders::{self, Kind};
use crate::ui::Ui;

/// Raise whenever the same table and configuration give another split.
pub(crate) const STAGE_REVISION: u32 = 1;

const EXAMPLES: &str = "\
Examples:
  brainreel split derivatives --out split.tsv
  brainreel split derivatives --out split.tsv --validation 0.15 --test 0.15

Within each diagnosis, subjects are sorted by their number of scans and dealt in turn to test,
validation and training until a partition has its share of the scans; the rest goes to training.
All scans of a subject stay together. The file may be edited by hand; a subject on two sides is
refused by every command that reads it.";

/// Split the scans into training, validation and test, every subject on one side
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SplitArgs {
    /// Derivatives, as `brainreel preprocess` writes them
    derivatives_dir: PathBuf,
    /// The table to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Share of the scans for validation
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    validation: f64,
    /// Share of the scans for the test
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    test: f64,
    /// Replace a split that is already there
    #[arg(long)]
    overwrite: bool,
}

/// What `split` reports.
#[derive(Debug, Serialize)]
pub(crate) struct SplitReport {
    /// The table that was written.
    pub(crate) split: PathBuf,
    /// Hash over its rows.
    pub content_sha256: String,
    /// Scans without one of the classes' diagnoses.
    pub(crate) n_left_out: usize,
    /// Subjects and scans in each partition.
    #[serde(flatten)]
    pub(crate) summary: SplitSummary,
}

/// Runs the subcommand.
pub(crate) fn execute(args: &SplitArgs, ui: &Ui) -> anyhow::Result<Finish> {
    let config = SplitConfig {
        train: 1.0 - args.validation - args.test,
        validation: args.validation,
        test: args.test,
        ..SplitConfig::default()
    };
    if args.out.exists() {
        refuse_to_replace(&args.out, args.overwrite)?;
    }
    let report = perform(&args.derivatives_dir, &args.out, &config, ui)?;
    ui.result(report.summary.to_string().trim_end());
    ui.summary(&report)?;
    Ok(Finish::AllWell)
}

/// Only a split is replaced, only when told to, and not the one that a trained run is bound to.
fn refuse_to_replace(out: &Path, overwrite: bool) -> anyhow::Result<()> {
    anyhow::ensure!(
        overwrite,
        "{} exists; pass --overwrite to replace it (models trained with it will no longer match)",
        out.display()
    );
    let is_split = std::fs::read(out).is_ok_and(|bytes| bytes.starts_with(SPLIT_MARK.as_bytes()));
    anyhow::ensure!(
        is_split,
        "{} exists and is not a split of brainreel; choose another name",
        out.display()
    );
    let of_run = out.with_file_name("inputs.json").is_file();
    anyhow::ensure!(
        !of_run,
        "{} belongs to the trained run beside it; write the new split elsewhere",
        out.display()
    );
    Ok(())
}

/// Splits the scans of a derivatives folder.
pub(crate) fn perform(
    derivatives: &Path,
    out: &Path,
    config: &SplitConfig,
    ui: &Ui,
) -> anyhow::Result<SplitReport> {
    folders::check_input(derivatives, DERIVATIVES)?;
    folders::check_kind(derivatives, Kind::Derivatives)?;
    let table = ScanTable::read(&derivatives.join("scans.tsv"))?;
    refuse_unlabelled(derivatives, &table, config)?;
    let of_table = || format!("cannot split the scans of {}", derivatives.join("scans.tsv").display());
    let split = split_round_robin(table.scans(), config).with_context(of_table)?;
    split.join(&table)?;
    write_atomic(out, split.to_tsv().as_bytes())?;
    let n_left_out = table.scans().len() - split.rows().len();
    if n_left_out > 0 {
        let classes: Vec<_> = config.classes.iter().map(ToString::to_string).collect();
        ui.note(format!("{:>12} {n_left_out} scans left out: not {}", "split", classes.join(" or ")));
    }
    let (summary, content_sha256) = (split.summary(), split.content_hash());
    let [train, validation, test] = summary.n_scans;
    ui.note(format!(
        "{:>12} {train} training, {validation} validation, {test} test scans in {}",
        "split",
        out.display()
    ));
    Ok(SplitReport { split: out.to_owned(), content_sha256, n_left_out, summary })
}

fn refuse_unlabelled(derivatives: &Path, table: &ScanTable, config: &SplitConfig) -> anyhow::Result<()> {
    let labelled = |scan: &Scan| scan.diagnosis.is_some_and(|diagnosis| config.classes.contains(&diagnosis));
    if table.scans().iter().any(labelled) {
        return Ok(());
    }
    let classes: Vec<_> = config.classes.iter().map(ToString::to_string).collect();
    anyhow::bail!(
        "none of the {} scans in {} has a diagnosis {}; put it into the column `diagnosis` of \
         sub-*/sub-*_sessions.tsv of the BIDS dataset and preprocess again, or convert with --labels",
        table.scans().len(),
        derivatives.join("scans.tsv").display(),
        classes.join(" or ")
    )
}
