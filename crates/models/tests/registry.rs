//! Properties that every registered network has: a new one is tested by being registered.

#![expect(clippy::unwrap_used, reason = "a test's helper functions may panic like the test itself")]

use std::collections::{BTreeMap, BTreeSet};

use brainreel_models::{
    Architecture, FreezePolicy, FrozenNorm, HostTensor, ImportOptions, ModelError, Network, NetworkConfig,
    NetworkCost, NetworkWeights, NormTally, Role, StemConversion, TensorSpec, read_weights,
};
use burn::tensor::{Device, Tensor, TensorData};

/// A small input that suits the network, with odd edges where it takes them.
fn small_dims(architecture: Architecture) -> [usize; 3] {
    let candidates = [[9, 21, 18], [8, 32, 32], [16, 64, 64], architecture.native_dims()];
    let suits = |dims: &[usize; 3]| architecture.check_dims(*dims).is_ok();
    candidates.into_iter().find(suits).expect("a network takes its native size")
}

fn small_weights(architecture: Architecture, n_classes: usize, seed: u64) -> NetworkWeights {
    let config = NetworkConfig::new(architecture).with_classes(n_classes);
    NetworkWeights::random(config, seed).fitted_to(small_dims(architecture)).expect("the size suits")
}

fn input(n: usize, [d, h, w]: [usize; 3]) -> Tensor<5> {
    let values: Vec<f32> = (0..n * d * h * w).map(|i| (i as f32 * 0.37).sin()).collect();
    Tensor::from_data(TensorData::new(values, [n, 1, d, h, w]), &Device::flex())
}

fn classify(network: &Network, x: Tensor<5>) -> Vec<f32> {
    let logits = network.head.without_autodiff().forward(network.trunk.forward(x));
    logits.into_data().try_into_vec().expect("single precision")
}

/// The tensors of torchvision's published file: three colours, 400 classes.
fn published_tensors(architecture: Architecture) -> BTreeMap<String, HostTensor> {
    let specs = (architecture.published().tensors)();
    let tensor = |spec: &TensorSpec| {
        let value = if spec.role == Role::RunningVar { 1.0 } else { 0.25 };
        HostTensor { shape: spec.shape.clone(), values: vec![value; spec.n_elements()] }
    };
    specs.iter().map(|spec| (spec.name.clone(), tensor(spec))).collect()
}

fn write(tensors: BTreeMap<String, HostTensor>, path: &std::path::Path) {
    let specs: Vec<TensorSpec> =
        tensors.iter().map(|(name, t)| TensorSpec::new(name.clone(), &t.shape, Role::Beta)).collect();
    let state = brainreel_checkpoint::StateDict::from_tensors(tensors, &specs, "test").unwrap();
    state.write_safetensors(path).unwrap();
}

#[test]
fn names_are_unique_and_are_read_back() {
    let names: BTreeSet<&str> = Architecture::names().collect();
    assert_eq!(names.len(), Architecture::all().len());
    for architecture in Architecture::all() {
        assert_eq!(architecture.name().parse::<Architecture>().unwrap(), architecture);
        let json = serde_json::to_string(&architecture).unwrap();
        assert_eq!(json, format!("\"{architecture}\""));
        assert_eq!(serde_json::from_str::<Architecture>(&json).unwrap(), architecture);
    }
    assert_eq!(Architecture::default().name(), "r3d_18");
    let unknown = "r4d".parse::<Architecture>().unwrap_err().to_string();
    assert!(Architecture::names().all(|name| unknown.contains(name)), "{unknown}");
    assert!(serde_json::from_str::<Architecture>("\"r4d\"").unwrap_err().to_string().contains(&unknown));
}

#[test]
fn published_files_are_named_after_the_network_and_their_digest() {
    for architecture in Architecture::all() {
        let model = architecture.published();
        assert_eq!(model.name, format!("kinetics400/{architecture}"));
        assert_eq!(model.network, architecture.name());
        let digits = model.digest.expected();
        assert_eq!(model.file_name, format!("{architecture}-{digits}.pth"));
        assert_eq!(model.url, format!("https://download.pytorch.org/models/{}", model.file_name));
        assert!(model.citation.contains("Kinetics") && !model.title.is_empty() && !model.licence.is_empty());
    }
}

