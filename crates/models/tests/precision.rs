//! Mixed precision, by Burn on the CPU: the same operations as on a GPU.

use brainreel_models::{
    Architecture, EngineKind, FreezePolicy, Network, NetworkWeights, Precision, TrainingPass,
};
use burn::tensor::{Device, Tensor, TensorData};

const DIMS: [usize; 3] = [16, 32, 32];

fn pass(architecture: Architecture, precision: Precision) -> TrainingPass {
    let weights =
        NetworkWeights::random(architecture, 5).fitted_to(DIMS).expect("the networks take such inputs");
    let network = Network::new(&weights, FreezePolicy::LastStage, &Device::flex());
    let mut network = network.with_engine(EngineKind::Burn).with_precision(precision);
    let [d, h, w] = DIMS;
    let values: Vec<f32> = (0..2 * d * h * w).map(|i| (i as f32 * 0.37).sin()).collect();
    let input = Tensor::from_data(TensorData::new(values, [2, 1, d, h, w]), &Device::flex());
    let features = network.trunk.forward(input);
    network.training_pass(features, &|logits: Tensor<2>| logits.powf_scalar(2.0).sum())
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// Bits of significand: eight turn the gradient of layer4's first convolution by 13 degrees (its batch
/// norms see two scans), eleven by 5.
#[test]
fn gradients_keep_their_direction_in_fewer_bits() {
    for name in ["r3d_18", "mvit_v2_s"] {
        let architecture: Architecture = name.parse().expect("a registered network");
        let exact = pass(architecture, Precision::Float32);
        for (precision, least) in [(Precision::Bfloat16, 0.95), (Precision::Float16, 0.99)] {
            let low = pass(architecture, precision);
            assert_ne!(low.logits, exact.logits, "{architecture} {precision}: nothing was rounded");
            let largest = exact.gradients.values().map(|g| dot(g, g).sqrt()).fold(0.0, f64::max);
            for (name, exact) in &exact.gradients {
                let low = &low.gradients[name];
                // The same shift of all keys changes nothing: that gradient is rounding alone.
                if dot(exact, exact).sqrt() < 1e-5 * largest {
                    assert!(dot(low, low).sqrt() < 1e-2 * largest, "{name}");
                    continue;
                }
                let cosine = dot(exact, low) / (dot(exact, exact) * dot(low, low)).sqrt();
                let ratio = (dot(low, low) / dot(exact, exact)).sqrt();
                assert!(cosine > least && (ratio - 1.0).abs() < 0.05, "{name}: {cosine}, {ratio}");
            }
        }
    }
}
