//! `brainreel convert`: a tree of DICOM files to a BIDS dataset.

mod contrast;
mod ownership;
mod plan;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context;
use brainreel_artifact::{ContentHash, FolderLock, HashBuilder, Provenance, hash_file, write_atomic};
use brainreel_cohort::{CohortList, JoinRule, LabelTable, Ledger, LedgerRow, Outcome, Records};
use brainreel_formats::bids::{BidsName, RawSidecar, read_sidecar, write_sidecar};
use brainreel_formats::dicom::{LoadOptions, SeriesIndex, SeriesTree, load_series_with, scan_tree};
use clap::Args;
use serde::Serialize;

use crate::batch;
use crate::failures::{self, Failure};
use crate::finish::Finish;
use crate::folders;
use crate::ui::{Ui, table};

use ownership::Origin;
use plan::{Plan, Planned, Rules};

/// Raise whenever the same files give another dataset.
pub(crate) const STAGE_REVISION: u32 = 3;

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
    /// Also convert series that call themselves T2, FLAIR, localizer...
    #[arg(long)]
    any_contrast: bool,
    /// Name subjects by a hash of their id, and keep folder and file names out of the ledger and the
    /// screen; whoever has the ids can still recompute the hashes. Exam dates stay: in sessions.tsv, and
    /// in session names where there is no visit code
    #[arg(long)]
    hash_subjects: bool,
    /// Go on though images of another download in BIDS_DIR are lost by it
    #[arg(long)]
    replace: bool,
    /// How far slices may lie from even spacing, in percent of the spacing: rounding in the headers. What
    /// lies within is evened out, with a warning
    #[arg(long, value_name = "PERCENT", default_value_t = 2.0, value_parser = percent)]
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

/// Where to read, where to write and how.
pub(crate) struct Request<'a> {
    /// The DICOM tree.
    pub(crate) dicom: &'a Path,
    /// The folder to write to.
    pub(crate) bids: &'a Path,
    /// Label tables.
    pub(crate) labels: &'a [PathBuf],
    /// The table of images that are converted, if not all are.
    pub(crate) cohort: Option<&'a Path>,
    /// Which visit's diagnosis a scan gets.
    pub(crate) join_rule: JoinRule,
    /// Whether series of other contrasts than T1 are converted as well.
    pub(crate) any_contrast: bool,
    /// Whether subjects get the hash of their id for a name.
    pub(crate) hash_subjects: bool,
    /// Whether images of another download may be lost.
    pub(crate) replace: bool,
    /// What is accepted of a series.
    pub(crate) accept: LoadOptions,
    /// Series in memory at a time.
    pub(crate) n_jobs: usize,
}

impl<'a> Request<'a> {
    /// The usual request.
    pub(crate) fn new(dicom: &'a Path, bids: &'a Path, labels: &'a [PathBuf], n_jobs: usize) -> Self {
        let accept = LoadOptions::default();
        Self {
            dicom,
            bids,
            labels,
            cohort: None,
            join_rule: JoinRule::default(),
            any_contrast: false,
            hash_subjects: false,
            replace: false,
            accept,
            n_jobs,
        }
    }
}

/// What `convert` reports.
#[derive(Debug, Serialize)]
pub(crate) struct ConvertReport {
    /// The dataset.
    pub(crate) bids: PathBuf,
    /// Files looked at.
    pub(crate) n_files: usize,
    /// Series converted, now or earlier.
    pub(crate) n_kept: usize,
    /// Of those, series that an earlier run had already converted.
    pub(crate) n_up_to_date: usize,
    /// Of those, series with a diagnosis.
    pub(crate) n_labelled: usize,
    /// Series that were converted though the numbers of their slices say that some are missing.
    pub(crate) incomplete: Vec<Failure>,
    /// Words in the label table's group column that are no diagnosis.
    pub(crate) unknown_diagnoses: BTreeSet<String>,
    /// Rows of the label tables.
    pub(crate) n_label_rows: usize,
    /// Series left out by a rule.
    pub(crate) n_dropped_series: usize,
    /// Files left out by a rule: of no series.
    pub(crate) n_dropped_files: usize,
    /// Series that should have been converted but could not be.
    pub(crate) n_failed_series: usize,
    /// Files that could not be read.
    pub(crate) n_failed_files: usize,
    /// Both, as the ledger has them.
    pub(crate) failures: Vec<LedgerRow>,
}

