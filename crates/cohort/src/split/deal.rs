//! Round-robin assignment of subjects to partitions.

use super::people::{People, Person, share};
use super::{Partition, SplitConfig, SplitRow};

/// The rows of all subjects, dealt round robin within each class.
pub(super) fn round_robin(people: &People<'_>, config: &SplitConfig) -> Vec<SplitRow> {
    people.by_class().into_values().flat_map(|of_class| deal_class(of_class, config)).collect()
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
        rows.extend(person.rows(partition));
    }
    rows
}

struct Hand {
    partition: Partition,
    n_wanted: usize,
    n_scans: usize,
}

impl Hand {
    fn new(partition: Partition, fraction: f64, n_scans: usize) -> Self {
        Self { partition, n_wanted: share(fraction, n_scans), n_scans: 0 }
    }
}

/// The next partition in turn that still needs scans; train if none does.
fn next_hand(hands: &mut [Hand; 3], turn: &mut usize, n_scans: usize) -> Partition {
    let open = (0..hands.len()).map(|step| (*turn + step) % hands.len());
    let chosen = open.into_iter().find(|&idx| hands[idx].n_scans < hands[idx].n_wanted);
    let Some(idx) = chosen else { return Partition::Train };
    hands[idx].n_scans += n_scans;
    *turn = (idx + 1) % hands.len();
    hands[idx].partition
}
