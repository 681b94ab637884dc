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

/// Which scan is used where.
///
/// A value of this type has passed [`Split::verify`], unless it is marked leaky: such a split comes out of the
/// strategy `scan-level` only, and is read only by who asks for it.
#[derive(Debug, Clone)]
pub struct Split {
    rows: Vec<SplitRow>,
    source: PathBuf,
    edited_by_hand: bool,
    is_leaky: bool,
    /// How it was made, and what was left out, for people: the comments of the file.
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

    /// The people of one partition, in order, each once.
    #[must_use]
    pub fn subjects_of(&self, partition: Partition) -> Vec<&SubjectId> {
        let mut subjects: Vec<_> = self.rows_of(partition).map(SplitRow::subject).collect();
        subjects.dedup();
        subjects
    }

    /// True for a scan-level split: scans of one subject may be on several sides, so that every result made with
    /// it is inflated and has to say that it is leaky.
    #[must_use]
    pub fn is_leaky(&self) -> bool {
        self.is_leaky
    }

    /// Number of people.
    #[must_use]
    pub fn n_subjects(&self) -> usize {
        self.homes().len()
    }

    /// Number of people with scans in more than one partition: 0 but for a leaky split.
    #[must_use]
    pub fn n_subjects_on_several_sides(&self) -> usize {
        self.homes().values().filter(|partitions| partitions.len() > 1).count()
    }

    /// The partitions of everybody.
    fn homes(&self) -> BTreeMap<String, BTreeSet<Partition>> {
        let mut homes: BTreeMap<String, BTreeSet<Partition>> = BTreeMap::new();
        for row in &self.rows {
            homes.entry(row.subject().person_key()).or_default().insert(row.partition);
        }
        homes
    }

    /// True if the rows were changed since brainreel wrote them: the stored hash is another one, or
    /// there is none.
    #[must_use]
    pub fn edited_by_hand(&self) -> bool {
        self.edited_by_hand
    }

    /// The strategy and its settings, as the header of the file says them; nothing if it does not.
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
