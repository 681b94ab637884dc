//! Cross-validation: every subject is in exactly one test fold.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::config::fraction;
use super::people::{People, Person, rank, share};
use super::{Partition, Split};
use crate::{CohortError, Diagnosis, Scan};

/// Largest number of folds.
const MOST_FOLDS: usize = 100;

/// Settings of cross-validation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoldConfig {
    /// Number of folds, at least 2.
    pub n_folds: usize,
    /// Fraction of each class's scans for validation, taken from the scans outside the test fold.
    pub validation: f64,
    /// Seed that orders subjects with equal numbers of scans.
    pub seed: u64,
    /// The classes. Scans with another diagnosis, or none, are excluded.
    pub classes: Vec<Diagnosis>,
}

impl Default for FoldConfig {
    fn default() -> Self {
        Self { n_folds: 5, validation: 0.1, seed: 0, classes: vec![Diagnosis::Cn, Diagnosis::Ad] }
    }
}

/// Deals subjects to folds and makes one split per fold. The fold is the test partition, part of the rest is
/// the validation partition, and the remainder is the training partition.
///
/// Within each class, subjects are sorted by descending number of scans. The seed orders subjects with equal
/// numbers. Each subject goes to the fold with the fewest scans of the class so far (ties: the fewest
/// subjects). Validation takes subjects of the other folds, in an order given by seed and fold, until it has
/// its share of the class's scans. A subject whose sessions have different diagnoses belongs to the class of
/// its most severe one.
///
/// # Errors
/// [`CohortError::Folds`] if the number of folds or the share is out of range, or a class has fewer subjects
/// than the number of folds plus one; [`CohortError::Duplicate`] if a scan is given twice.
///
/// # Determinism
/// The result depends only on the set of scans and the configuration.
pub fn split_folds(scans: &[Scan], config: &FoldConfig) -> Result<Vec<Split>, CohortError> {
    let people = People::of(scans, &config.classes).0;
    let classes: BTreeSet<Diagnosis> = config.classes.iter().copied().collect();
    let n_of = |class| people.values().filter(|person| person.class == class).count();
    let scarcest = classes.iter().map(|&class| (n_of(class), class)).min();
    let enough = scarcest.is_some_and(|(n_subjects, _)| n_subjects > config.n_folds);
    let in_range =
        (2..=MOST_FOLDS).contains(&config.n_folds) && config.validation > 0.0 && config.validation <= 0.5;
    if !enough || !in_range {
        let (n_subjects, diagnosis) = scarcest.unwrap_or((0, Diagnosis::Cn));
        let (n_folds, validation) = (config.n_folds, config.validation);
        return Err(CohortError::Folds { n_folds, validation, diagnosis, n_subjects });
    }
    let fold_of: BTreeMap<&str, usize> =
        classes.iter().flat_map(|&class| deal_class(&people, class, config)).collect();
    let splits = (0..config.n_folds).map(|fold| split_of(fold, &people, &fold_of, config));
    let too_few = |error| match error {
        CohortError::EmptyClass { diagnosis, .. } => CohortError::Folds {
            n_folds: config.n_folds,
            validation: config.validation,
            n_subjects: n_of(diagnosis),
            diagnosis,
        },
        other => other,
    };
    splits.map(|split| split.map_err(too_few)).collect()
}

/// The fold of every subject of a class.
fn deal_class<'a>(
    people: &'a BTreeMap<String, Person<'_>>,
    class: Diagnosis,
    config: &FoldConfig,
) -> Vec<(&'a str, usize)> {
    let mut of_class: Vec<(&String, usize)> = people
        .iter()
        .filter(|(_, person)| person.class == class)
        .map(|(key, person)| (key, person.scans.len()))
        .collect();
    of_class.sort_by_cached_key(|(key, n_scans)| (Reverse(*n_scans), rank(config.seed, "folds", key)));
    let mut folds = vec![(0, 0); config.n_folds];
    let mut dealt = Vec::new();
    for (key, n_scans) in of_class {
        let fold = (0..folds.len()).min_by_key(|&fold| folds[fold]).expect("two folds at least");
        folds[fold].0 += n_scans;
        folds[fold].1 += 1;
        dealt.push((key.as_str(), fold));
    }
    dealt
}

