//! The split of scans into training, validation and test, by subject.

mod deal;
mod folds;
mod summary;
mod text;
mod verify;

pub use deal::{SplitConfig, split_round_robin};
pub use folds::{FoldConfig, split_folds};
pub use summary::{SplitCount, SplitSummary};
pub use text::SPLIT_MARK;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Diagnosis, ScanId, SubjectId};

/// A side of the split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Partition {
    /// What the model learns from.
    Train,
    /// What decides when to stop and which checkpoint is best.
    Validation,
    /// What the result is measured on, once.
    Test,
}

impl Partition {
    /// All partitions.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// `train`, `validation` or `test`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// Reads a partition's name, in any case.
    #[must_use]
    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|partition| raw.trim().eq_ignore_ascii_case(partition.as_str()))
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One scan of the split.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SplitRow {
    /// The scan, which holds subject and session.
    pub scan_id: ScanId,
    /// The class it belongs to.
    pub diagnosis: Diagnosis,
    /// Where it is used.
    pub partition: Partition,
}

impl SplitRow {
    /// Who was scanned.
    #[must_use]
    pub fn subject(&self) -> &SubjectId {
        self.scan_id.subject()
    }
}

/// Which scan is used where. A value of this type has passed [`Split::verify`].
#[derive(Debug, Clone)]
pub struct Split {
    rows: Vec<SplitRow>,
    source: PathBuf,
    edited_by_hand: bool,
}

impl Split {
    /// The rows, in the order of their scan ids.
    #[must_use]
    pub fn rows(&self) -> &[SplitRow] {
        &self.rows
    }

    /// The rows of one partition.
    pub fn rows_of(&self, partition: Partition) -> impl Iterator<Item = &SplitRow> {
        self.rows.iter().filter(move |row| row.partition == partition)
    }

    /// The people of one partition, in order, each once.
    #[must_use]
    pub fn subjects_of(&self, partition: Partition) -> Vec<&SubjectId> {
        let mut subjects: Vec<_> = self.rows_of(partition).map(SplitRow::subject).collect();
        subjects.dedup();
        subjects
    }

    /// True if the rows were changed since brainreel wrote them: the stored hash is another one, or
    /// there is none.
    #[must_use]
    pub fn edited_by_hand(&self) -> bool {
        self.edited_by_hand
    }

    /// The file it was read from, for messages.
    #[must_use]
    pub fn source(&self) -> &Path {
        &self.source
    }
}

impl PartialEq for Split {
    fn eq(&self, other: &Self) -> bool {
        self.rows == other.rows
    }
}
