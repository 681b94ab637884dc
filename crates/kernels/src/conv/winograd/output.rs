//! Transforms products to the outputs of tiles.

use super::super::Layout;
use super::super::epilogue::Finish;
use super::tiles::with_axes;
use super::transform::{Axis, AxisKind, Constants, MOST_IN};
use crate::LANES;
use crate::simd::{Kernel, Lanes16};

/// Most outputs of a tile along an axis.
const MOST_OUT: usize = 4;

/// Tiles next to each other in a row, of one block of output channels.
pub(crate) struct OutputTask<'a> {
    /// First product of the first tile.
    pub(crate) from: *const f32,
    /// Numbers from one product to the next.
    pub(crate) product: usize,
    pub(crate) n_tiles: usize,
    pub(crate) axes: [AxisKind; 3],
    /// First output voxel of the first tile.
    pub(crate) voxel: [usize; 3],
    /// Block of output channels.
    pub(crate) block: usize,
    /// First voxel of the image's first block.
    pub(crate) y: *mut f32,
    pub(crate) layout: &'a Layout,
    pub(crate) finish: &'a Finish,
}

impl Kernel for OutputTask<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes16>(self) {
        // SAFETY: the driver vouches for the extents of products and output.
        unsafe { with_axes!(self.axes, |D, H, W| self.transform::<V, D, H, W>()) }
    }
}

impl OutputTask<'_> {
    #[inline(always)]
    unsafe fn transform<V: Lanes16, D: Axis, H: Axis, W: Axis>(&self) {
        // SAFETY: as `run`.
        unsafe {
            let constants = Constants::<V>::new();
            let mut lines = [[V::zero(); MOST_OUT]; MOST_IN * MOST_IN];
            for tile in 0..self.n_tiles {
                let from = self.from.add(tile * LANES);
                for (place, kept) in lines.iter_mut().enumerate().take(D::IN * H::IN) {
                    let mut line = [V::zero(); MOST_IN];
                    for (w, value) in line.iter_mut().enumerate().take(W::IN) {
                        *value = V::load(from.add((place * W::IN + w) * self.product));
                    }
                    let line = W::output(line, &constants);
                    kept[..W::OUT].copy_from_slice(&line[..W::OUT]);
                }
                for width in 0..W::OUT {
                    let voxel = [self.voxel[0], self.voxel[1], self.voxel[2] + tile * W::OUT + width];
                    if voxel[2] < self.layout.dims[2] {
                        self.column::<V, D, H>(&lines, width, voxel, &constants);
                    }
                }
            }
        }
    }

    /// The outputs of one width.
    #[inline(always)]
    unsafe fn column<V: Lanes16, D: Axis, H: Axis>(
        &self,
        lines: &[[V; MOST_OUT]; MOST_IN * MOST_IN],
        width: usize,
        voxel: [usize; 3],
        constants: &Constants<V>,
    ) {
        // SAFETY: as `run`.
        unsafe {
            let mut grid = [[V::zero(); MOST_IN]; MOST_OUT];
            for i in 0..D::IN {
                let mut line = [V::zero(); MOST_IN];
                for (j, value) in line.iter_mut().enumerate().take(H::IN) {
                    *value = lines[i * H::IN + j][width];
                }
                let line = H::output(line, constants);
                for (j, value) in line.into_iter().enumerate().take(H::OUT) {
                    grid[j][i] = value;
                }
            }
            let [depth, height, _] = self.layout.dims;
            for (j, line) in grid.into_iter().enumerate().take(H::OUT) {
                let line = D::output(line, constants);
                for (i, sum) in line.into_iter().enumerate().take(D::OUT) {
                    let voxel = [voxel[0] + i, voxel[1] + j, voxel[2]];
                    if voxel[0] < depth && voxel[1] < height {
                        self.store(sum, voxel);
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn store<V: Lanes16>(&self, sum: V, voxel: [usize; 3]) {
        let layout = self.layout;
        let offset = self.block * layout.block()
            + voxel[0] * layout.plane()
            + voxel[1] * layout.row()
            + voxel[2] * LANES;
        // SAFETY: the voxel lies in the output.
        unsafe {
            let y = self.finish.apply(sum, self.block, self.finish.residual_offset(self.block, voxel));
            y.store(self.y.add(offset));
        }
    }
}
