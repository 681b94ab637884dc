//! The Rust side of `reference/formula.py`.

use std::collections::BTreeMap;

use brainreel_models::{Architecture, HostTensor, NetworkWeights, Role, TensorSpec};
use burn::tensor::{Device, Tensor, TensorData};

fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn uniform(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let start = fnv1a(name);
    (0..count as u64).map(move |i| {
        let mut z = start.wrapping_add(i).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 11) as f64 / (1_u64 << 53) as f64
    })
}

fn tensor(spec: &TensorSpec) -> HostTensor {
    let fan_out = spec.shape[0] * spec.shape.iter().skip(2).product::<usize>();
    let fan_in = spec.shape.iter().skip(1).product::<usize>();
    let value = |u: f64| match spec.role {
        Role::RunningMean => 0.4 * (u - 0.5),
        Role::RunningVar => 0.5 + u,
        Role::Kernel => (6.0 / fan_out as f64).sqrt() * (2.0 * u - 1.0),
        Role::LinearWeight => (2.0 * u - 1.0) / (fan_in as f64).sqrt(),
        Role::LinearBias { fan_in } => (2.0 * u - 1.0) / (fan_in as f64).sqrt(),
        Role::PatchKernel | Role::DenseWeight => (3.0 / fan_in as f64).sqrt() * (2.0 * u - 1.0),
        Role::PatchBias { .. } | Role::DenseBias => 0.2 * (u - 0.5),
        Role::Position => 0.5 * (2.0 * u - 1.0),
        Role::Gamma => 0.8 + 0.4 * u,
        Role::Beta => 0.2 * (u - 0.5),
    };
    let values = uniform(&spec.name, spec.n_elements()).map(|u| value(u) as f32).collect();
    HostTensor { shape: spec.shape.clone(), values }
}

/// The formula's weights, for inputs of the published weights' size.
pub(crate) fn state_dict_of(architecture: Architecture) -> NetworkWeights {
    let specs = architecture.tensors(architecture.native_dims(), 2);
    let tensors: BTreeMap<String, HostTensor> =
        specs.iter().map(|spec| (spec.name.clone(), tensor(spec))).collect();
    NetworkWeights::from_tensors(architecture, tensors, "formula").expect("the formula fills every tensor")
}

/// The formula's input.
pub(crate) fn volume(name: &str, shape: [usize; 5]) -> Tensor<5> {
    let values = numbers(name, shape.iter().product());
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

/// Numbers of variance about one, as in [`volume`].
pub(crate) fn numbers(name: &str, count: usize) -> Vec<f32> {
    uniform(name, count).map(|u| (3.4 * (u - 0.5)) as f32).collect()
}
