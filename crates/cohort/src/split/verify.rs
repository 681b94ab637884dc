//! Verification of a split before training or evaluation.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::{Partition, Split, SplitError, SplitRow};
use crate::{CohortError, Diagnosis, Scan, ScanTable, SubjectId};

impl Split {
    /// Sorts and verifies the rows. This is the only constructor of a split by subject.
    pub(super) fn from_rows(rows: Vec<SplitRow>, source: PathBuf) -> Result<Self, CohortError> {
        let split = Self::unchecked(rows, source);
        split.verify()?;
        Ok(split)
    }

    /// Like [`Self::from_rows`], but the rows may leak. The result is marked leaky.
    pub(super) fn leaky_from_rows(rows: Vec<SplitRow>, source: PathBuf) -> Result<Self, CohortError> {
        let split = Self { is_leaky: true, ..Self::unchecked(rows, source) };
        split.verify_scans()?;
        split.verify_classes()?;
        Ok(split)
    }

    fn unchecked(mut rows: Vec<SplitRow>, source: PathBuf) -> Self {
        rows.sort();
        Self { rows, source, edited_by_hand: false, is_leaky: false, notes: Vec::new() }
    }

    /// Returns an error for a split that would give a dishonest result: a duplicate scan, a subject in two
    /// partitions (also under two spellings of its id), or a partition without any scan of a class. A split
    /// that is leaky on purpose fails too.
    ///
    /// # Errors
    /// [`CohortError::Duplicate`], [`CohortError::SubjectInTwoPartitions`],
    /// [`CohortError::EmptyClass`], [`SplitError::Leaky`]; each names the file and the remedy.
    pub fn verify(&self) -> Result<(), CohortError> {
        self.verify_scans()?;
        self.verify_subjects()?;
        self.verify_classes()?;
        if self.is_leaky {
            return Err(SplitError::Leaky { path: self.source.clone() }.into());
        }
        Ok(())
    }

    fn verify_scans(&self) -> Result<(), CohortError> {
        match self.rows.windows(2).find(|pair| pair[0].scan_id == pair[1].scan_id) {
            None => Ok(()),
            Some(pair) => {
                let key = pair[0].scan_id.to_string();
                Err(CohortError::Duplicate { path: self.source.clone(), key, line: 0 })
            }
        }
    }

    fn verify_subjects(&self) -> Result<(), CohortError> {
        let mut homes: BTreeMap<String, &SplitRow> = BTreeMap::new();
        for row in &self.rows {
            let home = *homes.entry(row.subject().person_key()).or_insert(row);
            if home.partition != row.partition {
                return Err(CohortError::SubjectInTwoPartitions {
                    path: self.source.clone(),
                    first: Box::new(home.clone()),
                    second: Box::new(row.clone()),
                });
            }
        }
        Ok(())
    }

    fn verify_classes(&self) -> Result<(), CohortError> {
        // A split with one class teaches nothing. With fewer than two classes, report CN and AD as missing.
        let mut classes: BTreeSet<Diagnosis> = self.rows.iter().map(|row| row.diagnosis).collect();
        if classes.len() < 2 {
            classes.extend([Diagnosis::Cn, Diagnosis::Ad]);
        }
        for partition in Partition::ALL {
            let present: BTreeSet<_> = self.rows_of(partition).map(|row| row.diagnosis).collect();
            if let Some(&diagnosis) = classes.difference(&present).next() {
                let of_class = self.rows.iter().filter(|row| row.diagnosis == diagnosis);
                let subjects: BTreeSet<&SubjectId> = of_class.map(SplitRow::subject).collect();
                return Err(CohortError::EmptyClass {
                    path: self.source.clone(),
                    partition,
                    diagnosis,
                    n_subjects: subjects.len(),
                });
            }
        }
        Ok(())
    }

    /// Finds each row's scan, in the order of the rows.
    ///
    /// # Errors
    /// [`CohortError::SplitMismatch`] if a scan is not in the table or has another diagnosis there;
    /// [`CohortError::ImageInTwoPartitions`] if the same bytes are in two partitions, which means that one
    /// subject has two ids. A leaky split may contain such images.
    pub fn join<'a>(&'a self, table: &'a ScanTable) -> Result<Vec<(&'a SplitRow, &'a Scan)>, CohortError> {
        let mut joined = Vec::with_capacity(self.rows.len());
        let mut by_content: BTreeMap<&str, &SplitRow> = BTreeMap::new();
        for row in &self.rows {
            let scan =
                table.get(&row.scan_id).ok_or_else(|| self.mismatch(row, "is not in scans.tsv".into()))?;
            if scan.diagnosis != Some(row.diagnosis) {
                let found = scan.diagnosis.map_or("n/a", Diagnosis::name);
                return Err(self.mismatch(row, format!("is {} here and {found} in scans.tsv", row.diagnosis)));
            }
            if let Some(sha256) = &scan.sha256 {
                let twin = *by_content.entry(sha256).or_insert(row);
                if twin.partition != row.partition && !self.is_leaky {
                    return Err(CohortError::ImageInTwoPartitions {
                        first: Box::new(twin.clone()),
                        second: Box::new(row.clone()),
                    });
                }
            }
            joined.push((row, scan));
        }
        Ok(joined)
    }

    fn mismatch(&self, row: &SplitRow, problem: String) -> CohortError {
        CohortError::SplitMismatch { path: self.source.clone(), scan: row.scan_id.clone(), problem }
    }
}
