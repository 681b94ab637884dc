//! Balances CN scans against AD scans.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{CohortImage, Rule};
use crate::Diagnosis;

/// Selects every AD scan, and takes CN scans round robin over subjects until the numbers are equal: first one
/// scan of each subject, then a second one of those who have it, and so on. This keeps as many subjects as
/// possible. Within a round the order is that of a hash of seed and subject id, because the order of ids
/// follows sites. If there are fewer CN than AD scans, or no AD scans, nothing is dropped.
pub(super) fn drop_surplus(images: &mut [CohortImage], seed: u64) {
    let of = |images: &[CohortImage], diagnosis| -> Vec<usize> {
        let is_one = |image: &CohortImage| image.is_kept() && image.visit.diagnosis == Some(diagnosis);
        (0..images.len()).filter(|&idx| is_one(&images[idx])).collect()
    };
    let n_wanted = of(images, Diagnosis::Ad).len();
    if n_wanted == 0 {
        return;
    }
    let pool = of(images, Diagnosis::Cn);
    let n_all = pool.len();
    let mut people: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for idx in pool {
        people.entry(images[idx].person_key().unwrap_or_default()).or_default().push(idx);
    }
    let mut turns: Vec<(usize, String, usize)> = Vec::new();
    for (person, scans) in people {
        let place = place_of(&person, seed);
        // Images are in order of time.
        turns.extend(scans.into_iter().enumerate().map(|(round, idx)| (round, place.clone(), idx)));
    }
    turns.sort();
    for (round, _, idx) in turns.into_iter().skip(n_wanted) {
        let reason = format!(
            "{n_all} CN scans against {n_wanted} AD scans; in round {} of one scan a subject it was not needed",
            round + 1
        );
        images[idx].drop_by(Rule::Balance, reason);
    }
}

fn place_of(person: &str, seed: u64) -> String {
    let digest = Sha256::digest(format!("balance {seed} {person}").as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
