//! The residual networks: R3D-18, MC3-18, R(2+1)D-18.

use brainreel_checkpoint::{Role, TensorSpec};

use super::{Architecture, N_FEATURES};
use crate::N_CLASSES;

/// A convolution followed by a batch norm, as torchvision names and shapes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConvNormSpec {
    pub(crate) conv: String,
    pub(crate) norm: String,
    pub(crate) channels_in: usize,
    pub(crate) channels_out: usize,
    pub(crate) kernel: [usize; 3],
    pub(crate) stride: [usize; 3],
    pub(crate) padding: [usize; 3],
}

impl ConvNormSpec {
    /// A convolution whose padding keeps the size, but for the stride.
    fn new(
        conv: String,
        norm: String,
        [channels_in, channels_out]: [usize; 2],
        kernel: [usize; 3],
        stride: [usize; 3],
    ) -> Self {
        Self { conv, norm, channels_in, channels_out, kernel, stride, padding: kernel.map(|n| n / 2) }
    }

    pub(crate) fn kernel_shape(&self) -> [usize; 5] {
        let [d, h, w] = self.kernel;
        [self.channels_out, self.channels_in, d, h, w]
    }

    fn tensors(&self) -> Vec<TensorSpec> {
        let channel = [self.channels_out];
        let norm = |field: &str, role| TensorSpec::new(format!("{}.{field}", self.norm), &channel, role);
        vec![
            TensorSpec::new(format!("{}.weight", self.conv), &self.kernel_shape(), Role::Kernel),
            norm("weight", Role::Gamma),
            norm("bias", Role::Beta),
            norm("running_mean", Role::RunningMean),
            norm("running_var", Role::RunningVar),
        ]
    }
}

/// A basic residual block: two parts, each of one convolution, or of two in R(2+1)D. A rectifier
/// follows every convolution, the last one's after the shortcut has joined.
#[derive(Debug, Clone)]
pub(crate) struct BlockSpec {
    pub(crate) conv1: Vec<ConvNormSpec>,
    pub(crate) conv2: Vec<ConvNormSpec>,
    pub(crate) downsample: Option<ConvNormSpec>,
}

/// One of the stages between which the network may be cut: the stem or a layer of blocks.
#[derive(Debug, Clone)]
pub(crate) enum StageSpec {
    Stem(Vec<ConvNormSpec>),
    Layer(Vec<BlockSpec>),
}

impl Architecture {
    /// stem, layer1, layer2, layer3, layer4.
    pub(crate) fn stages(self) -> Vec<StageSpec> {
        let mut stages = vec![StageSpec::Stem(self.stem())];
        let mut channels_in = 64;
        for (layer, channels_out, stride) in [(1, 64, 1), (2, 128, 2), (3, 256, 2), (4, N_FEATURES, 2)] {
            let block = |number: usize, channels_in, stride| {
                self.block(layer, number, [channels_in, channels_out], stride)
            };
            stages.push(StageSpec::Layer(vec![block(0, channels_in, stride), block(1, channels_out, 1)]));
            channels_in = channels_out;
        }
        stages
    }

    fn stem(self) -> Vec<ConvNormSpec> {
        let conv = |number: usize, channels: [usize; 2], kernel: [usize; 3], stride| {
            ConvNormSpec::new(
                format!("stem.{number}"),
                format!("stem.{}", number + 1),
                channels,
                kernel,
                stride,
            )
        };
        match self {
            Self::R2plus1d18 => {
                vec![conv(0, [1, 45], [1, 7, 7], [1, 2, 2]), conv(3, [45, 64], [3, 1, 1], [1; 3])]
            }
            _ => vec![conv(0, [1, 64], [3, 7, 7], [1, 2, 2])],
        }
    }

    fn block(self, layer: usize, number: usize, channels: [usize; 2], stride: usize) -> BlockSpec {
        let name = format!("layer{layer}.{number}");
        let [channels_in, channels_out] = channels;
        // torchvision takes the first part's number of middle channels for both.
        let middle = channels_in * channels_out * 27 / (channels_in * 9 + 3 * channels_out);
        let part = |part: &str, channels_in: usize, stride: usize| {
            let name = format!("{name}.{part}");
            self.part(&name, layer, [channels_in, middle, channels_out], stride)
        };
        let depth_stride = if self == Self::Mc318 { 1 } else { stride };
        BlockSpec {
            conv1: part("conv1", channels_in, stride),
            conv2: part("conv2", channels_out, 1),
            downsample: (stride != 1 || channels_in != channels_out).then(|| {
                let (conv, norm) = (format!("{name}.downsample.0"), format!("{name}.downsample.1"));
                ConvNormSpec::new(conv, norm, channels, [1; 3], [depth_stride, stride, stride])
            }),
        }
    }

    fn part(
        self,
        name: &str,
        layer: usize,
        [channels_in, middle, channels_out]: [usize; 3],
        stride: usize,
    ) -> Vec<ConvNormSpec> {
        let (conv, norm) = (format!("{name}.0"), format!("{name}.1"));
        let channels = [channels_in, channels_out];
        match self {
            Self::Mc318 if layer > 1 => {
                vec![ConvNormSpec::new(conv, norm, channels, [1, 3, 3], [1, stride, stride])]
            }
            Self::R2plus1d18 => {
                let inner = |number: usize| format!("{name}.0.{number}");
                let planes = [channels_in, middle];
                vec![
                    ConvNormSpec::new(inner(0), inner(1), planes, [1, 3, 3], [1, stride, stride]),
                    ConvNormSpec::new(inner(3), norm, [middle, channels_out], [3, 1, 1], [stride, 1, 1]),
                ]
            }
            _ => vec![ConvNormSpec::new(conv, norm, channels, [3; 3], [stride; 3])],
        }
    }

    /// Every tensor of a residual network, in the order of torchvision's state dict.
    pub(super) fn residual_tensors(self) -> Vec<TensorSpec> {
        let stages = self.stages();
        let mut tensors: Vec<TensorSpec> =
            stages.iter().flat_map(StageSpec::convolutions).flat_map(ConvNormSpec::tensors).collect();
        tensors.push(TensorSpec::new("fc.weight", &[N_CLASSES, N_FEATURES], Role::LinearWeight));
        tensors.push(TensorSpec::new("fc.bias", &[N_CLASSES], Role::LinearBias { fan_in: N_FEATURES }));
        tensors
    }
}

impl BlockSpec {
    /// The convolutions in the order of torchvision's state dict.
    fn convolutions(&self) -> impl Iterator<Item = &ConvNormSpec> {
        self.conv1.iter().chain(&self.conv2).chain(&self.downsample)
    }
}

impl StageSpec {
    /// The convolutions in the order of torchvision's state dict.
    pub(crate) fn convolutions(&self) -> Vec<&ConvNormSpec> {
        match self {
            Self::Stem(convs) => convs.iter().collect(),
            Self::Layer(blocks) => blocks.iter().flat_map(BlockSpec::convolutions).collect(),
        }
    }
}
