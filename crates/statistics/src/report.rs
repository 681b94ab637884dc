//! All metrics of one evaluation, each with its interval.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::auc::SortedScores;
use crate::probability::{brier_of, log_loss_of, weighted_mean};
use crate::{
    BootstrapConfig, ConfusionMatrix, Interval, StatisticsError, check_predictions, cluster_bootstrap, wilson,
};

/// How an interval was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntervalMethod {
    /// Wilson's interval. It assumes independent scans, so it is too narrow if subjects have several.
    Wilson,
    /// Percentile bootstrap over subjects.
    ClusterBootstrap,
}

/// A metric with its 95 % interval. Each is `None` if undefined.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The point estimate.
    pub value: Option<f64>,
    /// Its 95 % interval.
    pub interval: Option<Interval>,
    /// How the interval was computed.
    pub method: IntervalMethod,
}

/// Settings of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluateConfig {
    /// Decision threshold: a scan is classified as positive if its probability is at least this.
    pub threshold: f64,
    /// The bootstrap over subjects.
    pub bootstrap: BootstrapConfig,
}

impl Default for EvaluateConfig {
    fn default() -> Self {
        Self { threshold: 0.5, bootstrap: BootstrapConfig::default() }
    }
}

/// Results of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricsReport {
    /// Number of predictions: scans, or subjects after aggregation.
    pub n_scans: usize,
    /// Number of distinct subjects.
    pub n_subjects: usize,
    /// Predictions whose true class is positive.
    pub n_positive: u64,
    /// Predictions whose true class is negative.
    pub n_negative: u64,
    /// The decision threshold.
    pub threshold: f64,
    /// Number of bootstrap resamples.
    pub n_resamples: usize,
    /// The confusion matrix.
    pub confusion: ConfusionMatrix,
    /// Area under the ROC curve.
    pub auc: Estimate,
    /// Accuracy: fraction of correct decisions.
    pub accuracy: Estimate,
    /// Balanced accuracy: mean of sensitivity and specificity.
    pub balanced_accuracy: Estimate,
    /// Sensitivity: fraction of positives classified as positive.
    pub sensitivity: Estimate,
    /// Specificity: fraction of negatives classified as negative.
    pub specificity: Estimate,
    /// Positive predictive value.
    pub ppv: Estimate,
    /// Negative predictive value.
    pub npv: Estimate,
    /// Harmonic mean of precision and recall.
    pub f1: Estimate,
    /// Mean negative log-likelihood, in nats.
    pub log_loss: Estimate,
    /// Mean squared error of the probability.
    pub brier: Estimate,
}

/// Computes every metric of these predictions.
///
/// AUC, accuracy, balanced accuracy, F1, log loss and Brier score get a bootstrap interval over
/// subjects; sensitivity, specificity and predictive values get Wilson's.
///
/// # Errors
/// Returns an error for different lengths, no predictions, or a probability or threshold outside 0..1.
///
/// # Determinism
/// The result depends only on the arguments. The order of the predictions affects only the last bits of the
/// means.
pub fn evaluate<S: AsRef<str>>(
    labels: &[bool],
    probabilities: &[f64],
    subjects: &[S],
    config: &EvaluateConfig,
) -> Result<MetricsReport, StatisticsError> {
    check_predictions(labels, probabilities, subjects)?;
    if !(0.0..=1.0).contains(&config.threshold) {
        return Err(StatisticsError::Threshold { got: config.threshold });
    }
    let (cluster_of, n_subjects) = number_clusters(subjects);
    let sorted = SortedScores::new(labels, probabilities);
    let resampled = |weights: &[u64]| {
        let counts = weighted_confusion(labels, probabilities, config.threshold, weights);
        [
            sorted.auc(weights),
            counts.accuracy(),
            counts.balanced_accuracy(),
            counts.f1(),
            weighted_mean(labels, probabilities, Some(weights), log_loss_of),
            weighted_mean(labels, probabilities, Some(weights), brier_of),
        ]
    };
    let intervals = cluster_bootstrap(&cluster_of, n_subjects, &config.bootstrap, resampled);
    let values = resampled(&vec![1; labels.len()]);
    let bootstrapped = |idx: usize| Estimate {
        value: values[idx],
        interval: intervals[idx],
        method: IntervalMethod::ClusterBootstrap,
    };
    let confusion = ConfusionMatrix::at_threshold(labels, probabilities, config.threshold);
    let ConfusionMatrix { true_positive, false_positive, true_negative, false_negative } = confusion;
    let (n_positive, n_negative) = (confusion.positives(), confusion.negatives());
    Ok(MetricsReport {
        n_scans: labels.len(),
        n_subjects,
        n_positive,
        n_negative,
        threshold: config.threshold,
        n_resamples: config.bootstrap.n_resamples,
        confusion,
        auc: bootstrapped(0),
        accuracy: bootstrapped(1),
        balanced_accuracy: bootstrapped(2),
        sensitivity: proportion(true_positive, n_positive),
        specificity: proportion(true_negative, n_negative),
        ppv: proportion(true_positive, true_positive + false_positive),
        npv: proportion(true_negative, true_negative + false_negative),
        f1: bootstrapped(3),
        log_loss: bootstrapped(4),
        brier: bootstrapped(5),
    })
}

