//! The split of scans into training, validation and test, by subject.

mod config;
mod deal;
mod error;
mod folds;
mod groups;
mod make;
mod matching;
mod outcome;
mod partition;
mod people;
mod replay;
mod stratified;
mod summary;
mod text;
mod verify;

pub use config::{SplitConfig, SplitStrategy};
pub use error::SplitError;
pub use folds::{FoldConfig, split_folds};
pub use make::{split_by_list, split_round_robin, split_scans};
pub use matching::{MatchSummary, Matched, match_age_and_sex};
pub use outcome::{LeftOut, LeftOutCount, LeftOutReason, SplitOutcome, count_left_out};
pub(crate) use partition::PARTITION_SPELLINGS;
pub use partition::{Partition, PerPartition};
pub use replay::{ReplaySummary, SubjectList};
pub use summary::{SplitCount, SplitCounts};
pub use text::{LeakPolicy, SPLIT_MARK};

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Diagnosis, ScanId, SubjectId};

/// One scan of the split.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SplitRow {
    /// The scan id, which contains subject and session.
    pub scan_id: ScanId,
    /// Its class.
    pub diagnosis: Diagnosis,
    /// Its partition.
    pub partition: Partition,
}

impl SplitRow {
    /// The subject.
    #[must_use]
    pub fn subject(&self) -> &SubjectId {
        self.scan_id.subject()
    }
}

/// The assignment of scans to partitions.
///
/// A value of this type has passed [`Split::verify`], unless it is marked leaky. Only the strategy
/// `scan-level` makes leaky splits, and reading one requires an explicit request.
#[derive(Debug, Clone)]
pub struct Split {
    rows: Vec<SplitRow>,
    source: PathBuf,
    edited_by_hand: bool,
    is_leaky: bool,
    /// Strategy and exclusions as text: the comments of the file.
    notes: Vec<String>,
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

    /// The subjects of one partition, sorted and unique.
    #[must_use]
    pub fn subjects_of(&self, partition: Partition) -> Vec<&SubjectId> {
        let mut subjects: Vec<_> = self.rows_of(partition).map(SplitRow::subject).collect();
        subjects.dedup();
        subjects
    }

    /// True for a scan-level split. Scans of one subject may be in several partitions, which inflates every
    /// result. Such results must be marked leaky.
    #[must_use]
    pub fn is_leaky(&self) -> bool {
        self.is_leaky
    }

    /// Number of subjects.
    #[must_use]
    pub fn n_subjects(&self) -> usize {
        self.homes().len()
    }

    /// Number of subjects with scans in more than one partition. 0 unless the split is leaky.
    #[must_use]
    pub fn n_subjects_on_several_sides(&self) -> usize {
        self.homes().values().filter(|partitions| partitions.len() > 1).count()
    }

    /// The partitions of every subject.
    fn homes(&self) -> BTreeMap<String, BTreeSet<Partition>> {
        let mut homes: BTreeMap<String, BTreeSet<Partition>> = BTreeMap::new();
        for row in &self.rows {
            homes.entry(row.subject().person_key()).or_default().insert(row.partition);
        }
        homes
    }

    /// True if the rows changed since brainreel wrote them: the stored hash differs or is missing.
    #[must_use]
    pub fn edited_by_hand(&self) -> bool {
        self.edited_by_hand
    }

    /// The strategy and its settings from the file header, or `None`.
    #[must_use]
    pub fn strategy(&self) -> Option<&str> {
        self.notes.iter().find_map(|note| note.strip_prefix(text::STRATEGY_NOTE)).map(str::trim)
    }

    /// The file it was read from, for messages.
    #[must_use]
    pub fn source(&self) -> &Path {
        &self.source
    }
}

impl PartialEq for Split {
    fn eq(&self, other: &Self) -> bool {
        self.rows == other.rows && self.is_leaky == other.is_leaky
    }
}