/// The numbers of parameters in torchvision's documentation of the weights.
#[test]
fn published_parameters_are_torchvisions() {
    let counts = Architecture::all().map(|architecture| {
        let specs = (architecture.published().tensors)();
        let parameters = specs.iter().filter(|spec| spec.is_parameter());
        (architecture.name(), parameters.map(TensorSpec::n_elements).sum::<usize>())
    });
    let documented = [
        ("r3d_18", 33_371_472),
        ("mc3_18", 11_695_440),
        ("r2plus1d_18", 31_505_325),
        ("mvit_v1_b", 36_610_672),
        ("mvit_v2_s", 34_537_744),
        ("s3d", 8_320_048),
    ];
    assert_eq!(counts.collect::<Vec<_>>(), documented);
}

#[test]
fn tensors_begin_with_the_stem_and_end_with_the_classifier() {
    for architecture in Architecture::all() {
        let dims = architecture.native_dims();
        for n_classes in [2, 3, 400] {
            let specs = architecture.tensors(dims, n_classes);
            let [stem, .., weight, bias] = specs.as_slice() else { panic!("{architecture} has tensors") };
            assert_eq!((stem.shape.len(), stem.shape[1]), (5, 1), "{architecture}");
            assert_eq!((weight.shape[0], bias.shape.as_slice()), (n_classes, &[n_classes][..]));
            let names: BTreeSet<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
            assert_eq!(names.len(), specs.len(), "{architecture}: a name twice");
        }
        // Nothing but the classifier depends on the number of classes.
        let (two, three) = (architecture.tensors(dims, 2), architecture.tensors(dims, 3));
        let n_different = two.iter().zip(&three).filter(|(a, b)| a != b).count();
        assert_eq!(n_different, 2, "{architecture}");
    }
}

#[test]
fn layers_partition_the_tensors_and_freezing_cuts_between_them() {
    for architecture in Architecture::all() {
        let depths = architecture.layer_depths();
        let specs = architecture.tensors(architecture.native_dims(), 2);
        assert_eq!(depths.len(), specs.len(), "{architecture}");
        let n_layers = architecture.n_layers();
        let all: BTreeSet<usize> = depths.values().copied().collect();
        assert_eq!(all, (0..n_layers).collect(), "{architecture}: every layer has tensors");
        assert_eq!(depths[&specs[0].name], n_layers - 1, "{architecture}: the stem is the first layer");
        // torchvision's order is from the input to the output.
        let in_order: Vec<usize> = specs.iter().map(|spec| depths[&spec.name]).collect();
        assert!(in_order.is_sorted_by(|a, b| a >= b), "{architecture}");
        let frozen = FreezePolicy::ALL.map(|policy| policy.n_frozen(architecture));
        let [last_stage, none, fc_only, discriminative] = frozen;
        assert_eq!((none, discriminative, fc_only), (0, 0, n_layers - 1), "{architecture}");
        assert!(0 < last_stage && last_stage < fc_only, "{architecture}");
    }
}

#[test]
fn every_policy_trains_the_tensors_of_its_layers() {
    struct Names(BTreeSet<String>);
    impl brainreel_models::ParameterVisitor for Names {
        fn visit<const D: usize>(&mut self, name: &str, _parameter: &mut Tensor<D>) {
            assert!(self.0.insert(name.to_owned()), "{name} is visited twice");
        }
    }
    for architecture in Architecture::all() {
        let weights = small_weights(architecture, 2, 1);
        let depths = architecture.layer_depths();
        let specs = weights.config().tensors().unwrap();
        for policy in FreezePolicy::ALL {
            let mut network = Network::new(&weights, policy, &Device::flex());
            let mut trained = Names(BTreeSet::new());
            network.visit_trainable(&mut trained);
            let n_trained = architecture.n_layers() - policy.n_frozen(architecture);
            let is_expected = |spec: &&TensorSpec| spec.is_parameter() && depths[&spec.name] < n_trained;
            let expected = specs.iter().filter(is_expected).map(|spec| spec.name.clone()).collect();
            assert_eq!(trained.0, expected, "{architecture} {policy:?}");
            let counts = network.n_parameters();
            assert_eq!(counts.total, counts.trainable + counts.frozen);
            assert_eq!(network.trunk.is_empty(), policy.n_frozen(architecture) == 0);
        }
    }
}

#[test]
fn weights_pass_through_every_network_unchanged() {
    for architecture in Architecture::all() {
        let weights = small_weights(architecture, 3, 2);
        for policy in FreezePolicy::ALL {
            let network = Network::new(&weights, policy, &Device::flex());
            assert_eq!(network.to_weights(), weights, "{architecture} {policy:?}");
        }
    }
}

