//! The layers of a transformer: embedding, blocks, classifier.

use brainreel_checkpoint::{Role, StateDict, TensorSpec};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor};

use super::block::Block;
use super::parts::{LayerNorm, Linear, load};
use super::spec::{
    HEAD_CHANNELS, N_BLOCKS, N_TOKEN_FEATURES, PATCH, TokenBlockSpec, Version, token_blocks, token_grid,
};
use crate::backbone::{Layer, LayerSpec};
use crate::math::Math;
use crate::native;
use crate::norm::Pass;
use crate::parameters::ErasedVisitor;

/// Embedding, blocks, classifier. The final norm belongs to the last block's layer.
pub(crate) fn layers(version: Version, dims: [usize; 3], n_classes: usize) -> Vec<Box<dyn LayerSpec>> {
    let mut layers: Vec<Box<dyn LayerSpec>> = vec![Box::new(EmbeddingSpec { version, dims })];
    for (number, block) in token_blocks(version, dims).into_iter().enumerate() {
        layers.push(Box::new(BlockLayerSpec { block, is_last: number + 1 == N_BLOCKS }));
    }
    layers.push(Box::new(ClassifierSpec { n_classes }));
    layers
}

#[derive(Debug)]
struct EmbeddingSpec {
    version: Version,
    dims: [usize; 3],
}

impl LayerSpec for EmbeddingSpec {
    fn tensors(&self) -> Vec<TensorSpec> {
        let [t, h, w] = token_grid(self.dims);
        let [kd, kh, kw] = PATCH[0];
        let bias = Role::PatchBias { fan_in: kd * kh * kw };
        let channels = HEAD_CHANNELS;
        let mut tensors = vec![
            TensorSpec::new("conv_proj.weight", &[channels, 1, kd, kh, kw], Role::PatchKernel),
            TensorSpec::new("conv_proj.bias", &[channels], bias),
            TensorSpec::new("pos_encoding.class_token", &[channels], Role::Position),
        ];
        if self.version == Version::V1 {
            tensors.extend([
                TensorSpec::new("pos_encoding.spatial_pos", &[h * w, channels], Role::Position),
                TensorSpec::new("pos_encoding.temporal_pos", &[t, channels], Role::Position),
                TensorSpec::new("pos_encoding.class_pos", &[channels], Role::Position),
            ]);
        }
        tensors
    }

    fn load(&self, weights: &StateDict, device: &Device) -> Box<dyn Layer> {
        Box::new(Embedding::load(self, weights, device))
    }
}

#[derive(Debug)]
struct BlockLayerSpec {
    block: TokenBlockSpec,
    /// Whether the final norm follows.
    is_last: bool,
}

impl LayerSpec for BlockLayerSpec {
    fn tensors(&self) -> Vec<TensorSpec> {
        let mut tensors = self.block.tensors();
        if self.is_last {
            tensors.push(TensorSpec::new("norm.weight", &[N_TOKEN_FEATURES], Role::Gamma));
            tensors.push(TensorSpec::new("norm.bias", &[N_TOKEN_FEATURES], Role::Beta));
        }
        tensors
    }

    fn load(&self, weights: &StateDict, device: &Device) -> Box<dyn Layer> {
        Box::new(BlockLayer {
            block: Block::load(&self.block, weights, device),
            norm: self.is_last.then(|| LayerNorm::load("norm".to_owned(), weights, device)),
        })
    }
}

#[derive(Debug)]
struct ClassifierSpec {
    n_classes: usize,
}

impl LayerSpec for ClassifierSpec {
    fn tensors(&self) -> Vec<TensorSpec> {
        let n = self.n_classes;
        vec![
            TensorSpec::new("head.1.weight", &[n, N_TOKEN_FEATURES], Role::DenseWeight),
            TensorSpec::new("head.1.bias", &[n], Role::DenseBias),
        ]
    }

    fn load(&self, weights: &StateDict, device: &Device) -> Box<dyn Layer> {
        Box::new(Classifier(Linear::load("head.1".to_owned(), weights, device)))
    }
}

/// Patches of the volume as tokens, with a class token in front and, in v1, their positions.
#[derive(Debug, Clone)]
struct Embedding {
    /// Input that it takes, in voxels.
    dims: [usize; 3],
    kernel: Tensor<5>,
    bias: Tensor<1>,
    class_token: Tensor<1>,
    positions: Option<AbsolutePositions>,
}

/// Absolute positions.
#[derive(Debug, Clone)]
struct AbsolutePositions {
    spatial: Tensor<2>,
    temporal: Tensor<2>,
    class: Tensor<1>,
}

impl Embedding {
    fn load(spec: &EmbeddingSpec, state: &StateDict, device: &Device) -> Self {
        let position = |name: &str| load(&format!("pos_encoding.{name}_pos"), state, device);
        Self {
            dims: spec.dims,
            kernel: load("conv_proj.weight", state, device),
            bias: load("conv_proj.bias", state, device),
            class_token: load("pos_encoding.class_token", state, device),
            positions: (spec.version == Version::V1).then(|| AbsolutePositions {
                spatial: position("spatial"),
                temporal: position("temporal"),
                class: load("pos_encoding.class_pos", state, device),
            }),
        }
    }