impl ConvertReport {
    /// Number of series and files that went wrong.
    pub(crate) fn n_failed(&self) -> usize {
        self.failures.len()
    }
}

/// `3 series and 1 file`; nothing of what there is none of.
fn in_words(n_series: usize, n_files: usize) -> String {
    let files = format!("{n_files} file{}", if n_files == 1 { "" } else { "s" });
    match (n_series, n_files) {
        (_, 0) => format!("{n_series} series"),
        (0, _) => files,
        _ => format!("{n_series} series and {files}"),
    }
}

/// Runs the subcommand.
pub(crate) fn execute(args: &ConvertArgs, ui: &Ui) -> anyhow::Result<Finish> {
    folders::check_input(&args.dicom_dir, "a tree of DICOM files")?;
    let labels =
        if args.labels.is_empty() { find_label_tables(&args.dicom_dir)? } else { args.labels.clone() };
    let request = Request {
        cohort: args.cohort.as_deref(),
        any_contrast: args.any_contrast,
        hash_subjects: args.hash_subjects,
        replace: args.replace,
        accept: LoadOptions { position_tolerance: args.position_tolerance / 100.0 },
        ..Request::new(
            &args.dicom_dir,
            &args.bids_dir,
            &labels,
            args.jobs.unwrap_or_else(batch::default_jobs),
        )
    };
    let report = perform(&request, ui)?;
    ui.summary(&report)?;
    Ok(Finish::from_failures(report.n_failed()))
}

/// The CSV files in the top folder of a download that are label tables.
pub(crate) fn find_label_tables(dicom: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listing = std::fs::read_dir(dicom).with_context(|| format!("cannot read {}", dicom.display()))?;
    let mut tables: Vec<PathBuf> = listing
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")))
        .filter(|path| LabelTable::from_files(std::slice::from_ref(path)).is_ok())
        .collect();
    tables.sort();
    Ok(tables)
}

/// Why a series is not converted, whatever the tables say; `None` if it is.
pub(crate) fn objection(series: &SeriesIndex) -> Option<String> {
    if series.modality != "MR" {
        return Some("the modality is not MR".to_owned());
    }
    contrast::speaks_against_t1(series).map(|(_, reason)| reason)
}

/// Converts every T1-weighted series of a tree.
pub(crate) fn perform(request: &Request<'_>, ui: &Ui) -> anyhow::Result<ConvertReport> {
    folders::check_input(request.dicom, "a tree of DICOM files")?;
    folders::check_apart(request.dicom, request.bids)?;
    let labels = LabelTable::of(&Records::read(request.labels)?, &request.join_rule);
    let cohort = request.cohort.map(read_cohort).transpose()?;
    let tree = scan(request, ui)?;
    folders::check_output(request.bids)?;
    let lock = FolderLock::acquire(request.bids)?;
    lock.remove_litter();
    let rules = Rules {
        root: request.dicom,
        labels: &labels,
        cohort: cohort.as_ref(),
        any_contrast: request.any_contrast,
        hash_subjects: request.hash_subjects,
    };
    let Plan { kept, left_out } = plan::plan(&tree.series, &rules);
    let mut origin = Origin::begin(request, &kept, &tables::contents(&kept.iter().collect::<Vec<_>>())?, ui)?;
    let outcomes = convert_all(&kept, request, &rules, ui);

    let (mut ledger, mut converted, mut n_up_to_date) = (left_out, Vec::new(), 0);
    ledger.extend(tree.problems.iter().filter_map(|problem| plan::problem_row(problem, &kept, &rules)));
    for (planned, outcome) in kept.iter().zip(outcomes) {
        match outcome {
            Ok(Converted { up_to_date, warnings }) => {
                n_up_to_date += usize::from(up_to_date);
                let output = bids_name(planned)?.relative_path_text();
                ledger.push(plan::kept_row(planned, output, &warnings, &rules));
                converted.push(planned);
            }
            Err(error) => {
                let reason = plan::portable(&format!("{error:#}"), planned.series.paths(), &rules);
                ledger.push(plan::failed_row(planned, reason, &rules));
            }
        }
    }
    let ledger = Ledger { rows: ledger };
    write_atomic(&request.bids.join("conversion_ledger.tsv"), ledger.to_tsv().as_bytes())?;
    origin.write_files(request.bids, &tables::contents(&converted)?, ui)?;
    origin.remove_leftovers(request.bids, &converted, ui)?;
    let report = report(request, &tree, &ledger, &converted, (n_up_to_date, labels.rows().len()));
    show(&report, &ledger, ui);
    anyhow::ensure!(
        report.n_kept > 0,
        "none of the {} series in {} was converted; {} says why",
        tree.series.len(),
        request.dicom.display(),
        request.bids.join("conversion_ledger.tsv").display()
    );
    Ok(report)
}

