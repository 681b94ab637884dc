//! Metrics of binary classifiers with confidence intervals, and tests of association, on plain slices.
//!
//! ```
//! use brainreel_statistics::{EvaluateConfig, evaluate};
//! # fn main() -> Result<(), brainreel_statistics::StatisticsError> {
//! let is_ad = [true, true, false, false, true, false];
//! let probability_ad = [0.9, 0.8, 0.3, 0.6, 0.7, 0.1];
//! let subjects = ["a", "a", "b", "c", "d", "e"];
//! let report = evaluate(&is_ad, &probability_ad, &subjects, &EvaluateConfig::default())?;
//! assert_eq!((report.n_scans, report.n_subjects), (6, 5));
//! assert_eq!(report.auc.value, Some(1.0));
//! assert_eq!(report.confusion.false_positive, 1);
//! # Ok(())
//! # }
//! ```
//!
//! The positive class is `true` (here: AD). Undefined values, for example the AUC of one class, are `None`.
//! This crate reads and writes no files.

pub mod association;

mod aggregate;
mod auc;
mod bootstrap;
mod confusion;
mod interval;
mod probability;
mod report;

pub use aggregate::{SubjectPrediction, aggregate_by_subject};
pub use auc::{DeLong, delong, roc_auc};
pub use bootstrap::{BootstrapConfig, cluster_bootstrap};
pub use confusion::ConfusionMatrix;
pub use interval::{Interval, wilson};
pub use probability::{brier_score, log_loss};
pub use report::{Estimate, EvaluateConfig, IntervalMethod, MetricsReport, evaluate};

/// Invalid input.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StatisticsError {
    /// Two slices that describe the same scans have different lengths.
    #[error("{got} {what} for {expected} labels")]
    Length {
        /// The input with the wrong length.
        what: &'static str,
        /// Its length.
        got: usize,
        /// The number of labels.
        expected: usize,
    },
    /// The input is empty.
    #[error("no predictions to evaluate")]
    Empty,
    /// A value that is not a probability.
    #[error("the probability of scan {idx} is {got}, expected a number from 0 to 1")]
    Probability {
        /// Zero-based position.
        idx: usize,
        /// The value.
        got: f64,
    },
    /// A decision threshold outside 0..1.
    #[error("the threshold is {got}, expected a number from 0 to 1")]
    Threshold {
        /// The value.
        got: f64,
    },
}

pub(crate) fn check_predictions<S>(
    labels: &[bool],
    probabilities: &[f64],
    subjects: &[S],
) -> Result<(), StatisticsError> {
    let expected = labels.len();
    for (what, got) in [("probabilities", probabilities.len()), ("subjects", subjects.len())] {
        if got != expected {
            return Err(StatisticsError::Length { what, got, expected });
        }
    }
    if labels.is_empty() {
        return Err(StatisticsError::Empty);
    }
    let wrong = probabilities.iter().position(|p| !(0.0..=1.0).contains(p));
    wrong.map_or(Ok(()), |idx| Err(StatisticsError::Probability { idx, got: probabilities[idx] }))
}

/// `numerator / denominator`, or `None` if the denominator is 0.
#[expect(clippy::cast_precision_loss, reason = "counts of scans are far below 2^52")]
pub(crate) fn ratio(numerator: u64, denominator: u64) -> Option<f64> {
    (denominator > 0).then(|| numerator as f64 / denominator as f64)
}
