//! Confidence intervals.

use serde::{Deserialize, Serialize};

/// The 97.5 % quantile of the standard normal distribution.
pub(crate) const Z_95: f64 = 1.959_963_984_540_054;

/// A 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
}

/// Wilson's 95 % interval of a proportion, which takes the trials as independent.
/// `None` without trials.
///
/// # Reference
/// Wilson 1927, doi:10.1080/01621459.1927.10502953.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of scans are far below 2^52")]
pub fn wilson(n_successes: u64, n_trials: u64) -> Option<Interval> {
    if n_trials == 0 || n_successes > n_trials {
        return None;
    }
    let n = n_trials as f64;
    let p = n_successes as f64 / n;
    let z2 = Z_95 * Z_95;
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z_95 / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let lower = if n_successes == 0 { 0.0 } else { (centre - half).max(0.0) };
    let upper = if n_successes == n_trials { 1.0 } else { (centre + half).min(1.0) };
    Some(Interval { lower, upper })
}
