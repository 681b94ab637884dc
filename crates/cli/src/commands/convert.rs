//! `brainreel convert`: a tree of DICOM files to a BIDS dataset.

use std::path::PathBuf;

use brainreel_pipeline::convert::{self, ConvertConfig, ConvertRequest, ConvertSummary, LEDGER};
use brainreel_pipeline::{StageError, batch, folders};
use clap::Args;

use crate::finish::Finish;
use crate::observer::TerminalObserver;
use crate::ui::{Ui, table};

const EXAMPLES: &str = "\
Examples:
  brainreel convert ADNI bids --labels ADNI1_Complete_5_01_2026.csv
  brainreel convert scans bids                       # CSV files in `scans` are tried as label tables
  brainreel convert ADNI bids --labels MPRAGE.csv --cohort cohort/cohort.tsv    # only the chosen images
  brainreel convert hospital bids --hash-subjects    # PatientID never appears in names

Every series of the tree ends up in bids/conversion_ledger.tsv, kept or dropped, with the rule.
Run the same command again after an interruption: only unfinished series are converted.";

/// Convert a tree of DICOM files to a BIDS dataset, with diagnoses from label tables
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ConvertArgs {
    /// Tree of DICOM files, of any layout
    dicom_dir: PathBuf,
    /// Folder to write to
    bids_dir: PathBuf,
    /// Label table: IDA collection CSV, or a CSV with image_id, subject, diagnosis; may be given several
    /// times [default: the CSV files in DICOM_DIR that are such tables]
    #[arg(long, value_name = "TABLE.csv")]
    labels: Vec<PathBuf>,
    /// Convert only the images of this table, as `brainreel cohort --images DICOM_DIR` writes it
    #[arg(long, value_name = "cohort.tsv")]
    cohort: Option<PathBuf>,
    #[arg(long)]
    any_contrast: bool,
    #[arg(long)]
    hash_subjects: bool,
    #[arg(long)]
    replace: bool,
    #[arg(long, value_name = "PERCENT", default_value_t = ConvertConfig::default().position_tolerance_percent, value_parser = percent)]
    position_tolerance: f64,
    /// Series to work on at a time [default: one for each thread, at most 8]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

/// A tolerance in percent, small enough to leave slices in their order.
fn percent(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    if (0.0..=25.0).contains(&value) { Ok(value) } else { Err("expected 0 to 25 percent".to_owned()) }
}

impl ConvertArgs {
    fn request(&self) -> anyhow::Result<ConvertRequest> {
        folders::check_input(&self.dicom_dir, "a tree of DICOM files")?;
        let labels = if self.labels.is_empty() {
            convert::find_label_tables(&self.dicom_dir)?
        } else {
            self.labels.clone()
        };
        Ok(ConvertRequest {
            labels,
            cohort: self.cohort.clone(),
            config: ConvertConfig {
                any_contrast: self.any_contrast,
                hash_subjects: self.hash_subjects,
                replace: self.replace,
                position_tolerance_percent: self.position_tolerance,
            },
            n_jobs: self.jobs.unwrap_or_else(batch::default_jobs),
            ..ConvertRequest::new(&self.dicom_dir, &self.bids_dir)
        })
    }
}

/// Runs the subcommand.
pub(crate) fn execute(args: &ConvertArgs, ui: &Ui) -> anyhow::Result<Finish> {
    let summary = perform(&args.request()?, ui)?;
    ui.summary(&summary)?;
    Ok(Finish::from_failures(summary.failures.len()))
}

/// Converts, and shows what became of the series.
pub(crate) fn perform(request: &ConvertRequest, ui: &Ui) -> Result<ConvertSummary, StageError> {
    let summary = convert::run(request, &mut TerminalObserver::new(ui))?;
    show(&summary, ui);
    Ok(summary)
}

fn show(summary: &ConvertSummary, ui: &Ui) {
    ui.note(format!(
        "{:>12} {} series ({} were up to date), excluded: {}, failed: {}, in {}",
        "convert",
        summary.n_kept,
        summary.n_up_to_date,
        summary.dropped(),
        summary.failed(),
        summary.bids.display()
    ));
    if summary.n_label_rows == 0 {
        ui.note(format!("{:>12} name a label table with --labels to get diagnoses", "hint:"));
    }
    let rows: Vec<Vec<String>> =
        summary.excluded_by.iter().map(|rule| vec![rule.rule.clone(), rule.count.to_string()]).collect();
    if !rows.is_empty() {
        ui.note(table(&["excluded by", "what"], &rows));
        ui.note(format!("{:>12} {} has the reasons", "", summary.bids.join(LEDGER).display()));
    }
}
