//! A block: attention and a perceptron, each around a shortcut.

use burn::tensor::{Device, Tensor};

use super::attention::{Attention, pool_shortcut};
use super::parts::{LayerNorm, Linear, gelu};
use super::spec::{TokenBlockSpec, Version};
use crate::math::Math;
use crate::parameters::ErasedVisitor;
use brainreel_checkpoint::StateDict;

/// A block of a transformer.
#[derive(Debug, Clone)]
pub(super) struct Block {
    spec: TokenBlockSpec,
    norm1: LayerNorm,
    norm2: LayerNorm,
    attention: Attention,
    mlp: [Linear; 2],
    /// Where the width changes.
    project: Option<Linear>,
}

impl Block {
    pub(super) fn load(spec: &TokenBlockSpec, weights: &StateDict, device: &Device) -> Self {
        let name = |field: &str| format!("{}.{field}", spec.name);
        let norm = |field: &str| LayerNorm::load(name(field), weights, device);
        let linear = |field: &str| Linear::load(name(field), weights, device);
        Self {
            norm1: norm("norm1"),
            norm2: norm("norm2"),
            attention: Attention::load(spec, weights, device),
            mlp: ["mlp.0", "mlp.3"].map(linear),
            project: (spec.channels_in != spec.channels_out).then(|| linear("project")),
            spec: spec.clone(),
        }
    }

    /// # Shapes
    /// `[N, tokens, channels_in]` to `[N, pooled tokens, channels_out]`.
    pub(super) fn forward(&self, x: Tensor<3>, math: Math) -> Tensor<3> {
        let normed = self.norm1.forward(x.clone(), math);
        let shortcut = match &self.project {
            Some(project) if self.spec.version == Version::V2 => project.forward(normed.clone(), math),
            _ => x,
        };
        let shortcut = if self.spec.pools_shortcut() {
            pool_shortcut(shortcut, self.spec.grid, self.spec.stride_q, math)
        } else {
            shortcut
        };
        let x = shortcut + self.attention.forward(normed, math);
        let normed = self.norm2.forward(x.clone(), math);
        let shortcut = match &self.project {
            Some(project) if self.spec.version == Version::V1 => project.forward(normed.clone(), math),
            _ => x,
        };
        let [inner, outer] = &self.mlp;
        shortcut + outer.forward(gelu(inner.forward(normed, math), math), math)
    }

    pub(super) fn visit(&mut self, visitor: &mut dyn ErasedVisitor) {
        self.norm1.visit(visitor);
        self.norm2.visit(visitor);
        self.attention.visit(visitor);
        self.mlp.iter_mut().for_each(|linear| linear.visit(visitor));
        self.project.iter_mut().for_each(|linear| linear.visit(visitor));
    }
}
