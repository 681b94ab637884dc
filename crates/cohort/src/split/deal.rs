//! Dealing subjects to partitions, round robin.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Partition, Split, SplitRow};
use crate::{CohortError, Diagnosis, Scan, SubjectId};

/// Which classes are split, and into how large parts.
///
/// Read from a file, a missing `train` is what validation and test leave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Fields")]
pub struct SplitConfig {
    /// Fraction of each class's scans for training.
    pub train: f64,
    /// Fraction of each class's scans for validation.
    pub validation: f64,
    /// Fraction of each class's scans for testing.
    pub test: f64,
    /// The classes; scans of any other diagnosis, or of none, are left out.
    pub classes: Vec<Diagnosis>,
}

impl Default for SplitConfig {
    fn default() -> Self {
        Self { train: 0.8, validation: 0.1, test: 0.1, classes: vec![Diagnosis::Cn, Diagnosis::Ad] }
    }
}

/// [`SplitConfig`] as it is written.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Fields {
    train: Option<f64>,
    validation: f64,
    test: f64,
    classes: Vec<Diagnosis>,
}

impl Default for Fields {
    fn default() -> Self {
        let SplitConfig { validation, test, classes, .. } = SplitConfig::default();
        Self { train: None, validation, test, classes }
    }
}

impl From<Fields> for SplitConfig {
    fn from(fields: Fields) -> Self {
        let Fields { train, validation, test, classes } = fields;
        Self { train: train.unwrap_or(1.0 - validation - test), validation, test, classes }
    }
}

impl SplitConfig {
    /// Checks the fractions.
    ///
    /// # Errors
    /// [`CohortError::Fractions`].
    pub fn validate(&self) -> Result<(), CohortError> {
        let &Self { train, validation, test, .. } = self;
        let all_positive = [train, validation, test].into_iter().all(|fraction| fraction > 0.0);
        if all_positive && (train + validation + test - 1.0).abs() < 1e-6 {
            return Ok(());
        }
        Err(CohortError::Fractions { train, validation, test })
    }
}

/// Deals subjects to the partitions.
///
/// Within each class, subjects are sorted by ascending number of scans (then by id) and dealt in turn
/// to test, validation and train, each until it has reached its target number of scans; the rest goes
/// to train. So validation and test hold many subjects with few scans each. A target is the fraction
/// times the class's scans, rounded, and at least 1.
///
/// A subject whose sessions have different diagnoses is dealt once, with all its scans, in the class
/// of its most severe diagnosis; each scan keeps the diagnosis of its own session.
///
/// # Errors
/// [`CohortError::Fractions`]; [`CohortError::EmptyClass`] if there are fewer than three subjects of a
/// class; [`CohortError::Duplicate`] if a scan is given twice.
///
/// # Determinism
/// A function of the set of scans and the configuration: the order of `scans` does not matter.
pub fn split_round_robin(scans: &[Scan], config: &SplitConfig) -> Result<Split, CohortError> {
    config.validate()?;
    let people = group_by_person(scans, &config.classes);
    let mut rows = Vec::new();
    let classes: BTreeSet<Diagnosis> = config.classes.iter().copied().collect();
    for class in classes {
        let of_class = people.values().filter(|person| person.class == class).collect();
        rows.extend(deal_class(of_class, config));
    }
    Split::from_rows(rows, "split.tsv".into())
}

/// A person, under whatever spellings, with all scans.
pub(super) struct Person<'a> {
    subject: &'a SubjectId,
    /// The most severe diagnosis.
    pub(super) class: Diagnosis,
    /// Scans of the classes asked for, each with the diagnosis of its session.
    pub(super) scans: Vec<(&'a Scan, Diagnosis)>,
}

/// People by a key that is the same for all spellings of a name.
pub(super) fn group_by_person<'a>(scans: &'a [Scan], classes: &[Diagnosis]) -> BTreeMap<String, Person<'a>> {
    let mut people: BTreeMap<String, Person<'a>> = BTreeMap::new();
    for scan in scans {
        let Some(diagnosis) = scan.diagnosis.filter(|diagnosis| classes.contains(diagnosis)) else {
            continue;
        };
        let person = people.entry(scan.subject().person_key()).or_insert_with(|| Person {
            subject: scan.subject(),
            class: diagnosis,
            scans: Vec::new(),
        });
        person.subject = person.subject.min(scan.subject());
        person.class = person.class.max(diagnosis);
        person.scans.push((scan, diagnosis));
    }
    people
}

fn deal_class(mut people: Vec<&Person<'_>>, config: &SplitConfig) -> Vec<SplitRow> {
    people.sort_by_key(|person| (person.scans.len(), person.subject));
    let n_scans: usize = people.iter().map(|person| person.scans.len()).sum();
    let mut hands = [
        Hand::new(Partition::Test, config.test, n_scans),
        Hand::new(Partition::Validation, config.validation, n_scans),
        Hand::new(Partition::Train, config.train, n_scans),
    ];
    let (mut rows, mut turn) = (Vec::new(), 0);
    for person in people {
        let partition = next_hand(&mut hands, &mut turn, person.scans.len());
        rows.extend(person.scans.iter().map(|(scan, diagnosis)| SplitRow {
            scan_id: scan.scan_id.clone(),
            diagnosis: *diagnosis,
            partition,
        }));
    }
    rows
}

struct Hand {
    partition: Partition,
    n_wanted: usize,
    n_scans: usize,
}

impl Hand {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a fraction of a number of scans, rounded"
    )]
    fn new(partition: Partition, fraction: f64, n_scans: usize) -> Self {
        let n_wanted = ((fraction * n_scans as f64).round() as usize).max(1);
        Self { partition, n_wanted, n_scans: 0 }
    }
}

/// The partition whose turn it is among those that still want scans; train if none does.
fn next_hand(hands: &mut [Hand; 3], turn: &mut usize, n_scans: usize) -> Partition {
    let open = (0..hands.len()).map(|step| (*turn + step) % hands.len());
    let chosen = open.into_iter().find(|&idx| hands[idx].n_scans < hands[idx].n_wanted);
    let Some(idx) = chosen else { return Partition::Train };
    hands[idx].n_scans += n_scans;
    *turn = (idx + 1) % hands.len();
    hands[idx].partition
}
