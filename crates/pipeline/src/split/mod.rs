//! Stage `split`: assigns subjects to training, validation and test.

pub mod folds;

use std::path::{Path, PathBuf};

use brainreel_artifact::write_atomic;
use brainreel_cohort::{
    Diagnosis, LeakPolicy, LeftOut, MatchSummary, PerPartition, ReplaySummary, SPLIT_MARK, Scan, ScanTable,
    SplitConfig, SplitCounts, SplitOutcome, split_scans,
};
use serde::Serialize;

use crate::folders::{self, Kind};
use crate::run_folder::RunFolder;
use crate::{Observer, Remedy, Reporter, ResultExt, Stage, StageError, notice};

/// Raise whenever the same table and configuration give another split.
pub const STAGE_REVISION: u32 = 1;

/// What to split, how, and where to.
#[derive(Debug, Clone)]
pub struct SplitRequest {
    /// Derivatives, as the stage `preprocess` writes them.
    pub derivatives: PathBuf,
    /// The table to write.
    pub out: PathBuf,
    /// Strategy, shares and seed. Default: round robin, 80 % training, 10 % validation, 10 % test.
    pub config: SplitConfig,
    /// Whether a split that is already at `out` is replaced. Default: no.
    pub overwrite: bool,
}

impl SplitRequest {
    /// The default split of a derivatives folder.
    #[must_use]
    pub fn new(derivatives: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        Self {
            derivatives: derivatives.into(),
            out: out.into(),
            config: SplitConfig::default(),
            overwrite: false,
        }
    }
}

/// A split that was written.
#[derive(Debug, Clone, Serialize)]
pub struct SplitSummary {
    /// The table.
    pub split: PathBuf,
    /// What it holds.
    #[serde(flatten)]
    pub record: SplitRecord,
}

/// The content of a split, without its path.
#[derive(Debug, Clone, Serialize)]
pub struct SplitRecord {
    /// What this is, and what it is not for.
    pub notice: String,
    /// Whether the split is leaky on purpose.
    pub leaky: bool,
    /// Number of subjects.
    pub n_subjects_in_all: usize,
    /// Number of subjects with scans in several partitions: 0 unless the split is leaky.
    pub n_subjects_on_several_sides: usize,
    /// The strategy and its settings, as in the header of the table.
    pub strategy: Option<String>,
    /// Hash of the rows.
    pub content_sha256: String,
    /// Number of scans without a diagnosis of the classes.
    pub n_left_out: usize,
    /// Scans of the classes that are not in the split, by subject, and why.
    pub left_out: Vec<LeftOut>,
    /// Held-out sites or field strength: no training or validation scan comes from them.
    pub tested: Vec<String>,
    /// Age and sex matching.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matching: Option<MatchSummary>,
    /// How a list of subjects fitted the scans.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<ReplaySummary>,
    /// Numbers of subjects and scans in each partition.
    #[serde(flatten)]
    pub counts: SplitCounts,
}

/// Splits the scans of a derivatives folder and writes the table.
///
/// # Errors
/// No derivatives, no scan of the classes, settings that do not go together or leave a partition empty, or a file at
/// `out` that may not be replaced.
pub fn run(request: &SplitRequest, observer: &mut dyn Observer) -> Result<SplitSummary, StageError> {
    let reporter = Reporter::new(Stage::Split, observer);
    check_replaceable(&request.out, request.overwrite)?;
    let SplitRequest { derivatives, config, .. } = request;
    let table = read_scans(derivatives, &config.classes)?;
    let outcome = split_scans(table.scans(), config)
        .with_context(|| format!("cannot split the scans of {}", scan_table(derivatives).display()))?;
    write_split(outcome, &table, &config.classes, &request.out, &reporter)
}

fn scan_table(derivatives: &Path) -> PathBuf {
    derivatives.join("scans.tsv")
}

