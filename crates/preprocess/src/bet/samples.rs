//! Downsampled copy of the head, in which the surface samples intensities.

use brainreel_volume::{Affine, Grid, Volume};
use rayon::prelude::*;

use super::vector::Point;
use crate::numbers::as_f64;

/// Voxel size of the copy: fine enough for a skull of at least 3 mm, and coarse enough to average noise.
const SPACING_MM: f64 = 2.0;

/// [`Affine::new`] checks it.
pub(super) const INVERTIBLE: &str = "the affine of a grid can be inverted";

/// Means over blocks of voxels, addressed in world mm.
#[derive(Debug, Clone)]
pub(super) struct Samples {
    grid: Grid,
    voxels: Vec<f32>,
    world_to_voxel: Affine,
    /// Value outside the field of view.
    outside: f32,
}

impl Samples {
    pub(super) fn new(head: &Volume<f32>) -> Self {
        let spacing = head.grid().spacing_mm();
        let factor = [0, 1, 2].map(|axis| block(spacing[axis], head.dims()[axis]));
        let dims = [0, 1, 2].map(|axis| head.dims()[axis].div_ceil(factor[axis]));
        let shift = factor.map(|n| 0.5 * (as_f64(n) - 1.0));
        let to_head = Affine::translation_by(shift).compose(&Affine::from_diagonal(factor.map(as_f64)));
        let affine = head.grid().affine().compose(&to_head);
        let grid = Grid::new(dims, affine).expect("no more voxels than the head, and no empty axis");
        let mut voxels = vec![0.0; grid.n_voxels()];
        voxels.par_chunks_mut(dims[0] * dims[1]).enumerate().for_each(|(k, plane)| {
            average_plane(head, factor, [dims[0], dims[1], k], plane);
        });
        let outside = voxels.iter().copied().fold(f32::INFINITY, f32::min);
        let world_to_voxel = grid.affine().inverse().expect(INVERTIBLE);
        Self { grid, voxels, world_to_voxel, outside }
    }

    pub(super) fn grid(&self) -> &Grid {
        &self.grid
    }

    pub(super) fn voxels(&self) -> &[f32] {
        &self.voxels
    }

    /// World position and value of every voxel.
    pub(super) fn placed(&self) -> impl Iterator<Item = (Point, f32)> + '_ {
        let [ni, nj, _] = self.grid.dims();
        self.voxels.iter().enumerate().map(move |(at, &value)| {
            (self.grid.affine().apply([at % ni, at / ni % nj, at / ni / nj].map(as_f64)), value)
        })
    }

    /// Smallest and largest value along `direction` from `start`: the smallest of `n_dark` steps of
    /// `step_mm`, the largest of the first `n_bright`. The start itself is included.
    pub(super) fn extremes(&self, start: Point, direction: Point, way: Way) -> (f64, f64) {
        let from = self.world_to_voxel.apply(start);
        let to = self.world_to_voxel.apply([0, 1, 2].map(|a| start[a] + way.step_mm * direction[a]));
        let (mut dark, mut bright) = (f32::INFINITY, f32::NEG_INFINITY);
        for step in 0..=way.n_dark {
            let t = as_f64(step);
            let value = self.at([0, 1, 2].map(|axis| from[axis] + t * (to[axis] - from[axis])));
            dark = dark.min(value);
            if step <= way.n_bright {
                bright = bright.max(value);
            }
        }
        (f64::from(dark), f64::from(bright))
    }

    /// Trilinear interpolation at a voxel position. Up to half a voxel beyond the outermost centres the
    /// nearest value is used.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and below the number of voxels"
    )]
    fn at(&self, voxel: Point) -> f32 {
        let dims = self.grid.dims();
        let mut low = [0; 3];
        let mut share = [0.0_f32; 3];
        for axis in 0..3 {
            let last = as_f64(dims[axis] - 1);
            if !(voxel[axis] >= -0.5 && voxel[axis] <= last + 0.5) {
                return self.outside;
            }
            let held = voxel[axis].clamp(0.0, last);
            low[axis] = (held as usize).min(dims[axis].saturating_sub(2));
            share[axis] = (held - as_f64(low[axis])) as f32;
        }
        let step = [
            usize::from(dims[0] > 1),
            dims[0] * usize::from(dims[1] > 1),
            dims[0] * dims[1] * usize::from(dims[2] > 1),
        ];
        let first = self.grid.offset(low);
        let line = |at: usize| {
            let (a, b) = (self.voxels[at], self.voxels[at + step[0]]);
            a + share[0] * (b - a)
        };
        let plane = |at: usize| {
            let (a, b) = (line(at), line(at + step[1]));
            a + share[1] * (b - a)
        };
        let (a, b) = (plane(first), plane(first + step[2]));
        a + share[2] * (b - a)
    }
}

/// Search distances.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) step_mm: f64,
    pub(super) n_dark: usize,
    pub(super) n_bright: usize,
}

/// Block size in voxels along an axis.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the axis")]
fn block(spacing_mm: f64, n: usize) -> usize {
    ((SPACING_MM / spacing_mm).round() as usize).clamp(1, n)
}

fn average_plane(head: &Volume<f32>, factor: [usize; 3], [ni, nj, k]: [usize; 3], plane: &mut [f32]) {
    let range =
        |axis: usize, index: usize| index * factor[axis]..((index + 1) * factor[axis]).min(head.dims()[axis]);
    for j in 0..nj {
        for i in 0..ni {
            let (mut sum, mut n) = (0.0_f32, 0.0_f32);
            for z in range(2, k) {
                for y in range(1, j) {
                    let row = head.grid().offset([0, y, z]);
                    for x in range(0, i) {
                        sum += head.as_slice()[row + x];
                        n += 1.0;
                    }
                }
            }
            plane[j * ni + i] = sum / n;
        }
    }
}
