//! Transformed weights.

use super::super::parallel::{Shared, for_each_task};
use super::super::{Buffer, ConvShape};
use super::tiles::TileSize;
use super::transform::{AxisKind, MOST_IN, kernel_matrix};
use crate::LANES;
use crate::simd::{InstructionSet, Kernel, Lanes16};

/// Numbers of one tap or product of a pair of blocks.
const PAIR: usize = LANES * LANES;
/// Largest number of products of a tile.
const MOST_PRODUCTS: usize = MOST_IN * MOST_IN * MOST_IN;
/// Taps of an axis.
const TAPS: usize = 3;

/// The matrix of one axis, a row for each transformed tap; of an axis without kernel `[[1]]`.
#[derive(Clone, Copy)]
pub(super) struct Matrix {
    rows: [[f64; TAPS]; MOST_IN],
    n_rows: usize,
    n_taps: usize,
}

impl Matrix {
    pub(super) fn new(axis: AxisKind) -> Self {
        let matrix = kernel_matrix(axis);
        let mut rows = [[0.0; TAPS]; MOST_IN];
        for (row, values) in rows.iter_mut().zip(&matrix) {
            row[..values.len()].copy_from_slice(values);
        }
        Self { rows, n_rows: matrix.len(), n_taps: matrix[0].len() }
    }

    /// Transformed taps.
    pub(super) const fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// What a tap contributes to a transformed one.
    pub(super) const fn at(&self, row: usize, tap: usize) -> f64 {
        self.rows[row][tap]
    }
}

/// `[transformed tap][block out][block in][channel in][channel out]`, in double precision until the end. `fill` writes the
/// weights between blocks `[out, in]`, `[tap][channel in][channel out]`, into zeros.
pub(crate) fn transform_weights(
    shape: &ConvShape,
    size: TileSize,
    fill: impl Fn([usize; 2], &mut [f32]) + Sync,
) -> Buffer {
    let matrices = size.axes(shape).map(Matrix::new);
    let n_products: usize = matrices.iter().map(Matrix::n_rows).product();
    let blocks_in = shape.channels_in.div_ceil(LANES);
    let n_pairs = shape.channels_out.div_ceil(LANES) * blocks_in;
    let mut transformed = Buffer::unspecified(n_products * n_pairs * PAIR);
    let target = Shared(transformed.as_mut_slice().as_mut_ptr());
    let isa = InstructionSet::detect();
    for_each_task(n_pairs, |pair, _| {
        let mut packed = vec![0.0; shape.n_taps() * PAIR];
        fill([pair / blocks_in, pair % blocks_in], &mut packed);
        // SAFETY: the places of a pair belong to its task.
        unsafe {
            isa.run(PairTask {
                matrices: &matrices,
                packed: &packed,
                to: target.get().add(pair * PAIR),
                product: n_pairs * PAIR,
            });
        }
    });
    transformed
}

/// The weights between two blocks of channels.
struct PairTask<'a> {
    matrices: &'a [Matrix; 3],
    /// `[tap][channel in][channel out]`.
    packed: &'a [f32],
    /// The first product.
    to: *mut f32,
    /// Numbers from one product to the next.
    product: usize,
}

impl Kernel for PairTask<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes16>(self) {
        let mut taps = [[0.0; LANES]; MOST_PRODUCTS];
        let mut products = [[0.0; LANES]; MOST_PRODUCTS];
        for lane_in in 0..LANES {
            for (tap, values) in taps.iter_mut().zip(self.packed.chunks_exact(PAIR)) {
                let values = &values[lane_in * LANES..][..LANES];
                tap.iter_mut().zip(values).for_each(|(tap, &value)| *tap = f64::from(value));
            }
            let n = transform(self.matrices, &mut taps, &mut products);
            for (product, values) in products.iter().enumerate().take(n) {
                // SAFETY: the driver vouches for the places of the pair.
                unsafe {
                    let to = self.to.add(product * self.product + lane_in * LANES).cast::<[f32; LANES]>();
                    to.write(values.map(|value| value as f32));
                }
            }
        }
    }
}

/// `G g` along each axis in turn, from `taps` to `products`, both overwritten; gives the number of products.
#[inline(always)]
fn transform(
    matrices: &[Matrix; 3],
    taps: &mut [[f64; LANES]; MOST_PRODUCTS],
    products: &mut [[f64; LANES]; MOST_PRODUCTS],
) -> usize {
    let (mut from, mut to) = (taps, products);
    let mut dims = [matrices[0].n_taps, matrices[1].n_taps, matrices[2].n_taps];
    for (axis, matrix) in matrices.iter().enumerate() {
        let before: usize = dims[..axis].iter().product();
        let after: usize = dims[axis + 1..].iter().product();
        let mut place = 0;
        for b in 0..before {
            for row in &matrix.rows[..matrix.n_rows] {
                for a in 0..after {
                    let mut sum = [0.0; LANES];
                    for (tap, g) in row.iter().enumerate().take(matrix.n_taps) {
                        let value = &from[(b * matrix.n_taps + tap) * after + a];
                        for (sum, value) in sum.iter_mut().zip(value) {
                            *sum += g * value;
                        }
                    }
                    to[place] = sum;
                    place += 1;
                }
            }
        }
        dims[axis] = matrix.n_rows;
        (from, to) = (to, from); // after three axes the result is in `products`
    }
    dims.iter().product()
}
