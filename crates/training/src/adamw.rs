//! AdamW with PyTorch's arithmetic and layer-wise learning rates.

use std::collections::BTreeMap;

use brainreel_models::{Gradients, Network, ParameterVisitor};
use burn::tensor::Tensor;
use rayon::prelude::*;

/// Elements that one thread updates at a time.
const CHUNK: usize = 1 << 16;

/// Settings of the optimizer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWConfig {
    /// Learning rate of the final layer.
    pub learning_rate_fc: f64,
    /// Learning rate of the layer below it.
    pub learning_rate: f64,
    /// Learning-rate decay factor from each layer to the next lower one, down to the stem.
    pub layer_decay: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Decay rate of the first moment (beta1).
    pub beta_1: f64,
    /// Decay rate of the second moment (beta2).
    pub beta_2: f64,
    /// Epsilon, added to the square root of the second moment.
    pub epsilon: f64,
}

impl AdamWConfig {
    /// Learning rate of a tensor before the schedule's factor, by the distance of its layer from the output
    /// ([`brainreel_models::Architecture::layer_depths`]).
    ///
    /// # Reference
    /// Howard and Ruder 2018, arXiv:1801.06146 (discriminative learning rates).
    #[must_use]
    pub fn rate_at(&self, layer_depth: usize) -> f64 {
        match layer_depth {
            0 => self.learning_rate_fc,
            depth => self.learning_rate * libm::pow(self.layer_decay, (depth - 1) as f64),
        }
    }
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self {
            learning_rate_fc: 1e-3,
            learning_rate: 1e-4,
            layer_decay: 1.0,
            weight_decay: 0.01,
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
        }
    }
}

/// First and second moment of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// Running mean of the gradient.
    pub first: Vec<f32>,
    /// Running mean of its square.
    pub second: Vec<f32>,
}

/// The optimizer and its state in host memory. One fused pass over each parameter is several times faster on
/// a CPU than a sequence of tensor operations.
///
/// # Determinism
/// Elementwise: bit-identical for any number of threads.
///
/// # Reference
/// Loshchilov and Hutter 2019, arXiv:1711.05101; `torch.optim.AdamW`.
#[derive(Debug, Clone)]
pub struct AdamW {
    config: AdamWConfig,
    n_steps: u64,
    moments: BTreeMap<String, Moments>,
}

impl AdamW {
    /// Creates an optimizer without state.
    #[must_use]
    pub const fn new(config: AdamWConfig) -> Self {
        Self { config, n_steps: 0, moments: BTreeMap::new() }
    }

    /// Restores an optimizer from the state in a checkpoint.
    #[must_use]
    pub const fn restore(config: AdamWConfig, n_steps: u64, moments: BTreeMap<String, Moments>) -> Self {
        Self { config, n_steps, moments }
    }

    /// Number of steps so far.
    #[must_use]
    pub const fn n_steps(&self) -> u64 {
        self.n_steps
    }

    /// Moments by the names of the parameters; empty before the first step.
    #[must_use]
    pub const fn moments(&self) -> &BTreeMap<String, Moments> {
        &self.moments
    }

    /// Performs one step. All learning rates are multiplied by `rate_factor`.
    ///
    /// # Panics
    /// If a trainable parameter has no gradient, or moments of another size.
    pub fn step(&mut self, network: &mut Network, gradients: &Gradients, rate_factor: f64) {
        self.n_steps += 1;
        let layer_depths = network.architecture().layer_depths();
        let mut update = Update { optimizer: self, layer_depths, gradients, rate_factor };
        network.visit_trainable(&mut update);
    }

    /// Scalar coefficients of one step at a learning rate.
    fn scalars(&self, rate: f64) -> Scalars {
        let AdamWConfig { weight_decay, beta_1, beta_2, epsilon, .. } = self.config;
        let power = |beta: f64| libm::pow(beta, self.n_steps as f64);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "PyTorch, too, rounds its scalars to single precision"
        )]
        let single = |value: f64| value as f32;
        Scalars {
            decay: single(1.0 - rate * weight_decay),
            mix_1: single(1.0 - beta_1),
            beta_2: single(beta_2),
            mix_2: single(1.0 - beta_2),
            correction_2_root: single((1.0 - power(beta_2)).sqrt()),
            epsilon: single(epsilon),
            step_size: single(rate / (1.0 - power(beta_1))),
        }
    }
}

