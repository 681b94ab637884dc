//! What a layer of convolutions consists of.

use brainreel_checkpoint::{Role, TensorSpec};

use crate::norm::NormConstants;

/// A convolution without bias, a batch norm and a rectifier, as torchvision names and shapes them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ConvNormSpec {
    pub(crate) conv: String,
    pub(crate) norm: String,
    pub(crate) channels_in: usize,
    pub(crate) channels_out: usize,
    pub(crate) kernel: [usize; 3],
    pub(crate) stride: [usize; 3],
    pub(crate) padding: [usize; 3],
    pub(crate) constants: NormConstants,
    /// How the kernel is initialised.
    pub(crate) role: Role,
}

impl ConvNormSpec {
    /// A convolution whose padding keeps the size, but for the stride, with PyTorch's defaults for the norm.
    pub(crate) fn new(
        conv: String,
        norm: String,
        [channels_in, channels_out]: [usize; 2],
        kernel: [usize; 3],
        stride: [usize; 3],
    ) -> Self {
        let padding = kernel.map(|n| n / 2);
        let (constants, role) = (NormConstants::PYTORCH, Role::Kernel);
        Self { conv, norm, channels_in, channels_out, kernel, stride, padding, constants, role }
    }

    pub(crate) fn kernel_shape(&self) -> [usize; 5] {
        let [d, h, w] = self.kernel;
        [self.channels_out, self.channels_in, d, h, w]
    }

    pub(super) fn tensors(&self) -> Vec<TensorSpec> {
        let channel = [self.channels_out];
        let norm = |field: &str, role| TensorSpec::new(format!("{}.{field}", self.norm), &channel, role);
        vec![
            TensorSpec::new(format!("{}.weight", self.conv), &self.kernel_shape(), self.role),
            norm("weight", Role::Gamma),
            norm("bias", Role::Beta),
            norm("running_mean", Role::RunningMean),
            norm("running_var", Role::RunningVar),
        ]
    }
}

/// A pooling by the largest value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MaxPoolSpec {
    pub(crate) kernel: [usize; 3],
    pub(crate) stride: [usize; 3],
    pub(crate) padding: [usize; 3],
}

impl MaxPoolSpec {
    /// Size of its output.
    pub(crate) fn dims_out(&self, dims: [usize; 3]) -> [usize; 3] {
        [0, 1, 2].map(|axis| {
            let padded = dims[axis] + 2 * self.padding[axis];
            padded.saturating_sub(self.kernel[axis]) / self.stride[axis] + 1
        })
    }
}

/// A part of a layer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    /// Convolution, norm, rectifier.
    Conv(ConvNormSpec),
    /// Convolutions in a row around a shortcut; the last rectifier follows the sum.
    Residual {
        main: Vec<ConvNormSpec>,
        /// Where size or channels change.
        shortcut: Option<ConvNormSpec>,
    },
    MaxPool(MaxPoolSpec),
    /// Branches of one input, concatenated along the channels.
    Branches(Vec<Vec<Self>>),
}

impl Part {
    /// The convolutions in the order of torchvision's state dict.
    pub(crate) fn convolutions(&self) -> Vec<&ConvNormSpec> {
        match self {
            Self::Conv(conv) => vec![conv],
            Self::Residual { main, shortcut } => main.iter().chain(shortcut).collect(),
            Self::MaxPool(_) => Vec::new(),
            Self::Branches(branches) => branches.iter().flatten().flat_map(Self::convolutions).collect(),
        }
    }
}

/// Parts between which the network is not cut.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ConvLayer {
    pub(crate) parts: Vec<Part>,
}

impl ConvLayer {
    pub(crate) const fn new(parts: Vec<Part>) -> Self {
        Self { parts }
    }

    /// The convolutions in the order of torchvision's state dict.
    pub(crate) fn all_convolutions(&self) -> impl Iterator<Item = &ConvNormSpec> {
        self.parts.iter().flat_map(Part::convolutions)
    }

    /// Whether the CPU engine has all of its parts: it knows no branches and no overlapping pools.
    pub(crate) fn is_for_engine(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Conv(_) | Part::Residual { .. }))
    }
}

/// Average over all positions, then a linear layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PooledClassifierSpec {
    /// `fc`, say; `.weight` and `.bias` complete it.
    pub(crate) name: &'static str,
    pub(crate) features: usize,
    pub(crate) n_classes: usize,
    /// Whether torchvision has it as a 1x1x1 convolution.
    pub(crate) is_convolution: bool,
}
