//! Resamples a patch of two images to one grid.

use brainreel_kernels::{AxisPlan, Outside, resample_mapped, resample_separable};
use brainreel_volume::crop::{BoundingBox, crop};
use brainreel_volume::reorient::to_closest_canonical;
use brainreel_volume::{Affine, Grid, Volume};

use crate::smooth::{block_mean, gaussian};

/// Largest edge of the patch, in voxels of the reference.
const EDGE: usize = 96;
/// Margin of voxels around the patch, for the spline.
const MARGIN: f64 = 8.0;
/// Size limit for the patch of the other image. Larger patches are not compared.
const MOST_VOXELS: usize = 1 << 25;
/// Voxels this many times smaller are averaged before they are interpolated.
const COARSEST_RATIO: f64 = 2.5;
/// Ratio of voxel sizes from which a low-pass before resampling makes a difference.
const FINER_RATIO: f64 = 1.15;
/// A rotation that moves no point of the patch by more than this is ignored.
const LARGEST_DRIFT_VOXELS: f64 = 0.01;
/// Width of that low-pass, in voxels of the reference.
const ANTIALIAS_SIGMA: f64 = 0.4;

/// Two images to compare, with settings.
pub(super) struct Pair<'a> {
    pub(super) reference: &'a Volume<f32>,
    pub(super) other: &'a Volume<f32>,
    /// Centre of the patch, in world millimetres of the reference.
    pub(super) centre_mm: [f64; 3],
    /// Foreground threshold of each image.
    pub(super) thresholds: [f64; 2],
    /// Whether the other image is smoothed to the reference's voxel size before resampling.
    pub(super) antialias: bool,
}

impl Pair<'_> {
    /// Whether the other image has clearly smaller voxels.
    pub(super) fn is_finer(&self) -> bool {
        let size = |volume: &Volume<f32>| volume.grid().affine().determinant().abs().cbrt();
        size(self.reference) / size(self.other) >= FINER_RATIO
    }

    /// The patch of the reference around the centre, unchanged except for values that are not finite.
    pub(super) fn reference_patch(&self) -> Option<Volume<f32>> {
        let to_voxel = self.reference.grid().affine().inverse().ok()?;
        let middle = to_voxel.apply(self.centre_mm);
        let half = 0.5 * EDGE as f64;
        let region = clipped(middle.map(|x| x - half), middle.map(|x| x + half), self.reference.dims())?;
        let piece = crop(self.reference, &region).ok()?;
        Some(to_closest_canonical(&finite(&piece)))
    }

    /// Resamples the other image to `grid`, which is in the world of the reference. `transform` maps to the
    /// world of the other image.
    pub(super) fn other_patch(&self, grid: &Grid, transform: &Affine) -> Option<Volume<f32>> {
        let ratio = self.spacing_ratio();
        let factors = ratio.map(|ratio| (ratio / COARSEST_RATIO).floor().max(0.0) as usize + 1);
        let averaged;
        let source = if factors == [1; 3] {
            self.other
        } else {
            averaged = block_mean(self.other, factors);
            &averaged
        };
        let map = source.grid().affine().inverse().ok()?.compose(transform).compose(grid.affine());
        let (low, high) = bounds(&map, grid.dims());
        let region = clipped(low.map(|x| x - MARGIN), high.map(|x| x + MARGIN), source.dims())?;
        if region.dims().iter().product::<usize>() > MOST_VOXELS {
            return None;
        }
        let mut piece = to_closest_canonical(&finite(&crop(source, &region).ok()?));
        if self.antialias {
            let smallest = smallest_mm(self.reference);
            let sigma = piece.grid().spacing_mm().map(|mm| ANTIALIAS_SIGMA * smallest / mm);
            let smooth = gaussian(piece.as_slice(), piece.dims(), sigma);
            piece = Volume::new(*piece.grid(), smooth).ok()?;
        }
        resampled(&piece, grid, transform)
    }

    /// Smallest voxel edge of the reference over each voxel edge of the other.
    fn spacing_ratio(&self) -> [f64; 3] {
        let smallest = smallest_mm(self.reference);
        self.other.grid().spacing_mm().map(|mm| smallest / mm)
    }
}

fn smallest_mm(volume: &Volume<f32>) -> f64 {
    volume.grid().spacing_mm().into_iter().fold(f64::INFINITY, f64::min)
}

/// Resamples `piece` to `grid`. `transform` maps the world of `grid` to that of the piece. Without rotation,
/// which is the usual case, it works axis by axis, which is many times faster.
fn resampled(piece: &Volume<f32>, grid: &Grid, transform: &Affine) -> Option<Volume<f32>> {
    let map = piece.grid().affine().inverse().ok()?.compose(transform).compose(grid.affine());
    let rows = map.rows();
    let dims = grid.dims();
    let drift =
        |row: usize, axis: usize| if row == axis { 0.0 } else { rows[row][axis].abs() * dims[axis] as f64 };
    let turns = (0..3).any(|row| (0..3).any(|axis| drift(row, axis) > LARGEST_DRIFT_VOXELS));
    let data = if turns {
        let map = [rows[0], rows[1], rows[2]];
        resample_mapped(piece.as_slice(), piece.dims(), &map, dims, Outside::Zero)
    } else {
        let plans = [0, 1, 2].map(|axis| {
            let line = (0..dims[axis]).map(|i| rows[axis][axis] * i as f64 + rows[axis][3]);
            AxisPlan::sample(piece.dims()[axis], line.collect(), Outside::Zero)
        });
        resample_separable(piece.as_slice(), &plans)
    };
    Volume::new(*grid, data).ok()
}

fn finite(volume: &Volume<f32>) -> Volume<f32> {
    volume.map(|&value| if value.is_finite() { value } else { 0.0 })
}

/// Bounding box of the mapped corners of a grid of `dims` voxels.
fn bounds(map: &Affine, dims: [usize; 3]) -> ([f64; 3], [f64; 3]) {
    let (mut low, mut high) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
    for corner in 0..8_usize {
        let index = [0, 1, 2].map(|axis| ((corner >> axis & 1) * (dims[axis] - 1)) as f64);
        for (axis, x) in map.apply(index).into_iter().enumerate() {
            low[axis] = low[axis].min(x);
            high[axis] = high[axis].max(x);
        }
    }
    (low, high)
}

/// The existing voxels between two corners. `None` if there are none.
fn clipped(low: [f64; 3], high: [f64; 3], dims: [usize; 3]) -> Option<BoundingBox> {
    let to_index = |x: f64, n: usize| x.clamp(0.0, n as f64) as usize;
    let start = [0, 1, 2].map(|axis| to_index(low[axis].floor(), dims[axis]));
    let end = [0, 1, 2].map(|axis| to_index(high[axis].ceil() + 1.0, dims[axis]));
    BoundingBox::new(start, end).ok()
}
