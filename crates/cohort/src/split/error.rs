//! Errors in split settings.

use std::path::PathBuf;

use super::{Partition, SplitStrategy};
use crate::Diagnosis;

/// An error in the settings of a split, or in scans that cannot satisfy them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SplitError {
    /// A setting that conflicts with the strategy or is out of range.
    #[error("split strategy {strategy}: {problem}")]
    Settings {
        /// The strategy.
        strategy: SplitStrategy,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// Scans without the required site or field strength.
    #[error(
        "{n_scans} of {n_total} scans have no {what} (first: {first}); fill the column `{column}` of scans.tsv, which \
         the stage `preprocess` writes"
    )]
    Unknown {
        /// The missing attribute.
        what: &'static str,
        /// The column of `scans.tsv`.
        column: &'static str,
        /// Number of such scans.
        n_scans: usize,
        /// Number of scans of the classes.
        n_total: usize,
        /// The first one.
        first: String,
    },
    /// A site or field strength that no scan has, or an empty request.
    #[error("{problem}; scans.tsv has {known}")]
    NoSuchGroup {
        /// The request.
        problem: String,
        /// The available sites or field strengths.
        known: String,
    },
    /// The test partition takes so much that another partition lacks a class.
    #[error(
        "with {tested} tested, partition {partition} has no {diagnosis} scan; test on fewer or others, or add \
         subjects; scans.tsv has {known}"
    )]
    TooMuchTested {
        /// The held-out groups.
        tested: String,
        /// The partition that lacks a class.
        partition: Partition,
        /// The class.
        diagnosis: Diagnosis,
        /// The available sites or field strengths.
        known: String,
    },
    /// No pairs can be formed.
    #[error(
        "no AD subject has a CN partner of the same sex within {caliper_years} years: {n_ad} AD and {n_cn} CN \
         subjects have age and sex; widen the caliper, or fill the columns `age` and `sex` of scans.tsv"
    )]
    NoPairs {
        /// Largest age difference, in years.
        caliper_years: f64,
        /// AD subjects of known age and sex.
        n_ad: usize,
        /// CN subjects of known age and sex.
        n_cn: usize,
    },
    /// A list of subjects names one subject in two partitions.
    #[error(
        "{}: {second} (line {second_line}, {second_partition}) is {first} of line {first_line} ({first_partition}); \
         a person has one partition: remove one of the rows",
        path.display()
    )]
    ListedTwice {
        /// The list.
        path: PathBuf,
        /// The earlier name.
        first: String,
        /// Its line.
        first_line: u64,
        /// Its partition.
        first_partition: Partition,
        /// The later name.
        second: String,
        /// Its line.
        second_line: u64,
        /// Its partition.
        second_partition: Partition,
    },
    /// A number that matches several subjects.
    #[error(
        "{}, line {line}: {name} may be {first} or {second}; write the whole id, such as 002_S_0413",
        path.display()
    )]
    Ambiguous {
        /// The list.
        path: PathBuf,
        /// One-based line.
        line: u64,
        /// The name.
        name: String,
        /// One matching subject.
        first: String,
        /// Another matching subject.
        second: String,
    },
    /// A list of subjects, none of whom has a scan.
    #[error(
        "{}: none of the {n_listed} subjects listed has a scan here (first: {first}); is it the list of this study?",
        path.display()
    )]
    NobodyListed {
        /// The list.
        path: PathBuf,
        /// Number of subjects in the list.
        n_listed: usize,
        /// The first one.
        first: String,
    },
    /// A split that is leaky on purpose, without an explicit request.
    #[error(
        "{} is a scan-level split, leaky on purpose: scans of one subject are on several sides, and accuracy would \
         be inflated",
        path.display()
    )]
    Leaky {
        /// The split file.
        path: PathBuf,
    },
    /// A split marked leaky whose rows differ from those that brainreel wrote.
    #[error(
        "{} is marked leaky but was edited by hand, which only a split by subject may be; make it again with \
         the strategy scan-level, or take the mark `# leaky` and the leak out",
        path.display()
    )]
    LeakyEdited {
        /// The split file.
        path: PathBuf,
    },
}
