//! The summary of a conversion, and what its observer gets to see.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use brainreel_cohort::{Ledger, LedgerRow, Outcome};
use brainreel_formats::dicom::SeriesTree;
use serde::Serialize;

use super::plan::{self, Planned};
use super::{ConvertRequest, Done, LEDGER};
use crate::Reporter;
use crate::failures::{self, Failure};

/// What `convert` did.
#[derive(Debug, Clone, Serialize)]
pub struct ConvertSummary {
    /// The dataset.
    pub bids: PathBuf,
    /// Files that were examined.
    pub n_files: usize,
    /// Series converted, now or earlier.
    pub n_kept: usize,
    /// Of those, series that an earlier run had already converted.
    pub n_up_to_date: usize,
    /// Of those, series with a diagnosis.
    pub n_labelled: usize,
    /// Series that were converted although the numbers of their slices say that some are missing.
    pub incomplete: Vec<Failure>,
    /// Words in the label table's group column that are no diagnosis.
    pub unknown_diagnoses: BTreeSet<String>,
    /// Rows of the label tables.
    pub n_label_rows: usize,
    /// Series excluded by a rule.
    pub n_dropped_series: usize,
    /// Files excluded by a rule: they belong to no series.
    pub n_dropped_files: usize,
    /// Series that should have been converted but could not be.
    pub n_failed_series: usize,
    /// Files that could not be read.
    pub n_failed_files: usize,
    /// What each rule excluded, and what failed by it.
    pub excluded_by: Vec<RuleCount>,
    /// Series and files that failed, as the ledger has them.
    pub failures: Vec<LedgerRow>,
}

impl ConvertSummary {
    /// Series and files that a rule excluded.
    #[must_use]
    pub fn dropped(&self) -> ItemCount {
        ItemCount { n_series: self.n_dropped_series, n_files: self.n_dropped_files }
    }

    /// Series and files that failed.
    #[must_use]
    pub fn failed(&self) -> ItemCount {
        ItemCount { n_series: self.n_failed_series, n_files: self.n_failed_files }
    }
}

/// What one rule excluded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleCount {
    /// The rule, as the ledger names it.
    pub rule: String,
    /// How much it excluded.
    #[serde(flatten)]
    pub count: ItemCount,
}

/// A number of series and of files that belong to no series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ItemCount {
    /// Series.
    pub n_series: usize,
    /// Files that belong to no series.
    pub n_files: usize,
}

impl ItemCount {
    fn of<'a>(rows: impl Iterator<Item = &'a LedgerRow>) -> Self {
        let mut count = Self::default();
        for row in rows {
            *(if plan::is_file(row) { &mut count.n_files } else { &mut count.n_series }) += 1;
        }
        count
    }
}

impl fmt::Display for ItemCount {
    /// `3 series and 1 file`; only the kind that there is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n_series, n_files } = *self;
        let files = format!("{n_files} file{}", if n_files == 1 { "" } else { "s" });
        match (n_series, n_files) {
            (_, 0) => write!(f, "{n_series} series"),
            (0, _) => f.write_str(&files),
            _ => write!(f, "{n_series} series and {files}"),
        }
    }
}

pub(super) fn summarise(
    request: &ConvertRequest,
    tree: &SeriesTree,
    ledger: &Ledger,
    done: &Done<'_, '_>,
    n_label_rows: usize,
) -> ConvertSummary {
    let has_diagnosis = |planned: &&&Planned<'_>| planned.label.is_some_and(|row| row.diagnosis().is_some());
    let converted = &done.planned;
    let of = |outcome| ItemCount::of(ledger.rows.iter().filter(|row| row.outcome == outcome));
    let (dropped, failed) = (of(Outcome::Dropped), of(Outcome::Failed));
    ConvertSummary {
        bids: request.bids.clone(),
        n_files: tree.n_files,
        n_kept: converted.len(),
        n_up_to_date: done.n_up_to_date,
        n_labelled: converted.iter().filter(has_diagnosis).count(),
        incomplete: converted
            .iter()
            .filter_map(|planned| {
                Some(Failure::attention(planned.scan_id.to_string(), planned.series.missing_slices()?))
            })
            .collect(),
        unknown_diagnoses: converted.iter().filter_map(|planned| plan::unknown_diagnosis(planned)).collect(),
        n_label_rows,
        n_dropped_series: dropped.n_series,
        n_dropped_files: dropped.n_files,
        n_failed_series: failed.n_series,
        n_failed_files: failed.n_files,
        excluded_by: count_rules(ledger),
        failures: ledger.rows.iter().filter(|row| row.outcome == Outcome::Failed).cloned().collect(),
    }
}

/// How many series and files each rule excluded.
fn count_rules(ledger: &Ledger) -> Vec<RuleCount> {
    let mut rules: BTreeMap<&str, Vec<&LedgerRow>> = BTreeMap::new();
    for row in ledger.rows.iter().filter(|row| row.outcome != Outcome::Kept) {
        rules.entry(&row.rule).or_default().push(row);
    }
    rules
        .into_iter()
        .map(|(rule, rows)| RuleCount { rule: rule.to_owned(), count: ItemCount::of(rows.into_iter()) })
        .collect()
}

pub(super) fn report(summary: &ConvertSummary, reporter: &Reporter<'_>) {
    if summary.n_labelled < summary.n_kept {
        let n_unlabelled = summary.n_kept - summary.n_labelled;
        reporter.warn(format!(
            "{n_unlabelled} of {} series have no diagnosis: {}",
            summary.n_kept,
            why_unlabelled(summary)
        ));
    }
    failures::warn(&summary.incomplete, LEDGER, reporter);
    for row in &summary.failures {
        reporter.failed_item(&name_of(row), &row.reason);
    }
    if !summary.failures.is_empty() {
        let ledger = summary.bids.join(LEDGER);
        reporter.warn(format!("{} failed, all listed in {}", summary.failed(), ledger.display()));
    }
}

/// A failed series or file, for a person. The reason has the names of files, as far as they may be shown.
fn name_of(row: &LedgerRow) -> String {
    if plan::is_file(row) { "file".to_owned() } else { format!("series {}", row.series) }
}

fn why_unlabelled(summary: &ConvertSummary) -> String {
    if !summary.unknown_diagnoses.is_empty() {
        let words: Vec<&str> = summary.unknown_diagnoses.iter().map(String::as_str).take(5).collect();
        return format!("the label table says `{}`, expected CN, MCI or AD", words.join("`, `"));
    }
    if summary.n_label_rows == 0 {
        return "there is no label table, such as the CSV of an IDA image collection".to_owned();
    }
    format!(
        "none of the {} rows of the label tables gives one; image ids and subjects have to be those of the \
         download",
        summary.n_label_rows
    )
}
