//! Convolutions, residual blocks and stages.

use std::collections::BTreeMap;

use burn::tensor::activation::relu;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};

use crate::architecture::{BlockSpec, ConvNormSpec, StageSpec};
use crate::math::Math;
use crate::native;
use crate::network::ParameterVisitor;
use crate::norm::{BatchNorm, NormStatistics, to_host};
use brainreel_checkpoint::{HostTensor, StateDict};

/// How the batch norms on the way normalise.
pub(crate) enum Pass<'a> {
    /// By the running statistics, folded into the kernels (the trunk: kernels are small beside maps).
    Folded,
    /// By the running statistics, applied after the convolution (the head: kernels are large).
    Running,
    /// By the batch's own, which are gathered in the order of [`Stage::norms_mut`].
    Batch(&'a mut Vec<NormStatistics>),
}

/// A convolution without bias and its batch norm.
#[derive(Debug, Clone)]
pub(crate) struct ConvNorm {
    name: String,
    kernel: Tensor<5>,
    stride: [usize; 3],
    padding: [usize; 3],
    norm: BatchNorm,
    math: Math,
}

impl ConvNorm {
    fn load(spec: &ConvNormSpec, weights: &StateDict, device: &Device) -> Self {
        let name = format!("{}.weight", spec.conv);
        let data = TensorData::new(weights.tensor(&name).values.clone(), spec.kernel_shape());
        Self {
            kernel: Tensor::from_data(data, device),
            name,
            stride: spec.stride,
            padding: spec.padding,
            norm: BatchNorm::load(&spec.norm, weights, device),
            math: Math::default(),
        }
    }

    fn forward(&self, x: Tensor<5>, pass: &mut Pass<'_>) -> Tensor<5> {
        let options = || ConvOptions::new(self.stride, self.padding, [1; 3], 1);
        match pass {
            Pass::Folded => {
                let (scale, shift) = self.norm.affine();
                let channels = scale.dims()[0];
                let kernel = self.kernel.clone() * scale.reshape([channels, 1, 1, 1, 1]);
                self.math.conv3d(x, kernel, Some(shift), options())
            }
            Pass::Running => self.norm.forward_running(self.convolve(x, options())),
            Pass::Batch(gathered) => {
                let (y, statistics) = self.norm.forward_batch(self.convolve(x, options()));
                gathered.push(statistics);
                y
            }
        }
    }

    /// By our own kernels where they can and may.
    fn convolve(&self, x: Tensor<5>, options: ConvOptions<3>) -> Tensor<5> {
        let kernel = self.kernel.clone();
        if self.math.is_native(&x) && self.math.is_native(&kernel) {
            native::conv3d(x, kernel, self.stride, self.padding)
        } else {
            self.math.conv3d(x, kernel, None, options)
        }
    }

    fn require_grad(&mut self) {
        self.kernel = self.kernel.clone().require_grad();
        self.norm.require_grad();
    }

    fn without_autodiff(&self) -> Self {
        Self {
            kernel: self.kernel.clone().without_autodiff(),
            norm: self.norm.without_autodiff(),
            name: self.name.clone(),
            ..*self
        }
    }
}

/// A basic residual block.
///
/// # Shapes
/// Input `[N, c_in, d, h, w]`, output `[N, c_out, ceil(d / s), ceil(h / s), ceil(w / s)]`.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    /// Both parts, in order.
    main: Vec<ConvNorm>,
    downsample: Option<ConvNorm>,
}

impl Block {
    fn load(spec: &BlockSpec, weights: &StateDict, device: &Device) -> Self {
        let conv = |spec: &ConvNormSpec| ConvNorm::load(spec, weights, device);
        Self {
            main: spec.conv1.iter().chain(&spec.conv2).map(conv).collect(),
            downsample: spec.downsample.as_ref().map(conv),
        }
    }

