//! Metrics per epoch and their table.

use std::path::Path;

use brainreel_artifact::{ArtifactError, write_atomic};
use brainreel_statistics::{ConfusionMatrix, roc_auc};
use serde::{Deserialize, Serialize};

use crate::loss::{cross_entropy, predicted_class, probability};

/// Metrics of one epoch. A measure that is undefined (one class missing) is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochMetrics {
    /// The epoch, from 0.
    pub epoch: usize,
    /// Learning rate of the final layer in this epoch.
    pub learning_rate_fc: f64,
    /// Mean training loss, computed during the epoch.
    pub train_loss: f64,
    /// Training accuracy, computed during the epoch.
    pub train_accuracy: f64,
    /// Weighted loss over the validation partition.
    pub validation_loss: f64,
    /// Validation accuracy.
    pub validation_accuracy: f64,
    /// Balanced accuracy: mean of sensitivity and specificity.
    pub validation_balanced_accuracy: Option<f64>,
    /// Area under the ROC curve.
    pub validation_auc: Option<f64>,
}

impl EpochMetrics {
    /// Names and values for the logs, without undefined measures.
    #[must_use]
    pub fn named(&self) -> Vec<(&'static str, f64)> {
        let always = [
            ("learning_rate_fc", self.learning_rate_fc),
            ("train_loss", self.train_loss),
            ("train_accuracy", self.train_accuracy),
            ("validation_loss", self.validation_loss),
            ("validation_accuracy", self.validation_accuracy),
        ];
        let defined = [
            ("validation_balanced_accuracy", self.validation_balanced_accuracy),
            ("validation_auc", self.validation_auc),
        ];
        let defined = defined.into_iter().filter_map(|(name, value)| Some((name, value?)));
        always.into_iter().chain(defined).collect()
    }
}

/// Loss and rates over a partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartitionMetrics {
    pub(crate) loss: f64,
    pub(crate) accuracy: f64,
    pub(crate) balanced_accuracy: Option<f64>,
    pub(crate) auc: Option<f64>,
}

/// Measures of these logits; the loss is weighted by the classes' weights. The area under the ROC curve is defined
/// for two classes.
pub(crate) fn measure(logits: &[Vec<f64>], labels: &[u8], weights: &[f64]) -> PartitionMetrics {
    let (mut sum, mut total) = (0.0, 0.0);
    for (row, &label) in logits.iter().zip(labels) {
        let weight = weights[usize::from(label)];
        sum += weight * cross_entropy(row, label);
        total += weight;
    }
    let loss = sum / total;
    if weights.len() != 2 {
        let recalls = recalls(logits, labels, weights.len());
        let n_correct = logits.iter().zip(labels).filter(|(row, label)| is_correct(row, **label)).count();
        return PartitionMetrics {
            loss,
            accuracy: n_correct as f64 / labels.len().max(1) as f64,
            balanced_accuracy: recalls.map(|recalls| recalls.iter().sum::<f64>() / recalls.len() as f64),
            auc: None,
        };
    }
    let truth: Vec<bool> = labels.iter().map(|&label| label == 1).collect();
    let probabilities: Vec<f64> = logits.iter().map(|row| probability(row)).collect();
    let confusion = ConfusionMatrix::at_threshold(&truth, &probabilities, 0.5);
    PartitionMetrics {
        loss,
        accuracy: confusion.accuracy().unwrap_or(0.0),
        balanced_accuracy: confusion.balanced_accuracy(),
        auc: roc_auc(&truth, &probabilities),
    }
}

fn is_correct(logits: &[f64], label: u8) -> bool {
    predicted_class(logits) == usize::from(label)
}

/// Share of correct scans in each class; `None` if a class has no scan.
fn recalls(logits: &[Vec<f64>], labels: &[u8], n_classes: usize) -> Option<Vec<f64>> {
    let of_class = |class: usize| {
        let rows = logits.iter().zip(labels).filter(|(_, label)| usize::from(**label) == class);
        let correct: Vec<bool> = rows.map(|(row, label)| is_correct(row, *label)).collect();
        let n_correct = correct.iter().filter(|correct| **correct).count();
        (!correct.is_empty()).then(|| n_correct as f64 / correct.len() as f64)
    };
    (0..n_classes).map(of_class).collect()
}

/// Writes `metrics.csv`, one row per epoch. Epochs count from 1, as in the terminal. Undefined measures are
/// empty.
pub(crate) fn write_csv(path: &Path, history: &[EpochMetrics]) -> Result<(), ArtifactError> {
    let mut text = "epoch,learning_rate_fc,train_loss,train_accuracy,validation_loss,validation_accuracy,\
                    validation_balanced_accuracy,validation_auc\n"
        .to_owned();
    let optional = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    for row in history {
        text += &format!(
            "{},{},{},{},{},{},{},{}\n",
            row.epoch + 1,
            row.learning_rate_fc,
            row.train_loss,
            row.train_accuracy,
            row.validation_loss,
            row.validation_accuracy,
            optional(row.validation_balanced_accuracy),
            optional(row.validation_auc),
        );
    }
    write_atomic(path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_classes_are_measured_by_their_recalls() {
        let logits = [vec![2.0, 0.0, 1.0], vec![0.0, 3.0, 1.0], vec![0.0, 3.0, 1.0], vec![0.0, 0.5, 1.0]];
        let metrics = measure(&logits, &[0, 1, 2, 2], &[1.0; 3]);
        assert!((metrics.accuracy - 0.75).abs() < 1e-12);
        assert!((metrics.balanced_accuracy.unwrap() - (1.0 + 1.0 + 0.5) / 3.0).abs() < 1e-12);
        assert_eq!(metrics.auc, None);
        assert_eq!(measure(&logits, &[0, 0, 1, 1], &[1.0; 3]).balanced_accuracy, None);
    }
}
