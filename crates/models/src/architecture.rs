//! The tensors of the video networks with a one-channel stem and two outputs, in torchvision's naming.

use serde::{Deserialize, Serialize};

use crate::N_CLASSES;

/// What a tensor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Convolution kernel `[out, in, d, h, w]`.
    Kernel,
    /// Batch-norm scale.
    Gamma,
    /// Batch-norm shift.
    Beta,
    /// Batch-norm running mean (a buffer, not a parameter).
    RunningMean,
    /// Batch-norm running variance (a buffer, not a parameter).
    RunningVar,
    /// Weight of the final linear layer `[classes, features]`.
    LinearWeight,
    /// Bias of the final linear layer.
    LinearBias,
}

/// One tensor of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// torchvision's name, for example `layer2.0.downsample.1.running_var`.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// What it is for.
    pub role: Role,
}

/// Number of parameters (buffers not counted).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterCounts {
    /// All parameters.
    pub total: usize,
    /// Those the optimizer changes.
    pub trainable: usize,
    /// Those it does not.
    pub frozen: usize,
}

impl TensorSpec {
    fn new(name: String, shape: &[usize], role: Role) -> Self {
        Self { name, shape: shape.to_vec(), role }
    }

    /// Number of elements.
    #[must_use]
    pub fn n_elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it counts as a parameter.
    #[must_use]
    pub fn is_parameter(&self) -> bool {
        !matches!(self.role, Role::RunningMean | Role::RunningVar)
    }
}

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

/// Width of the features that the final linear layer sees.
pub(crate) const N_FEATURES: usize = 512;

/// A video network with one input channel and two outputs, as torchvision builds it.
///
/// # Reference
/// Tran et al. 2018, A Closer Look at Spatiotemporal Convolutions for Action Recognition, arXiv:1711.11248.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Architecture {
    /// R3D-18: 3x3x3 convolutions throughout.
    #[default]
    #[serde(rename = "r3d_18")]
    R3d18,
    /// MC3-18: 3x3x3 convolutions in the first layer, 1x3x3 behind it.
    #[serde(rename = "mc3_18")]
    Mc318,
    /// R(2+1)D-18: each convolution split into 1x3x3 and 3x1x1.
    #[serde(rename = "r2plus1d_18")]
    R2plus1d18,
}

impl std::fmt::Display for Architecture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::R3d18 => "r3d_18",
            Self::Mc318 => "mc3_18",
            Self::R2plus1d18 => "r2plus1d_18",
        })
    }
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
            Self::R3d18 | Self::Mc318 => vec![conv(0, [1, 64], [3, 7, 7], [1, 2, 2])],
            Self::R2plus1d18 => {
                vec![conv(0, [1, 45], [1, 7, 7], [1, 2, 2]), conv(3, [45, 64], [3, 1, 1], [1; 3])]
            }
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
            Self::R3d18 | Self::Mc318 => vec![ConvNormSpec::new(conv, norm, channels, [3; 3], [stride; 3])],
            Self::R2plus1d18 => {
                let inner = |number: usize| format!("{name}.0.{number}");
                let planes = [channels_in, middle];
                vec![
                    ConvNormSpec::new(inner(0), inner(1), planes, [1, 3, 3], [1, stride, stride]),
                    ConvNormSpec::new(inner(3), norm, [middle, channels_out], [3, 1, 1], [stride, 1, 1]),
                ]
            }
        }
    }

    /// Every tensor of the network, in the order of torchvision's state dict
    /// (without the `num_batches_tracked` counters).
    #[must_use]
    pub fn tensors(self) -> Vec<TensorSpec> {
        let stages = self.stages();
        let mut tensors: Vec<TensorSpec> =
            stages.iter().flat_map(StageSpec::convolutions).flat_map(ConvNormSpec::tensors).collect();
        tensors.push(TensorSpec::new("fc.weight".to_owned(), &[N_CLASSES, N_FEATURES], Role::LinearWeight));
        tensors.push(TensorSpec::new("fc.bias".to_owned(), &[N_CLASSES], Role::LinearBias));
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

/// Every tensor of R3D-18 ([`Architecture::tensors`]).
#[must_use]
pub fn r3d18_tensors() -> Vec<TensorSpec> {
    Architecture::R3d18.tensors()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_the_whole_network() {
        let total: usize =
            r3d18_tensors().iter().filter(|t| t.is_parameter()).map(TensorSpec::n_elements).sum();
        assert_eq!(total, 33_148_482);
    }

    /// Counts of torchvision's networks with the same changes.
    #[test]
    fn parameters_of_the_other_architectures() {
        for (architecture, expected) in
            [(Architecture::Mc318, 11_472_450), (Architecture::R2plus1d18, 31_296_741)]
        {
            let tensors = architecture.tensors();
            let total: usize = tensors.iter().filter(|t| t.is_parameter()).map(TensorSpec::n_elements).sum();
            assert_eq!(total, expected, "{architecture}");
        }
    }

    #[test]
    fn names_are_torchvisions() {
        let names: Vec<String> = r3d18_tensors().into_iter().map(|t| t.name).collect();
        for name in
            ["stem.0.weight", "layer1.0.conv1.0.weight", "layer2.0.downsample.1.running_var", "fc.bias"]
        {
            assert!(names.iter().any(|n| n == name), "{name}");
        }
        assert!(!names.iter().any(|name| name.starts_with("layer1.0.downsample")));
    }
}
