//! Coarse image of a head, used for the codes and for alignment.

use brainreel_kernels::{otsu_threshold, percentiles};
use brainreel_volume::reorient::to_closest_canonical;
use brainreel_volume::{Affine, Volume};

use crate::smooth::{block_mean, gaussian};

/// Target voxel size, mm.
const TARGET_MM: f64 = 2.0;
/// Largest number of coarse voxels along an axis.
const MOST_VOXELS: usize = 128;
/// Band of the codes: structures of about 17 mm, much larger than a shift by one voxel and much smaller than
/// a head.
const FINE_SIGMA_MM: f64 = 2.0;
const WIDE_SIGMA_MM: f64 = 4.0;
/// Foreground threshold as a fraction of the way from air to Otsu's threshold, so that dark tissue is
/// included.
const FOREGROUND_SHARE: f64 = 0.5;

/// A closest-canonical image of about 2 mm, scaled to a largest magnitude of one.
#[derive(Debug)]
pub(crate) struct Coarse {
    /// The lightly smoothed image.
    pub(crate) image: Volume<f32>,
    /// The band-passed image, on the same grid.
    pub(crate) band: Vec<f32>,
    /// Foreground threshold of `image`.
    pub(crate) threshold: f32,
    /// Foreground threshold on the scale of the input voxels.
    pub(crate) native_threshold: f64,
    /// Centre of the head, in voxels of `image`.
    pub(crate) centre: [f64; 3],
}

impl Coarse {
    /// Returns `None` if the image is constant or its affine is invalid.
    pub(crate) fn of(volume: &Volume<f32>) -> Option<Self> {
        volume.grid().affine().inverse().ok()?;
        let spacing = volume.grid().spacing_mm();
        let factors = [0, 1, 2].map(|axis| {
            let by_spacing = (TARGET_MM / spacing[axis]).round().max(1.0) as usize;
            by_spacing.max(volume.dims()[axis].div_ceil(MOST_VOXELS))
        });
        let mut image = to_closest_canonical(&block_mean(volume, factors));
        let scale = to_unit_range(image.as_mut_slice())?;
        let (dims, spacing) = (image.dims(), image.grid().spacing_mm());
        let smooth = |sigma_mm: f64| gaussian(image.as_slice(), dims, spacing.map(|mm| sigma_mm / mm));
        let (fine, wide) = (smooth(FINE_SIGMA_MM), smooth(WIDE_SIGMA_MM));
        let band = fine.iter().zip(&wide).map(|(fine, wide)| fine - wide).collect();
        let image = Volume::new(*image.grid(), fine).ok()?;
        let threshold = foreground_threshold(image.as_slice());
        let centre = centroid(&image, threshold)?;
        Some(Self { image, band, threshold, native_threshold: f64::from(threshold) * scale, centre })
    }

    /// Voxels of the coarse image to RAS+ mm.
    pub(crate) fn affine(&self) -> &Affine {
        self.image.grid().affine()
    }

    /// Band-passed and smoothed value at a voxel position. `None` outside.
    pub(crate) fn sample(&self, voxel: [f64; 3]) -> Option<[f32; 2]> {
        let dims = self.image.dims();
        let mut corner = [0; 3];
        let mut share = [0.0_f32; 3];
        for axis in 0..3 {
            let x = voxel[axis];
            // Written so that NaN counts as outside.
            if !(x >= 0.0 && x <= (dims[axis] - 1) as f64) {
                return None;
            }
            corner[axis] = (x as usize).min(dims[axis].saturating_sub(2));
            share[axis] = (x - corner[axis] as f64) as f32;
        }
        let start = self.image.grid().offset(corner);
        let steps = [1, dims[0], dims[0] * dims[1]];
        let step = [0, 1, 2].map(|axis| if dims[axis] > 1 { steps[axis] } else { 0 });
        let mix = |data: &[f32]| {
            let line = |at: usize| data[at] + share[0] * (data[at + step[0]] - data[at]);
            let plane = |at: usize| line(at) + share[1] * (line(at + step[1]) - line(at));
            plane(start) + share[2] * (plane(start + step[2]) - plane(start))
        };
        Some([mix(&self.band), mix(self.image.as_slice())])
    }
}

/// Divides by the largest magnitude and returns it. `None` if all values are equal.
fn to_unit_range(values: &mut [f32]) -> Option<f64> {
    let (low, high) =
        values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
    let scale = low.abs().max(high.abs());
    let is_flat = f64::from(high) - f64::from(low) <= 1e-6 * f64::from(scale);
    if is_flat || !scale.is_finite() || scale < f32::MIN_POSITIVE {
        return None;
    }
    for value in values {
        *value = (f64::from(*value) / f64::from(scale)) as f32;
    }
    Some(f64::from(scale))
}

fn foreground_threshold(values: &[f32]) -> f32 {
    let mut sorted = values.to_vec();
    let limits = percentiles(&mut sorted, &[1.0, 99.0]);
    let [low, high] = limits[..] else { return 0.0 };
    let otsu = otsu_threshold(values, low, high);
    (low + FOREGROUND_SHARE * (otsu - low)) as f32
}

fn centroid(image: &Volume<f32>, threshold: f32) -> Option<[f64; 3]> {
    let [nx, ny, _] = image.dims();
    let (mut sums, mut n) = ([0.0; 3], 0.0);
    for (row_idx, row) in image.as_slice().chunks_exact(nx).enumerate() {
        for (i, _) in row.iter().enumerate().filter(|(_, value)| **value > threshold) {
            for (sum, at) in sums.iter_mut().zip([i, row_idx % ny, row_idx / ny]) {
                *sum += at as f64;
            }
            n += 1.0;
        }
    }
    (n > 0.0).then(|| sums.map(|sum| sum / n))
}