fn split_of(
    fold: usize,
    people: &BTreeMap<String, Person<'_>>,
    fold_of: &BTreeMap<&str, usize>,
    config: &FoldConfig,
) -> Result<Split, CohortError> {
    let purpose = format!("validation of fold {fold}");
    let mut order: Vec<(&String, &Person<'_>)> = people.iter().collect();
    order.sort_by_cached_key(|(key, _)| rank(config.seed, &purpose, key));
    let mut n_scans: BTreeMap<Diagnosis, usize> = BTreeMap::new();
    for person in people.values() {
        *n_scans.entry(person.class).or_default() += person.scans.len();
    }
    let mut wanted: BTreeMap<Diagnosis, usize> =
        n_scans.iter().map(|(&class, &n)| (class, share(config.validation, n))).collect();
    let mut rows = Vec::new();
    for (key, person) in order {
        let left = wanted.entry(person.class).or_default();
        let partition = if fold_of.get(key.as_str()) == Some(&fold) {
            Partition::Test
        } else if *left > 0 {
            *left = left.saturating_sub(person.scans.len());
            Partition::Validation
        } else {
            Partition::Train
        };
        rows.extend(person.rows(partition));
    }
    let split = Split::from_rows(rows, format!("split.tsv of fold {}", fold + 1).into())?;
    let FoldConfig { n_folds, validation, seed, classes } = config;
    let classes: Vec<&str> = classes.iter().map(|class| class.name()).collect();
    Ok(split.with_strategy(&format!(
        "k-fold; fold {} of {n_folds}; validation {}; classes {}; seed {seed}",
        fold + 1,
        fraction(*validation),
        classes.join(" ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::split::SplitRow;
    use crate::{ScanId, SessionId, SubjectId};

    /// `n` subjects of each class with one to five scans each.
    fn cohort(n: usize) -> Vec<Scan> {
        let mut scans = Vec::new();
        for idx in 0..2 * n {
            let subject = SubjectId::parse(&format!("002_S_{idx:04}")).unwrap();
            let diagnosis = if idx % 2 == 0 { Diagnosis::Cn } else { Diagnosis::Ad };
            for visit in 0..=(idx / 2) % 5 {
                let session = SessionId::parse(&format!("m{:02}", 6 * visit)).unwrap();
                scans.push(Scan::new(ScanId::new(&subject, &session, None), Some(diagnosis)));
            }
        }
        scans
    }

    #[test]
    fn everybody_is_tested_once_and_nobody_is_on_two_sides() {
        let scans = cohort(20);
        let config = FoldConfig { n_folds: 3, ..FoldConfig::default() };
        let splits = split_folds(&scans, &config).unwrap();
        let mut tested = Vec::new();
        for split in &splits {
            split.verify().unwrap();
            assert_eq!(split.rows().len(), scans.len());
            tested.extend(split.subjects_of(Partition::Test).into_iter().cloned());
        }
        tested.sort();
        let n_tested = tested.len();
        tested.dedup();
        assert_eq!((n_tested, tested.len()), (40, 40));
    }

    #[test]
    fn folds_are_of_one_size_in_each_class() {
        let scans = cohort(30);
        let splits = split_folds(&scans, &FoldConfig::default()).unwrap();
        for class in [Diagnosis::Cn, Diagnosis::Ad] {
            let sizes: Vec<usize> = splits
                .iter()
                .map(|split| split.rows_of(Partition::Test).filter(|row| row.diagnosis == class).count())
                .collect();
            // The largest subject has five scans; the smallest, dealt last, has one.
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
            let n_class = scans.iter().filter(|scan| scan.diagnosis == Some(class)).count();
            for split in &splits {
                let of_class = |row: &&SplitRow| row.diagnosis == class;
                let n = split.rows_of(Partition::Validation).filter(of_class).count();
                assert!(n * 10 >= n_class && n * 10 < n_class + 50, "{n} of {n_class}");
            }
        }
    }

    #[test]
    fn the_seed_and_not_the_order_of_scans_decides() {
        let scans = cohort(20);
        let reversed: Vec<Scan> = scans.iter().rev().cloned().collect();
        let config = FoldConfig::default();
        assert_eq!(split_folds(&scans, &config).unwrap(), split_folds(&reversed, &config).unwrap());
        let other = FoldConfig { seed: 1, ..config.clone() };
        assert_ne!(split_folds(&scans, &config).unwrap(), split_folds(&scans, &other).unwrap());
    }

    #[test]
    fn too_few_subjects_or_odd_numbers_are_refused() {
        let config = |n_folds, validation| FoldConfig { n_folds, validation, ..FoldConfig::default() };
        for bad in [config(1, 0.1), config(101, 0.1), config(3, 0.0), config(3, 0.6), config(20, 0.1)] {
            assert!(split_folds(&cohort(20), &bad).is_err(), "{bad:?}");
        }
        let message = split_folds(&cohort(5), &config(5, 0.1)).unwrap_err().to_string();
        assert!(message.contains("5 CN subjects"), "{message}");
        assert!(split_folds(&[], &config(2, 0.1)).is_err());
    }
}
