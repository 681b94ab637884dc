//! Scores of predicted probabilities against outcomes.

/// Mean negative log-likelihood, in nats. Probabilities are clipped by the machine epsilon at 0 and 1, so
/// that one confident mistake gives a large number rather than infinity. `None` without scans.
///
/// # Panics
/// If the lengths differ.
#[must_use]
pub fn log_loss(labels: &[bool], probabilities: &[f64]) -> Option<f64> {
    weighted_mean(labels, probabilities, None, log_loss_of)
}

/// Mean squared distance of the probability from 0 or 1. `None` without scans.
///
/// # Panics
/// If the lengths differ.
#[must_use]
pub fn brier_score(labels: &[bool], probabilities: &[f64]) -> Option<f64> {
    weighted_mean(labels, probabilities, None, brier_of)
}

pub(crate) fn log_loss_of(label: bool, probability: f64) -> f64 {
    let kept = probability.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
    -(if label { kept } else { 1.0 - kept }).ln()
}

pub(crate) fn brier_of(label: bool, probability: f64) -> f64 {
    let outcome = if label { 1.0 } else { 0.0 };
    (probability - outcome).powi(2)
}

/// Mean of `score`, where scan `i` counts `weights[i]` times (once without weights).
#[expect(clippy::cast_precision_loss, reason = "counts of scans are far below 2^52")]
pub(crate) fn weighted_mean(
    labels: &[bool],
    probabilities: &[f64],
    weights: Option<&[u64]>,
    score: impl Fn(bool, f64) -> f64,
) -> Option<f64> {
    assert_eq!(labels.len(), probabilities.len(), "one probability for each label");
    let (mut sum, mut n_scans) = (0.0, 0);
    for (idx, (&label, &probability)) in labels.iter().zip(probabilities).enumerate() {
        let weight = weights.map_or(1, |weights| weights[idx]);
        sum += weight as f64 * score(label, probability);
        n_scans += weight;
    }
    (n_scans > 0).then(|| sum / n_scans as f64)
}
