//! Quality control: numbers that show whether preprocessing succeeded.

mod metric;
mod symmetry;
mod tissue;
mod warning;

use brainreel_kernels::percentiles;
use brainreel_volume::crop::BoundingBox;
use brainreel_volume::{Grid, Orientation};
use serde::{Deserialize, Serialize};

use super::StepSummaries;
use crate::numbers::as_f64;

pub use metric::Metric;
pub(crate) use symmetry::METRICS as SYMMETRY;
pub use symmetry::MirrorSymmetry;
pub(crate) use tissue::METRICS as TISSUE;
pub use tissue::TissueContrast;
pub use warning::QcWarning;
pub(crate) use warning::find_warnings;

/// Quality-control record of a scan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QcRecord {
    /// Names of the steps, in order.
    pub steps: Vec<String>,
    /// The input scan.
    pub input: GridSummary,
    /// Extent of the scan from left to right, posterior to anterior, inferior to superior, in mm.
    pub field_of_view_mm: [f64; 3],
    /// After reorientation and resampling.
    pub resampled: GridSummary,
    /// The foreground: head or brain.
    pub foreground: ForegroundSummary,
    /// The smallest box around the foreground, in voxels of the resampled volume.
    pub foreground_box: BoundingBox,
    /// The crop box, padded and clamped.
    pub crop_box: BoundingBox,
    /// Fraction of the resampled volume inside the crop box.
    pub fraction_kept: f64,
    /// Gain in resolution by cropping.
    pub resolution: ResolutionGain,
    /// Intensities of the foreground, at the resampled spacing.
    pub foreground_intensity: IntensityPercentiles,
    /// Numbers reported by the steps.
    #[serde(flatten)]
    pub summaries: StepSummaries,
    /// Contrast between the tissues of the brain. `None` without a brain mask or with fewer than three
    /// intensities.
    pub tissue: Option<TissueContrast>,
    /// Symmetry of the foreground.
    pub symmetry: MirrorSymmetry,
    /// Warnings for visual inspection.
    pub warnings: Vec<QcWarning>,
}

/// Summary of a grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GridSummary {
    /// Voxels along each axis.
    pub dims: [usize; 3],
    /// Voxel size in mm.
    pub spacing_mm: [f64; 3],
    /// Axis codes, such as `RAS`.
    pub orientation: String,
}

/// The foreground: head or brain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForegroundSummary {
    /// Name of the brain extractor. `None` if a threshold decided.
    pub extractor: Option<String>,
    /// Foreground is brighter than this. `None` if a mask decided.
    pub threshold: Option<f64>,
    /// Voxels of foreground, at the resampled spacing.
    pub n_voxels: usize,
    /// Fraction of all voxels.
    pub fraction: f64,
}

/// Gain in resolution from cropping before the zoom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolutionGain {
    /// Voxel size of the network input, in mm.
    pub network_spacing_mm: [f64; 3],
    /// Voxel size without cropping, in mm.
    pub uncropped_spacing_mm: [f64; 3],
    /// Gain in voxels per mm on each axis: 0.35 means 35 % more.
    pub gain_by_axis: [f64; 3],
    /// The same over the three axes (geometric mean).
    pub gain: f64,
}

impl ResolutionGain {
    /// Compares zooming `cropped` voxels to `size` voxels with zooming all of `grid`.
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

/// Percentiles of intensity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntensityPercentiles {
    /// Minimum.
    pub minimum: f64,
    /// 1st percentile.
    pub p01: f64,
    /// 5th percentile.
    pub p05: f64,
    /// 25th percentile.
    pub p25: f64,
    /// Median.
    pub p50: f64,
    /// 75th percentile.
    pub p75: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Maximum.
    pub maximum: f64,
}

impl GridSummary {
    pub(crate) fn of(grid: &Grid) -> Self {
        Self {
            dims: grid.dims(),
            spacing_mm: grid.spacing_mm(),
            orientation: Orientation::of(grid.affine()).codes(),
        }
    }
}

impl IntensityPercentiles {
    /// Computes percentiles of at least one finite value. Reorders the values.
    pub(crate) fn of(values: &mut [f32]) -> Option<Self> {
        let percents = [0.0, 1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0, 100.0];
        let found = percentiles(values, &percents);
        let [minimum, p01, p05, p25, p50, p75, p95, p99, maximum] = found.try_into().ok()?;
        Some(Self { minimum, p01, p05, p25, p50, p75, p95, p99, maximum })
    }
}

/// Columns of the input scan.
pub(crate) const FIELD_OF_VIEW: &[Metric] = &[
    Metric::new("fov_lr_mm", "mm", "Field of view from left to right", |qc| Some(qc.field_of_view_mm[0])),
    Metric::new("fov_pa_mm", "mm", "Field of view from posterior to anterior", |qc| {
        Some(qc.field_of_view_mm[1])
    }),
    Metric::new("fov_is_mm", "mm", "Field of view from inferior to superior", |qc| {
        Some(qc.field_of_view_mm[2])
    }),
];

/// Columns of the foreground.
pub(crate) const FOREGROUND_INTENSITY: &[Metric] = &[
    Metric::new("intensity_p01", "scanner units", "1st percentile of the foreground's intensity", |qc| {
        Some(qc.foreground_intensity.p01)
    }),
    Metric::new("intensity_p50", "scanner units", "Median of the foreground's intensity", |qc| {
        Some(qc.foreground_intensity.p50)
    }),
    Metric::new("intensity_p99", "scanner units", "99th percentile of the foreground's intensity", |qc| {
        Some(qc.foreground_intensity.p99)
    }),
];
