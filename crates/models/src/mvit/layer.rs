//! The layers of a transformer in a row, and passes through them.

use std::collections::BTreeMap;

use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor};

use super::block::Block;
use super::parts::{LayerNorm, Linear, load};
use crate::architecture::{Architecture, N_BLOCKS, PATCH, token_grid};
use crate::math::Math;
use crate::native;
use crate::network::{Collect, Gradients, ParameterVisitor, TrainingPass};
use crate::norm::to_host;
use crate::weights::NetworkWeights;
use brainreel_checkpoint::HostTensor;

/// Patches of the volume as tokens, with a class token in front and, in v1, their positions.
#[derive(Debug, Clone)]
struct Embedding {
    /// Input that it takes, in voxels.
    dims: [usize; 3],
    kernel: Tensor<5>,
    bias: Tensor<1>,
    class_token: Tensor<1>,
    positions: Option<Positions>,
}

/// Absolute positions.
#[derive(Debug, Clone)]
struct Positions {
    spatial: Tensor<2>,
    temporal: Tensor<2>,
    class: Tensor<1>,
}

impl Embedding {
    fn load(weights: &NetworkWeights, device: &Device) -> Self {
        let architecture = weights.architecture();
        let state = weights.state();
        let position = |name: &str| load(&format!("pos_encoding.{name}_pos"), state, device);
        Self {
            dims: weights.dims().unwrap_or(architecture.native_dims()),
            kernel: load("conv_proj.weight", state, device),
            bias: load("conv_proj.bias", state, device),
            class_token: load("pos_encoding.class_token", state, device),
            positions: (architecture == Architecture::MvitV1B).then(|| Positions {
                spatial: position("spatial"),
                temporal: position("temporal"),
                class: load("pos_encoding.class_pos", state, device),
            }),
        }
    }

    /// `[N, 1, D, H, W]` to `[N, tokens, channels]`.
    fn forward(&self, x: Tensor<5>, math: Math) -> Tensor<3> {
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

    fn visit(&mut self, visitor: &mut impl ParameterVisitor) {
        visitor.visit("conv_proj.weight", &mut self.kernel);
        visitor.visit("conv_proj.bias", &mut self.bias);
        visitor.visit("pos_encoding.class_token", &mut self.class_token);
        if let Some(positions) = &mut self.positions {
            visitor.visit("pos_encoding.spatial_pos", &mut positions.spatial);
            visitor.visit("pos_encoding.temporal_pos", &mut positions.temporal);
            visitor.visit("pos_encoding.class_pos", &mut positions.class);
        }
    }
}

impl Positions {
    /// `[1, tokens, channels]`: a patch's position is that of its slice plus that in the slice.
    fn all(&self, [t, h, w]: [usize; 3]) -> Tensor<3> {
        let [_, channels] = self.spatial.dims();
        let temporal = self.temporal.clone().reshape([t, 1, channels]);
        let spatial = self.spatial.clone().reshape([1, h * w, channels]);
        let patches = (temporal + spatial).reshape([1, t * h * w, channels]);
        Tensor::cat(vec![self.class.clone().reshape([1, 1, channels]), patches], 1)
    }
}

/// One of the layers between which the network may be cut.
#[derive(Debug, Clone)]
enum Layer {
    Embedding(Box<Embedding>),
    Block(Box<Block>),
    /// The final norm, of the class token alone: nothing else is looked at behind it.
    Norm(LayerNorm),
    Final(Linear),
}

impl Layer {
    /// # Shapes
    /// Tokens are `[N, 1, 1, tokens, channels]`; the embedding takes `[N, 1, D, H, W]`, and the final layer
    /// gives `[N, 1, 1, 1, 2]`.
    fn forward(&self, x: Tensor<5>, math: Math) -> Tensor<5> {
        let y = match self {
            Self::Embedding(embedding) => embedding.forward(x, math),
            Self::Block(block) => block.forward(tokens(x), math),
            Self::Norm(norm) => {
                let x = tokens(x);
                let [n, ..] = x.dims();
                norm.forward(x.slice([0..n, 0..1]), math)
            }
            Self::Final(linear) => linear.forward(tokens(x), Math::default()),
        };
        let [n, tokens, channels] = y.dims();
        y.reshape([n, 1, 1, tokens, channels])
    }

    fn visit(&mut self, visitor: &mut impl ParameterVisitor) {
        match self {
            Self::Embedding(embedding) => embedding.visit(visitor),
            Self::Block(block) => block.visit(visitor),
            Self::Norm(norm) => norm.visit(visitor),
            Self::Final(linear) => linear.visit(visitor),
        }
    }