fn proportion(n_successes: u64, n_trials: u64) -> Estimate {
    Estimate {
        value: crate::ratio(n_successes, n_trials),
        interval: wilson(n_successes, n_trials),
        method: IntervalMethod::Wilson,
    }
}

/// Numbers subjects in the order of their ids, so that the order of the scans does not matter.
fn number_clusters<S: AsRef<str>>(subjects: &[S]) -> (Vec<usize>, usize) {
    let names: BTreeSet<&str> = subjects.iter().map(AsRef::as_ref).collect();
    let numbers: BTreeMap<&str, usize> =
        names.into_iter().enumerate().map(|(idx, name)| (name, idx)).collect();
    (subjects.iter().map(|subject| numbers[subject.as_ref()]).collect(), numbers.len())
}

fn weighted_confusion(
    labels: &[bool],
    probabilities: &[f64],
    threshold: f64,
    weights: &[u64],
) -> ConfusionMatrix {
    let mut counts = ConfusionMatrix::default();
    for ((&label, &probability), &weight) in labels.iter().zip(probabilities).zip(weights) {
        *counts.cell(label, probability >= threshold) += weight;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluate_all(labels: &[bool], probabilities: &[f64]) -> Result<MetricsReport, StatisticsError> {
        let subjects: Vec<String> = (0..labels.len()).map(|idx| format!("s{idx}")).collect();
        evaluate(labels, probabilities, &subjects, &EvaluateConfig::default())
    }

    #[test]
    fn one_class_leaves_what_needs_two_undefined() {
        let report = evaluate_all(&[true, true, true], &[0.9, 0.2, 0.8]).unwrap();
        assert_eq!((report.auc.value, report.auc.interval), (None, None));
        assert_eq!((report.balanced_accuracy.value, report.specificity.value), (None, None));
        assert!(report.accuracy.value.is_some() && report.sensitivity.interval.is_some());
    }

    #[test]
    fn a_perfect_result_of_few_subjects_claims_no_certainty() {
        let report = evaluate_all(&[true, true, false, false], &[0.9, 0.8, 0.1, 0.2]).unwrap();
        assert_eq!((report.auc.value, report.auc.interval), (Some(1.0), None));
        assert!(report.sensitivity.interval.unwrap().lower < 0.4);
    }

    #[test]
    fn scans_of_one_subject_are_not_independent() {
        // The same 40 predictions, as 40 subjects and as 8 subjects with 5 equal scans each.
        let labels: Vec<bool> = (0..40).map(|idx| idx / 5 % 2 == 0).collect();
        let probabilities: Vec<f64> = (0..40).map(|idx| if idx / 5 % 3 == 0 { 0.8 } else { 0.4 }).collect();
        let subjects: Vec<String> = (0..40).map(|idx| format!("s{}", idx / 5)).collect();
        let clustered = evaluate(&labels, &probabilities, &subjects, &EvaluateConfig::default()).unwrap();
        let independent = evaluate_all(&labels, &probabilities).unwrap();
        let width = |report: &MetricsReport| report.accuracy.interval.map(|i| i.upper - i.lower).unwrap();
        assert!(width(&clustered) > 1.5 * width(&independent));
        assert_eq!(clustered.accuracy.value, independent.accuracy.value);
    }

    #[test]
    fn the_same_seed_gives_the_same_report_whatever_the_order() {
        let labels: Vec<bool> = (0..30).map(|idx| idx % 2 == 0).collect();
        let probabilities: Vec<f64> = (0..30).map(|idx| f64::from(idx * 7 % 16) / 16.0).collect();
        let subjects: Vec<String> = (0..30).map(|idx| format!("s{}", idx % 11)).collect();
        let one = evaluate(&labels, &probabilities, &subjects, &EvaluateConfig::default()).unwrap();
        let reversed = |idx: usize| 29 - idx;
        let labels: Vec<bool> = (0..30).map(|idx| labels[reversed(idx)]).collect();
        let probabilities: Vec<f64> = (0..30).map(|idx| probabilities[reversed(idx)]).collect();
        let subjects: Vec<String> = (0..30).map(|idx| subjects[reversed(idx)].clone()).collect();
        let two = evaluate(&labels, &probabilities, &subjects, &EvaluateConfig::default()).unwrap();
        assert_eq!((one.auc, one.accuracy, one.f1), (two.auc, two.accuracy, two.f1));
    }

    #[test]
    fn bad_input_is_refused() {
        assert_eq!(evaluate_all(&[], &[]).unwrap_err(), StatisticsError::Empty);
        let message = evaluate_all(&[true], &[1.5]).unwrap_err().to_string();
        assert_eq!(message, "the probability of scan 0 is 1.5, expected a number from 0 to 1");
        assert!(evaluate_all(&[true], &[f64::NAN]).is_err());
        assert!(evaluate_all(&[true], &[0.5, 0.5]).is_err());
    }
}
