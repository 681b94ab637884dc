//! Transforms a feature map to tiles.

use super::tiles::with_axes;
use super::transform::{Axis, AxisKind, Constants, MOST_IN};
use crate::LANES;
use crate::simd::{Kernel, Lanes16};

/// Columns kept: more than a tile is wide, and a power of two.
const RING: usize = 8;
/// Voxels of a column of a tile, at most.
const COLUMN: usize = MOST_IN * MOST_IN;

/// Tiles next to each other in a row, of one block of channels.
pub(crate) struct InputTask {
    /// First voxel of the block (not of its halo).
    pub(crate) x: *const f32,
    pub(crate) plane: usize,
    pub(crate) row: usize,
    /// 1 if every voxel of the map stands for two on each axis, else 0.
    pub(crate) shift: u32,
    /// First voxel under the first tile; -1 where the padding begins.
    pub(crate) voxel: [isize; 3],
    pub(crate) n_tiles: usize,
    pub(crate) axes: [AxisKind; 3],
    /// First product of the first tile.
    pub(crate) to: *mut f32,
    /// Numbers from one product to the next.
    pub(crate) product: usize,
}

impl Kernel for InputTask {
    #[inline(always)]
    unsafe fn run<V: Lanes16>(self) {
        // SAFETY: the driver vouches for the extents of input and products.
        unsafe { with_axes!(self.axes, |D, H, W| self.transform::<V, D, H, W>()) }
    }
}

impl InputTask {
    /// Depth and height are transformed once for each column of voxels, which neighbouring tiles
    /// share, the width for each tile.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "the index is that of a voxel in a column")]
    unsafe fn transform<V: Lanes16, D: Axis, H: Axis, W: Axis>(&self) {
        // SAFETY: as `run`.
        unsafe {
            let constants = Constants::<V>::new();
            let rows = self.rows::<D, H>();
            let mut ring = [[V::zero(); COLUMN]; RING];
            let mut n_columns = 0;
            for tile in 0..self.n_tiles {
                let first = tile * W::STEP;
                while n_columns < first + W::IN {
                    let width = (self.voxel[2] + n_columns as isize) >> self.shift;
                    let column = self.column::<V, D, H>(&rows, width * LANES as isize, &constants);
                    let slot = &mut ring[n_columns % RING];
                    for (i, of_depth) in column.iter().enumerate().take(D::IN) {
                        for (j, value) in of_depth.iter().enumerate().take(H::IN) {
                            slot[i * H::IN + j] = *value;
                        }
                    }
                    n_columns += 1;
                }
                let to = self.to.add(tile * LANES);
                for place in 0..D::IN * H::IN {
                    let mut line = [V::zero(); MOST_IN];
                    for (w, value) in line.iter_mut().enumerate().take(W::IN) {
                        *value = ring[(first + w) % RING][place];
                    }
                    let line = W::input(line, &constants);
                    for (w, value) in line.into_iter().enumerate().take(W::IN) {
                        value.store(to.add((place * W::IN + w) * self.product));
                    }
                }
            }
        }
    }

    /// Where each row of voxels under the tiles begins.
    #[inline(always)]
    fn rows<D: Axis, H: Axis>(&self) -> [[isize; MOST_IN]; MOST_IN] {
        let mut rows = [[0; MOST_IN]; MOST_IN];
        for (i, rows) in rows.iter_mut().enumerate().take(D::IN) {
            for (j, row) in rows.iter_mut().enumerate().take(H::IN) {
                let depth = (self.voxel[0] + i as isize) >> self.shift;
                let height = (self.voxel[1] + j as isize) >> self.shift;
                *row = depth * self.plane as isize + height * self.row as isize;
            }
        }
        rows
    }

    /// The voxels of one width, transformed along depth and height.
    #[inline(always)]
    unsafe fn column<V: Lanes16, D: Axis, H: Axis>(
        &self,
        rows: &[[isize; MOST_IN]; MOST_IN],
        width: isize,
        constants: &Constants<V>,
    ) -> [[V; MOST_IN]; MOST_IN] {
        // SAFETY: as `run`.
        unsafe {
            let x = self.x.offset(width);
            let mut grid = [[V::zero(); MOST_IN]; MOST_IN];
            for j in 0..H::IN {
                let mut line = [V::zero(); MOST_IN];
                for (i, value) in line.iter_mut().enumerate().take(D::IN) {
                    *value = V::load(x.offset(rows[i][j]));
                }
                let line = D::input(line, constants);
                for (i, value) in line.into_iter().enumerate().take(D::IN) {
                    grid[i][j] = value;
                }
            }
            for line in grid.iter_mut().take(D::IN) {
                *line = H::input(*line, constants);
            }
            grid
        }
    }
}
