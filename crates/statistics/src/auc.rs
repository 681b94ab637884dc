//! Area under the ROC curve.

use serde::{Deserialize, Serialize};

use crate::Interval;
use crate::interval::Z_95;

/// Area under the ROC curve: the probability that a positive scores higher than a negative, with ties
/// counting half. `None` if a class is missing or a score is NaN. `O(n log n)`.
///
/// # Panics
/// If the lengths differ.
#[must_use]
pub fn roc_auc(labels: &[bool], scores: &[f64]) -> Option<f64> {
    assert_eq!(labels.len(), scores.len(), "one score for each label");
    if scores.iter().any(|score| score.is_nan()) {
        return None;
    }
    SortedScores::new(labels, scores).auc(&vec![1; labels.len()])
}

/// Labels sorted by score, so that many resamples need one sort.
pub(crate) struct SortedScores {
    /// Groups of tied scores, ascending: original index and label of each member.
    groups: Vec<Vec<(usize, bool)>>,
}

impl SortedScores {
    pub(crate) fn new(labels: &[bool], scores: &[f64]) -> Self {
        let mut groups: Vec<Vec<(usize, bool)>> = Vec::new();
        let mut last = None;
        for idx in ascending(scores) {
            // -0.0 and 0.0 are the same score.
            let key = (scores[idx] + 0.0).to_bits();
            match groups.last_mut() {
                Some(group) if last == Some(key) => group.push((idx, labels[idx])),
                _ => groups.push(vec![(idx, labels[idx])]),
            }
            last = Some(key);
        }
        Self { groups }
    }

    /// The AUC in which scan `i` counts `weights[i]` times.
    #[expect(clippy::cast_precision_loss, reason = "pairs of scans are far below 2^52")]
    pub(crate) fn auc(&self, weights: &[u64]) -> Option<f64> {
        // Twice the number of correctly ordered pairs, so that a tie counts 1.
        let (mut doubled_pairs, mut n_positive, mut n_negative) = (0_u64, 0_u64, 0_u64);
        for group in &self.groups {
            let (mut positive, mut negative) = (0, 0);
            for &(idx, label) in group {
                *(if label { &mut positive } else { &mut negative }) += weights[idx];
            }
            doubled_pairs += positive * (2 * n_negative + negative);
            n_positive += positive;
            n_negative += negative;
        }
        let n_pairs = n_positive * n_negative;
        (n_pairs > 0).then(|| doubled_pairs as f64 / (2 * n_pairs) as f64)
    }
}

/// An AUC with its standard error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DeLong {
    /// The area under the curve.
    pub auc: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// Normal 95 % interval, clipped to 0..1.
    pub interval: Interval,
}

/// The AUC with DeLong's standard error, which assumes independent scans. Use it with one prediction per
/// subject. `None` with fewer than two scans of a class.
///
/// # Panics
/// If the lengths differ.
///
/// # Reference
/// DeLong et al. 1988, doi:10.2307/2531595; by midranks: Sun and Xu 2014, doi:10.1109/LSP.2014.2337313.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of scans are far below 2^52")]
pub fn delong(labels: &[bool], scores: &[f64]) -> Option<DeLong> {
    let auc = roc_auc(labels, scores)?;
    let of_class = |class: bool| -> Vec<f64> {
        let chosen = labels.iter().zip(scores).filter(|(label, _)| **label == class);
        chosen.map(|(_, &score)| score).collect()
    };
    let (positives, negatives) = (of_class(true), of_class(false));
    let (m, n) = (positives.len() as f64, negatives.len() as f64);
    if positives.len() < 2 || negatives.len() < 2 {
        return None;
    }
    let joint: Vec<f64> = positives.iter().chain(&negatives).copied().collect();
    let joint_ranks = midranks(&joint);
    let (joint_positive, joint_negative) = joint_ranks.split_at(positives.len());
    let placements = |joint: &[f64], own: Vec<f64>, n_other: f64| -> Vec<f64> {
        joint.iter().zip(own).map(|(all, own)| (all - own) / n_other).collect()
    };
    let v10 = placements(joint_positive, midranks(&positives), n);
    let v01 = placements(joint_negative, midranks(&negatives), m);
    let standard_error = (variance(&v10) / m + variance(&v01) / n).sqrt();
    let half = Z_95 * standard_error;
    let interval = Interval { lower: (auc - half).max(0.0), upper: (auc + half).min(1.0) };
    Some(DeLong { auc, standard_error, interval })
}

fn ascending(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| (scores[a] + 0.0).total_cmp(&(scores[b] + 0.0)));
    order
}

/// Ranks from 1. Tied values share their mean rank.
#[expect(clippy::cast_precision_loss, reason = "counts of scans are far below 2^52")]
pub(crate) fn midranks(values: &[f64]) -> Vec<f64> {
    let order = ascending(values);
    let mut ranks = vec![0.0; values.len()];
    let mut n_before = 0;
    for group in order.chunk_by(|&a, &b| values[a] >= values[b]) {
        let rank = n_before as f64 + (group.len() + 1) as f64 / 2.0;
        for &idx in group {
            ranks[idx] = rank;
        }
        n_before += group.len();
    }
    ranks
}

/// Sample variance (n - 1).
#[expect(clippy::cast_precision_loss, reason = "counts of scans are far below 2^52")]
fn variance(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_class_has_no_auc() {
        assert_eq!(roc_auc(&[true, true], &[0.1, 0.2]), None);
        assert_eq!(roc_auc(&[], &[]), None);
        assert_eq!(roc_auc(&[true, false], &[f64::NAN, 0.2]), None);
        assert_eq!(roc_auc(&[true, false], &[0.0, -0.0]), Some(0.5));
    }

    proptest! {
        #[test]
        fn auc_is_the_fraction_of_ordered_pairs(scans in proptest::collection::vec((any::<bool>(), 0..6_u8), 0..40)) {
            let labels: Vec<bool> = scans.iter().map(|scan| scan.0).collect();
            let scores: Vec<f64> = scans.iter().map(|scan| f64::from(scan.1)).collect();
            let (mut right, mut all) = (0.0, 0.0);
            for positive in scans.iter().filter(|scan| scan.0) {
                for negative in scans.iter().filter(|scan| !scan.0) {
                    all += 1.0;
                    right += match positive.1.cmp(&negative.1) {
                        std::cmp::Ordering::Greater => 1.0,
                        std::cmp::Ordering::Equal => 0.5,
                        std::cmp::Ordering::Less => 0.0,
                    };
                }
            }
            let auc = roc_auc(&labels, &scores);
            prop_assert_eq!(auc.is_some(), all > 0.0);
            prop_assert!(auc.is_none_or(|auc| (auc - right / all).abs() < 1e-12));
        }
    }
}