#[derive(Clone, Copy)]
struct Scalars {
    decay: f32,
    mix_1: f32,
    beta_2: f32,
    mix_2: f32,
    correction_2_root: f32,
    epsilon: f32,
    step_size: f32,
}

struct Update<'a> {
    optimizer: &'a mut AdamW,
    layer_depths: BTreeMap<String, usize>,
    gradients: &'a Gradients,
    rate_factor: f64,
}

impl ParameterVisitor for Update<'_> {
    fn visit<const D: usize>(&mut self, name: &str, parameter: &mut Tensor<D>) {
        let gradient = self.gradients.get(name).expect("every trained parameter has a gradient");
        let device = parameter.device();
        // Take the tensor out of the module, so that its buffer is uniquely owned and can be updated in
        // place.
        let taken = std::mem::replace(parameter, Tensor::zeros([1; D], &device));
        let mut data = taken.without_autodiff().into_data();
        let values = data.as_mut_slice::<f32>().expect("parameters are single precision");
        let rate = self.optimizer.config.rate_at(self.layer_depths.get(name).copied().unwrap_or(0));
        let scalars = self.optimizer.scalars(rate * self.rate_factor);
        let moments = self
            .optimizer
            .moments
            .entry(name.to_owned())
            .or_insert_with(|| Moments { first: vec![0.0; values.len()], second: vec![0.0; values.len()] });
        assert_eq!(moments.first.len(), values.len(), "size of the moments of {name}");
        values
            .par_chunks_mut(CHUNK)
            .zip(gradient.par_chunks(CHUNK))
            .zip(moments.first.par_chunks_mut(CHUNK).zip(moments.second.par_chunks_mut(CHUNK)))
            .for_each(|((values, gradient), (first, second))| {
                update_chunk(values, gradient, first, second, scalars);
            });
        *parameter = Tensor::from_data(data, &device).require_grad();
    }
}

fn update_chunk(values: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32], s: Scalars) {
    for (((value, &g), m), v) in values.iter_mut().zip(gradient).zip(first).zip(second) {
        *m += s.mix_1 * (g - *m);
        *v = *v * s.beta_2 + s.mix_2 * (g * g);
        let denominator = v.sqrt() / s.correction_2_root + s.epsilon;
        *value = *value * s.decay - s.step_size * (*m / denominator);
    }
}

#[cfg(test)]
mod tests {
    use brainreel_testkit::{Golden, Tolerance, assert_close};

    use super::*;

    /// Input values by the formula of `reference/formula.py`.
    fn formula(name: &str) -> Vec<f32> {
        let start = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let uniform = |i: u64| {
            let mut z = start.wrapping_add(i).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
        };
        (0..50).map(|i| (3.4 * (uniform(i) - 0.5)) as f32).collect()
    }

    #[test]
    fn rates_fall_from_the_final_layer_to_the_stem() {
        let config = AdamWConfig { layer_decay: 0.5, ..AdamWConfig::default() };
        let depths = brainreel_models::Architecture::default().layer_depths();
        let rates = ["fc.bias", "layer4.1.conv2.1.weight", "layer3.0.conv1.0.weight", "stem.0.weight"]
            .map(|name| config.rate_at(depths[name]));
        assert_close(&rates, &[1e-3, 1e-4, 0.5e-4, 1e-4 / 16.0], Tolerance::relative(1e-12));
    }

    #[test]
    fn ten_steps_are_pytorchs() {
        let golden = Golden::load(env!("CARGO_MANIFEST_DIR"), "train_step");
        let mut optimizer = AdamW::new(AdamWConfig::default());
        let mut values = formula("adamw");
        let (mut first, mut second) = (vec![0.0; 50], vec![0.0; 50]);
        for index in 0..10 {
            optimizer.n_steps += 1;
            let scale = 0.1_f64.powi(index) as f32;
            let gradient: Vec<f32> = formula(&format!("gradient{index}")).iter().map(|g| g * scale).collect();
            let scalars = optimizer.scalars(AdamWConfig::default().learning_rate_fc);
            update_chunk(&mut values, &gradient, &mut first, &mut second, scalars);
        }
        assert_close(&values, &golden.array("adamw_10_steps").data, Tolerance::relative(1e-6));
    }
}
