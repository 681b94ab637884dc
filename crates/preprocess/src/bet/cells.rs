//! Coarse maps of tissue intensity and of depth inside the brain.

use brainreel_volume::{Affine, Grid, Mask, Volume, morphology};

use crate::numbers::as_f64;

/// Cell edge for averaging intensities, in mm.
const BRIGHTNESS_MM: f64 = 8.0;

/// Rounds of smoothing between neighbouring cells: a Gaussian of about 11 mm.
const N_ROUNDS: usize = 4;

/// Cell edge for closing sulci, in mm.
const CLOSING_MM: f64 = 2.0;

/// Blocks of voxels, some of them outside the volume.
#[derive(Debug, Clone, Copy)]
struct Layout {
    /// Number of cells along each axis.
    dims: [usize; 3],
    /// Voxels along the edges of a cell.
    edge: [usize; 3],
    /// Cells before the first voxel on each axis, and after the last.
    margin: [usize; 3],
}

impl Layout {
    fn new(grid: &Grid, edge_mm: f64, margin_mm: f64) -> Self {
        let spacing = grid.spacing_mm();
        let edge = [0, 1, 2].map(|axis| whole((edge_mm / spacing[axis]).round()).clamp(1, grid.dims()[axis]));
        let margin = [0, 1, 2].map(|axis| whole((margin_mm / (spacing[axis] * as_f64(edge[axis]))).ceil()));
        let dims = [0, 1, 2].map(|axis| grid.dims()[axis].div_ceil(edge[axis]) + 2 * margin[axis]);
        Self { dims, edge, margin }
    }

    /// The cell that contains the start of voxel row `[j, k]`.
    fn row(&self, [j, k]: [usize; 2]) -> usize {
        let [y, z] = [j / self.edge[1] + self.margin[1], k / self.edge[2] + self.margin[2]];
        self.margin[0] + self.dims[0] * (y + self.dims[1] * z)
    }

    fn n_cells(&self) -> usize {
        self.dims.iter().product()
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; saturates")]
fn whole(value: f64) -> usize {
    value as usize
}

/// A value per cell, interpolated between cell centres.
#[derive(Debug, Clone)]
pub(super) struct Cells {
    values: Vec<f32>,
    layout: Layout,
}

impl Cells {
    /// Mean of the voxels of `mask` above `threshold`, smoothed over about 11 mm.
    pub(super) fn brightness(volume: &Volume<f32>, mask: &Mask, threshold: f32) -> Self {
        let layout = Layout::new(volume.grid(), BRIGHTNESS_MM, 0.0);
        let (mut sums, mut counts) = (vec![0.0_f32; layout.n_cells()], vec![0.0_f32; layout.n_cells()]);
        let [ni, nj, _] = volume.dims();
        let rows = volume.as_slice().chunks(ni).zip(mask.as_slice().chunks(ni));
        for (row, (values, inside)) in rows.enumerate() {
            let first = layout.row([row % nj, row / nj]);
            let blocks = values.chunks(layout.edge[0]).zip(inside.chunks(layout.edge[0]));
            for (block, (values, inside)) in blocks.enumerate() {
                for (value, inside) in values.iter().zip(inside) {
                    let counted = *inside && *value > threshold;
                    sums[first + block] += if counted { *value } else { 0.0 };
                    counts[first + block] += f32::from(counted);
                }
            }
        }
        for _ in 0..N_ROUNDS {
            smooth(&mut sums, layout.dims);
            smooth(&mut counts, layout.dims);
        }
        let means = sums.iter().zip(&counts).map(|(sum, n)| if *n > 1e-6 { sum / n } else { threshold });
        Self { values: means.collect(), layout }
    }

    /// Depth in `mask` after dilation by `radius_mm` and hole filling, in mm. `None` for a volume with
    /// millions of voxels that are far larger than a brain.
    pub(super) fn depth(mask: &Mask, radius_mm: f64) -> Option<Self> {
        let layout = Layout::new(mask.grid(), CLOSING_MM, radius_mm + 2.0 * CLOSING_MM);
        let mut held = vec![false; layout.n_cells()];
        let [ni, nj, _] = mask.dims();
        for (row, inside) in mask.as_slice().chunks(ni).enumerate() {
            let first = layout.row([row % nj, row / nj]);
            for (block, inside) in inside.chunks(layout.edge[0]).enumerate() {
                held[first + block] |= inside.contains(&true);
            }
        }
        let spacing = mask.grid().spacing_mm();
        let edge_mm = [0, 1, 2].map(|axis| spacing[axis] * as_f64(layout.edge[axis]));
        let grid = Grid::new(layout.dims, Affine::from_diagonal(edge_mm)).ok()?;
        let held = Volume::new(grid, held).ok()?;
        let filled = morphology::fill_holes(&morphology::dilate(&held, radius_mm));
        let values = morphology::distance_mm(&filled.map(|inside| !inside)).into_vec();
        Some(Self { values, layout })
    }

    /// The map along a row of voxels, interpolated between cell centres.
    pub(super) fn row(&self, [j, k]: [usize; 2], out: &mut [f32]) {
        let ((y, dy), (z, dz)) = (self.place(1, j), self.place(2, k));
        let [nx, ny, _] = self.layout.dims;
        let step = [
            usize::from(nx > 1),
            if ny > 1 { nx } else { 0 },
            if self.layout.dims[2] > 1 { nx * ny } else { 0 },
        ];
        let column = |x: usize| {
            let at = x + nx * (y + ny * z);
            let (a, b) = (self.values[at], self.values[at + step[1]]);
            let (c, d) = (self.values[at + step[2]], self.values[at + step[1] + step[2]]);
            let (low, high) = (a + dy * (b - a), c + dy * (d - c));
            low + dz * (high - low)
        };
        for (i, value) in out.iter_mut().enumerate() {
            let (x, dx) = self.place(0, i);
            let (a, b) = (column(x), column(x + step[0]));
            *value = a + dx * (b - a);
        }
    }

    /// The last cell whose centre is not beyond a voxel, and the fractional position towards the next.
    #[expect(clippy::cast_possible_truncation, reason = "a share")]
    fn place(&self, axis: usize, voxel: usize) -> (usize, f32) {
        let last = self.layout.dims[axis] - 1;
        let cell =
            (as_f64(voxel) + 0.5) / as_f64(self.layout.edge[axis]) - 0.5 + as_f64(self.layout.margin[axis]);
        let cell = cell.clamp(0.0, as_f64(last));
        let low = whole(cell).min(last.saturating_sub(1));
        (low, (cell - as_f64(low)) as f32)
    }
}

/// Smooths with weights 1/4, 1/2, 1/4 along every axis, and zero beyond the ends.
fn smooth(cells: &mut [f32], dims: [usize; 3]) {
    let mut stride = 1;
    for n in dims {
        let old = cells.to_vec();
        for (at, cell) in cells.iter_mut().enumerate() {
            let along = at / stride % n;
            let before = if along > 0 { old[at - stride] } else { 0.0 };
            let after = if along + 1 < n { old[at + stride] } else { 0.0 };
            *cell = 0.25 * before + 0.5 * old[at] + 0.25 * after;
        }
        stride *= n;
    }
}
