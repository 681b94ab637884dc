//! Subjects with their scans, and pseudorandom orders.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{Partition, SplitRow};
use crate::{Diagnosis, Scan, SubjectId};

/// A subject with all scans, under any spelling of its id.
pub(super) struct Person<'a> {
    /// The first spelling of the id.
    pub(super) subject: &'a SubjectId,
    /// The most severe diagnosis.
    pub(super) class: Diagnosis,
    /// Scans of the configured classes, each with the diagnosis of its session.
    pub(super) scans: Vec<(&'a Scan, Diagnosis)>,
}

impl Person<'_> {
    /// The rows of this subject in a partition.
    pub(super) fn rows(&self, partition: Partition) -> impl Iterator<Item = SplitRow> {
        self.scans.iter().map(move |(scan, diagnosis)| row(scan, *diagnosis, partition))
    }
}

/// The row of a scan.
pub(super) fn row(scan: &Scan, diagnosis: Diagnosis, partition: Partition) -> SplitRow {
    SplitRow { scan_id: scan.scan_id.clone(), diagnosis, partition }
}

/// The scans of the classes, each with its diagnosis.
pub(super) fn of_classes<'a>(
    scans: impl IntoIterator<Item = &'a Scan>,
    classes: &[Diagnosis],
) -> Vec<(&'a Scan, Diagnosis)> {
    let with_class = |scan: &'a Scan| Some((scan, scan.diagnosis.filter(|class| classes.contains(class))?));
    scans.into_iter().filter_map(with_class).collect()
}

/// Subjects by a key that is the same for all spellings of the id.
pub(super) struct People<'a>(pub(super) BTreeMap<String, Person<'a>>);

impl<'a> People<'a> {
    /// The subjects of the scans of the classes.
    pub(super) fn of(scans: impl IntoIterator<Item = &'a Scan>, classes: &[Diagnosis]) -> Self {
        let mut people: BTreeMap<String, Person<'a>> = BTreeMap::new();
        for (scan, diagnosis) in of_classes(scans, classes) {
            let person = people.entry(scan.subject().person_key()).or_insert_with(|| Person {
                subject: scan.subject(),
                class: diagnosis,
                scans: Vec::new(),
            });
            person.subject = person.subject.min(scan.subject());
            person.class = person.class.max(diagnosis);
            person.scans.push((scan, diagnosis));
        }
        Self(people)
    }

    /// The subjects of each class, in key order.
    pub(super) fn by_class(&self) -> BTreeMap<Diagnosis, Vec<&Person<'a>>> {
        let mut by_class: BTreeMap<Diagnosis, Vec<&Person<'a>>> = BTreeMap::new();
        for person in self.0.values() {
            by_class.entry(person.class).or_default().push(person);
        }
        by_class
    }
}

/// A fraction of a number of scans, rounded, at least 1.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a fraction of a number of scans, rounded"
)]
pub(super) fn share(fraction: f64, n_scans: usize) -> usize {
    ((fraction * n_scans as f64).round() as usize).max(1)
}

/// Sort key of a subject or scan in a pseudorandom order.
pub(super) fn rank(seed: u64, purpose: &str, name: &str) -> [u8; 32] {
    Sha256::new()
        .chain_update(seed.to_le_bytes())
        .chain_update(purpose)
        .chain_update([0])
        .chain_update(name)
        .finalize()
        .into()
}