/// Only a split is replaced, only on request, and not the one that a trained run is bound to.
fn check_replaceable(out: &Path, overwrite: bool) -> Result<(), StageError> {
    if !out.exists() {
        return Ok(());
    }
    let refuse = |found: &str, expected: &str| Err(StageError::output(out, found, expected));
    if !overwrite {
        let expected = "models that were trained with it would no longer match, so choose another name";
        return refuse("exists", expected).map_err(|error| error.with_remedy(Remedy::Overwrite));
    }
    if !std::fs::read(out).is_ok_and(|bytes| bytes.starts_with(SPLIT_MARK.as_bytes())) {
        return refuse("exists and is not a split that brainreel wrote", "choose another name");
    }
    if RunFolder::new(out.parent().unwrap_or(Path::new(""))).is_run() {
        return refuse("belongs to the trained run beside it", "write the new split elsewhere");
    }
    Ok(())
}

/// Reads the scan table of derivatives that have scans of the classes.
fn read_scans(derivatives: &Path, classes: &[Diagnosis]) -> Result<ScanTable, StageError> {
    folders::check_input(derivatives, Kind::Derivatives.describe())?;
    folders::check_kind(derivatives, Kind::Derivatives)?;
    let path = scan_table(derivatives);
    let table = ScanTable::read(&path)?;
    if table.scans().iter().any(|scan| has_class(scan, classes)) {
        return Ok(table);
    }
    let found = format!("is of no use: none of the {} scans is {}", table.scans().len(), or_list(classes));
    let expected = "a diagnosis in the column `diagnosis`; fill it in sub-*/sub-*_sessions.tsv of the BIDS dataset \
                    and preprocess again, or convert with tables of diagnoses";
    Err(StageError::input(path, found, expected).with_remedy(Remedy::AddDiagnoses))
}

fn has_class(scan: &Scan, classes: &[Diagnosis]) -> bool {
    scan.diagnosis.is_some_and(|diagnosis| classes.contains(&diagnosis))
}

