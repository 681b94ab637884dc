//! The tensors that a network has.

/// Role of a tensor, which determines its initialisation and checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Convolution kernel `[out, in, d, h, w]`, initialised normal with variance `2 / fan_out` (Kaiming).
    Kernel,
    /// Scale of a batch or layer norm, initialised to one.
    Gamma,
    /// Shift of a batch or layer norm, initialised to zero.
    Beta,
    /// Running mean of a batch norm (a buffer, not a parameter).
    RunningMean,
    /// Running variance of a batch norm (a buffer, not a parameter).
    RunningVar,
    /// Weight of a residual network's final linear layer `[classes, features]`, initialised as a fresh
    /// `torch.nn.Linear`.
    LinearWeight,
    /// Bias of that layer.
    LinearBias {
        /// Inputs of the layer.
        fan_in: usize,
    },
    /// Kernel `[out, in / groups, d, h, w]`, initialised as a fresh `torch.nn.Conv3d`.
    PatchKernel,
    /// Bias of that layer.
    PatchBias {
        /// Inputs of one output: channels times taps of the kernel.
        fan_in: usize,
    },
    /// Weight of a transformer's linear layer `[out, in]`, initialised normal with deviation 0.02.
    DenseWeight,
    /// Bias of a transformer's linear layer, initialised to zero.
    DenseBias,
    /// Class token, absolute or relative positions, initialised normal with deviation 0.02.
    Position,
}

/// Name, shape and role of one tensor of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// The published checkpoint's name, for example `layer2.0.downsample.1.running_var`.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its role.
    pub role: Role,
}

impl TensorSpec {
    /// A tensor called `name`.
    #[must_use]
    pub fn new(name: impl Into<String>, shape: &[usize], role: Role) -> Self {
        Self { name: name.into(), shape: shape.to_vec(), role }
    }

    /// Number of elements.
    #[must_use]
    pub fn n_elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it is a parameter rather than a buffer.
    #[must_use]
    pub fn is_parameter(&self) -> bool {
        !matches!(self.role, Role::RunningMean | Role::RunningVar)
    }
}
