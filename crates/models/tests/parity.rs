//! Against torchvision: golden logits of `reference/r3d18.py` and `reference/video_networks.py`, weights by
//! formula, on our own engine and on Burn.
//!
//! Tolerance 1e-4 of the largest logit: both sides sum in single precision, in other orders.

use std::collections::BTreeMap;

use brainreel_models::{
    Architecture, EngineKind, FreezePolicy, HostTensor, Network, NetworkWeights, NormTally,
};
use brainreel_testkit::{Golden, Tolerance, assert_close};
use burn::tensor::{Device, Tensor};

mod formula;

fn network(policy: FreezePolicy) -> Network {
    Network::new(&formula::state_dict_of(Architecture::default()), policy, &Device::flex())
}

fn logits(network: &Network, input: Tensor<5>) -> Vec<f32> {
    values(network.head.without_autodiff().forward(network.trunk.forward(input)))
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("single precision")
}

fn golden() -> Golden {
    Golden::load(env!("CARGO_MANIFEST_DIR"), "r3d18")
}

#[test]
fn parameter_counts_are_the_thesiss() {
    let counts = network(FreezePolicy::LastStage).n_parameters();
    assert_eq!((counts.total, counts.trainable, counts.frozen), (33_148_482, 24_909_826, 8_238_656));
    assert_eq!(network(FreezePolicy::None).n_parameters().frozen, 0);
    assert_eq!(network(FreezePolicy::FcOnly).n_parameters().trainable, 1026);
    let golden = golden();
    assert_eq!(golden.parameters["total"], counts.total);
    assert_eq!(golden.parameters["trainable"], counts.trainable);
}

#[test]
fn logits_and_trunk_agree_in_eval_mode() {
    let golden = golden();
    let network = network(FreezePolicy::LastStage);
    for (name, shape) in [("odd", [2, 1, 24, 33, 40]), ("cube48", [1, 1, 48, 48, 48])] {
        let features = network.trunk.forward(formula::volume(name, shape));
        let slice = values(features.slice([0..shape[0], 0..3]));
        let expected = &golden.array(&format!("trunk_{name}")).data;
        assert_close(&slice, expected, Tolerance::relative(1e-4));
        let got = logits(&network, formula::volume(name, shape));
        assert_close(&got, &golden.array(&format!("logits_{name}")).data, Tolerance::relative(1e-4));
    }
}

#[test]
fn logits_agree_at_128_cubed() {
    let got = logits(&network(FreezePolicy::LastStage), formula::volume("cube128", [1, 1, 128, 128, 128]));
    assert_close(&got, &golden().array("logits_cube128").data, Tolerance::relative(1e-4));
}

#[test]
fn where_the_network_is_cut_does_not_matter() {
    let input = || formula::volume("odd", [2, 1, 24, 33, 40]);
    let expected = golden().array("logits_odd").data.clone();
    for policy in [FreezePolicy::None, FreezePolicy::FcOnly] {
        assert_close(&logits(&network(policy), input()), &expected, Tolerance::relative(1e-4));
    }
}

#[test]
fn the_other_architectures_agree() {
    let golden = Golden::load(env!("CARGO_MANIFEST_DIR"), "video_networks");
    for name in ["mc3_18", "r2plus1d_18"] {
        let architecture: Architecture = name.parse().unwrap();
        let weights = formula::state_dict_of(architecture);
        let input = || formula::volume("odd", [2, 1, 24, 33, 40]);
        for engine in [EngineKind::Native, EngineKind::Burn] {
            for policy in [FreezePolicy::LastStage, FreezePolicy::FcOnly] {
                let mut network = Network::new(&weights, policy, &Device::flex()).with_engine(engine);
                let expected = &golden.array(&format!("logits_{architecture}_odd")).data;
                assert_close(&logits(&network, input()), expected, Tolerance::relative(1e-4));
                let expected = &golden.array(&format!("logits_train_{architecture}")).data;
                let features = network.trunk.forward_batch(input());
                let got = values(network.head.forward_train(features));
                assert_close(&got, expected, Tolerance::relative(1e-3));
            }
        }
        let network = Network::new(&weights, FreezePolicy::LastStage, &Device::flex());
        let got = logits(&network, formula::volume("cube48", [1, 1, 48, 48, 48]));
        let expected = &golden.array(&format!("logits_{architecture}_cube48")).data;
        assert_close(&got, expected, Tolerance::relative(1e-4));
        assert_eq!(golden.parameters[format!("total_{architecture}")], network.n_parameters().total);
    }
}