#[test]
fn small_and_odd_inputs_give_finite_logits_for_any_number_of_classes() {
    for architecture in Architecture::all() {
        let dims = small_dims(architecture);
        for n_classes in [2, 3] {
            let weights = small_weights(architecture, n_classes, 3);
            let network = Network::new(&weights, FreezePolicy::LastStage, &Device::flex());
            let both = classify(&network, input(2, dims));
            assert_eq!(both.len(), 2 * n_classes, "{architecture}");
            assert!(both.iter().all(|logit| logit.is_finite()), "{architecture}: {both:?}");
            // Scans of a batch do not see each other.
            let first = classify(&network, input(2, dims).slice([0..1, 0..1]));
            let apart = first.iter().zip(&both).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-5, "{architecture}: {first:?} {both:?}");
        }
    }
}

#[test]
fn inputs_that_do_not_suit_are_refused_by_name() {
    for architecture in Architecture::all() {
        let error = architecture.check_dims([0, 64, 64]).unwrap_err();
        assert!(error.to_string().contains(architecture.name()), "{error}");
        let config = NetworkConfig::new(architecture).with_dims([0; 3]);
        assert!(matches!(config.tensors(), Err(ModelError::InputSize { .. })));
        let cost = NetworkCost::new(config, FreezePolicy::None, FrozenNorm::Calibrated, 1);
        assert!(matches!(cost, Err(ModelError::InputSize { .. })));
    }
}

#[test]
fn batch_norms_are_found_where_they_are() {
    for architecture in Architecture::all() {
        let weights = small_weights(architecture, 2, 4);
        let has_buffers = weights.config().tensors().unwrap().iter().any(|spec| !spec.is_parameter());
        assert_eq!(architecture.has_batch_norm(), has_buffers, "{architecture}");
        let mut network = Network::new(&weights, FreezePolicy::FcOnly, &Device::flex());
        assert_eq!(network.trunk.has_statistics(), has_buffers, "{architecture}");
        let x = || input(2, small_dims(architecture));
        let before = network.trunk.hash();
        let mut tally = NormTally::default();
        network.trunk.observe(x(), &mut tally);
        assert_eq!(tally.n_batches(), usize::from(has_buffers), "{architecture}");
        network.trunk.calibrate(&tally);
        assert_eq!(network.trunk.hash() != before, has_buffers, "{architecture}: calibration");
        let calibrated = network.trunk.hash();
        let _ = network.trunk.forward_batch(x());
        assert_eq!(network.trunk.hash() != calibrated, has_buffers, "{architecture}: a pass by the batch");
    }
}

#[test]
fn a_training_pass_gives_every_trained_tensor_a_gradient_of_its_size() {
    for architecture in Architecture::all() {
        let weights = small_weights(architecture, 3, 5);
        let mut network = Network::new(&weights, FreezePolicy::LastStage, &Device::flex());
        let features = network.trunk.forward(input(2, small_dims(architecture)));
        let pass = network.training_pass(features, &|logits: Tensor<2>| logits.powf_scalar(2.0).mean());
        assert!(pass.loss.is_finite() && pass.logits.iter().all(|row| row.len() == 3), "{architecture}");
        let depths = architecture.layer_depths();
        let mut largest = 0.0_f32;
        for (name, gradient) in &pass.gradients {
            assert_eq!(gradient.len(), weights.tensor(name).values.len(), "{architecture} {name}");
            assert!(gradient.iter().all(|value| value.is_finite()), "{architecture} {name}");
            largest = gradient.iter().fold(largest, |most, value| most.max(value.abs()));
        }
        assert!(largest > 0.0, "{architecture}");
        let n_trained: BTreeSet<usize> = pass.gradients.keys().map(|name| depths[name]).collect();
        let frozen = FreezePolicy::LastStage.n_frozen(architecture);
        assert_eq!(n_trained.len(), architecture.n_layers() - frozen, "{architecture}");
    }
}

#[test]
fn published_files_are_recognised_converted_and_fitted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("k400.safetensors");
    for architecture in Architecture::all() {
        write(published_tensors(architecture), &path);
        for (stem, expected) in [(StemConversion::Sum, 0.75), (StemConversion::Mean, 0.25)] {
            let options = ImportOptions { stem, n_classes: 3, ..ImportOptions::default() };
            let weights = read_weights(&path, options).unwrap();
            assert_eq!(weights.architecture(), architecture);
            assert_eq!(weights.config(), NetworkConfig::new(architecture).with_classes(3));
            let first = &architecture.tensors(architecture.native_dims(), 3)[0].name;
            let kernel = &weights.tensor(first).values;
            assert!(kernel.iter().all(|value| (value - expected).abs() < 1e-6), "{architecture} {stem:?}");
        }
        for other in Architecture::all().filter(|other| *other != architecture) {
            let options = ImportOptions { architecture: Some(other), ..ImportOptions::default() };
            let error = read_weights(&path, options).unwrap_err();
            assert!(matches!(error, ModelError::OtherArchitecture { .. }), "{architecture} {other}: {error}");
        }
    }
}

