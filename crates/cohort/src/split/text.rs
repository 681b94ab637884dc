//! `split.tsv`: written with its content hash, read back, edited by hand in between if one likes.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{Partition, Split, SplitRow};
use crate::scans::read_scan_id;
use crate::table::{TableReader, to_tsv};
use crate::{CohortError, Diagnosis};

const COLUMNS: [&str; 5] = ["scan_id", "participant_id", "session_id", "diagnosis", "partition"];
/// How every split that brainreel writes begins.
pub const SPLIT_MARK: &str = "# brainreel split";
const HASH_MARK: &str = "# content-sha256:";
const REMEDY: &str = "`brainreel split` writes this table: run it again, or restore the column";

impl Split {
    /// SHA-256 over the rows in the order of their ids, as 64 hexadecimal digits. Comments, line ends
    /// and the order of rows in the file do not count.
    #[must_use]
    pub fn content_hash(&self) -> String {
        let mut hasher = Sha256::new();
        for row in &self.rows {
            hasher.update(canonical(row).join("\t"));
            hasher.update("\n");
        }
        hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The split as tab-separated text, with comment lines that hold the content hash.
    #[must_use]
    pub fn to_tsv(&self) -> String {
        let comments = format!(
            "{SPLIT_MARK}; may be edited by hand, a subject must stay in one partition\n{HASH_MARK} {}\n",
            self.content_hash()
        );
        comments + &to_tsv(&COLUMNS, self.rows.iter().map(|row| canonical(row).to_vec()))
    }

    /// Reads and verifies `split.tsv`.
    ///
    /// # Errors
    /// A file that cannot be read or lacks a column, a word that is no partition or diagnosis, a scan
    /// listed twice, and everything that [`Split::verify`] refuses.
    pub fn read(path: &Path) -> Result<Self, CohortError> {
        Self::from_table(TableReader::open(path)?, path)
    }

    /// Reads and verifies a split from any reader; `path` is for messages.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn from_reader<R: BufRead>(reader: R, path: &Path) -> Result<Self, CohortError> {
        Self::from_table(TableReader::new(reader, path)?, path)
    }

    fn from_table<R: BufRead>(mut table: TableReader<R>, path: &Path) -> Result<Self, CohortError> {
        let stored_hash = table
            .comments()
            .iter()
            .find_map(|line| line.strip_prefix(HASH_MARK))
            .map(|hash| hash.trim().to_owned());
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
        let mut split = Self::from_rows(rows, path.to_owned())?;
        split.edited_by_hand = stored_hash.as_deref() != Some(split.content_hash().as_str());
        Ok(split)
    }
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
