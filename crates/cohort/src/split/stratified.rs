//! Random splits: by subject within each class, and, for demonstration, by scan.

use std::collections::BTreeMap;

use super::people::{People, Person, of_classes, rank, row, share};
use super::{Partition, SplitConfig, SplitRow};
use crate::{Diagnosis, Scan};

/// Rows of all subjects: within each class some go to test, some to validation, the rest to training.
pub(super) fn stratified(people: &People<'_>, config: &SplitConfig) -> Vec<SplitRow> {
    let mut rows = Vec::new();
    for mut left in people.by_class().into_values() {
        let n_scans = count(&left);
        shuffle(&mut left, config.seed, "stratified");
        let test = take_share(&mut left, share(config.test, n_scans));
        let validation = take_share(&mut left, share(config.validation, n_scans));
        for (people, partition) in
            [(test, Partition::Test), (validation, Partition::Validation), (left, Partition::Train)]
        {
            rows.extend(people.iter().flat_map(|person| person.rows(partition)));
        }
    }
    rows
}

/// Rows of subjects of whom some go to validation and the rest to training.
pub(super) fn validate_and_train(people: &People<'_>, config: &SplitConfig) -> Vec<SplitRow> {
    let mut rows = Vec::new();
    for mut left in people.by_class().into_values() {
        let n_wanted = share(config.validation_of_rest(), count(&left));
        shuffle(&mut left, config.seed, "validation of the rest");
        let validation = take_share(&mut left, n_wanted);
        for (people, partition) in [(validation, Partition::Validation), (left, Partition::Train)] {
            rows.extend(people.iter().flat_map(|person| person.rows(partition)));
        }
    }
    rows
}

/// Rows of scans assigned at random within each diagnosis, regardless of subject. This leaks.
pub(super) fn scan_level(scans: &[Scan], config: &SplitConfig) -> Vec<SplitRow> {
    let mut by_class: BTreeMap<Diagnosis, Vec<&Scan>> = BTreeMap::new();
    for (scan, diagnosis) in of_classes(scans, &config.classes) {
        by_class.entry(diagnosis).or_default().push(scan);
    }
    let mut rows = Vec::new();
    for (diagnosis, mut of_class) in by_class {
        of_class.sort_by_cached_key(|scan| rank(config.seed, "scan-level", &scan.scan_id.to_string()));
        let n_test = share(config.test, of_class.len());
        let n_not_train = n_test + share(config.validation, of_class.len());
        for (idx, scan) in of_class.into_iter().enumerate() {
            let partition = match idx {
                idx if idx < n_test => Partition::Test,
                idx if idx < n_not_train => Partition::Validation,
                _ => Partition::Train,
            };
            rows.push(row(scan, diagnosis, partition));
        }
    }
    rows
}

fn count(people: &[&Person<'_>]) -> usize {
    people.iter().map(|person| person.scans.len()).sum()
}

fn shuffle(people: &mut [&Person<'_>], seed: u64, purpose: &str) {
    people.sort_by_cached_key(|person| rank(seed, purpose, &person.subject.person_key()));
}

/// Takes subjects out of `left`, in order, if they bring the number of scans closer to `n_wanted`. Takes at
/// least one: the subject with the fewest scans if all have too many.
///
/// The count misses the target by at most half of one subject's scans, unless a single subject exceeds the
/// target.
fn take_share<'p, 'a>(left: &mut Vec<&'p Person<'a>>, n_wanted: usize) -> Vec<&'p Person<'a>> {
    let (mut n_scans, mut taken) = (0, Vec::new());
    left.retain(|person| {
        let is_nearer = 2 * n_scans + person.scans.len() <= 2 * n_wanted;
        if is_nearer {
            n_scans += person.scans.len();
            taken.push(*person);
        }
        !is_nearer
    });
    if taken.is_empty()
        && let Some(idx) = (0..left.len()).min_by_key(|&idx| left[idx].scans.len())
    {
        taken.push(left.remove(idx));
    }
    taken
}
