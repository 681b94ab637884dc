//! A tree of DICOM files to a BIDS dataset.
//!
//! Every series of the tree is kept or dropped by a rule, and listed in `conversion_ledger.tsv`. A rerun converts only
//! what is not up to date.

mod config;
mod contrast;
mod ownership;
mod plan;
mod report;
mod series;
mod tables;

use std::path::{Path, PathBuf};

use brainreel_artifact::{FolderLock, write_atomic};
use brainreel_cohort::{CohortList, JoinRule, LabelTable, Ledger, Records};
use brainreel_formats::dicom::{SeriesIndex, SeriesTree, scan_tree};

use crate::batch;
use crate::folders;
use crate::{Detail, IoContext, Observer, Reporter, Stage, StageError};

pub use config::ConvertConfig;
pub use report::{ConvertSummary, ItemCount, RuleCount};

use ownership::Origin;
use plan::{Plan, Planned, Rules};
use series::Converted;

/// Raise whenever the same files give another dataset.
pub const STAGE_REVISION: u32 = 3;

/// The ledger of a converted dataset.
pub const LEDGER: &str = "conversion_ledger.tsv";

/// Where to read, where to write and how.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvertRequest {
    /// The tree of DICOM files, of any layout.
    pub dicom: PathBuf,
    /// The folder to write to.
    pub bids: PathBuf,
    /// Label tables of any known kind. Default: none; [`find_label_tables`] lists those of a download.
    pub labels: Vec<PathBuf>,
    /// The table of images that are converted, as the stage `cohort` writes it. Default: all images are.
    pub cohort: Option<PathBuf>,
    /// Which visit's diagnosis a scan gets. Default: the nearest one within 180 days.
    pub join_rule: JoinRule,
    /// What is converted, and how.
    pub config: ConvertConfig,
    /// Series in memory at a time. Default: one for each thread, at most 8.
    pub n_jobs: usize,
}

impl ConvertRequest {
    /// A request with the defaults.
    pub fn new(dicom: impl Into<PathBuf>, bids: impl Into<PathBuf>) -> Self {
        Self {
            dicom: dicom.into(),
            bids: bids.into(),
            labels: Vec::new(),
            cohort: None,
            join_rule: JoinRule::default(),
            config: ConvertConfig::default(),
            n_jobs: batch::default_jobs(),
        }
    }

    fn ledger(&self) -> PathBuf {
        self.bids.join(LEDGER)
    }
}

/// The CSV files in the top folder of a download that are label tables.
///
/// # Errors
/// [`StageError`] if the folder cannot be listed.
pub fn find_label_tables(dicom: &Path) -> Result<Vec<PathBuf>, StageError> {
    folders::check_input(dicom, DICOM_TREE)?;
    let listing = std::fs::read_dir(dicom).io_context("read", dicom)?;
    let mut tables: Vec<PathBuf> = listing
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")))
        .filter(|path| LabelTable::from_files(std::slice::from_ref(path)).is_ok())
        .collect();
    tables.sort();
    Ok(tables)
}

/// Why a series is not a T1-weighted head, whatever the tables say; `None` if nothing speaks against it.
#[must_use]
pub fn objection(series: &SeriesIndex) -> Option<String> {
    if series.modality != "MR" {
        return Some("the modality is not MR".to_owned());
    }
    contrast::find_objection(series).map(|objection| objection.reason)
}

const DICOM_TREE: &str = "a tree of DICOM files";

/// Converts every T1-weighted series of a tree.
///
/// # Errors
/// [`StageError`]: no DICOM image, a table that cannot be read, a folder that holds files that brainreel did not
/// write or the images of another download, or no series that could be converted. Series that fail while others
/// succeed are listed in the summary.
pub fn run(request: &ConvertRequest, observer: &mut dyn Observer) -> Result<ConvertSummary, StageError> {
    let reporter = Reporter::new(Stage::Convert, observer);
    request.config.validate()?;
    folders::check_input(&request.dicom, DICOM_TREE)?;
    folders::check_apart(&request.dicom, &request.bids)?;
    let labels = LabelTable::of(&Records::read(&request.labels)?, &request.join_rule);
    let cohort = request.cohort.as_deref().map(read_cohort).transpose()?;
    let tree = scan(request, &reporter)?;
    folders::check_output(&request.bids)?;
    let lock = FolderLock::acquire(&request.bids)?;
    lock.remove_litter();
    let rules =
        Rules { root: &request.dicom, labels: &labels, cohort: cohort.as_ref(), config: &request.config };
    let plan = plan::plan(&tree.series, &rules);
    let (ledger, done) = convert_planned(request, &tree, &plan, &rules, &reporter)?;
    let summary = report::summarise(request, &tree, &ledger, &done, labels.rows().len());
    report::report(&summary, &reporter);
    if summary.n_kept == 0 {
        let (n, dicom, ledger) = (tree.series.len(), request.dicom.display(), request.ledger());
        let reason =
            format!("none of the {n} series in {dicom} was converted; {} says why", ledger.display());
        return Err(StageError::NothingLeft { reason });
    }
    Ok(summary)
}

