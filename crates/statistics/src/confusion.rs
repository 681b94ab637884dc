//! The confusion matrix and its rates.

use serde::{Deserialize, Serialize};

use crate::ratio;

/// Counts of decisions by true class. A rate with denominator 0 is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfusionMatrix {
    /// Positive, classified as positive.
    pub true_positive: u64,
    /// Negative, classified as positive.
    pub false_positive: u64,
    /// Negative, classified as negative.
    pub true_negative: u64,
    /// Positive, classified as negative.
    pub false_negative: u64,
}

impl ConfusionMatrix {
    /// Counts decisions. A scan is classified as positive if its probability is at least `threshold`.
    ///
    /// # Panics
    /// If the lengths differ.
    #[must_use]
    pub fn at_threshold(labels: &[bool], probabilities: &[f64], threshold: f64) -> Self {
        assert_eq!(labels.len(), probabilities.len(), "one probability for each label");
        let mut counts = Self::default();
        for (&label, &probability) in labels.iter().zip(probabilities) {
            *counts.cell(label, probability >= threshold) += 1;
        }
        counts
    }

    pub(crate) fn cell(&mut self, label: bool, called: bool) -> &mut u64 {
        match (label, called) {
            (true, true) => &mut self.true_positive,
            (false, true) => &mut self.false_positive,
            (false, false) => &mut self.true_negative,
            (true, false) => &mut self.false_negative,
        }
    }

    /// Number of decisions.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.positives() + self.negatives()
    }

    /// Number of scans whose true class is positive.
    #[must_use]
    pub fn positives(&self) -> u64 {
        self.true_positive + self.false_negative
    }

    /// Number of scans whose true class is negative.
    #[must_use]
    pub fn negatives(&self) -> u64 {
        self.true_negative + self.false_positive
    }

    /// Accuracy: fraction of correct decisions.
    #[must_use]
    pub fn accuracy(&self) -> Option<f64> {
        ratio(self.true_positive + self.true_negative, self.total())
    }

    /// Mean of sensitivity and specificity. `None` if either is `None`.
    #[must_use]
    pub fn balanced_accuracy(&self) -> Option<f64> {
        Some(0.5 * (self.sensitivity()? + self.specificity()?))
    }

    /// Sensitivity (recall): fraction of positives classified as positive.
    #[must_use]
    pub fn sensitivity(&self) -> Option<f64> {
        ratio(self.true_positive, self.positives())
    }

    /// Specificity: fraction of negatives classified as negative.
    #[must_use]
    pub fn specificity(&self) -> Option<f64> {
        ratio(self.true_negative, self.negatives())
    }

    /// Positive predictive value (precision).
    #[must_use]
    pub fn ppv(&self) -> Option<f64> {
        ratio(self.true_positive, self.true_positive + self.false_positive)
    }

    /// Negative predictive value.
    #[must_use]
    pub fn npv(&self) -> Option<f64> {
        ratio(self.true_negative, self.true_negative + self.false_negative)
    }

    /// Harmonic mean of precision and recall.
    #[must_use]
    pub fn f1(&self) -> Option<f64> {
        ratio(2 * self.true_positive, 2 * self.true_positive + self.false_positive + self.false_negative)
    }
}
