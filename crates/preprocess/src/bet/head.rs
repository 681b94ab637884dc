//! Initial estimates of a head: intensities, centre and size.

use super::samples::Samples;
use super::vector::{Point, length, minus};
use crate::numbers::as_f64;

/// Fraction of all voxels below the robust minimum.
const DARK_SHARE: f64 = 0.02;

/// Fraction of all voxels below the initial robust maximum.
const BRIGHT_SHARE: f64 = 0.98;

/// Fraction of the head's voxels below the robust maximum. It is similar if the head fills a third of the
/// field of view, but it does not depend on the amount of air.
const BRIGHT_SHARE_OF_HEAD: f64 = 0.94;

/// Iterations of estimating the maximum from the head and the head from the maximum.
const N_ROUNDS: usize = 3;

/// Threshold between head and air, as a fraction between the robust minimum and maximum.
const HEAD_THRESHOLD: f64 = 0.1;

/// Estimates of a head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Head {
    /// Robust minimum of the intensities.
    pub(super) dark: f64,
    /// Robust maximum of the intensities.
    pub(super) bright: f64,
    /// Threshold between air and head.
    pub(super) threshold: f64,
    /// Median within the sphere, close to that of grey and white matter.
    pub(super) median: f64,
    /// Centre of gravity of voxels above the threshold, in mm.
    pub(super) centre: Point,
    /// Lower limit of the brain, in mm.
    pub(super) floor_mm: f64,
    /// Radius of a sphere of the head's volume, in mm.
    pub(super) radius_mm: f64,
}

/// Distance from the top of the head to the bottom of the cerebellum in nearly all adults, in mm.
const BRAIN_HEIGHT_MM: f64 = 150.0;

/// Distance from the top of the head below which there is no brain, regardless of the neck, in mm.
const FLOOR_MM: f64 = 160.0;

impl Head {
    /// `None` without contrast.
    pub(super) fn measure(samples: &Samples, radius_mm: Option<f64>) -> Option<Self> {
        let (dark, bright) = robust_range(samples.voxels())?;
        let threshold = dark + HEAD_THRESHOLD * (bright - dark);
        let top_mm = top(samples, threshold)?;
        let voxel_mm3: f64 = samples.grid().affine().determinant().abs();
        let (mut moment, mut mass, mut n) = ([0.0; 3], 0.0, 0.0);
        for (place, value) in samples.placed() {
            let value = f64::from(value);
            if value > threshold && place[2] > top_mm - BRAIN_HEIGHT_MM {
                let weight = value.min(bright) - dark;
                (0..3).for_each(|axis| moment[axis] += weight * place[axis]);
                mass += weight;
                n += 1.0;
            }
        }
        let centre = moment.map(|m| m / mass);
        let ball_mm = (0.75 / std::f64::consts::PI * n * voxel_mm3).cbrt();
        let radius_mm = radius_mm.unwrap_or(ball_mm);
        let mut within: Vec<f32> = samples
            .placed()
            .filter(|(place, value)| {
                let value = f64::from(*value);
                value > dark && value < bright && length(minus(*place, centre)) < radius_mm
            })
            .map(|(_, value)| value)
            .collect();
        if within.is_empty() || mass <= 0.0 {
            return None;
        }
        let middle = within.len() / 2;
        let median = f64::from(*within.select_nth_unstable_by(middle, f32::total_cmp).1);
        Some(Self { dark, bright, threshold, median, centre, floor_mm: top_mm - FLOOR_MM, radius_mm })
    }
}

/// The robust minimum and maximum. `None` if they are equal.
fn robust_range(voxels: &[f32]) -> Option<(f64, f64)> {
    let mut sorted = voxels.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let dark = percentile(&sorted, DARK_SHARE)?;
    let mut bright = percentile(&sorted, BRIGHT_SHARE)?;
    if bright <= dark {
        // Nearly everything is background.
        bright = f64::from(*sorted.last()?);
    }
    for _ in 0..N_ROUNDS {
        let threshold = dark + HEAD_THRESHOLD * (bright - dark);
        let start = sorted.partition_point(|value| f64::from(*value) <= threshold);
        bright = percentile(&sorted[start..], BRIGHT_SHARE_OF_HEAD)?;
    }
    (bright > dark).then_some((dark, bright))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
fn percentile(sorted: &[f32], share: f64) -> Option<f64> {
    let at = share * as_f64(sorted.len().saturating_sub(1));
    sorted.get(at as usize).map(|value| f64::from(*value))
}

/// Height of the top of the head: the highest 2 mm slab in which the head covers 10 cm².
fn top(samples: &Samples, threshold: f64) -> Option<f64> {
    const LEVEL_MM: f64 = 2.0;
    const AREA_MM2: f64 = 1000.0;
    let voxel_mm3: f64 = samples.grid().affine().determinant().abs();
    let mut heights: Vec<f64> = samples
        .placed()
        .filter(|(_, value)| f64::from(*value) > threshold)
        .map(|(place, _)| place[2])
        .collect();
    heights.sort_unstable_by(|a, b| b.total_cmp(a));
    let mut end = 0;
    for (start, &height) in heights.iter().enumerate() {
        while end < heights.len() && heights[end] > height - LEVEL_MM {
            end += 1;
        }
        if as_f64(end - start) * voxel_mm3 >= AREA_MM2 * LEVEL_MM {
            return Some(height);
        }
    }
    heights.first().copied()
}
