//! Batch normalisation with PyTorch's semantics.

use brainreel_checkpoint::{HostTensor, StateDict};
use brainreel_named::named;
use burn::tensor::module::{batch_norm, batch_norm_train};
use burn::tensor::{Device, Tensor};

use crate::parameters::ErasedVisitor;
use crate::parameters::Found;

/// Constants of a batch norm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct NormConstants {
    /// Added to the variance before the root.
    pub(crate) epsilon: f64,
    /// Weight of the new batch in the running statistics.
    pub(crate) momentum: f64,
}

impl NormConstants {
    /// PyTorch's defaults.
    pub(crate) const PYTORCH: Self = Self { epsilon: 1e-5, momentum: 0.1 };
}

/// How the batch norms on the way normalise.
pub(crate) enum Pass<'a> {
    /// By the running statistics, folded into the kernels (the trunk: kernels are small beside maps).
    Folded,
    /// By the running statistics, applied after the convolution (the head: kernels are large).
    Running,
    /// By the batch's own, which are gathered in the order of [`crate::backbone::Layer::norms_mut`].
    Batch(&'a mut Vec<NormStatistics>),
}

named! {
    /// Which statistics the batch norms of the frozen trunk use.
    #[derive(Default)]
    pub enum FrozenNorm {
        /// The running statistics that came with the weights.
        Pretrained = "pretrained",
        /// Statistics estimated once over the training partition in one pass, then fixed (see
        /// [`NormTally`]).
        #[default]
        Calibrated = "calibrated",
        /// Those of the batch in training, updating the running ones, which evaluation uses: what
        /// PyTorch does when a frozen network is left in train mode. Nothing can be cached.
        Batch = "batch",
    }
}

/// Statistics of one batch in one batch norm.
#[derive(Debug, Clone)]
pub struct NormStatistics {
    mean: Tensor<1>,
    variance: Tensor<1>,
}

impl NormStatistics {
    /// From means and biased variances; `unbias` is the factor between the variances.
    #[expect(clippy::cast_possible_truncation, reason = "statistics are kept in single precision")]
    pub(crate) fn from_moments(channels: &[(f64, f64)], unbias: f64, device: &Device) -> Self {
        let (mean, variance): (Vec<f32>, Vec<f32>) =
            channels.iter().map(|&(mean, variance)| (mean as f32, (variance * unbias) as f32)).unzip();
        Self {
            mean: Tensor::from_data(mean.as_slice(), device),
            variance: Tensor::from_data(variance.as_slice(), device),
        }
    }
}

/// Batch normalisation over `[N, C, D, H, W]`.
///
/// The running variance is the unbiased one, as in PyTorch; the output is normalised by the biased
/// one. (Burn's own module keeps the biased one.)
#[derive(Debug, Clone)]
pub(crate) struct BatchNorm {
    name: String,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    running_mean: Tensor<1>,
    running_var: Tensor<1>,
    constants: NormConstants,
}

impl BatchNorm {
    /// Gamma and beta on `device`; running statistics never take part in autodiff.
    pub(crate) fn load(name: &str, constants: NormConstants, weights: &StateDict, device: &Device) -> Self {
        let buffers = device.clone().without_autodiff();
        let tensor = |field: &str, device: &Device| {
            let values = &weights.tensor(&format!("{name}.{field}")).values;
            Tensor::from_data(values.as_slice(), device)
        };
        Self {
            name: name.to_owned(),
            gamma: tensor("weight", device),
            beta: tensor("bias", device),
            running_mean: tensor("running_mean", &buffers),
            running_var: tensor("running_var", &buffers),
            constants,
        }
    }

    /// Normalises by the running statistics.
    pub(crate) fn forward_running(&self, x: Tensor<5>) -> Tensor<5> {
        let (mean, variance) = (self.running_mean.clone(), self.running_var.clone());
        batch_norm(x, self.gamma.clone(), self.beta.clone(), mean, variance, self.constants.epsilon)
    }

    /// Normalises by the statistics of `x` itself and returns them.
    pub(crate) fn forward_batch(&self, x: Tensor<5>) -> (Tensor<5>, NormStatistics) {
        let [n, _, d, h, w] = x.dims();
        let per_channel = (n * d * h * w) as f64;
        let unbias = per_channel / (per_channel - 1.0).max(1.0);
        let result = batch_norm_train(x, self.gamma.clone(), self.beta.clone(), self.constants.epsilon);
        let statistics = NormStatistics {
            mean: result.mean.without_autodiff(),
            variance: result.variance.without_autodiff().mul_scalar(unbias),
        };
        (result.output, statistics)
    }

