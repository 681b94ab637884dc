//! Helpers: range checks of settings, voxels in a mask.

use brainreel_volume::{Grid, Mask, Volume};

use crate::ConfigError;

/// Returns an error for a setting that is out of range or NaN.
pub(crate) fn check(
    field: &'static str,
    got: f64,
    low: f64,
    high: f64,
    expected: &'static str,
) -> Result<(), ConfigError> {
    if (low..=high).contains(&got) { Ok(()) } else { Err(ConfigError::Range { field, got, expected }) }
}

#[expect(clippy::cast_precision_loss, reason = "only compared with small bounds, or counts below 2^30")]
pub(crate) const fn as_f64(n: usize) -> f64 {
    n as f64
}

/// Sets every voxel outside the mask to zero.
pub(crate) fn clear_outside(volume: &mut Volume<f32>, mask: &Mask) {
    for (value, inside) in volume.as_mut_slice().iter_mut().zip(mask.as_slice()) {
        if !inside {
            *value = 0.0;
        }
    }
}

/// Values inside a mask.
pub(crate) fn values_inside(volume: &Volume<f32>, mask: &Mask) -> Vec<f32> {
    let pairs = volume.as_slice().iter().zip(mask.as_slice());
    pairs.filter(|(_, inside)| **inside).map(|(value, _)| *value).collect()
}

/// Edges of the field of view.
pub(crate) fn extent_mm(grid: &Grid) -> [f64; 3] {
    let (dims, spacing) = (grid.dims(), grid.spacing_mm());
    [0, 1, 2].map(|axis| spacing[axis] * as_f64(dims[axis]))
}