    const fn is_block(&self) -> bool {
        matches!(self, Self::Block(_))
    }
}

fn tokens(x: Tensor<5>) -> Tensor<3> {
    let [n, _, _, tokens, channels] = x.dims();
    x.reshape([n, tokens, channels])
}

/// Layers of a transformer in a row: its frozen or its trained ones.
#[derive(Debug, Clone)]
pub(crate) struct Layers {
    layers: Vec<Layer>,
    math: Math,
}

impl Layers {
    /// The first `n_frozen` layers on the first device, the others, trained, on the second.
    pub(crate) fn load(weights: &NetworkWeights, n_frozen: usize, devices: [&Device; 2]) -> (Self, Self) {
        let dims = weights.dims().unwrap_or(weights.architecture().native_dims());
        let blocks = weights.architecture().token_blocks(dims);
        let layer = |idx: usize| {
            let device = devices[usize::from(idx >= n_frozen)];
            match idx {
                0 => Layer::Embedding(Box::new(Embedding::load(weights, device))),
                _ if idx <= N_BLOCKS => {
                    Layer::Block(Box::new(Block::load(&blocks[idx - 1], weights.state(), device)))
                }
                _ if idx == N_BLOCKS + 1 => {
                    Layer::Norm(LayerNorm::load("norm".to_owned(), weights.state(), device))
                }
                _ => Layer::Final(Linear::load("head.1".to_owned(), weights.state(), device)),
            }
        };
        let math = Math::default();
        let mut frozen: Vec<Layer> = (0..N_BLOCKS + 3).map(layer).collect();
        let mut trained = Self { layers: frozen.split_off(n_frozen), math };
        trained.visit_parameters(&mut RequireGrad);
        (Self { layers: frozen, math }, trained)
    }

    pub(crate) const fn set_math(&mut self, math: Math) {
        self.math = math;
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    pub(crate) fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        self.layers.iter().fold(x, |x, layer| layer.forward(x, self.math))
    }

    /// Output `[N, 2]` of layers that end with the final one.
    pub(crate) fn logits(&self, x: Tensor<5>) -> Tensor<2> {
        let y = self.forward(x);
        let [n, .., classes] = y.dims();
        y.reshape([n, classes])
    }

    /// Forward without autodiff, keeping only the inputs of the layers; then backward, each layer computed once
    /// more, with autodiff.
    pub(crate) fn training_pass(
        &mut self,
        features: Tensor<5>,
        loss: &dyn Fn(Tensor<2>) -> Tensor<1>,
    ) -> TrainingPass {
        // From the last block on nothing is computed twice.
        let n_twice = self.layers.iter().rposition(Layer::is_block).unwrap_or(0);
        let plain = self.without_autodiff();
        let mut inputs = vec![features.without_autodiff()];
        for layer in &plain.layers[..n_twice] {
            let input = inputs.last().expect("the features are there").clone();
            inputs.push(layer.forward(input, self.math));
        }
        drop(plain);
        let leaf = self.leaf(inputs.pop(), n_twice);
        let tail = &self.layers[n_twice..];
        let y = tail.iter().fold(leaf.clone(), |x, layer| layer.forward(x, self.math));
        let [n, .., classes] = y.dims();
        let logits = y.reshape([n, classes]);
        let value = loss(logits.clone());
        let scale = self.math.precision.loss_scale();
        let mut collected = Collect::of((value.clone() * scale).backward(), scale);
        self.layers[n_twice..].iter_mut().for_each(|layer| layer.visit(&mut collected));
        let mut gradients: Gradients = std::mem::take(&mut collected.found);
        let mut gradient = collected.take(&leaf);
        drop((leaf, collected));
        for idx in (0..n_twice).rev() {
            let of_output = gradient.take().expect("the gradient reached the layer behind");
            let leaf = self.leaf(inputs.pop(), idx);
            let y = self.layers[idx].forward(leaf.clone(), self.math);
            let mut collected = Collect::of((y * of_output.autodiff()).sum().backward(), scale);
            self.layers[idx].visit(&mut collected);
            gradients.append(&mut collected.found);
            gradient = collected.take(&leaf);
        }
        TrainingPass::new(logits, value, gradients)
    }

    /// The input of layer `idx` under autodiff; that of the first needs no gradient.
    fn leaf(&self, input: Option<Tensor<5>>, idx: usize) -> Tensor<5> {
        let input = input.expect("every layer's input was kept").autodiff();
        if idx == 0 { input } else { input.require_grad() }
    }

    pub(crate) fn without_autodiff(&self) -> Self {
        let mut plain = self.clone();
        plain.visit_parameters(&mut WithoutAutodiff);
        plain
    }

    pub(crate) fn visit_parameters(&mut self, visitor: &mut impl ParameterVisitor) {
        self.layers.iter_mut().for_each(|layer| layer.visit(visitor));
    }

    pub(crate) fn export(&self, into: &mut BTreeMap<String, HostTensor>) {
        self.clone().visit_parameters(&mut Export(into));
    }

    /// What decides the bits of the output beside the weights.
    pub(crate) fn tag(&self) -> String {
        format!("tokens {}", self.math.tag())
    }
}

struct RequireGrad;

impl ParameterVisitor for RequireGrad {
    fn visit<const D: usize>(&mut self, _name: &str, parameter: &mut Tensor<D>) {
        *parameter = parameter.clone().require_grad();
    }
}

struct WithoutAutodiff;

impl ParameterVisitor for WithoutAutodiff {
    fn visit<const D: usize>(&mut self, _name: &str, parameter: &mut Tensor<D>) {
        *parameter = parameter.clone().without_autodiff();
    }
}

struct Export<'a>(&'a mut BTreeMap<String, HostTensor>);

impl ParameterVisitor for Export<'_> {
    fn visit<const D: usize>(&mut self, name: &str, parameter: &mut Tensor<D>) {
        self.0.insert(name.to_owned(), to_host(parameter.clone()));
    }
}
