//! The micro-kernel: a few voxels times a few blocks of output channels, held in registers.

use half::bf16;

use crate::LANES;
use crate::simd::Lanes16;

/// How a weight is held.
pub(crate) trait Weight: Copy {
    /// Sixteen of them.
    ///
    /// # Safety
    /// As [`Lanes16::load`].
    unsafe fn load<V: Lanes16>(from: *const Self) -> V;
}

impl Weight for f32 {
    #[inline(always)]
    unsafe fn load<V: Lanes16>(from: *const Self) -> V {
        // SAFETY: the caller vouches for it.
        unsafe { V::load(from) }
    }
}

impl Weight for bf16 {
    #[inline(always)]
    unsafe fn load<V: Lanes16>(from: *const Self) -> V {
        // SAFETY: the caller vouches for it.
        unsafe { V::load_bf16(from) }
    }
}

/// What one call of the micro-kernel reads.
#[derive(Clone, Copy)]
pub(crate) struct Operands<'a, T> {
    /// The first pixel's first channel under the first tap, before the tap's own offset.
    pub(crate) x: *const f32,
    /// Offset of each tap from there; a tap has `CHANNELS` consecutive channels.
    pub(crate) taps: &'a [usize],
    /// Numbers from one pixel to the next, where it is not a constant.
    pub(crate) pixel: usize,
    /// Weights `[tap][channel][16]` of the first block of outputs.
    pub(crate) weights: *const T,
    /// Numbers from the weights of one block of outputs to the next.
    pub(crate) weights_block: usize,
}

/// Sums, over taps and channels, of input times weight, for `PIXELS` pixels and `BLOCKS` blocks of outputs.
///
/// `STEP` is the distance of two pixels, or 0 to take it from the operands. This is the one inner loop
/// of the direct convolution (pixels of a row, taps of the kernel) and of Winograd's matrix products
/// (pixels are tiles, taps are blocks of channels).
///
/// # Safety
/// All pixels under all taps, and the weights of all blocks, are readable.
#[inline(always)]
pub(crate) unsafe fn multiply<
    V: Lanes16,
    T: Weight,
    const BLOCKS: usize,
    const PIXELS: usize,
    const STEP: usize,
    const CHANNELS: usize,
>(
    operands: Operands<'_, T>,
) -> [[V; BLOCKS]; PIXELS] {
    let step = if STEP == 0 { operands.pixel } else { STEP };
    let mut weights = operands.weights;
    // SAFETY: the caller vouches for the extents, and for the instruction set through `V`.
    unsafe {
        let mut sums = [[V::zero(); BLOCKS]; PIXELS];
        for &tap in operands.taps {
            let x = operands.x.add(tap);
            for channel in 0..CHANNELS {
                let mut w = [V::zero(); BLOCKS];
                for (block, w) in w.iter_mut().enumerate() {
                    *w = T::load(weights.add(block * operands.weights_block));
                }
                for (pixel, sums) in sums.iter_mut().enumerate() {
                    let x = V::splat(*x.add(pixel * step + channel));
                    for (sum, w) in sums.iter_mut().zip(w) {
                        *sum = x.mul_add(w, *sum);
                    }
                }
                weights = weights.add(LANES);
            }
        }
        sums
    }
}

/// Calls `$function::<$($generic,)* N>` with the run-time number of pixels as the constant `N`.
macro_rules! with_pixels {
    ($n:expr, [$($literal:literal)*], |$constant:ident| $call:expr) => {
        match $n {
            $($literal => { const $constant: usize = $literal; $call })*
            n => unreachable!("{n} pixels in a tile"),
        }
    };
}
pub(crate) use with_pixels;

/// Splits `n` into runs of at most `most`, as even as can be: how many, and the length of run `i`.
#[inline(always)]
pub(crate) const fn even_runs(n: usize, most: usize) -> (usize, usize, usize) {
    let n_runs = n.div_ceil(most);
    (n_runs, n / n_runs, n % n_runs)
}
