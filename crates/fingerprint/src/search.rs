//! Finds all similar pairs of a cohort.

use rayon::prelude::*;

use crate::{Fingerprint, Similarity};

/// Two images that may be copies of one acquisition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Index of one fingerprint.
    pub first: usize,
    /// Index of the other fingerprint, larger than `first`.
    pub second: usize,
    /// Their similarity.
    pub similarity: Similarity,
}

/// Every pair whose similarity is at least `threshold` (use [`CANDIDATE`](crate::CANDIDATE)), by descending
/// similarity, then by index.
///
/// # Determinism
/// The same list for any number of threads.
#[must_use]
pub fn candidates(fingerprints: &[Fingerprint], threshold: f64) -> Vec<Candidate> {
    let mirrored: Vec<_> = fingerprints.iter().map(Fingerprint::mirrored_code).collect();
    let mut found: Vec<Candidate> = (0..fingerprints.len())
        .into_par_iter()
        .flat_map_iter(|first| {
            let mirrored = &mirrored;
            (first + 1..fingerprints.len()).filter_map(move |second| {
                let similarity = fingerprints[first].similarity_to(&fingerprints[second], &mirrored[second]);
                (similarity.value >= threshold).then_some(Candidate { first, second, similarity })
            })
        })
        .collect();
    found.sort_by(|a, b| {
        let by_value = b.similarity.value.total_cmp(&a.similarity.value);
        by_value.then((a.first, a.second).cmp(&(b.first, b.second)))
    });
    found
}
