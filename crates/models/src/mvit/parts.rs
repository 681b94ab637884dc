//! Linear layers and layer norms.

use burn::tensor::{Device, Tensor, TensorData, activation, module};

use super::spec::LAYER_NORM_EPSILON;
use crate::math::Math;
use crate::native::{TokenOp, operand, token_op};
use crate::parameters::ErasedVisitor;
use brainreel_checkpoint::StateDict;

/// Loads a tensor by name onto a device.
pub(super) fn load<const D: usize>(name: &str, weights: &StateDict, device: &Device) -> Tensor<D> {
    let tensor = weights.tensor(name);
    Tensor::from_data(TensorData::new(tensor.values.clone(), tensor.shape.clone()), device)
}

/// `x` times the normal distribution function of `x`.
pub(super) fn gelu(x: Tensor<3>, math: Math) -> Tensor<3> {
    if math.is_native(&x) { token_op(TokenOp::Gelu, vec![operand(x)]) } else { activation::gelu(x) }
}

/// A linear layer with bias.
#[derive(Debug, Clone)]
pub(super) struct Linear {
    name: String,
    /// `[out, in]`.
    weight: Tensor<2>,
    bias: Tensor<1>,
}

impl Linear {
    pub(super) fn load(name: String, weights: &StateDict, device: &Device) -> Self {
        Self {
            weight: load(&format!("{name}.weight"), weights, device),
            bias: load(&format!("{name}.bias"), weights, device),
            name,
        }
    }

    /// # Shapes
    /// `[N, tokens, in]` to `[N, tokens, out]`.
    pub(super) fn forward(&self, x: Tensor<3>, math: Math) -> Tensor<3> {
        let [n, tokens, channels] = x.dims();
        let rows = math.matmul(x.reshape([n * tokens, channels]), self.weight.clone().transpose());
        let rows = rows + self.bias.clone().unsqueeze();
        let [_, channels] = rows.dims();
        rows.reshape([n, tokens, channels])
    }

    pub(super) fn visit(&mut self, visitor: &mut dyn ErasedVisitor) {
        visitor.matrix(&format!("{}.weight", self.name), &mut self.weight);
        visitor.vector(&format!("{}.bias", self.name), &mut self.bias);
    }
}

/// A layer norm over the channels.
#[derive(Debug, Clone)]
pub(super) struct LayerNorm {
    name: String,
    gamma: Tensor<1>,
    beta: Tensor<1>,
}

impl LayerNorm {
    pub(super) fn load(name: String, weights: &StateDict, device: &Device) -> Self {
        Self {
            gamma: load(&format!("{name}.weight"), weights, device),
            beta: load(&format!("{name}.bias"), weights, device),
            name,
        }
    }

    /// Normalises each run of as many channels as the norm has: each head's, if there are several.
    ///
    /// # Shapes
    /// `[N, tokens, heads * channels]`, unchanged.
    #[expect(clippy::cast_possible_truncation, reason = "the kernel computes in single precision")]
    pub(super) fn forward(&self, x: Tensor<3>, math: Math) -> Tensor<3> {
        if math.is_native(&x) {
            let op = TokenOp::LayerNorm { epsilon: LAYER_NORM_EPSILON as f32 };
            return token_op(op, vec![operand(x), operand(self.gamma.clone()), operand(self.beta.clone())]);
        }
        let [n, tokens, width] = x.dims();
        let [channels] = self.gamma.dims();
        let rows = x.reshape([n * tokens * (width / channels), channels]);
        let rows = module::layer_norm(rows, self.gamma.clone(), Some(self.beta.clone()), LAYER_NORM_EPSILON);
        rows.reshape([n, tokens, width])
    }

    pub(super) fn visit(&mut self, visitor: &mut dyn ErasedVisitor) {
        visitor.vector(&format!("{}.weight", self.name), &mut self.gamma);
        visitor.vector(&format!("{}.bias", self.name), &mut self.beta);
    }
}
