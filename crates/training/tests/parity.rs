//! Training steps against PyTorch: golden values of `reference/train_step.py` in `batch` norm mode
//! (everything in train mode, stem to layer3 frozen, AdamW with two learning rates).
//!
//! Tolerance 1e-3: AdamW's first steps divide a gradient by its own size, which magnifies the
//! rounding of small gradients.

use brainreel_models::{Architecture, FreezePolicy, Network};
use brainreel_testkit::{Golden, Tolerance, assert_close};
use brainreel_training::{AdamW, AdamWConfig, StepOutcome, training_step};
use burn::tensor::Device;

#[path = "../../models/tests/formula/mod.rs"]
mod formula;

const LABELS: [u8; 2] = [1, 0];
const WEIGHTS: [f64; 2] = [0.75, 1.5];

fn step(network: &mut Network, optimizer: &mut AdamW, index: usize) -> StepOutcome {
    let input = formula::volume(&format!("step{index}"), [2, 1, 24, 33, 40]);
    let features = network.trunk.forward_batch(input);
    training_step(network, optimizer, features, &LABELS, &WEIGHTS, 1.0)
}

#[test]
fn three_steps_are_pytorchs() {
    let golden = Golden::load(env!("CARGO_MANIFEST_DIR"), "train_step");
    let weights = formula::state_dict_of(Architecture::default());
    let mut network = Network::new(&weights, FreezePolicy::LastStage, &Device::flex());
    let mut optimizer = AdamW::new(AdamWConfig::default());
    let first = step(&mut network, &mut optimizer, 0);
    let expected = &golden.array("losses").data;
    assert_close(&[first.loss], &expected[..1], Tolerance::relative(1e-4));
    let state = network.to_weights();
    for name in [
        "fc.weight",
        "fc.bias",
        "layer4.1.conv2.1.weight",
        "layer4.0.downsample.1.bias",
        "stem.1.running_mean",
        "layer2.0.downsample.1.running_var",
        "layer4.1.conv2.1.running_var",
    ] {
        let expected = &golden.array(&format!("after1/{name}")).data;
        assert_close(&state.tensor(name).values, expected, Tolerance::relative(1e-3));
    }
    assert_ne!(state.tensor("fc.weight"), weights.tensor("fc.weight"));
    assert_eq!(state.tensor("layer3.1.conv2.0.weight"), weights.tensor("layer3.1.conv2.0.weight"));
    let slice = |name: &str, outputs: std::ops::Range<usize>| {
        let tensor = state.tensor(name);
        let n_in = tensor.shape[1] * 27;
        outputs.flat_map(|o| tensor.values[o * n_in..o * n_in + 8 * 27].to_vec()).collect::<Vec<f32>>()
    };
    for (name, outputs) in [("layer4.0.conv1.0.weight", 0..2), ("layer4.1.conv2.0.weight", 510..512)] {
        let expected = &golden.array(&format!("after1/{name}")).data;
        assert_close(&slice(name, outputs), expected, Tolerance::relative(1e-3));
    }
    let later: Vec<f64> = (1..3).map(|index| step(&mut network, &mut optimizer, index).loss).collect();
    assert_close(&later, &expected[1..], Tolerance::relative(1e-2));
}
