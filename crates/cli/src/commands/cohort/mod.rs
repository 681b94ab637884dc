//! `brainreel cohort`: which images are used, and why the others are not.

mod demographics;

use std::path::PathBuf;

use brainreel_cohort::{Count, Flow, SelectionConfig};
use brainreel_pipeline::cohort::{self, CohortRequest, CohortSummary};
use brainreel_pipeline::{StageError, notice};
use clap::Args;

use crate::finish::Finish;
use crate::observer::TerminalObserver;
use crate::ui::Ui;

/// How many tables the screen names.
const SHOWN: usize = 5;

const EXAMPLES: &str = "\
Examples:
  brainreel cohort MPRAGE_5_01_2026.csv --out cohort         # a list of what to download
  brainreel cohort MPRAGE_5_01_2026.csv DXSUM.csv --images ADNI --out cohort
  brainreel cohort All_Images.csv Manifest.csv ADNIMERGE.csv --images ADNI --config cohort.toml --out cohort
  brainreel cohort --images bids --out cohort                # the dataset's own tables

A cohort.toml (every setting has a default; `brainreel run --print-defaults` lists them under [cohort], and
an experiment.toml with that section may be given as well):
  diagnoses = [\"CN\", \"AD\"]
  phases = [\"ADNI1\", \"ADNI2\"]
  field_strengths_t = [3.0, 1.5]      # the preferred one first
  include = [\"*mprage*\", \"*mp-rage*\"]
  exclude = [\"*repeat*\"]
  min_age_years = 60
  balance = true                      # CN scans by round robin over subjects, until as many as AD

Every image ends up in ledger.tsv, kept or dropped by the first rule that it breaks, with the reason. Each scan
has the diagnosis of the visit nearest to it, at most max_days away, never silently that of the baseline.
Written are cohort.tsv, ledger.tsv, flow.svg, demographics.tsv, demographics.json and cohort.json.";

/// Select a cohort from the tables of a study, and say why each image is in or out
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CohortArgs {
    /// Tables of any known kind: IDA collections and searches, LONI's image tables, MPRAGEMETA, ADNIMERGE,
    /// DXSUM, those of OASIS and AIBL, BIDS participants.tsv and sessions.tsv, a CSV of your own [default: the
    /// tables in the folder of images]
    tables: Vec<PathBuf>,
    /// Images to join the tables with: a tree of DICOM files, or a BIDS dataset. Without it, the cohort is a
    /// list of what to download
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Settings of the selection: TOML, or an experiment.toml with a section `[cohort]`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder to write to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl CohortArgs {
    fn request(&self) -> anyhow::Result<CohortRequest> {
        let config = match &self.config {
            None => SelectionConfig::default(),
            Some(path) => cohort::read_settings(path)?,
        };
        let tables = match &self.images {
            Some(images) if self.tables.is_empty() => cohort::find_tables(images)?,
            _ => self.tables.clone(),
        };
        let images = self.images.clone();
        Ok(CohortRequest { tables, images, config, ..CohortRequest::new(&self.out) })
    }
}

/// Runs the subcommand. A cohort of nobody is shown too: the table says which rule dropped the images.
pub(crate) fn execute(args: &CohortArgs, ui: &Ui) -> anyhow::Result<Finish> {
    let summary = perform(&args.request()?, ui)?;
    ui.summary(&summary)?;
    summary.ensure_some_left()?;
    Ok(Finish::AllWell)
}

/// Selects, and shows what was selected, be it nothing.
pub(crate) fn perform(request: &CohortRequest, ui: &Ui) -> Result<CohortSummary, StageError> {
    let summary = cohort::select(request, &mut TerminalObserver::new(ui))?;
    show(&summary, ui);
    Ok(summary)
}

/// Shows the tables, the flow and the demographics.
fn show(summary: &CohortSummary, ui: &Ui) {
    for table in summary.tables.iter().take(SHOWN) {
        ui.note(format!("{:>12} {} ({}, rows: {})", "table", table.path.display(), table.kind, table.n_rows));
    }
    if summary.tables.len() > SHOWN {
        ui.note(format!("{:>12} and {} more", "", summary.tables.len() - SHOWN));
    }
    let head = format!("{:1$}  {2:>9} {3:>9}", "", title_width(&summary.flow), "images", "subjects");
    ui.result(format!("{head}\n{}\n", summary.flow));
    if summary.flow.remaining().n_images > 0 {
        ui.result(demographics::render(&summary.demographics));
    }
    let Count { n_images, n_subjects } = summary.flow.remaining();
    let dir = summary.out.display();
    ui.note(format!("{:>12} {n_images} images of {n_subjects} subjects, in {dir}", "cohort"));
    ui.result(format!("\n{}", notice::SENTENCE));
}

fn title_width(flow: &Flow) -> usize {
    flow.steps.iter().map(|step| step.rule.title().len()).max().unwrap_or(0).max(10)
}
