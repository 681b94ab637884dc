//! Crop to the padded box of the foreground.

use super::Step;
use super::foreground::ForegroundRule;
use super::qc::Metric;
use super::scan::Scan;
use crate::PreprocessError;

/// The preprocessing step.
pub(super) struct Crop {
    foreground: ForegroundRule,
    padding_voxels: usize,
}

impl Crop {
    pub(super) fn new(padding_voxels: usize, foreground: ForegroundRule) -> Self {
        Self { foreground, padding_voxels }
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

/// Columns of the quality-control table.
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
