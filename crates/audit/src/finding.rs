//! Findings of an audit.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Largest number of examples in a finding.
const N_EXAMPLES: usize = 20;

/// Severity of a finding, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Results are better than they would be on new subjects. The audit fails.
    Leak,
    /// Two statements contradict each other. The audit fails.
    Conflict,
    /// May explain a result without the disease, or makes it imprecise.
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

/// What was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Check {
    /// A subject in two partitions, under one name or several.
    SubjectOverlap,
    /// The same image in two partitions.
    IdenticalImages,
    /// Images of two partitions that show one acquisition.
    NearDuplicates,
    /// The same image or acquisition more than once within a partition.
    RepeatedImages,
    /// The same scan listed more than once within a partition.
    RepeatedRows,
    /// One image under the names of two subjects.
    SharedImage,
    /// Two diagnoses of one session, or of one image.
    LabelConflict,
    /// Images that could not be read.
    UnreadImages,
    /// Images whose digest differs from the one that the table lists.
    ChangedImages,
    /// Scans without a diagnosis.
    MissingLabels,
    /// A missing partition.
    MissingPartition,
    /// A class that a partition lacks.
    MissingClass,
    /// Test subjects that the network was trained on.
    TrainedOn,
    /// Statistics computed from other scans than those of training.
    CrossedStatistics,
    /// Initial weights that have seen test subjects.
    InitialWeights,
    /// Site, scanner, field strength, age or sex that goes with the label or the partition.
    Association,
    /// Too few test subjects for the wanted precision.
    Precision,
}

/// Categories of data leakage, after Wen et al. 2020.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    /// Partitions that share subjects or images.
    WrongSplit,
    /// Something was learnt or copied before the data were split.
    LateSplit,
    /// Weights from a network that has seen the test subjects.
    BiasedTransfer,
    /// No test partition that played no part in model selection.
    NoIndependentTest,
}

impl Category {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::WrongSplit, Self::LateSplit, Self::BiasedTransfer, Self::NoIndependentTest];

    /// Name for messages and tables.
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
    /// Severity.
    pub level: Level,
    /// What was checked.
    pub check: Check,
    /// Category of leakage, if the finding is a leak or a doubt about one.
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
    /// A finding with its cases; the first are kept as examples.
    pub(crate) fn new(level: Level, check: Check, message: String, cases: Vec<String>) -> Self {
        let n_cases = cases.len().max(1);
        let examples = cases.into_iter().take(N_EXAMPLES).collect();
        Self { level, check, category: None, message, remedy: String::new(), n_cases, examples }
    }

    /// Assigns a category of leakage.
    pub(crate) fn in_category(self, category: Category) -> Self {
        Self { category: Some(category), ..self }
    }

    /// Adds what can be done.
    pub(crate) fn with_remedy(self, remedy: &str) -> Self {
        Self { remedy: remedy.to_owned(), ..self }
    }
}

/// `1 subject`, `2 subjects`.
pub(crate) fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
