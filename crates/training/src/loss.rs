//! Class weights and weighted cross-entropy.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Tensor, TensorData};

/// Inverse-frequency weights `total / (n_classes * n_class)`; a class without scans gets weight 0.
#[must_use]
pub fn class_weights(labels: &[u8], n_classes: usize) -> Vec<f64> {
    let total = labels.len() as f64;
    let weight = |class: usize| match labels.iter().filter(|&&label| usize::from(label) == class).count() {
        0 => 0.0,
        n => total / (n_classes as f64 * n as f64),
    };
    (0..n_classes).map(weight).collect()
}

/// Weighted cross-entropy, averaged with the weights as PyTorch's `CrossEntropyLoss(weight=..)`.
///
/// # Shapes
/// `logits` is `[N, classes]`, one label per row, one weight per class; the result has one element.
///
/// # Panics
/// If the number of labels is not N, or that of the weights not the number of classes.
#[must_use]
pub fn weighted_cross_entropy(logits: Tensor<2>, labels: &[u8], weights: &[f64]) -> Tensor<1> {
    let [n, n_classes] = logits.dims();
    assert_eq!(labels.len(), n, "one label for each row of logits");
    assert_eq!(weights.len(), n_classes, "one weight for each class");
    let total: f64 = labels.iter().map(|&label| weights[usize::from(label)]).sum();
    #[expect(clippy::cast_possible_truncation, reason = "the loss is computed in single precision")]
    let picked: Vec<f32> = labels
        .iter()
        .flat_map(|&label| {
            let own = usize::from(label);
            (0..n_classes).map(move |class| if class == own { weights[own] } else { 0.0 })
        })
        .map(|weight| -(weight / total) as f32)
        .collect();
    let picked = Tensor::<2>::from_data(TensorData::new(picked, [n, n_classes]), &logits.device());
    (log_softmax(logits, 1) * picked).sum()
}

/// Probability of class 1, Alzheimer's disease, by the softmax of the logits.
///
/// # Panics
/// If there are fewer than two logits.
#[must_use]
pub fn probability(logits: &[f64]) -> f64 {
    1.0 / logits.iter().map(|logit| libm::exp(logit - logits[1])).sum::<f64>()
}

/// The class of the largest logit; of equal ones the last.
pub(crate) fn predicted_class<T: PartialOrd>(logits: &[T]) -> usize {
    (1..logits.len()).fold(0, |best, class| if logits[class] >= logits[best] { class } else { best })
}

/// Cross-entropy of one scan, in double precision.
pub(crate) fn cross_entropy(logits: &[f64], label: u8) -> f64 {
    let own = logits[usize::from(label)];
    // log(sum of exp(logit - own)) without overflow
    let most = logits.iter().map(|logit| logit - own).fold(0.0, f64::max);
    if let [first, second] = logits {
        let other = if label == 0 { second } else { first };
        return most + libm::log1p(libm::exp(-(other - own).abs()));
    }
    most + libm::log(logits.iter().map(|logit| libm::exp(logit - own - most)).sum())
}

#[cfg(test)]
mod tests {
    use brainreel_testkit::{Tolerance, assert_close};
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn weights_are_inverse_frequencies() {
        assert_close(&class_weights(&[0, 0, 0, 1], 2), &[4.0 / 6.0, 2.0], Tolerance::absolute(1e-15));
        assert_close(&class_weights(&[1, 1], 2), &[0.0, 0.5], Tolerance::absolute(1e-15));
    }

    #[test]
    fn tensor_and_scalar_loss_agree() {
        let logits = [[0.3_f32, -1.2], [2.0, 2.5], [-50.0, 60.0]];
        let labels = [1_u8, 0, 0];
        let weights = [0.75, 1.5];
        let tensor = Tensor::<2>::from_data(logits, &Device::flex());
        let got: f32 = weighted_cross_entropy(tensor, &labels, &weights).into_scalar();
        let terms = logits.iter().zip(labels).map(|(row, label)| {
            let weight = weights[usize::from(label)];
            (weight * cross_entropy(&row.map(f64::from), label), weight)
        });
        let (sum, total) = terms.fold((0.0, 0.0), |(s, t), (term, weight)| (s + term, t + weight));
        assert!((f64::from(got) - sum / total).abs() < 1e-4, "{got} {}", sum / total);
    }

    #[test]
    fn probability_is_the_softmax() {
        assert!((probability(&[0.0, 0.0]) - 0.5).abs() < 1e-15);
        assert!((probability(&[1.0, 3.0]) - 1.0 / (1.0 + (-2.0_f64).exp())).abs() < 1e-15);
        assert!(probability(&[1e4, -1e4]) < 1e-300);
    }

    #[test]
    fn three_classes_have_the_same_loss_on_both_paths() {
        let logits = [[0.3_f32, -1.2, 2.0], [2.0, 2.5, 2.5], [-50.0, 60.0, 0.0]];
        let labels = [2_u8, 0, 1];
        let weights = [0.75, 1.5, 1.0];
        let tensor = Tensor::<2>::from_data(logits, &Device::flex());
        let got: f32 = weighted_cross_entropy(tensor, &labels, &weights).into_scalar();
        let terms = logits.iter().zip(labels).map(|(row, label)| {
            let weight = weights[usize::from(label)];
            (weight * cross_entropy(&row.map(f64::from), label), weight)
        });
        let (sum, total) = terms.fold((0.0, 0.0), |(s, t), (term, weight)| (s + term, t + weight));
        assert!((f64::from(got) - sum / total).abs() < 1e-5, "{got} {}", sum / total);
        // Two classes as three of which one never occurs.
        for [a, b] in [[0.3, -1.2], [-40.0, 900.0]] {
            let apart = cross_entropy(&[a, b], 0) - cross_entropy(&[a, b, -1e6], 0);
            assert!(apart.abs() < 1e-12 * (1.0 + (b - a).abs()), "{apart}");
            assert!((probability(&[a, b]) - probability(&[a, b, -1e6])).abs() < 1e-12);
        }
    }

    #[test]
    fn equal_logits_give_the_last_class() {
        assert_eq!(predicted_class(&[1.0, 1.0]), 1);
        assert_eq!(predicted_class(&[2.0, 1.0]), 0);
        assert_eq!(predicted_class(&[0.0, 3.0, 1.0]), 1);
    }
}
