//! `split.tsv`: writes the split with a content hash and reads it back. Users may edit the file.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{LeftOut, LeftOutCount, Partition, Split, SplitError, SplitRow, count_left_out};
use crate::scans::read_scan_id;
use crate::table::{TableReader, to_tsv};
use crate::{CohortError, Diagnosis};

const COLUMNS: [&str; 5] = ["scan_id", "participant_id", "session_id", "diagnosis", "partition"];
/// First line of every split that brainreel writes.
pub const SPLIT_MARK: &str = "# brainreel split";
const HASH_MARK: &str = "# content-sha256:";
/// Marks a split that leaks on purpose. Its content hash includes this line.
const LEAKY_MARK: &str = "# leaky: scan-level";
const HEADLINE: &str = "may be edited by hand, a subject must stay in one partition";
const LEAKY_HEADLINE: &str = "LEAKY ON PURPOSE: scans of one subject are in several partitions; results are inflated, for demonstration only";
/// Prefix of the comment that records the strategy.
pub(super) const STRATEGY_NOTE: &str = "strategy:";
const LEFT_OUT_NOTE: &str = "left out:";
const EDITED: &str = "; rows edited by hand since";
const MOST_NOTES: usize = 20;
const LONGEST_NOTE: usize = 1_000;

/// How to treat a split that is leaky on purpose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LeakPolicy {
    /// Return an error.
    #[default]
    Refuse,
    /// Accept it, for a demonstration. The caller must mark every result.
    Allow,
}
const REMEDY: &str = "`brainreel split` writes this table: run it again, or restore the column";

impl Split {
    /// SHA-256 of the rows in the order of their ids, as 64 hexadecimal digits. Comments, line endings and
    /// the order of rows in the file do not matter. The leaky mark does.
    #[must_use]
    pub fn content_hash(&self) -> String {
        let mut hasher = Sha256::new();
        if self.is_leaky {
            hasher.update(LEAKY_MARK);
            hasher.update("\n");
        }
        for row in &self.rows {
            hasher.update(canonical(row).join("\t"));
            hasher.update("\n");
        }
        hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The split as TSV. Comment lines hold the strategy and the content hash.
    #[must_use]
    pub fn to_tsv(&self) -> String {
        let mut comments = match self.is_leaky {
            true => format!("{SPLIT_MARK}; {LEAKY_HEADLINE}\n{LEAKY_MARK}\n"),
            false => format!("{SPLIT_MARK}; {HEADLINE}\n"),
        };
        for note in &self.notes {
            let is_old = self.edited_by_hand && note.starts_with(STRATEGY_NOTE) && !note.ends_with(EDITED);
            comments += &format!("# {note}{}\n", if is_old { EDITED } else { "" });
        }
        comments += &format!("{HASH_MARK} {}\n", self.content_hash());
        comments + &to_tsv(&COLUMNS, self.rows.iter().map(|row| canonical(row).to_vec()))
    }

    /// Writes the strategy and its settings to the header.
    pub(super) fn with_strategy(mut self, strategy: &str) -> Self {
        self.notes = vec![clipped(&format!("{STRATEGY_NOTE} {strategy}"))];
        self
    }

    /// Replaces the exclusion counts in the header: subjects and scans per reason.
    #[must_use]
    pub fn with_left_out(mut self, left_out: &[LeftOut]) -> Self {
        self.notes.retain(|note| !note.starts_with(LEFT_OUT_NOTE));
        for LeftOutCount { why, n_subjects, n_scans } in count_left_out(left_out) {
            let note = format!("{LEFT_OUT_NOTE} {n_scans} scans of {n_subjects} subjects: {why}");
            self.notes.push(clipped(&note));
        }
        self
    }

    /// Reads and verifies `split.tsv`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or lacks a column, if a word is not a partition or
    /// diagnosis, if a scan is listed twice, and in all cases in which [`Split::verify`] fails, including a
    /// split that is leaky on purpose.
    pub fn read(path: &Path) -> Result<Self, CohortError> {
        Self::read_with(path, LeakPolicy::Refuse)
    }

    /// Like [`Self::read`], with a choice for splits that are leaky on purpose. Any other leak is still an
    /// error.
    ///
    /// # Errors
    /// As [`Self::read`]; [`SplitError::LeakyEdited`] if a leaky split was edited by hand.
    pub fn read_with(path: &Path, leaks: LeakPolicy) -> Result<Self, CohortError> {
        Self::from_table(TableReader::open(path)?, path, leaks)
    }

    /// Reads and verifies a split from any reader; `path` is for messages.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn from_reader<R: BufRead>(reader: R, path: &Path) -> Result<Self, CohortError> {
        Self::from_reader_with(reader, path, LeakPolicy::Refuse)
    }

