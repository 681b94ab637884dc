//! Fused epilogue: bias, residual, activation.

use super::{Activation, Layout, Map};
use crate::LANES;
use crate::simd::Lanes16;

/// Operations on every output of a convolution before it is stored.
///
/// Order: sum of products, plus bias, plus residual, then the activation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// One number per output channel, or empty.
    pub bias: &'a [f32],
    /// A map of the output's size.
    pub residual: Option<Map<'a>>,
    /// The activation.
    pub activation: Activation,
}

impl Epilogue<'_> {
    /// The bias filled up to whole blocks.
    ///
    /// # Panics
    /// If bias or residual do not match the output.
    pub(crate) fn check_and_pad_bias(&self, output: &Layout, n_images: usize) -> Vec<f32> {
        assert!(
            self.bias.is_empty() || self.bias.len() == output.channels,
            "{} biases for {} channels",
            self.bias.len(),
            output.channels
        );
        if let Some(residual) = &self.residual {
            let layout = residual.layout();
            assert!(
                layout.dims == output.dims
                    && layout.channels == output.channels
                    && residual.n_images() == n_images,
                "the residual {layout:?} does not fit the output {output:?}"
            );
        }
        let mut padded = self.bias.to_vec();
        padded.resize(output.blocks() * LANES, 0.0);
        padded
    }
}

/// The epilogue as the kernels see it, for one image.
#[derive(Clone, Copy)]
pub(crate) struct Finish {
    /// One number a lane of each output block.
    pub(crate) bias: *const f32,
    /// First voxel of the residual's first block, or null.
    pub(crate) residual: *const f32,
    pub(crate) residual_layout: Layout,
    pub(crate) activation: Activation,
}

// SAFETY: the pointers are only read.
unsafe impl Sync for Finish {}

impl Finish {
    /// For image `image` of an output of `layout`; `bias` is padded to whole blocks.
    pub(crate) fn new(epilogue: &Epilogue<'_>, bias: &[f32], layout: &Layout, image: usize) -> Self {
        let (residual, residual_layout) = epilogue.residual.map_or((std::ptr::null(), *layout), |map| {
            let start = image * map.layout().image() + map.layout().origin();
            (map.data()[start..].as_ptr(), *map.layout())
        });
        Self { bias: bias.as_ptr(), residual, residual_layout, activation: epilogue.activation }
    }

    /// Where the residual of a voxel lies from the first voxel of its block's first voxel.
    #[inline(always)]
    pub(crate) const fn residual_offset(&self, block: usize, voxel: [usize; 3]) -> usize {
        let layout = &self.residual_layout;
        block * layout.block() + voxel[0] * layout.plane() + voxel[1] * layout.row() + voxel[2] * LANES
    }

    /// Bias, residual and activation of one voxel's block; `offset` is that of
    /// [`Finish::residual_offset`].
    ///
    /// # Safety
    /// `block` and `offset` lie in the output.
    #[inline(always)]
    pub(crate) unsafe fn apply<V: Lanes16>(&self, sum: V, block: usize, offset: usize) -> V {
        // SAFETY: the bias is padded to whole blocks, and the residual has the output's size.
        unsafe {
            let mut x = sum.add(V::load(self.bias.add(block * LANES)));
            if !self.residual.is_null() {
                x = x.add(V::load(self.residual.add(offset)));
            }
            activate(x, self.activation)
        }
    }
}

/// The activation of sixteen numbers.
///
/// # Safety
/// None beyond that of making `x`.
#[inline(always)]
pub(crate) unsafe fn activate<V: Lanes16>(x: V, activation: Activation) -> V {
    // SAFETY: `x` proves the instruction set.
    let zero = unsafe { V::zero() };
    match activation {
        Activation::None => x,
        // `max` returns its second operand for what is not a number, so that it is seen downstream.
        Activation::Relu => zero.max(x),
        // SAFETY: as above.
        Activation::LeakyRelu(slope) => unsafe { zero.max(x).add(V::splat(slope).mul(zero.min(x))) },
    }
}
