//! The tensors of R3D-18 with a one-channel stem and two outputs, in torchvision's naming.

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

/// A basic residual block.
#[derive(Debug, Clone)]
pub(crate) struct BlockSpec {
    pub(crate) conv1: ConvNormSpec,
    pub(crate) conv2: ConvNormSpec,
    pub(crate) downsample: Option<ConvNormSpec>,
}

/// One of the stages between which the network may be cut: the stem or a layer of blocks.
#[derive(Debug, Clone)]
pub(crate) enum StageSpec {
    Stem(ConvNormSpec),
    Layer(Vec<BlockSpec>),
}

/// Width of the features that the final linear layer sees.
pub(crate) const N_FEATURES: usize = 512;

/// stem, layer1, layer2, layer3, layer4.
pub(crate) fn r3d18_stages() -> Vec<StageSpec> {
    let stem = ConvNormSpec {
        conv: "stem.0".to_owned(),
        norm: "stem.1".to_owned(),
        channels_in: 1,
        channels_out: 64,
        kernel: [3, 7, 7],
        stride: [1, 2, 2],
        padding: [1, 3, 3],
    };
    let mut stages = vec![StageSpec::Stem(stem)];
    let mut channels_in = 64;
    for (layer, channels_out, stride) in [(1, 64, 1), (2, 128, 2), (3, 256, 2), (4, N_FEATURES, 2)] {
        let first = block(&format!("layer{layer}.0"), channels_in, channels_out, stride);
        let second = block(&format!("layer{layer}.1"), channels_out, channels_out, 1);
        stages.push(StageSpec::Layer(vec![first, second]));
        channels_in = channels_out;
    }
    stages
}

fn block(name: &str, channels_in: usize, channels_out: usize, stride: usize) -> BlockSpec {
    let conv = |part: &str, channels_in, edge: usize, stride| ConvNormSpec {
        conv: format!("{name}.{part}.0"),
        norm: format!("{name}.{part}.1"),
        channels_in,
        channels_out,
        kernel: [edge; 3],
        stride: [stride; 3],
        padding: [edge / 2; 3],
    };
    BlockSpec {
        conv1: conv("conv1", channels_in, 3, stride),
        conv2: conv("conv2", channels_out, 3, 1),
        downsample: (stride != 1 || channels_in != channels_out)
            .then(|| conv("downsample", channels_in, 1, stride)),
    }
}

impl StageSpec {
    /// The convolutions in the order of torchvision's state dict.
    pub(crate) fn convolutions(&self) -> Vec<&ConvNormSpec> {
        match self {
            Self::Stem(conv) => vec![conv],
            Self::Layer(blocks) => blocks
                .iter()
                .flat_map(|block| [Some(&block.conv1), Some(&block.conv2), block.downsample.as_ref()])
                .flatten()
                .collect(),
        }
    }
}

/// Every tensor of the network, in the order of torchvision's state dict
/// (without the `num_batches_tracked` counters).
#[must_use]
pub fn r3d18_tensors() -> Vec<TensorSpec> {
    let stages = r3d18_stages();
    let mut tensors: Vec<TensorSpec> =
        stages.iter().flat_map(StageSpec::convolutions).flat_map(ConvNormSpec::tensors).collect();
    tensors.push(TensorSpec::new("fc.weight".to_owned(), &[N_CLASSES, N_FEATURES], Role::LinearWeight));
    tensors.push(TensorSpec::new("fc.bias".to_owned(), &[N_CLASSES], Role::LinearBias));
    tensors
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