    /// Reads a split from any reader; `path` is for messages.
    ///
    /// # Errors
    /// As [`Self::read_with`].
    pub fn from_reader_with<R: BufRead>(
        reader: R,
        path: &Path,
        leaks: LeakPolicy,
    ) -> Result<Self, CohortError> {
        Self::from_table(TableReader::new(reader, path)?, path, leaks)
    }

    fn from_table<R: BufRead>(
        mut table: TableReader<R>,
        path: &Path,
        leaks: LeakPolicy,
    ) -> Result<Self, CohortError> {
        let header = Header::of(table.comments());
        if header.is_leaky && leaks == LeakPolicy::Refuse {
            return Err(SplitError::Leaky { path: path.to_owned() }.into());
        }
        let rows = read_rows(&mut table)?;
        let from_rows = if header.is_leaky { Self::leaky_from_rows } else { Self::from_rows };
        let mut split = from_rows(rows, path.to_owned())?;
        split.edited_by_hand = header.hash.as_deref() != Some(split.content_hash().as_str());
        if split.is_leaky && split.edited_by_hand {
            return Err(SplitError::LeakyEdited { path: path.to_owned() }.into());
        }
        split.notes = header.notes;
        Ok(split)
    }
}

/// Contents of a split's comments.
struct Header {
    hash: Option<String>,
    is_leaky: bool,
    notes: Vec<String>,
}

impl Header {
    fn of(comments: &[String]) -> Self {
        let hash = comments.iter().find_map(|line| line.strip_prefix(HASH_MARK));
        let notes = comments.iter().map(|line| line.trim_start_matches('#').trim());
        let is_note = |note: &&str| note.starts_with(STRATEGY_NOTE) || note.starts_with(LEFT_OUT_NOTE);
        Self {
            hash: hash.map(|hash| hash.trim().to_owned()),
            is_leaky: comments.iter().any(|line| line == LEAKY_MARK),
            notes: notes.filter(is_note).take(MOST_NOTES).map(clipped).collect(),
        }
    }
}

/// A comment without control characters, of bounded length.
fn clipped(note: &str) -> String {
    note.chars().take(LONGEST_NOTE).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn read_rows<R: BufRead>(table: &mut TableReader<R>) -> Result<Vec<SplitRow>, CohortError> {
    let mut columns = [0; COLUMNS.len()];
    for (column, name) in columns.iter_mut().zip(COLUMNS) {
        *column = table.require(&[name], REMEDY)?;
    }
    table.refuse_unknown_columns(&COLUMNS)?;
    let [scan_id, participant, session, diagnosis, partition] = columns;
    let (mut rows, mut seen) = (Vec::new(), BTreeSet::new());
    while let Some(row) = table.next_row()? {
        let scan_id = read_scan_id(&row, scan_id, participant, session)?;
        if !seen.insert(scan_id.clone()) {
            return Err(row.duplicate(&scan_id));
        }
        rows.push(SplitRow {
            scan_id,
            diagnosis: row.required(diagnosis, "CN, MCI or AD", Diagnosis::parse)?,
            partition: row.required(partition, "train, validation or test", Partition::parse)?,
        });
    }
    Ok(rows)
}

fn canonical(row: &SplitRow) -> [String; 5] {
    [
        row.scan_id.to_string(),
        row.subject().to_string(),
        row.scan_id.session().to_string(),
        row.diagnosis.to_string(),
        row.partition.to_string(),
    ]
}
