//! Numbers of subjects and scans per class and partition.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Partition, PerPartition, Split};
use crate::Diagnosis;

/// Subjects and scans of one diagnosis in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitCount {
    /// The partition.
    pub partition: Partition,
    /// The diagnosis.
    pub diagnosis: Diagnosis,
    /// Number of subjects with at least one such scan. A converter counts under each diagnosis.
    pub n_subjects: usize,
    /// Number of scans.
    pub n_scans: usize,
}

/// All counts, by partition, then by diagnosis. `Display` formats them as a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitCounts {
    /// The counts. Diagnoses without scans in the whole split are absent.
    pub counts: Vec<SplitCount>,
    /// Number of subjects in each partition.
    pub n_subjects: PerPartition<usize>,
    /// Number of scans in each partition.
    pub n_scans: PerPartition<usize>,
}

impl Split {
    /// Counts subjects and scans.
    #[must_use]
    pub fn counts(&self) -> SplitCounts {
        let diagnoses: BTreeSet<Diagnosis> = self.rows.iter().map(|row| row.diagnosis).collect();
        let mut counts = Vec::new();
        for partition in Partition::ALL {
            for &diagnosis in &diagnoses {
                let of_both = || self.rows_of(partition).filter(|row| row.diagnosis == diagnosis);
                let people: BTreeSet<_> = of_both().map(|row| row.subject().person_key()).collect();
                let (n_subjects, n_scans) = (people.len(), of_both().count());
                counts.push(SplitCount { partition, diagnosis, n_subjects, n_scans });
            }
        }
        let people = |partition| {
            let keys: BTreeSet<_> = self.rows_of(partition).map(|row| row.subject().person_key()).collect();
            keys.len()
        };
        SplitCounts {
            counts,
            n_subjects: PerPartition::from_fn(people),
            n_scans: PerPartition::from_fn(|partition| self.rows_of(partition).count()),
        }
    }
}

impl fmt::Display for SplitCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<12} {:<9} {:>8} {:>8}", "partition", "diagnosis", "subjects", "scans")?;
        for count in &self.counts {
            let SplitCount { partition, diagnosis, n_subjects, n_scans } = count;
            writeln!(f, "{partition:<12} {diagnosis:<9} {n_subjects:>8} {n_scans:>8}")?;
        }
        for partition in Partition::ALL {
            let (n_subjects, n_scans) = (self.n_subjects.get(partition), self.n_scans.get(partition));
            writeln!(f, "{partition:<12} {:<9} {n_subjects:>8} {n_scans:>8}", "all")?;
        }
        Ok(())
    }
}
