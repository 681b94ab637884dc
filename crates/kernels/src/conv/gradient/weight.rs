//! Gradient with respect to the weights: for every tap a matrix product over all voxels.

use super::super::direct::{direct_halo, tap_offsets};
use super::super::parallel::{Shared, for_each_task};
use super::super::winograd::{grad_weight_winograd, grad_weight_winograd_halos};
use super::super::{ConvShape, Map, suits_winograd};
use crate::LANES;
use crate::simd::{InstructionSet, Kernel, Lanes16};

/// Voxels of which the products are summed in registers before they are added to the rest: enough to
/// pay for that, few enough for the first cache and for small rounding errors.
const CHUNK_VOXELS: usize = 256;
/// Blocks of output channels of a task, at most.
const GROUP: usize = 2;

/// Halos that [`grad_weight`] needs around an input of `dims` and around the gradient of its output: low,
/// high of each.
#[must_use]
pub fn grad_weight_halos(shape: &ConvShape, dims: [usize; 3]) -> [([usize; 3], [usize; 3]); 2] {
    if by_winograd(shape) {
        grad_weight_winograd_halos(shape, dims)
    } else {
        [direct_halo(shape, dims), ([0; 3], [0; 3])]
    }
}

/// Few channels would leave its matrix products too small.
fn by_winograd(shape: &ConvShape) -> bool {
    suits_winograd(shape) && shape.channels_in >= LANES && shape.channels_out >= LANES
}

/// The gradient `[channels_out, channels_in, depth, height, width]` of a convolution's weights.
///
/// # Panics
/// If sizes do not fit each other or a halo is narrower than [`grad_weight_halos`].
///
/// # Determinism
/// Bit-identical for any number of threads.
#[must_use]
pub fn grad_weight(
    isa: InstructionSet,
    shape: &ConvShape,
    input: &Map<'_>,
    grad_output: &Map<'_>,
) -> Vec<f32> {
    let (x, y) = (*input.layout(), *grad_output.layout());
    assert_eq!(x.channels, shape.channels_in, "channels of the input");
    assert_eq!(y.channels, shape.channels_out, "channels of the output's gradient");
    assert_eq!(y.dims, shape.output_dims(x.dims), "size of the output's gradient");
    assert_eq!(input.n_images(), grad_output.n_images(), "images of input and output");
    if by_winograd(shape) {
        return grad_weight_winograd(isa, shape, input, grad_output);
    }
    let (low, high) = direct_halo(shape, x.dims);
    assert!(x.has_halo(low, high), "{x:?} needs a halo of {low:?}, {high:?}");
    direct(isa, shape, input, grad_output)
}

/// By sums over all voxels; sizes and halo are checked.
fn direct(isa: InstructionSet, shape: &ConvShape, input: &Map<'_>, grad_output: &Map<'_>) -> Vec<f32> {
    let (x, y) = (*input.layout(), *grad_output.layout());
    let corner =
        x.origin() - shape.padding[0] * x.plane() - shape.padding[1] * x.row() - shape.padding[2] * LANES;
    let taps: Vec<usize> = tap_offsets([x.plane(), x.row(), LANES], shape.kernel).collect();
    let n_groups = y.blocks().div_ceil(GROUP);
    let mut grad = vec![0.0; shape.n_weights()];
    let target = Shared(grad.as_mut_ptr());
    // A task has the taps of one depth.
    let plane_taps = shape.kernel[1] * shape.kernel[2];
    for_each_task(n_groups * x.blocks() * shape.kernel[0], |task, _| {
        let (pair, depth) = (task / shape.kernel[0], task % shape.kernel[0]);
        let (group, block_in) = (pair / x.blocks(), pair % x.blocks());
        let block_out = group * GROUP;
        let n_blocks = GROUP.min(y.blocks() - block_out);
        let taps = &taps[depth * plane_taps..][..plane_taps];
        let mut sums = vec![0.0; n_blocks * taps.len() * LANES * LANES];
        for image in 0..input.n_images() {
            // SAFETY: halo and sizes were checked: every tap of every voxel lies in the input.
            unsafe {
                isa.run(Products {
                    x: input.data()[image * x.image() + block_in * x.block() + corner..].as_ptr(),
                    x_steps: [
                        x.plane() * shape.stride[0],
                        x.row() * shape.stride[1],
                        LANES * shape.stride[2],
                    ],
                    taps,
                    y: grad_output.data()[image * y.image() + block_out * y.block() + y.origin()..].as_ptr(),
                    y_steps: [y.plane(), y.row()],
                    y_block: y.block(),
                    n_blocks,
                    dims: y.dims,
                    sums: sums.as_mut_ptr(),
                });
            }
        }
        // SAFETY: the weights of these channels and taps belong to this task.
        unsafe { unpack(shape, &sums, [block_out, block_in, depth * plane_taps], target) };
    });
    grad
}