    /// Scale and shift that the running statistics amount to.
    pub(crate) fn affine(&self) -> (Tensor<1>, Tensor<1>) {
        let std = self.running_var.clone().add_scalar(self.constants.epsilon).sqrt();
        let scale = self.gamma.clone() / std;
        let shift = self.beta.clone() - self.running_mean.clone() * scale.clone();
        (scale, shift)
    }

    /// Moves the running statistics towards those of a batch.
    pub(crate) fn update(&mut self, batch: &NormStatistics) {
        let momentum = self.constants.momentum;
        let mix = |running: &Tensor<1>, new: &Tensor<1>| {
            running.clone().mul_scalar(1.0 - momentum) + new.clone().mul_scalar(momentum)
        };
        self.running_mean = mix(&self.running_mean, &batch.mean);
        self.running_var = mix(&self.running_var, &batch.variance);
    }

    fn set_running(&mut self, mean: &[f32], variance: &[f32]) {
        let device = self.running_mean.device();
        self.running_mean = Tensor::from_data(mean, &device);
        self.running_var = Tensor::from_data(variance, &device);
    }

    pub(crate) fn visit(&mut self, visitor: &mut dyn ErasedVisitor) {
        visitor.vector(&format!("{}.weight", self.name), &mut self.gamma);
        visitor.vector(&format!("{}.bias", self.name), &mut self.beta);
    }

    /// Adds the running statistics to `into`.
    pub(crate) fn export_buffers(&self, into: &mut Found) {
        for (field, tensor) in [("running_mean", &self.running_mean), ("running_var", &self.running_var)] {
            into.insert(format!("{}.{field}", self.name), to_host(tensor.clone()));
        }
    }
}

/// Copies a tensor to host memory.
pub(crate) fn to_host<const D: usize>(tensor: Tensor<D>) -> HostTensor {
    let shape = tensor.dims().to_vec();
    let values = tensor.into_data().try_into_vec::<f32>().expect("weights are single precision");
    HostTensor { shape, values }
}

/// Gathers the statistics of many batches into one set a norm, for calibration.
///
/// Every batch passes through the network normalised by its own statistics; the mean kept is the
/// average of the batch means, the variance the average of the (unbiased) batch variances plus the
/// variance of the batch means. One pass, like PyTorch's `swa_utils.update_bn` with the
/// between-batch variance added.
#[derive(Debug, Clone, Default)]
pub struct NormTally {
    n_batches: usize,
    norms: Vec<ChannelSums>,
}

#[derive(Debug, Clone)]
struct ChannelSums {
    mean: Vec<f64>,
    mean_square: Vec<f64>,
    variance: Vec<f64>,
}

impl NormTally {
    /// Batches gathered so far.
    #[must_use]
    pub const fn n_batches(&self) -> usize {
        self.n_batches
    }

    pub(crate) fn add(&mut self, statistics: &[NormStatistics]) {
        self.n_batches += 1;
        for (idx, norm) in statistics.iter().enumerate() {
            let mean = to_host(norm.mean.clone()).values;
            let variance = to_host(norm.variance.clone()).values;
            if idx == self.norms.len() {
                let zeros = vec![0.0; mean.len()];
                self.norms.push(ChannelSums {
                    mean: zeros.clone(),
                    mean_square: zeros.clone(),
                    variance: zeros,
                });
            }
            let sums = &mut self.norms[idx];
            for (channel, (&m, &v)) in mean.iter().zip(&variance).enumerate() {
                sums.mean[channel] += f64::from(m);
                sums.mean_square[channel] += f64::from(m) * f64::from(m);
                sums.variance[channel] += f64::from(v);
            }
        }
    }

    /// Puts the gathered statistics in the place of the running ones; does nothing without batches.
    #[expect(clippy::cast_possible_truncation, reason = "statistics are kept in single precision")]
    pub(crate) fn store(&self, norms: Vec<&mut BatchNorm>) {
        let n = self.n_batches as f64;
        for (sums, norm) in self.norms.iter().zip(norms) {
            let mean: Vec<f64> = sums.mean.iter().map(|sum| sum / n).collect();
            let between = sums.mean_square.iter().zip(&mean).map(|(sum, m)| (sum / n - m * m).max(0.0));
            let variance: Vec<f32> =
                sums.variance.iter().zip(between).map(|(sum, between)| (sum / n + between) as f32).collect();
            let mean: Vec<f32> = mean.iter().map(|&m| m as f32).collect();
            norm.set_running(&mean, &variance);
        }
    }
}