fn read_cohort(path: &Path) -> anyhow::Result<CohortList> {
    folders::check_file(path, "cohort.tsv, as `brainreel cohort` writes it")?;
    Ok(CohortList::read(path)?)
}

fn scan(request: &Request<'_>, ui: &Ui) -> anyhow::Result<SeriesTree> {
    let dicom = request.dicom;
    let bar = ui.progress("read headers", 0);
    let tree = scan_tree(dicom, &|done, total| bar.set(done, total));
    bar.finish();
    if tree.series.is_empty() {
        let found = match tree.problems.first() {
            None => "it holds no file".to_owned(),
            Some(problem) if request.hash_subjects => {
                format!("the first of {} files {}", tree.n_files, problem.fault)
            }
            Some(problem) => {
                format!("the first of {} files, {}, {}", tree.n_files, problem.path.display(), problem.fault)
            }
        };
        anyhow::bail!("there is no DICOM image in {}: {found}", dicom.display());
    }
    Ok(tree)
}

fn convert_all(
    kept: &[Planned<'_>],
    request: &Request<'_>,
    rules: &Rules<'_>,
    ui: &Ui,
) -> Vec<anyhow::Result<Converted>> {
    let bar = ui.progress("convert", kept.len());
    let outcomes = batch::map(kept, request.n_jobs, |planned| {
        let outcome = convert_series(planned, request, rules, ui);
        bar.inc();
        outcome
    });
    bar.finish();
    outcomes
}

/// What became of a series.
struct Converted {
    /// Whether an earlier run had already done it.
    up_to_date: bool,
    warnings: Vec<String>,
}

/// What the voxels of a series depend on beside its files.
#[derive(Serialize)]
struct Parameters {
    position_tolerance: f64,
}

fn convert_series(
    planned: &Planned<'_>,
    request: &Request<'_>,
    rules: &Rules<'_>,
    ui: &Ui,
) -> anyhow::Result<Converted> {
    let name = bids_name(planned)?;
    let image = request.bids.join(name.relative_path());
    let record = request.bids.join(name.with_extension_json());
    let parameters = Parameters { position_tolerance: request.accept.position_tolerance };
    let provenance = Provenance::new("convert", STAGE_REVISION, &parameters, series_hash(planned)?);
    let show = |warnings: &[String]| {
        for warning in warnings {
            ui.warn(format!("convert: {}: {warning}", planned.scan_id));
        }
    };
    if let Some(RawSidecar { warnings, .. }) = done(&record, &image, &provenance) {
        show(&warnings);
        return Ok(Converted { up_to_date: true, warnings });
    }
    let loaded = load_series_with(planned.series, request.accept)?;
    let portable =
        |warning: &dyn std::fmt::Display| plan::portable(&warning.to_string(), planned.series.paths(), rules);
    let warnings: Vec<String> = loaded.warnings.iter().map(|warning| portable(warning)).collect();
    show(&warnings);
    loaded.volume.write_nifti(&image)?;
    let acquisition = RawSidecar::acquisition_fields(&loaded.sidecar);
    let content = RawSidecar { acquisition, warnings, image_sha256: hash_file(&image)?, provenance };
    write_sidecar(&record, &content)?;
    Ok(Converted { up_to_date: false, warnings: content.warnings })
}

/// The content of all files of a series; pixels may be corrected in place.
fn series_hash(planned: &Planned<'_>) -> anyhow::Result<ContentHash> {
    let mut files = planned.series.paths().map(hash_file).collect::<Result<Vec<_>, _>>()?;
    files.sort_unstable();
    Ok(files.iter().fold(HashBuilder::new(), |builder, hash| builder.part(hash.as_str())).finish())
}

/// The record of an image that was converted in just this way and not touched since.
fn done(record: &Path, image: &Path, provenance: &Provenance) -> Option<RawSidecar> {
    read_sidecar(record).filter(|record: &RawSidecar| {
        record.provenance == *provenance && hash_file(image).is_ok_and(|hash| hash == record.image_sha256)
    })
}

fn bids_name(planned: &Planned<'_>) -> anyhow::Result<BidsName> {
    let id = &planned.scan_id;
    Ok(BidsName::t1w(id.subject().label(), Some(id.session().label()), id.run())?)
}

fn report(
    request: &Request<'_>,
    tree: &SeriesTree,
    ledger: &Ledger,
    converted: &[&Planned<'_>],
    (n_up_to_date, n_label_rows): (usize, usize),
) -> ConvertReport {
    let labelled = |planned: &&&Planned<'_>| planned.label.is_some_and(|row| row.diagnosis().is_some());
    ConvertReport {
        bids: request.bids.to_owned(),
        n_files: tree.n_files,
        n_kept: converted.len(),
        n_up_to_date,
        n_labelled: converted.iter().filter(labelled).count(),
        incomplete: converted
            .iter()
            .filter_map(|planned| {
                Some(Failure::noted(planned.scan_id.to_string(), planned.series.missing_slices()?))
            })
            .collect(),
        unknown_diagnoses: converted.iter().filter_map(|planned| plan::unknown_diagnosis(planned)).collect(),
        n_label_rows,
        n_dropped_series: count(ledger, Outcome::Dropped, false),
        n_dropped_files: count(ledger, Outcome::Dropped, true),
        n_failed_series: count(ledger, Outcome::Failed, false),
        n_failed_files: count(ledger, Outcome::Failed, true),
        failures: ledger.rows.iter().filter(|row| row.outcome == Outcome::Failed).cloned().collect(),
    }
}

fn count(ledger: &Ledger, outcome: Outcome, files: bool) -> usize {
    ledger.rows.iter().filter(|row| row.outcome == outcome && plan::is_file(row) == files).count()
}

fn show(report: &ConvertReport, ledger: &Ledger, ui: &Ui) {
    ui.note(format!(
        "{:>12} {} series ({} were up to date), left out: {}, failed: {}, in {}",
        "convert",
        report.n_kept,
        report.n_up_to_date,
        in_words(report.n_dropped_series, report.n_dropped_files),
        in_words(report.n_failed_series, report.n_failed_files),
        report.bids.display()
    ));
    if report.n_labelled < report.n_kept {
        ui.warn(format!(
            "{} of {} series have no diagnosis: {}",
            report.n_kept - report.n_labelled,
            report.n_kept,
            if report.unknown_diagnoses.is_empty() && report.n_label_rows == 0 {
                "pass the IDA collection table with --labels".to_owned()
            } else if report.unknown_diagnoses.is_empty() {
                format!(
                    "none of the {} rows of the label tables gives one; image ids and subjects have to be those \
                     of the download",
                    report.n_label_rows
                )
            } else {
                let words: Vec<&str> = report.unknown_diagnoses.iter().map(String::as_str).take(5).collect();
                format!("the label table says `{}`, expected CN, MCI or AD", words.join("`, `"))
            }
        ));
    }
    show_rules(ledger, ui);
    failures::warn("convert", &report.incomplete, "conversion_ledger.tsv", ui);
    for failure in report.failures.iter().take(5) {
        ui.warn(format!("convert: {}", failure.reason));
    }
    if !report.failures.is_empty() {
        ui.warn(format!(
            "convert: {} failed, all listed in {}",
            in_words(report.n_failed_series, report.n_failed_files),
            report.bids.join("conversion_ledger.tsv").display()
        ));
    }
}

/// How many series and files each rule left out.
fn show_rules(ledger: &Ledger, ui: &Ui) {
    let mut rules: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for row in ledger.rows.iter().filter(|row| row.outcome != Outcome::Kept) {
        let (n_series, n_files) = rules.entry(&row.rule).or_default();
        *(if plan::is_file(row) { n_files } else { n_series }) += 1;
    }
    let rows: Vec<Vec<String>> = rules
        .into_iter()
        .map(|(rule, (n_series, n_files))| vec![rule.to_owned(), in_words(n_series, n_files)])
        .collect();
    if !rows.is_empty() {
        ui.note(table(&["left out by", "what"], &rows));
    }
}
