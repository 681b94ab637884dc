//! A split published elsewhere, as a list of subjects and partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::outcome::{LeftOutReason, Parts};
use super::people::People;
use super::stratified::validate_and_train;
use super::{PARTITION_SPELLINGS, Partition, SplitConfig, SplitError};
use crate::table::TableReader;
use crate::{CohortError, Scan, SubjectId};

const SUBJECT: [&str; 7] = ["subject", "subject_id", "participant_id", "participant", "ptid", "rid", "id"];
const PARTITION: [&str; 4] = ["partition", "split", "set", "subset"];
const REMEDY: &str = "a list of subjects has the columns subject and partition";

/// A list of subjects and their partitions.
#[derive(Debug, Clone)]
pub struct SubjectList {
    path: PathBuf,
    rows: Vec<ListedSubject>,
}

#[derive(Debug, Clone)]
struct ListedSubject {
    name: SubjectId,
    partition: Partition,
    line: u64,
}

/// How well a list of subjects matched the scans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplaySummary {
    /// Number of listed subjects.
    pub n_listed: usize,
    /// Listed subjects without scans.
    pub without_scans: Vec<SubjectId>,
    /// Subjects listed more than once in the same partition, possibly under several ids.
    pub repeated: Vec<SubjectId>,
    /// Subjects with scans that the list does not name.
    pub not_listed: Vec<SubjectId>,
    /// Whether validation subjects were drawn from the training subjects, because the list has none.
    pub is_validation_drawn: bool,
    /// SHA-256 of names and partitions.
    pub list_sha256: String,
}

impl SubjectList {
    /// Reads a table with the columns subject and partition. Other columns are ignored.
    ///
    /// A subject may have any spelling: `002_S_0413`, `sub-ADNI002S0413`, or its number (RID) 413 alone.
    /// [`Partition::from_any_spelling`] parses partitions.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or lacks a column, or a cell is not a subject or
    /// partition.
    pub fn read(path: &Path) -> Result<Self, CohortError> {
        Self::from_table(TableReader::open(path)?, path)
    }

