//! What can be wrong with a table, an identifier or a split.

use std::path::PathBuf;

use crate::{Diagnosis, Partition, ScanId, SplitRow, SubjectId};

/// A fault in a cohort's tables, in its split or in how it is asked for.
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
    /// The file is not a text table at all.
    #[error("{} is not a text table: {found}; expected {expected}", path.display())]
    NotATable {
        /// The file.
        path: PathBuf,
        /// What it looks like.
        found: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A row cannot be parsed.
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
        /// The limit that was passed.
        limit: &'static str,
    },
    /// A column that is needed is not there.
    #[error(
        "{} has no column `{column}`{}; its columns are: {}; {remedy}",
        path.display(), nearest_text(nearest.as_deref()), list(found)
    )]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column, or the alternatives.
        column: String,
        /// The columns it has.
        found: Vec<String>,
        /// The column whose name is most alike.
        nearest: Option<String>,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A text table that is none of those known.
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
        /// The columns it has.
        found: Vec<String>,
    },
    /// A column that the table must not have, for example a misspelt one.
    #[error("{} has the unknown column `{column}`; expected: {}", path.display(), expected.join(", "))]
    UnknownColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The columns of such a table.
        expected: Vec<String>,
    },
    /// A cell holds something else than its column says.
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
        /// What may stand there.
        expected: String,
    },
    /// A string is not the identifier it is taken for.
    #[error("`{got}` is not a {kind}: expected {expected}")]
    InvalidId {
        /// Which identifier.
        kind: &'static str,
        /// The string, shortened.
        got: String,
        /// What it should look like.
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
        /// The first label and where it stands.
        first: String,
        /// The second label and where it stands.
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
    /// Fractions that cannot be those of three partitions.
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
    /// Folds that cannot be made.
    #[error(
        "{n_folds} folds with a validation share of {validation} of {n_subjects} {diagnosis} subjects: expected \
         2 to 100 folds, a share above 0 and at most 0.5, and more subjects of each class than folds, \
         so that each fold has one to train on; take fewer folds or a smaller share"
    )]
    Folds {
        /// Number of folds asked for.
        n_folds: usize,
        /// Share of the scans for validation.
        validation: f64,
        /// The class with the fewest subjects.
        diagnosis: crate::Diagnosis,
        /// How many it has.
        n_subjects: usize,
    },
    /// A setting of a cohort that makes no sense.
    #[error("the setting `{setting}` is {got}; expected {expected}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// Its kind.
        got: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A subject on two sides of the split: the leak that makes results look better than they are.
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
    /// The same image under two names, in two partitions.
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
    /// A split row that does not fit the scans it is used with.
    #[error("{}: {scan} {problem}; run `brainreel split` again, or correct the row", path.display())]
    SplitMismatch {
        /// The split file.
        path: PathBuf,
        /// The scan.
        scan: ScanId,
        /// What does not fit.
        problem: String,
    },
    /// A split cannot be made, or not be used, as it was asked for.
    #[error(transparent)]
    Split(#[from] crate::SplitError),
    /// A model is about to be judged on people it was trained on.
    #[error(
        "{n_shared} of the evaluated subjects were used to train this model (first: {first}); \
         evaluate it on other people"
    )]
    TrainedOn {
        /// How many subjects are on both sides.
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

/// At most 60 characters of `text`, without control characters: for messages.
pub(crate) fn shorten(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut short: String = text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        short.push_str("...");
    }
    short
}