/// What was converted.
struct Done<'p, 'a> {
    planned: Vec<&'p Planned<'a>>,
    n_up_to_date: usize,
}

/// Converts the series of a plan, and writes the ledger and the tables.
fn convert_planned<'p, 'a>(
    request: &ConvertRequest,
    tree: &SeriesTree,
    plan: &'p Plan<'a>,
    rules: &Rules<'_>,
    reporter: &Reporter<'_>,
) -> Result<(Ledger, Done<'p, 'a>), StageError> {
    let planned: Vec<&Planned<'_>> = plan.kept.iter().collect();
    let mut origin = Origin::begin(request, &plan.kept, &tables::contents(&planned), reporter)?;
    let outcomes = convert_all(&plan.kept, request, rules, reporter);
    let mut rows = plan.excluded.clone();
    rows.extend(tree.problems.iter().filter_map(|problem| plan::problem_row(problem, &plan.kept, rules)));
    let mut done = Done { planned: Vec::new(), n_up_to_date: 0 };
    for (planned, outcome) in plan.kept.iter().zip(outcomes) {
        match outcome {
            Ok(Converted { up_to_date, warnings }) => {
                done.n_up_to_date += usize::from(up_to_date);
                let output = planned.bids_name()?.relative_path_text();
                let how = if up_to_date { "up to date" } else { "converted" };
                reporter.detail(Detail::Item, format!("{output}: {how}"));
                rows.push(plan::kept_row(planned, output, &warnings, rules));
                done.planned.push(planned);
            }
            Err(error) => {
                let reason = plan::portable(&error.chain(), planned.series.paths(), rules);
                rows.push(plan::failed_row(planned, reason, rules));
            }
        }
    }
    reporter.check_cancelled()?;
    let ledger = Ledger { rows };
    write_atomic(&request.ledger(), ledger.to_tsv().as_bytes())?;
    origin.write_files(&request.bids, &tables::contents(&done.planned), reporter)?;
    origin.remove_leftovers(&request.bids, &done.planned, reporter)?;
    Ok((ledger, done))
}

fn read_cohort(path: &Path) -> Result<CohortList, StageError> {
    folders::check_file(path, "cohort.tsv, as the stage `cohort` writes it")?;
    Ok(CohortList::read(path)?)
}

fn scan(request: &ConvertRequest, reporter: &Reporter<'_>) -> Result<SeriesTree, StageError> {
    let progress = reporter.progress("read headers", 0);
    let tree = scan_tree(&request.dicom, &|done, total| progress.set(done, total));
    progress.finish();
    if tree.series.is_empty() {
        let found = match tree.problems.first() {
            None => "holds no DICOM image: it holds no file".to_owned(),
            Some(problem) if request.config.hash_subjects => {
                format!("holds no DICOM image: the first of {} files {}", tree.n_files, problem.fault)
            }
            Some(problem) => format!(
                "holds no DICOM image: the first of {} files, {}, {}",
                tree.n_files,
                problem.path.display(),
                problem.fault
            ),
        };
        return Err(StageError::input(&request.dicom, found, DICOM_TREE));
    }
    Ok(tree)
}

fn convert_all(
    kept: &[Planned<'_>],
    request: &ConvertRequest,
    rules: &Rules<'_>,
    reporter: &Reporter<'_>,
) -> Vec<Result<Converted, StageError>> {
    let progress = reporter.progress("convert", kept.len());
    batch::map(kept, request.n_jobs, |planned| {
        reporter.check_cancelled()?;
        let outcome = series::convert(planned, request, rules, reporter);
        progress.inc();
        outcome
    })
}