#[test]
fn own_exports_are_read_back_at_any_size() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("own.safetensors");
    for architecture in Architecture::all() {
        let weights = small_weights(architecture, 2, 6);
        weights.write_safetensors(&path).unwrap();
        let read = read_weights(&path, ImportOptions::default()).unwrap();
        assert_eq!(read.state(), weights.state(), "{architecture}");
        assert_eq!(read.dims(), weights.dims(), "{architecture}");
        assert_eq!(read.dims().is_some(), architecture.has_positions(), "{architecture}");
    }
}

#[test]
fn a_file_without_one_tensor_is_refused_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cut.safetensors");
    for architecture in Architecture::all() {
        let whole = small_weights(architecture, 2, 7);
        let specs = whole.config().tensors().unwrap();
        // Not the first ones, by which the network is recognised.
        for spec in [&specs[specs.len() / 2], &specs[specs.len() - 3], &specs[specs.len() - 1]] {
            let mut tensors = whole.state().clone().into_tensors();
            tensors.remove(&spec.name);
            write(tensors, &path);
            let error = read_weights(&path, ImportOptions::default()).unwrap_err().to_string();
            assert!(error.contains(&spec.name) && error.contains("cut.safetensors"), "{error}");
        }
    }
}

#[test]
fn fitting_to_another_size_changes_positions_alone() {
    for architecture in Architecture::all() {
        let native = NetworkWeights::random(architecture, 8);
        let small = native.clone().fitted_to(small_dims(architecture)).unwrap();
        let specs = small.config().tensors().unwrap();
        for spec in &specs {
            let (before, after) = (native.tensor(&spec.name), small.tensor(&spec.name));
            assert_eq!(after.shape, spec.shape, "{architecture} {}", spec.name);
            if spec.role != Role::Position {
                assert_eq!(before, after, "{architecture} {}", spec.name);
            }
            // Interpolation stays within what is there.
            let largest = |tensor: &HostTensor| tensor.values.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
            assert!(largest(after) <= largest(before), "{architecture} {}", spec.name);
        }
    }
}

#[test]
fn costs_grow_with_the_input_the_batch_and_what_is_trained() {
    for architecture in Architecture::all() {
        let cost = |policy, edge, batch_size| {
            let config = NetworkConfig::new(architecture).with_dims([edge; 3]);
            NetworkCost::new(config, policy, FrozenNorm::Calibrated, batch_size).unwrap()
        };
        for policy in FreezePolicy::ALL {
            for pair in [32, 64, 96, 128].windows(2) {
                let [smaller, larger] = [pair[0], pair[1]].map(|edge| cost(policy, edge, 1));
                assert!(smaller.memory.total() < larger.memory.total(), "{architecture} {policy:?}");
                assert!((smaller.trunk + smaller.head).flops() < (larger.trunk + larger.head).flops());
                assert!(smaller.features <= larger.features, "{architecture} {policy:?}");
            }
            let [one, four] = [1, 4].map(|batch_size| cost(policy, 64, batch_size));
            assert!(one.memory.total() <= four.memory.total(), "{architecture} {policy:?}");
            let apart = four.head_forward.flops() - 4.0 * one.head_forward.flops();
            assert!(apart.abs() <= 1e-6 * four.head_forward.flops(), "{architecture} {policy:?}: {apart}");
        }
        let [last_stage, none, fc_only, discriminative] = FreezePolicy::ALL.map(|policy| cost(policy, 96, 1));
        assert_eq!(none, discriminative, "{architecture}");
        assert!(none.trunk.flops() == 0.0 && fc_only.head.flops() <= last_stage.head.flops());
        // Where a network is cut does not change its forward work by much.
        let whole = |cost: &NetworkCost| (cost.trunk + cost.head_forward).flops();
        let ratio = whole(&last_stage) / whole(&none);
        assert!((ratio - 1.0).abs() < 0.02, "{architecture}: {ratio}");
    }
}

#[test]
fn python_lines_give_torchvisions_network_one_channel() {
    for architecture in Architecture::all() {
        let lines = architecture.torchvision_changes(architecture.native_dims());
        assert!(lines.contains("model.") && lines.lines().count() <= 5, "{architecture}: {lines}");
        assert!(lines.contains("Conv3d(1,") || lines.contains("in_channels = 1"), "{architecture}: {lines}");
    }
}