    /// `[N, 1, D, H, W]` to `[N, tokens, channels]`.
    fn embed(&self, x: Tensor<5>, math: Math) -> Tensor<3> {
        let [n, _, d, h, w] = x.dims();
        assert_eq!([d, h, w], self.dims, "input of a transformer whose positions are laid out for one size");
        let [_, stride, padding] = PATCH;
        let kernel = self.kernel.clone();
        let maps = if math.is_native(&x) {
            native::conv3d(x, kernel, stride, padding)
        } else {
            math.conv3d(x, kernel, None, ConvOptions::new(stride, padding, [1; 3], 1))
        };
        let [_, channels, t, h, w] = maps.dims();
        let patches = maps.reshape([n, channels, t * h * w]).swap_dims(1, 2);
        let patches = patches + self.bias.clone().reshape([1, 1, channels]);
        let class_token = self.class_token.clone().reshape([1, 1, channels]).repeat_dim(0, n);
        let tokens = Tensor::cat(vec![class_token, patches], 1);
        match &self.positions {
            Some(positions) => tokens + positions.all(token_grid(self.dims)),
            None => tokens,
        }
    }

    fn visit_parameters(&mut self, visitor: &mut dyn ErasedVisitor) {
        visitor.kernel("conv_proj.weight", &mut self.kernel);
        visitor.vector("conv_proj.bias", &mut self.bias);
        visitor.vector("pos_encoding.class_token", &mut self.class_token);
        if let Some(positions) = &mut self.positions {
            visitor.matrix("pos_encoding.spatial_pos", &mut positions.spatial);
            visitor.matrix("pos_encoding.temporal_pos", &mut positions.temporal);
            visitor.vector("pos_encoding.class_pos", &mut positions.class);
        }
    }
}

impl AbsolutePositions {
    /// `[1, tokens, channels]`: a patch's position is that of its slice plus that in the slice.
    fn all(&self, [t, h, w]: [usize; 3]) -> Tensor<3> {
        let [_, channels] = self.spatial.dims();
        let temporal = self.temporal.clone().reshape([t, 1, channels]);
        let spatial = self.spatial.clone().reshape([1, h * w, channels]);
        let patches = (temporal + spatial).reshape([1, t * h * w, channels]);
        Tensor::cat(vec![self.class.clone().reshape([1, 1, channels]), patches], 1)
    }
}

impl Layer for Embedding {
    fn forward(&self, x: Tensor<5>, _pass: &mut Pass<'_>, math: Math) -> Tensor<5> {
        from_tokens(self.embed(x, math))
    }

    fn visit(&mut self, visitor: &mut dyn ErasedVisitor) {
        self.visit_parameters(visitor);
    }

    fn tag(&self, math: Math) -> String {
        tag(math)
    }

    fn boxed_clone(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

/// A block and, behind the last one, the final norm of the class token alone: nothing else is used behind it.
#[derive(Debug, Clone)]
struct BlockLayer {
    block: Block,
    norm: Option<LayerNorm>,
}

impl Layer for BlockLayer {
    fn forward(&self, x: Tensor<5>, _pass: &mut Pass<'_>, math: Math) -> Tensor<5> {
        let y = self.block.forward(to_tokens(x), math);
        from_tokens(match &self.norm {
            Some(norm) => {
                let [n, ..] = y.dims();
                norm.forward(y.slice([0..n, 0..1]), math)
            }
            None => y,
        })
    }

    fn visit(&mut self, visitor: &mut dyn ErasedVisitor) {
        self.block.visit(visitor);
        self.norm.iter_mut().for_each(|norm| norm.visit(visitor));
    }

    fn is_recomputed(&self) -> bool {
        true
    }

    fn tag(&self, math: Math) -> String {
        tag(math)
    }

    fn boxed_clone(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

/// The final linear layer, in single precision.
#[derive(Debug, Clone)]
struct Classifier(Linear);

impl Layer for Classifier {
    fn forward(&self, x: Tensor<5>, _pass: &mut Pass<'_>, _math: Math) -> Tensor<5> {
        from_tokens(self.0.forward(to_tokens(x), Math::default()))
    }

    fn visit(&mut self, visitor: &mut dyn ErasedVisitor) {
        self.0.visit(visitor);
    }

    fn tag(&self, math: Math) -> String {
        tag(math)
    }

    fn boxed_clone(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

fn tag(math: Math) -> String {
    format!("tokens {}", math.tag())
}

fn to_tokens(x: Tensor<5>) -> Tensor<3> {
    let [n, _, _, tokens, channels] = x.dims();
    x.reshape([n, tokens, channels])
}

fn from_tokens(y: Tensor<3>) -> Tensor<5> {
    let [n, tokens, channels] = y.dims();
    y.reshape([n, 1, 1, tokens, channels])
}