    /// Reads the list from any reader; `path` is for messages.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn from_reader<R: BufRead>(reader: R, path: &Path) -> Result<Self, CohortError> {
        Self::from_table(TableReader::new(reader, path)?, path)
    }

    fn from_table<R: BufRead>(mut table: TableReader<R>, path: &Path) -> Result<Self, CohortError> {
        let subject = table.require(&SUBJECT, REMEDY)?;
        let partition = table.require(&PARTITION, REMEDY)?;
        let mut rows = Vec::new();
        while let Some(row) = table.next_row()? {
            rows.push(ListedSubject {
                name: row
                    .required(subject, "a subject such as 002_S_0413", |cell| SubjectId::parse(cell).ok())?,
                partition: row.required(partition, PARTITION_SPELLINGS, Partition::from_any_spelling)?,
                line: row.line,
            });
        }
        Ok(Self { path: path.to_owned(), rows })
    }

    /// SHA-256 of names and partitions in the order of the names, 64 hexadecimal digits.
    #[must_use]
    pub fn content_hash(&self) -> String {
        let rows: BTreeSet<(String, Partition)> =
            self.rows.iter().map(|row| (row.name.person_key(), row.partition)).collect();
        let mut hasher = Sha256::new();
        for (name, partition) in rows {
            hasher.update(format!("{name}\t{partition}\n"));
        }
        hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Assigns every subject the partition in the list. Subjects that it does not name are excluded.
pub(super) fn replay(scans: &[Scan], list: &SubjectList, config: &SplitConfig) -> Result<Parts, CohortError> {
    let people = People::of(scans, &config.classes);
    let names = Names::of(&people, list);
    let mut homes: BTreeMap<String, &ListedSubject> = BTreeMap::new();
    let mut repeated = BTreeSet::new();
    for row in &list.rows {
        let key = names.key_of(row, list)?;
        let home = *homes.entry(key).or_insert(row);
        if home.partition != row.partition {
            return Err(listed_twice(&list.path, home, row).into());
        }
        if home.line != row.line {
            repeated.insert(home.name.clone());
        }
    }
    let without_scans: Vec<SubjectId> = homes
        .iter()
        .filter(|(key, _)| !people.0.contains_key(*key))
        .map(|(_, row)| row.name.clone())
        .collect();
    if without_scans.len() == homes.len() {
        let first = list.rows.first().map_or_else(|| "nobody".to_owned(), |row| row.name.to_string());
        let (path, n_listed) = (list.path.clone(), homes.len());
        return Err(SplitError::NobodyListed { path, n_listed, first }.into());
    }
    let is_validation_drawn = homes.values().all(|row| row.partition != Partition::Validation);
    let mut parts = assign(&people, &homes, is_validation_drawn, config);
    let of_list = |left: &super::LeftOut| left.subject.clone();
    parts.replay = Some(ReplaySummary {
        n_listed: homes.len(),
        without_scans,
        repeated: repeated.into_iter().collect(),
        not_listed: parts.left_out().iter().map(of_list).collect(),
        is_validation_drawn,
        list_sha256: list.content_hash(),
    });
    Ok(parts)
}

fn assign(
    people: &People<'_>,
    homes: &BTreeMap<String, &ListedSubject>,
    is_validation_drawn: bool,
    config: &SplitConfig,
) -> Parts {
    let (mut parts, mut training) = (Parts::default(), Vec::new());
    for (key, person) in &people.0 {
        match homes.get(key).map(|row| row.partition) {
            None => {
                person.scans.iter().for_each(|(scan, _)| parts.leave_out(scan, LeftOutReason::NotListed));
            }
            Some(Partition::Train) if is_validation_drawn => {
                training.extend(person.scans.iter().map(|(scan, _)| *scan));
            }
            Some(partition) => parts.rows.extend(person.rows(partition)),
        }
    }
    parts.rows.extend(validate_and_train(&People::of(training, &config.classes), config));
    parts
}

fn listed_twice(path: &Path, first: &ListedSubject, second: &ListedSubject) -> SplitError {
    SplitError::ListedTwice {
        path: path.to_owned(),
        first: first.name.to_string(),
        first_line: first.line,
        first_partition: first.partition,
        second: second.name.to_string(),
        second_line: second.line,
        second_partition: second.partition,
    }
}

/// Resolves names to subjects: those in the data, and those that the list names by full id.
struct Names {
    keys: BTreeSet<String>,
    /// Subjects by ADNI number, from full ids.
    by_rid: BTreeMap<u32, BTreeSet<String>>,
    /// Subjects in the data whose id is only a number.
    by_number: BTreeMap<u32, BTreeSet<String>>,
}

impl Names {
    fn of(people: &People<'_>, list: &SubjectList) -> Self {
        let mut names = Self {
            keys: people.0.keys().cloned().collect(),
            by_rid: BTreeMap::new(),
            by_number: BTreeMap::new(),
        };
        for person in people.0.values() {
            names.add(person.subject);
            if let Some(number) = bare_number(person.subject) {
                names.by_number.entry(number).or_default().insert(person.subject.person_key());
            }
        }
        // A subject without scans may be listed by id and by number.
        for row in &list.rows {
            if row.name.adni_rid().is_some_and(|rid| !names.by_rid.contains_key(&rid)) {
                names.add(&row.name);
            }
        }
        names
    }

    fn add(&mut self, subject: &SubjectId) {
        if let Some(rid) = subject.adni_rid() {
            self.by_rid.entry(rid).or_default().insert(subject.person_key());
        }
    }

    /// The key of the subject that a row of the list names.
    fn key_of(&self, row: &ListedSubject, list: &SubjectList) -> Result<String, CohortError> {
        let key = row.name.person_key();
        if self.keys.contains(&key) {
            return Ok(key);
        }
        let candidates = match (row.name.adni_rid(), bare_number(&row.name)) {
            (Some(rid), _) => self.by_number.get(&rid),
            (None, Some(number)) => self.by_rid.get(&number).or_else(|| self.by_number.get(&number)),
            (None, None) => None,
        };
        let mut candidates = candidates.into_iter().flatten();
        match (candidates.next(), candidates.next()) {
            (None, _) => Ok(key),
            (Some(one), None) => Ok(one.clone()),
            (Some(first), Some(second)) => Err(SplitError::Ambiguous {
                path: list.path.clone(),
                line: row.line,
                name: row.name.to_string(),
                first: first.clone(),
                second: second.clone(),
            }
            .into()),
        }
    }
}

/// The number of a subject whose id is only a number, such as 413 for `sub-0413`.
fn bare_number(subject: &SubjectId) -> Option<u32> {
    subject.label().parse().ok().filter(|_| subject.label().bytes().all(|byte| byte.is_ascii_digit()))
}
