//! Transformed weights.

use super::super::parallel::{Shared, for_each_task};
use super::super::{Buffer, ConvShape};
use super::tiles::TileSize;
use super::transform::kernel_matrix;
use crate::LANES;

/// Numbers of one tap or product of a pair of blocks.
const PAIR: usize = LANES * LANES;

/// `[product][block out][block in][channel in][channel out]` from packed weights
/// `[block out][block in][tap][channel in][channel out]`, in double precision until the end.
pub(crate) fn transform_weights(shape: &ConvShape, size: TileSize, packed: &[f32]) -> Buffer {
    let outputs = size.outputs(shape.kernel);
    let matrices = outputs.map(|n| kernel_matrix(if n == 1 { 1 } else { n + 2 }));
    let n_products: usize = matrices.iter().map(Vec::len).product();
    let n_pairs = shape.channels_out.div_ceil(LANES) * shape.channels_in.div_ceil(LANES);
    let mut transformed = Buffer::zeroed(n_products * n_pairs * PAIR);
    let target = Shared(transformed.as_mut_slice().as_mut_ptr());
    let taps_len = shape.n_taps() * PAIR;
    for_each_task(n_pairs, |pair, _| {
        let packed = &packed[pair * taps_len..(pair + 1) * taps_len];
        for lane_in in 0..LANES {
            let taps: Vec<[f64; LANES]> = packed
                .chunks_exact(PAIR)
                .map(|tap| std::array::from_fn(|k| f64::from(tap[lane_in * LANES + k])))
                .collect();
            for (product, values) in transform(&matrices, shape.kernel, taps).into_iter().enumerate() {
                let start = (product * n_pairs + pair) * PAIR + lane_in * LANES;
                // SAFETY: sixteen numbers of the buffer that only this task writes.
                let to = unsafe { std::slice::from_raw_parts_mut(target.get().add(start), LANES) };
                to.iter_mut().zip(values).for_each(|(to, value)| *to = value as f32);
            }
        }
    });
    transformed
}

/// `G g` along each axis in turn.
fn transform(
    matrices: &[Vec<Vec<f64>>; 3],
    kernel: [usize; 3],
    taps: Vec<[f64; LANES]>,
) -> Vec<[f64; LANES]> {
    let mut dims = kernel;
    let mut values = taps;
    for (axis, matrix) in matrices.iter().enumerate() {
        let before: usize = dims[..axis].iter().product();
        let after: usize = dims[axis + 1..].iter().product();
        let mut next = Vec::with_capacity(before * matrix.len() * after);
        for b in 0..before {
            for row in matrix {
                for a in 0..after {
                    let mut sum = [0.0; LANES];
                    for (tap, &g) in row.iter().enumerate() {
                        let value = &values[(b * dims[axis] + tap) * after + a];
                        sum.iter_mut().zip(value).for_each(|(sum, value)| *sum += g * value);
                    }
                    next.push(sum);
                }
            }
        }
        dims[axis] = matrix.len();
        values = next;
    }
    values
}