/// Features and gradients of our engine beside Burn's own convolutions.
#[test]
fn both_engines_agree() {
    let run = |engine| {
        let mut network = network(FreezePolicy::LastStage).with_engine(engine);
        let input = || formula::volume("odd", [2, 1, 24, 33, 40]);
        let by_batch = values(network.trunk.clone().forward_batch(input()));
        let features = network.trunk.forward(input());
        let plain = values(features.clone());
        let loss = network.head.forward_train(features.autodiff()).powf_scalar(2.0).sum();
        let mut gradients = loss.backward();
        let mut all = GradientValues(&mut gradients, Vec::new());
        network.head.visit_parameters(&mut all);
        (by_batch, plain, all.1)
    };
    let (native, burn) = (run(EngineKind::Native), run(EngineKind::Burn));
    let double = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    assert_close(&native.0, &double(&burn.0), Tolerance::relative(1e-4));
    assert_close(&native.1, &double(&burn.1), Tolerance::relative(1e-4));
    for ((name, got), (_, expected)) in native.2.iter().zip(&burn.2) {
        let largest = expected.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() <= 2e-3 * largest, "{name}: {got}, expected {expected}");
        }
    }
}

struct GradientValues<'a>(&'a mut burn::tensor::Gradients, Vec<(String, Vec<f32>)>);

impl brainreel_models::ParameterVisitor for GradientValues<'_> {
    fn visit<const D: usize>(&mut self, name: &str, parameter: &mut Tensor<D>) {
        let gradient = parameter.grad_remove(self.0).unwrap_or_else(|| panic!("no gradient for {name}"));
        self.1.push((name.to_owned(), values(gradient)));
    }
}

#[test]
fn train_mode_uses_batch_statistics_and_moves_the_running_ones() {
    let golden = golden();
    let mut network = network(FreezePolicy::LastStage);
    let features = network.trunk.forward_batch(formula::volume("odd", [2, 1, 24, 33, 40]));
    let got = values(network.head.forward_train(features));
    assert_close(&got, &golden.array("logits_train_odd").data, Tolerance::relative(1e-3));
    let state = network.to_weights();
    for name in [
        "stem.1.running_mean",
        "stem.1.running_var",
        "layer3.1.conv2.1.running_var",
        "layer4.1.conv2.1.running_var",
    ] {
        assert_close(&state.tensor(name).values, &golden.array(name).data, Tolerance::relative(1e-4));
    }
}

#[test]
fn calibration_on_one_batch_equals_batch_statistics() {
    let mut network = network(FreezePolicy::LastStage);
    let input = || formula::volume("odd", [2, 1, 24, 33, 40]);
    let mut tally = NormTally::default();
    network.trunk.observe(input(), &mut tally);
    let before = network.trunk.hash();
    let expected: Vec<f64> =
        values(network.trunk.clone().forward_batch(input())).iter().map(|&v| f64::from(v)).collect();
    network.trunk.calibrate(&tally);
    assert_ne!(network.trunk.hash(), before);
    // Not exactly: the batch is normalised by the biased variance, calibration keeps the unbiased one.
    assert_close(&values(network.trunk.forward(input())), &expected, Tolerance::relative(0.01));
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    let run = |n_threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| {
            let mut network = network(FreezePolicy::LastStage);
            let features = network.trunk.forward(formula::volume("odd", [2, 1, 24, 33, 40]));
            let trunk_bits: Vec<u32> = values(features.clone()).iter().map(|v| v.to_bits()).collect();
            let loss = network.head.forward_train(features.autodiff()).powf_scalar(2.0).sum();
            let mut gradients = loss.backward();
            let mut bits = GradientBits(&mut gradients, Vec::new());
            network.head.visit_parameters(&mut bits);
            (trunk_bits, bits.1)
        })
    };
    let one = run(1);
    assert!(one.1.len() > 24_000_000);
    for n_threads in [2, 3] {
        let other = run(n_threads);
        assert!(one.0 == other.0, "trunk output differs between 1 and {n_threads} threads");
        assert!(one.1 == other.1, "gradients differ between 1 and {n_threads} threads");
    }
}

struct GradientBits<'a>(&'a mut burn::tensor::Gradients, Vec<u32>);

impl brainreel_models::ParameterVisitor for GradientBits<'_> {
    fn visit<const D: usize>(&mut self, name: &str, parameter: &mut Tensor<D>) {
        let gradient = parameter.grad_remove(self.0).unwrap_or_else(|| panic!("no gradient for {name}"));
        self.1.extend(values(gradient).iter().map(|v| v.to_bits()));
    }
}

#[test]
fn weights_pass_through_the_network_unchanged() {
    let weights = formula::state_dict_of(Architecture::default());
    let network = Network::new(&weights, FreezePolicy::LastStage, &Device::flex());
    assert_eq!(network.to_weights(), weights);
    let tensors: BTreeMap<String, HostTensor> =
        weights.iter().map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect();
    assert_eq!(tensors.len(), Architecture::default().tensors([16, 112, 112], 2).len());
    assert_eq!(NetworkWeights::from_tensors(Architecture::default(), tensors, "formula").unwrap(), weights);
}
