//! Which images of a study are used, and why the others are not.
//!
//! Joins the tables of a study with a download or a dataset, and applies the rules of a
//! [`SelectionConfig`]. Every image ends up in `ledger.tsv`, kept or dropped by the first rule that it breaks.

mod config;
mod demographics;
mod images;
mod output;
mod report;

use std::path::{Path, PathBuf};

use brainreel_artifact::{HashBuilder, Provenance, hash_file, hash_json};
use brainreel_cohort::{FieldStrength, FoundImage, Records, SelectionConfig};
use serde::Serialize;

use crate::convert;
use crate::{Observer, Reporter, Stage, StageError, folders};

pub use config::read_settings;
pub use demographics::{AGE_RANKS, Demographics, GroupDemographics, MISSING, VariableTest};
pub use report::CohortSummary;

/// Raise whenever the same tables, images and settings give another cohort.
pub const STAGE_REVISION: u32 = 1;

/// What to select from, how, and where to write.
#[derive(Debug, Clone, PartialEq)]
pub struct CohortRequest {
    /// Tables of any known kind. Default: none; [`find_tables`] lists those of a folder of images.
    pub tables: Vec<PathBuf>,
    /// A tree of DICOM files or a BIDS dataset to join the tables with. Default: none; the cohort is then a list of
    /// what to download.
    pub images: Option<PathBuf>,
    /// The rules of the selection.
    pub config: SelectionConfig,
    /// The folder to write to.
    pub out: PathBuf,
}

impl CohortRequest {
    /// A request with the defaults.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        Self { tables: Vec::new(), images: None, config: SelectionConfig::default(), out: out.into() }
    }
}

/// The tables in a folder of images: those of a BIDS dataset, or the CSV files of a download.
///
/// # Errors
/// [`StageError`] if the folder cannot be read or holds no table.
pub fn find_tables(images: &Path) -> Result<Vec<PathBuf>, StageError> {
    folders::check_input(images, IMAGES)?;
    let found = if images::is_bids(images) {
        images::bids_tables(images)?
    } else {
        convert::find_label_tables(images)?
    };
    if found.is_empty() {
        return Err(StageError::input(images, "has no table of its own", A_TABLE));
    }
    Ok(found)
}

const IMAGES: &str = "a tree of DICOM files or a BIDS dataset";
const A_TABLE: &str = "a table to select from, for example the CSV of an image collection (IDA: Advanced Search > your \
                       collection > CSV)";

/// Selects a cohort and writes it with its ledger.
///
/// # Errors
/// [`StageError`]: a table that cannot be read, settings that contradict each other, a folder that holds files that
/// brainreel did not write, or no image left. In the last case the ledger is written, and says why.
pub fn run(request: &CohortRequest, observer: &mut dyn Observer) -> Result<CohortSummary, StageError> {
    let summary = select(request, observer)?;
    summary.ensure_some_left()?;
    Ok(summary)
}

/// Does what [`run`] does, but returns an empty cohort instead of an error.
///
/// # Errors
/// Those of [`run`], except for an empty cohort.
pub fn select(request: &CohortRequest, observer: &mut dyn Observer) -> Result<CohortSummary, StageError> {
    let reporter = Reporter::new(Stage::Cohort, observer);
    check(request)?;
    let records = read_tables(&request.tables, &reporter)?;
    let found = match &request.images {
        Some(folder) => Some(images::find(folder, &records, &reporter)?),
        None => None,
    };
    reporter.check_cancelled()?;
    let progress = reporter.progress("select", records.images().len());
    let cohort = brainreel_cohort::select(&records, found.as_deref(), &request.config)?;
    progress.finish();
    let summary = report::summarise(request, &records, &cohort);
    let provenance = provenance(request, found.as_deref())?;
    output::write(&request.out, &cohort, &summary, provenance)?;
    for warning in &summary.warnings {
        reporter.warn(warning);
    }
    Ok(summary)
}

fn check(request: &CohortRequest) -> Result<(), StageError> {
    request.config.validate()?;
    if let Some(images) = &request.images {
        folders::check_input(images, IMAGES)?;
        folders::check_apart(images, &request.out)?;
    }
    if request.tables.is_empty() {
        return Err(StageError::setting("tables", "there is no table", A_TABLE));
    }
    for table in &request.tables {
        folders::check_file(table, "a table of a study")?;
    }
    output::refuse_foreign(&request.out)
}

fn read_tables(tables: &[PathBuf], reporter: &Reporter<'_>) -> Result<Records, StageError> {
    let progress = reporter.progress("read tables", tables.len());
    let records = Records::read(tables)?;
    progress.finish();
    Ok(records)
}

/// What of a found image the outcome depends on.
#[derive(Serialize)]
struct Facts<'a>(&'a str, Option<String>, Option<String>, Option<FieldStrength>, &'a Option<String>);

fn provenance(request: &CohortRequest, found: Option<&[FoundImage]>) -> Result<Provenance, StageError> {
    let mut hash = HashBuilder::new();
    for table in &request.tables {
        hash = hash.part(hash_file(table)?.as_str());
    }
    for image in found.unwrap_or_default() {
        let date = image.visit.date.map(|date| date.to_string());
        let id = image.image_id.as_ref().map(ToString::to_string);
        let facts = Facts(&image.path, id, date, image.scanner.field_strength, &image.description);
        hash = hash.part(hash_json(&facts).as_str());
    }
    Ok(Provenance::new("cohort", STAGE_REVISION, &request.config, hash.finish()))
}
