//! Packs weights in the order in which the kernels read them.

use super::parallel::{Shared, for_each_task};
use super::{Buffer, ConvShape};
use crate::LANES;

/// `[block out][block in][tap][channel in][channel out]` from `[channels_out, channels_in, tap]`.
///
/// # Panics
/// If the number of weights is not [`ConvShape::n_weights`].
pub(crate) fn pack_weights(shape: &ConvShape, weights: &[f32]) -> Buffer {
    assert_eq!(weights.len(), shape.n_weights(), "weights of {shape:?}");
    let n_taps = shape.n_taps();
    let blocks_in = shape.channels_in.div_ceil(LANES);
    let blocks_out = shape.channels_out.div_ceil(LANES);
    let block_len = blocks_in * n_taps * LANES * LANES;
    let mut packed = Buffer::zeroed(blocks_out * block_len);
    let target = Shared(packed.as_mut_slice().as_mut_ptr());
    for_each_task(blocks_out * blocks_in, |task, _| {
        let (block_out, block_in) = (task / blocks_in, task % blocks_in);
        let len = n_taps * LANES * LANES;
        // SAFETY: each task has a range of its own within the buffer.
        let part = unsafe { std::slice::from_raw_parts_mut(target.get().add(task * len), len) };
        pack_block(shape, weights, [block_out, block_in], part);
    });
    packed
}

/// The weights between two blocks: `[tap][channel in][channel out]`.
pub(crate) fn pack_block(
    shape: &ConvShape,
    weights: &[f32],
    [block_out, block_in]: [usize; 2],
    part: &mut [f32],
) {
    let n_taps = shape.n_taps();
    for lane_out in 0..LANES.min(shape.channels_out - block_out * LANES) {
        let channel_out = block_out * LANES + lane_out;
        for lane_in in 0..LANES.min(shape.channels_in - block_in * LANES) {
            let start = (channel_out * shape.channels_in + block_in * LANES + lane_in) * n_taps;
            for (tap, &weight) in weights[start..start + n_taps].iter().enumerate() {
                part[(tap * LANES + lane_in) * LANES + lane_out] = weight;
            }
        }
    }
}

/// The weights between two blocks of the convolution that gives the gradient of the input: input and output
/// channels changed, taps in reverse order. `[tap][channel out][channel in]`.
pub(crate) fn pack_turned_block(
    shape: &ConvShape,
    weights: &[f32],
    [block_in, block_out]: [usize; 2],
    part: &mut [f32],
) {
    let n_taps = shape.n_taps();
    for lane_out in 0..LANES.min(shape.channels_out - block_out * LANES) {
        let channel_out = block_out * LANES + lane_out;
        for lane_in in 0..LANES.min(shape.channels_in - block_in * LANES) {
            let start = (channel_out * shape.channels_in + block_in * LANES + lane_in) * n_taps;
            for (tap, &weight) in weights[start..start + n_taps].iter().rev().enumerate() {
                part[(tap * LANES + lane_out) * LANES + lane_in] = weight;
            }
        }
    }
}

/// `[block out][channel in][tap][channel out]` from `[channels_out, channels_in, tap]`: for planar input.
///
/// # Panics
/// If the number of weights is not [`ConvShape::n_weights`].
pub(crate) fn pack_planar(shape: &ConvShape, weights: &[f32]) -> Buffer {
    assert_eq!(weights.len(), shape.n_weights(), "weights of {shape:?}");
    let per_output = shape.channels_in * shape.n_taps();
    let mut packed = Buffer::zeroed(shape.channels_out.div_ceil(LANES) * per_output * LANES);
    let target = packed.as_mut_slice();
    for (channel_out, weights) in weights.chunks_exact(per_output).enumerate() {
        let (block, lane) = (channel_out / LANES, channel_out % LANES);
        for (tap, &weight) in weights.iter().enumerate() {
            target[(block * per_output + tap) * LANES + lane] = weight;
        }
    }
    packed
}
