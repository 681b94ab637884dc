//! Class weights and weighted cross-entropy.

use brainreel_models::N_CLASSES;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Tensor, TensorData};

/// Inverse-frequency weights `total / (2 n_class)`; a class without scans gets weight 0.
#[must_use]
pub fn class_weights(labels: &[u8]) -> [f64; N_CLASSES] {
    let total = labels.len() as f64;
    [0_u8, 1].map(|class| match labels.iter().filter(|&&label| label == class).count() {
        0 => 0.0,
        n => total / (N_CLASSES as f64 * n as f64),
    })
}

/// Weighted cross-entropy, averaged with the weights as PyTorch's `CrossEntropyLoss(weight=..)`.
///
/// # Shapes
/// `logits` is `[N, 2]`, with one label per row. The result has one element.
///
/// # Panics
/// If the number of labels is not N.
#[must_use]
pub fn weighted_cross_entropy(logits: Tensor<2>, labels: &[u8], weights: [f64; N_CLASSES]) -> Tensor<1> {
    let [n, _] = logits.dims();
    assert_eq!(labels.len(), n, "one label for each row of logits");
    let total: f64 = labels.iter().map(|&label| weights[usize::from(label)]).sum();
    #[expect(clippy::cast_possible_truncation, reason = "the loss is computed in single precision")]
    let picked: Vec<f32> = labels
        .iter()
        .flat_map(|&label| {
            [0_u8, 1].map(|class| if class == label { weights[usize::from(label)] } else { 0.0 })
        })
        .map(|weight| -(weight / total) as f32)
        .collect();
    let picked = Tensor::<2>::from_data(TensorData::new(picked, [n, N_CLASSES]), &logits.device());
    (log_softmax(logits, 1) * picked).sum()
}

/// Probability of Alzheimer's disease: softmax of the two logits.
#[must_use]
pub fn probability(logits: [f64; N_CLASSES]) -> f64 {
    1.0 / (1.0 + libm::exp(logits[0] - logits[1]))
}

/// Cross-entropy of one scan, in double precision.
pub(crate) fn cross_entropy(logits: [f64; N_CLASSES], label: u8) -> f64 {
    let own = logits[usize::from(label)];
    let other = logits[usize::from(1 - label)];
    // log(1 + exp(d)) without overflow
    let d = other - own;
    d.max(0.0) + libm::log1p(libm::exp(-d.abs()))
}

#[cfg(test)]
mod tests {
    use brainreel_testkit::{Tolerance, assert_close};
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn weights_are_inverse_frequencies() {
        assert_close(&class_weights(&[0, 0, 0, 1]), &[4.0 / 6.0, 2.0], Tolerance::absolute(1e-15));
        assert_close(&class_weights(&[1, 1]), &[0.0, 0.5], Tolerance::absolute(1e-15));
    }

    #[test]
    fn tensor_and_scalar_loss_agree() {
        let logits = [[0.3_f32, -1.2], [2.0, 2.5], [-50.0, 60.0]];
        let labels = [1_u8, 0, 0];
        let weights = [0.75, 1.5];
        let tensor = Tensor::<2>::from_data(logits, &Device::flex());
        let got: f32 = weighted_cross_entropy(tensor, &labels, weights).into_scalar();
        let terms = logits.iter().zip(labels).map(|(row, label)| {
            let weight = weights[usize::from(label)];
            (weight * cross_entropy(row.map(f64::from), label), weight)
        });
        let (sum, total) = terms.fold((0.0, 0.0), |(s, t), (term, weight)| (s + term, t + weight));
        assert!((f64::from(got) - sum / total).abs() < 1e-4, "{got} {}", sum / total);
    }

    #[test]
    fn probability_is_the_softmax() {
        assert!((probability([0.0, 0.0]) - 0.5).abs() < 1e-15);
        assert!((probability([1.0, 3.0]) - 1.0 / (1.0 + (-2.0_f64).exp())).abs() < 1e-15);
        assert!(probability([1e4, -1e4]) < 1e-300);
    }
}
