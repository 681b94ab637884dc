//! Errors in tables, identifiers and splits.

use std::path::PathBuf;

use crate::{Diagnosis, Partition, ScanId, SplitRow, SubjectId};

/// An error in a cohort's tables, settings or split.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CohortError {
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a text table.
    #[error("{} is not a text table: {found}; expected {expected}", path.display())]
    NotATable {
        /// The file.
        path: PathBuf,
        /// What it looks like.
        found: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A row that cannot be parsed.
    #[error("{}, line {line}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// One-based line.
        line: u64,
        /// What is wrong with the row.
        reason: String,
    },
    /// The file is beyond the limits that keep memory bounded.
    #[error("{} has more than {limit}: is it the right file?", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The exceeded limit.
        limit: &'static str,
    },
    /// A required column is missing.
    #[error(
        "{} has no column `{column}`{}; its columns are: {}; {remedy}",
        path.display(), nearest_text(nearest.as_deref()), list(found)
    )]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column, or the alternatives.
        column: String,
        /// The existing columns.
        found: Vec<String>,
        /// The column with the most similar name.
        nearest: Option<String>,
        /// The remedy.
        remedy: &'static str,
    },
    /// A table of unknown kind.
    #[error(
        "{} is no table that brainreel knows; its columns are: {}; known are IDA collections and searches, \
         LONI's All Images, Manifest and Structural MRI Images, MPRAGEMETA, ADNIMERGE, DXSUM, the tables of \
         OASIS-1, -2, -3 and AIBL, BIDS participants.tsv and sessions.tsv, and a table of your own with subject, \
         diagnosis, and path or image_id; from IDA take Advanced Search > your collection > CSV",
        path.display(), list(found)
    )]
    UnknownTable {
        /// The file.
        path: PathBuf,
        /// The existing columns.
        found: Vec<String>,
    },
    /// An unexpected column, for example a misspelt one.
    #[error("{} has the unknown column `{column}`; expected: {}", path.display(), expected.join(", "))]
    UnknownColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The allowed columns.
        expected: Vec<String>,
    },
    /// A cell does not hold what its column requires.
    #[error("{}, line {line}, column `{column}`: found `{got}`, expected {expected}", path.display())]
    BadValue {
        /// The file.
        path: PathBuf,
        /// One-based line.
        line: u64,
        /// The column.
        column: String,
        /// The cell.
        got: String,
        /// The accepted values.
        expected: String,
    },
    /// A string is not a valid identifier.
    #[error("`{got}` is not a {kind}: expected {expected}")]
    InvalidId {
        /// The kind of identifier.
        kind: &'static str,
        /// The string, shortened.
        got: String,
        /// The expected format.
        expected: &'static str,
    },
    /// One image is listed with two different labels.
    #[error(
        "image {image} has two labels: {first} and {second}; \
         remove the wrong row, or leave out the older of the two tables"
    )]
    ConflictingLabels {
        /// The image id or path.
        image: String,
        /// The first label and its place.
        first: String,
        /// The second label and its place.
        second: String,
    },
    /// Two rows have the same key.
    #[error("{}: {key} is listed twice (line {line} again); remove one of the rows", path.display())]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// The repeated key.
        key: String,
        /// One-based line of the repetition; 0 if the rows did not come from a file.
        line: u64,
    },
    /// Invalid fractions for the three partitions.
    #[error(
        "split fractions train {train}, validation {validation}, test {test}: \
         expected three numbers above 0 with sum 1"
    )]
    Fractions {
        /// Fraction of scans for training.
        train: f64,
        /// Fraction of scans for validation.
        validation: f64,
        /// Fraction of scans for testing.
        test: f64,
    },
    /// Folds that are impossible.
    #[error(
        "{n_folds} folds with a validation share of {validation} of {n_subjects} {diagnosis} subjects: expected \
         2 to 100 folds, a share above 0 and at most 0.5, and more subjects of each class than folds, \
         so that each fold has one to train on; take fewer folds or a smaller share"
    )]
    Folds {
        /// Requested number of folds.
        n_folds: usize,
        /// Share of the scans for validation.
        validation: f64,
        /// The class with the fewest subjects.
        diagnosis: crate::Diagnosis,
        /// Its number of subjects.
        n_subjects: usize,
    },
    /// An invalid setting of a cohort.
    #[error("the setting `{setting}` is {got}; expected {expected}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// Its value.
        got: String,
        /// The allowed values.
        expected: &'static str,
    },
    /// A subject in two partitions: the leak that inflates results.
    #[error(
        "{}: subject {} is in two partitions ({} in {}, {} in {}); \
         put all scans of a subject into one partition",
        path.display(), second.subject(), first.scan_id, first.partition, second.scan_id, second.partition
    )]
    SubjectInTwoPartitions {
        /// The split file.
        path: PathBuf,
        /// A scan of the subject.
        first: Box<SplitRow>,
        /// A scan of the same subject in another partition.
        second: Box<SplitRow>,
    },
    /// The same image under two ids, in two partitions.
    #[error(
        "{} ({}) and {} ({}) are the same image, byte for byte; \
         they are one person: put them into one partition or drop one",
        first.scan_id, first.partition, second.scan_id, second.partition
    )]
    ImageInTwoPartitions {
        /// A scan.
        first: Box<SplitRow>,
        /// The scan with the same bytes in another partition.
        second: Box<SplitRow>,
    },
    /// A partition without any scan of a class.
    #[error(
        "{}: partition {partition} has no {diagnosis} scan ({}); \
         every partition needs subjects of every class: add subjects, or move some there",
        path.display(), count_text(*n_subjects)
    )]
    EmptyClass {
        /// The split file.
        path: PathBuf,
        /// The partition.
        partition: Partition,
        /// The class that is missing.
        diagnosis: Diagnosis,
        /// Number of subjects of that class in the whole split.
        n_subjects: usize,
    },
    /// A split row that does not match the scan table.
    #[error("{}: {scan} {problem}; run `brainreel split` again, or correct the row", path.display())]
    SplitMismatch {
        /// The split file.
        path: PathBuf,
        /// The scan.
        scan: ScanId,
        /// The mismatch.
        problem: String,
    },
    /// A split cannot be made or used as requested.
    #[error(transparent)]
    Split(#[from] crate::SplitError),
    /// A model would be evaluated on subjects that it was trained on.
    #[error(
        "{n_shared} of the evaluated subjects were used to train this model (first: {first}); \
         evaluate it on other people"
    )]
    TrainedOn {
        /// Number of subjects on both sides.
        n_shared: usize,
        /// The first one.
        first: SubjectId,
    },
}

fn nearest_text(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(" (the nearest is `{name}`)"))
}

fn count_text(n_subjects: usize) -> String {
    match n_subjects {
        1 => "1 subject of that class in all".to_owned(),
        n => format!("{n} subjects of that class in all"),
    }
}

fn list(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let mut text = names.iter().take(SHOWN).map(|name| shorten(name)).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

/// At most 60 characters of `text`, without control characters, for messages.
pub(crate) fn shorten(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut short: String = text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        short.push_str("...");
    }
    short
}
