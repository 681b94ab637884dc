//! Crop to the padded box of the foreground.

use brainreel_volume::Grid;
use serde::{Deserialize, Serialize};

use super::Step;
use crate::config::as_f64;
use crate::foreground::ForegroundRule;
use crate::qc::Metric;
use crate::scan::Scan;
use crate::{PreprocessError, ValidPreprocessConfig};

/// The step.
pub(super) struct Crop {
    foreground: ForegroundRule,
    padding_voxels: usize,
}

impl Crop {
    pub(super) fn from_config(config: &ValidPreprocessConfig) -> Option<Self> {
        let (foreground, padding_voxels) = (config.foreground, config.padding_voxels);
        config.crop.then_some(Self { foreground, padding_voxels })
    }
}

impl Step for Crop {
    fn name(&self) -> &'static str {
        "crop"
    }

    fn apply(&self, scan: &mut Scan<'_>) -> Result<(), PreprocessError> {
        scan.frame(self.foreground, |foreground, dims| {
            Ok(foreground.bounding_box.padded(self.padding_voxels, dims))
        })
    }
}

/// How much finer the network sees the head because it was cropped before it was stretched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolutionGain {
    /// Voxel size of the network input, in mm.
    pub network_spacing_mm: [f64; 3],
    /// What it would have been without cropping, in mm.
    pub uncropped_spacing_mm: [f64; 3],
    /// Voxels per mm gained on each axis: 0.35 is 35 % more.
    pub gain_by_axis: [f64; 3],
    /// The same over the three axes (geometric mean).
    pub gain: f64,
}

impl ResolutionGain {
    /// Compares stretching `cropped` voxels to `size` voxels with stretching all of `grid`.
    pub(crate) fn of(grid: &Grid, cropped: [usize; 3], size: usize) -> Self {
        let spacing = grid.spacing_mm();
        let stretched = |dims: [usize; 3]| {
            [0, 1, 2].map(|axis| spacing[axis] * as_f64(dims[axis] - 1) / as_f64(size - 1))
        };
        let (network_spacing_mm, uncropped_spacing_mm) = (stretched(cropped), stretched(grid.dims()));
        let ratio = [0, 1, 2].map(|axis| uncropped_spacing_mm[axis] / network_spacing_mm[axis]);
        Self {
            network_spacing_mm,
            uncropped_spacing_mm,
            gain_by_axis: ratio.map(|r| r - 1.0),
            gain: ratio.iter().product::<f64>().cbrt() - 1.0,
        }
    }
}

/// Columns of the table of quality numbers.
pub(super) const METRICS: &[Metric] = &[
    Metric::new("fraction_kept", "1", "Share of the resampled voxels that the crop keeps", |qc| {
        Some(qc.fraction_kept)
    }),
    Metric::new(
        "resolution_gain",
        "1",
        "Share of voxels per mm that cropping before the zoom gains: 0.35 is 35 % more",
        |qc| Some(qc.resolution.gain),
    ),
];