/// Writes `[block][tap][channel in][channel out]` to its places in `[channel out][channel in][tap]`.
///
/// # Safety
/// `target` has the convolution's weights, and nobody else writes those of the task.
unsafe fn unpack(
    shape: &ConvShape,
    sums: &[f32],
    [block_out, block_in, first_tap]: [usize; 3],
    target: Shared,
) {
    let n_taps = shape.kernel[1] * shape.kernel[2];
    for (i, lanes) in sums.chunks_exact(LANES).enumerate() {
        let (block, tap, lane_in) = (i / (n_taps * LANES), i / LANES % n_taps, i % LANES);
        let channel_in = block_in * LANES + lane_in;
        if channel_in >= shape.channels_in {
            continue;
        }
        for (lane_out, &sum) in lanes.iter().enumerate() {
            let channel_out = (block_out + block) * LANES + lane_out;
            if channel_out < shape.channels_out {
                let place = (channel_out * shape.channels_in + channel_in) * shape.n_taps() + first_tap + tap;
                // SAFETY: within the weights, as channels and tap are.
                unsafe { *target.get().add(place) = sum };
            }
        }
    }
}

/// One image, one block of input channels, a few blocks of output channels, the taps of one depth.
struct Products<'a> {
    x: *const f32,
    x_steps: [usize; 3],
    taps: &'a [usize],
    y: *const f32,
    y_steps: [usize; 2],
    y_block: usize,
    n_blocks: usize,
    dims: [usize; 3],
    /// `[block][tap][channel in][channel out]`, added to.
    sums: *mut f32,
}

impl Kernel for Products<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes16>(self) {
        // SAFETY: the caller vouches for the extents.
        unsafe {
            if V::OUTPUT_BLOCKS == 2 && self.n_blocks == 2 {
                self.walk::<V, 2, 8>(0);
            } else {
                (0..self.n_blocks).for_each(|block| self.walk::<V, 1, 4>(block));
            }
        }
    }
}

impl Products<'_> {
    /// All chunks of rows, all taps, `CHANNELS` input channels at a time.
    #[inline(always)]
    unsafe fn walk<V: Lanes16, const BLOCKS: usize, const CHANNELS: usize>(&self, block: usize) {
        let [depths, heights, width] = self.dims;
        let n_rows = (CHUNK_VOXELS / width.max(1)).clamp(1, heights);
        for depth in 0..depths {
            for first in (0..heights).step_by(n_rows) {
                let rows = first..(first + n_rows).min(heights);
                for tap in 0..self.taps.len() {
                    for channel in (0..LANES).step_by(CHANNELS) {
                        // SAFETY: rows, tap and channels exist.
                        unsafe {
                            self.chunk::<V, BLOCKS, CHANNELS>(block, depth, rows.clone(), [tap, channel]);
                        }
                    }
                }
            }
        }
    }

    /// A few rows, one tap.
    #[inline(always)]
    unsafe fn chunk<V: Lanes16, const BLOCKS: usize, const CHANNELS: usize>(
        &self,
        block: usize,
        depth: usize,
        rows: std::ops::Range<usize>,
        [tap, channel]: [usize; 2],
    ) {
        // SAFETY: the caller vouches for rows, tap and channels.
        unsafe {
            let mut sums = [[V::zero(); BLOCKS]; CHANNELS];
            for row in rows {
                let mut x =
                    self.x.add(depth * self.x_steps[0] + row * self.x_steps[1] + self.taps[tap] + channel);
                let mut y =
                    self.y.add(block * self.y_block + depth * self.y_steps[0] + row * self.y_steps[1]);
                for _ in 0..self.dims[2] {
                    let mut lanes = [V::zero(); BLOCKS];
                    for (block, lanes) in lanes.iter_mut().enumerate() {
                        *lanes = V::load(y.add(block * self.y_block));
                    }
                    for (channel, sums) in sums.iter_mut().enumerate() {
                        let x = V::splat(*x.add(channel));
                        for (sum, lanes) in sums.iter_mut().zip(lanes) {
                            *sum = x.mul_add(lanes, *sum);
                        }
                    }
                    x = x.add(self.x_steps[2]);
                    y = y.add(LANES);
                }
            }
            for (i, sums) in sums.into_iter().enumerate() {
                for (j, sum) in sums.into_iter().enumerate() {
                    let place = ((block + j) * self.taps.len() + tap) * LANES + channel + i;
                    let to = self.sums.add(place * LANES);
                    V::load(to).add(sum).store(to);
                }
            }
        }
    }
}
