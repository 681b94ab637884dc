//! A thing that is wrong, or odd, or worth knowing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Examples that a finding names.
const N_EXAMPLES: usize = 20;

/// How bad it is, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Results are better than they would be on new people. The audit fails.
    Leak,
    /// Two statements exclude each other. The audit fails.
    Conflict,
    /// May explain a result in another way than the disease, or makes it imprecise.
    Warning,
    /// Good to know.
    Note,
}

impl Level {
    /// Whether an audit with such a finding fails.
    #[must_use]
    pub const fn fails(self) -> bool {
        matches!(self, Self::Leak | Self::Conflict)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Leak => "LEAK",
            Self::Conflict => "CONFLICT",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// What was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Check {
    /// A person in two partitions, under one name or several.
    SubjectOverlap,
    /// The same image in two partitions.
    IdenticalImages,
    /// Images of two partitions that show one acquisition.
    NearDuplicates,
    /// The same image or acquisition more than once on one side.
    RepeatedImages,
    /// The same scan listed more than once on one side.
    RepeatedRows,
    /// One image under the names of two people.
    SharedImage,
    /// Two diagnoses of one session, or of one image.
    LabelConflict,
    /// Images that could not be looked at.
    UnreadImages,
    /// Scans without a diagnosis.
    MissingLabels,
    /// A partition that is not there.
    MissingPartition,
    /// A class that a partition lacks.
    MissingClass,
    /// People that a network was trained on among those it is tested on.
    TrainedOn,
    /// Numbers taken from other than training scans.
    CrossedStatistics,
    /// Weights that a training started from.
    InitialWeights,
    /// Site, scanner, field strength, age or sex that goes with the label or the partition.
    Association,
    /// Too few people for the precision that is wanted.
    Precision,
}

/// The ways in which data leak, after Wen et al. 2020.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    /// Partitions that are not apart by subject.
    WrongSplit,
    /// Something learnt or copied before the data were split.
    LateSplit,
    /// Weights from a network that has seen the test subjects.
    BiasedTransfer,
    /// No test partition that nothing was chosen by.
    NoIndependentTest,
}

impl Category {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::WrongSplit, Self::LateSplit, Self::BiasedTransfer, Self::NoIndependentTest];

    /// For people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::WrongSplit => "wrong data split",
            Self::LateSplit => "late split",
            Self::BiasedTransfer => "biased transfer learning",
            Self::NoIndependentTest => "no independent test set",
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was looked for.
    pub check: Check,
    /// The way of leaking, if it is a leak or a doubt about one.
    pub category: Option<Category>,
    /// What was found, in a sentence.
    pub message: String,
    /// What can be done about it.
    pub remedy: String,
    /// How many cases there are.
    pub n_cases: usize,
    /// The first of them.
    pub examples: Vec<String>,
}

impl Finding {
    /// A finding of so many cases, of which the first are named.
    pub(crate) fn new(level: Level, check: Check, message: String, cases: Vec<String>) -> Self {
        let n_cases = cases.len().max(1);
        let examples = cases.into_iter().take(N_EXAMPLES).collect();
        Self { level, check, category: None, message, remedy: String::new(), n_cases, examples }
    }

    /// The same, as a case of a way of leaking.
    pub(crate) fn in_category(self, category: Category) -> Self {
        Self { category: Some(category), ..self }
    }

    /// The same, with what can be done.
    pub(crate) fn with_remedy(self, remedy: &str) -> Self {
        Self { remedy: remedy.to_owned(), ..self }
    }
}

/// `1 subject`, `2 subjects`.
pub(crate) fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