/// `CN or AD`.
fn or_list(classes: &[Diagnosis]) -> String {
    classes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

/// Writes a split that fits the scans, and reports it.
fn write_split(
    outcome: SplitOutcome,
    table: &ScanTable,
    classes: &[Diagnosis],
    out: &Path,
    reporter: &Reporter<'_>,
) -> Result<SplitSummary, StageError> {
    notice::check_leaky(&outcome.split, LeakPolicy::Allow, reporter)?;
    outcome.split.join(table)?;
    write_atomic(out, outcome.split.to_tsv().as_bytes())?;
    let record = SplitRecord::new(outcome, table, classes);
    if record.n_left_out > 0 {
        reporter.note(format!("{} scans left out: not {}", record.n_left_out, or_list(classes)));
    }
    let PerPartition { train, validation, test } = record.counts.n_scans;
    let leaky = if record.leaky { "LEAKY: " } else { "" };
    reporter.note(format!(
        "{leaky}{train} training, {validation} validation, {test} test scans in {}",
        out.display()
    ));
    Ok(SplitSummary { split: out.to_owned(), record })
}

impl SplitRecord {
    fn new(outcome: SplitOutcome, table: &ScanTable, classes: &[Diagnosis]) -> Self {
        let SplitOutcome { split, left_out, tested, matching, replay } = outcome;
        let n_with_class = table.scans().iter().filter(|scan| has_class(scan, classes)).count();
        Self {
            notice: notice::for_report(split.is_leaky()),
            leaky: split.is_leaky(),
            n_subjects_in_all: split.n_subjects(),
            n_subjects_on_several_sides: split.n_subjects_on_several_sides(),
            strategy: split.strategy().map(str::to_owned),
            content_sha256: split.content_hash(),
            n_left_out: table.scans().len() - n_with_class,
            left_out,
            tested,
            matching,
            replay,
            counts: split.counts(),
        }
    }
}

#[cfg(test)]
mod tests {
    use brainreel_cohort::{Split, SplitStrategy, SubjectId};

    use super::*;
    use crate::{Fault, Silent};

    /// Derivatives of eight subjects of each class with two scans each, and one MCI scan.
    pub(super) fn write_derivatives(folder: &Path) {
        let mut rows = "scan_id\tparticipant_id\tsession_id\trun\tdiagnosis\tage\tsex\timage\tsha256\tsite\tscanner\tfield_strength_t\n".to_owned();
        for idx in 0..17 {
            let diagnosis = if idx == 16 { "MCI" } else { ["AD", "CN"][idx % 2] };
            for session in ["ses-m00", "ses-m12"].iter().take(if idx == 16 { 1 } else { 2 }) {
                rows += &format!(
                    "sub-{idx:02}_{session}\tsub-{idx:02}\t{session}\tn/a\t{diagnosis}\t7{}\tF\tsub-{idx:02}/{session}.nii.gz\tn/a\tn/a\tn/a\tn/a\n",
                    idx / 2
                );
            }
        }
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("scans.tsv"), rows).unwrap();
    }

    #[test]
    fn subjects_are_split_and_the_split_is_replaced_only_on_request() {
        let dir = tempfile::tempdir().unwrap();
        let derivatives = dir.path().join("derivatives");
        write_derivatives(&derivatives);
        let mut request = SplitRequest::new(&derivatives, dir.path().join("split.tsv"));
        let summary = run(&request, &mut Silent).unwrap();
        assert_eq!((summary.record.n_subjects_in_all, summary.record.n_left_out), (16, 1));
        assert_eq!(summary.record.counts.n_scans.iter().sum::<usize>(), 32);
        let split = Split::read(&request.out).unwrap();
        assert_eq!(split.content_hash(), summary.record.content_sha256);
        let json = serde_json::to_value(&summary).unwrap();
        assert_eq!(json["n_scans"]["train"], summary.record.counts.n_scans.train);

        let again = run(&request, &mut Silent).unwrap_err();
        assert_eq!((again.fault(), again.remedy()), (Fault::Output, Some(Remedy::Overwrite)));
        request.overwrite = true;
        request.config =
            SplitConfig { strategy: SplitStrategy::Stratified, seed: 3, ..SplitConfig::default() };
        assert_ne!(run(&request, &mut Silent).unwrap().record.content_sha256, summary.record.content_sha256);

        std::fs::write(dir.path().join("inputs.json"), b"{}").unwrap();
        let of_run = run(&request, &mut Silent).unwrap_err();
        assert!(of_run.to_string().contains("belongs to the trained run"), "{of_run}");
        request.out = dir.path().join("mine.tsv");
        std::fs::write(&request.out, b"mine").unwrap();
        assert_eq!(run(&request, &mut Silent).unwrap_err().fault(), Fault::Output);
        assert_eq!(std::fs::read(&request.out).unwrap(), b"mine");
    }

    #[test]
    fn what_cannot_be_split_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let derivatives = dir.path().join("derivatives");
        let request = SplitRequest::new(&derivatives, dir.path().join("split.tsv"));
        assert_eq!(run(&request, &mut Silent).unwrap_err().fault(), Fault::Input);
        write_derivatives(&derivatives);
        let table = std::fs::read_to_string(derivatives.join("scans.tsv")).unwrap();
        let unlabelled = table.replace("\tAD\t", "\tMCI\t").replace("\tCN\t", "\tn/a\t");
        std::fs::write(derivatives.join("scans.tsv"), unlabelled).unwrap();
        let error = run(&request, &mut Silent).unwrap_err();
        assert_eq!(error.remedy(), Some(Remedy::AddDiagnoses));
        assert!(error.to_string().contains("none of the 33 scans is CN or AD"), "{error}");
        assert!(!request.out.exists());
    }

    #[test]
    fn a_scan_level_split_says_that_it_is_leaky() {
        let dir = tempfile::tempdir().unwrap();
        let derivatives = dir.path().join("derivatives");
        write_derivatives(&derivatives);
        let request = SplitRequest {
            config: SplitConfig { strategy: SplitStrategy::ScanLevel, ..SplitConfig::default() },
            ..SplitRequest::new(&derivatives, dir.path().join("leaky.tsv"))
        };
        let record = run(&request, &mut Silent).unwrap().record;
        assert!(record.leaky && record.notice.starts_with("LEAKY") && record.n_subjects_on_several_sides > 0);
        let subjects = |partition| {
            let split = Split::read_with(&request.out, LeakPolicy::Allow).unwrap();
            split.subjects_of(partition).into_iter().cloned().collect::<Vec<SubjectId>>()
        };
        let test = subjects(brainreel_cohort::Partition::Test);
        assert!(subjects(brainreel_cohort::Partition::Train).iter().any(|subject| test.contains(subject)));
    }
}
