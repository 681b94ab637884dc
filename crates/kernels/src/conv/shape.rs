//! Shape of a convolution.

/// A 3-D convolution (cross-correlation, as in every network library) without dilation or groups.
///
/// Axes are depth, height, width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConvShape {
    /// Channels of the input.
    pub channels_in: usize,
    /// Channels of the output.
    pub channels_out: usize,
    /// Size of the kernel.
    pub kernel: [usize; 3],
    /// Stride.
    pub stride: [usize; 3],
    /// Zero padding on either side of the input.
    pub padding: [usize; 3],
}

impl ConvShape {
    /// A kernel of odd size, stride 1, as many outputs as inputs.
    #[must_use]
    pub const fn same(channels_in: usize, channels_out: usize, kernel: [usize; 3]) -> Self {
        let padding = [kernel[0] / 2, kernel[1] / 2, kernel[2] / 2];
        Self { channels_in, channels_out, kernel, stride: [1; 3], padding }
    }

    /// Size of the output for an input of `dims`.
    ///
    /// # Panics
    /// If the padded input is smaller than the kernel.
    #[must_use]
    pub fn output_dims(&self, dims: [usize; 3]) -> [usize; 3] {
        std::array::from_fn(|axis| {
            let padded = dims[axis] + 2 * self.padding[axis];
            assert!(
                padded >= self.kernel[axis],
                "an input of {dims:?} is smaller than the kernel of {self:?}"
            );
            (padded - self.kernel[axis]) / self.stride[axis] + 1
        })
    }

    /// Number of voxels (taps) of the kernel.
    #[must_use]
    pub const fn n_taps(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.kernel[2]
    }

    /// Numbers of the weights `[channels_out, channels_in, depth, height, width]`.
    #[must_use]
    pub const fn n_weights(&self) -> usize {
        self.channels_out * self.channels_in * self.n_taps()
    }

    /// Multiplications and additions of a direct convolution that gives `dims_out`.
    #[must_use]
    pub const fn n_flops(&self, dims_out: [usize; 3]) -> usize {
        2 * self.n_weights() * dims_out[0] * dims_out[1] * dims_out[2]
    }
}

/// Activation applied to each output.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Activation {
    /// Identity.
    #[default]
    None,
    /// `max(x, 0)`.
    Relu,
    /// `x` where positive, `slope * x` elsewhere.
    LeakyRelu(f32),
}

impl Activation {
    /// The slope for negative numbers.
    pub(crate) const fn slope(self) -> f32 {
        match self {
            Self::None => 1.0,
            Self::Relu => 0.0,
            Self::LeakyRelu(slope) => slope,
        }
    }

    /// The activation of one number.
    #[must_use]
    pub fn apply(self, x: f32) -> f32 {
        if x > 0.0 { x } else { self.slope() * x }
    }
}