    fn forward(&self, x: Tensor<5>, pass: &mut Pass<'_>) -> Tensor<5> {
        let (last, before) = self.main.split_last().expect("a block has convolutions");
        let y = before.iter().fold(x.clone(), |y, conv| relu(conv.forward(y, pass)));
        let y = last.forward(y, pass);
        let shortcut = match &self.downsample {
            Some(conv) => conv.forward(x, pass),
            None => x,
        };
        relu(y + shortcut)
    }

    fn convolutions(&self) -> impl Iterator<Item = &ConvNorm> {
        self.main.iter().chain(&self.downsample)
    }

    fn convolutions_mut(&mut self) -> impl Iterator<Item = &mut ConvNorm> {
        self.main.iter_mut().chain(&mut self.downsample)
    }
}

/// The stem or a layer of blocks.
#[derive(Debug, Clone)]
pub(crate) enum Stage {
    Stem(Vec<ConvNorm>),
    Layer(Vec<Block>),
}

impl Stage {
    pub(crate) fn load(spec: &StageSpec, weights: &StateDict, device: &Device) -> Self {
        match spec {
            StageSpec::Stem(convs) => {
                Self::Stem(convs.iter().map(|conv| ConvNorm::load(conv, weights, device)).collect())
            }
            StageSpec::Layer(blocks) => {
                Self::Layer(blocks.iter().map(|block| Block::load(block, weights, device)).collect())
            }
        }
    }

    pub(crate) fn forward(&self, x: Tensor<5>, pass: &mut Pass<'_>) -> Tensor<5> {
        match self {
            Self::Stem(convs) => convs.iter().fold(x, |x, conv| relu(conv.forward(x, pass))),
            Self::Layer(blocks) => blocks.iter().fold(x, |x, block| block.forward(x, pass)),
        }
    }

    fn convolutions(&self) -> Vec<&ConvNorm> {
        match self {
            Self::Stem(convs) => convs.iter().collect(),
            Self::Layer(blocks) => blocks.iter().flat_map(Block::convolutions).collect(),
        }
    }

    fn convolutions_mut(&mut self) -> Vec<&mut ConvNorm> {
        match self {
            Self::Stem(convs) => convs.iter_mut().collect(),
            Self::Layer(blocks) => blocks.iter_mut().flat_map(Block::convolutions_mut).collect(),
        }
    }

    pub(crate) fn norms_mut(&mut self) -> impl Iterator<Item = &mut BatchNorm> {
        self.convolutions_mut().into_iter().map(|conv| &mut conv.norm)
    }

    pub(crate) fn require_grad(mut self) -> Self {
        self.convolutions_mut().into_iter().for_each(ConvNorm::require_grad);
        self
    }

    pub(crate) fn without_autodiff(&self) -> Self {
        let block = |block: &Block| Block {
            main: block.main.iter().map(ConvNorm::without_autodiff).collect(),
            downsample: block.downsample.as_ref().map(ConvNorm::without_autodiff),
        };
        match self {
            Self::Stem(convs) => Self::Stem(convs.iter().map(ConvNorm::without_autodiff).collect()),
            Self::Layer(blocks) => Self::Layer(blocks.iter().map(block).collect()),
        }
    }

    /// Says who computes the convolutions, and in which precision.
    pub(crate) fn set_math(&mut self, math: Math) {
        self.convolutions_mut().into_iter().for_each(|conv| conv.math = math);
    }

    pub(crate) fn visit_parameters(&mut self, visitor: &mut impl ParameterVisitor) {
        for conv in self.convolutions_mut() {
            visitor.visit(&conv.name, &mut conv.kernel);
            conv.norm.visit_parameters(visitor);
        }
    }

    pub(crate) fn export(&self, into: &mut BTreeMap<String, HostTensor>) {
        for conv in self.convolutions() {
            into.insert(conv.name.clone(), to_host(conv.kernel.clone()));
            conv.norm.export(into);
        }
    }
}
