//! Cubic B-spline resampling to the isotropic spacing.

use std::borrow::Cow;

use brainreel_volume::Volume;
use brainreel_volume::resample::resample_to_spacing;

use super::Step;
use super::scan::Scan;
use crate::PreprocessError;
use crate::numbers::as_f64;
use crate::numbers::{clear_outside, extent_mm};

/// Largest resampled volume, 512^3 voxels, larger than any head. Bounds the allocation for a wrong spacing in
/// a header.
const MAX_RESAMPLED_VOXELS: usize = 1 << 27;

/// The preprocessing step.
pub(super) struct Resample {
    spacing_mm: f64,
}

impl Resample {
    pub(super) fn new(spacing_mm: f64) -> Self {
        Self { spacing_mm }
    }
}

impl Step for Resample {
    fn name(&self) -> &'static str {
        "resample"
    }

    fn check(&self, volume: &Volume<f32>) -> Result<(), PreprocessError> {
        let (extent_mm, spacing_mm) = (extent_mm(volume.grid()), self.spacing_mm);
        let n_voxels: f64 = extent_mm.iter().map(|mm| (mm / spacing_mm).max(1.0)).product();
        if n_voxels > as_f64(MAX_RESAMPLED_VOXELS) {
            let max_voxels = MAX_RESAMPLED_VOXELS;
            return Err(PreprocessError::FieldOfView { extent_mm, spacing_mm, max_voxels });
        }
        Ok(())
    }

    /// Resamples the image and its mask. Voxels outside the mask are set to zero again, which removes
    /// remaining skull and ringing of the interpolation.
    fn apply(&self, scan: &mut Scan<'_>) -> Result<(), PreprocessError> {
        let spacing_mm = self.spacing_mm;
        let mut image = resample_to_spacing(&scan.image, [spacing_mm; 3])?;
        if let Some(brain) = &scan.brain {
            let coverage = resample_to_spacing(&brain.map(|&inside| f32::from(inside)), [spacing_mm; 3])?;
            let brain = coverage.map(|&share| share > 0.5);
            if !brain.as_slice().contains(&true) {
                return Err(PreprocessError::VanishedBrain { spacing_mm });
            }
            clear_outside(&mut image, &brain);
            scan.brain = Some(brain);
        }
        scan.image = Cow::Owned(image);
        Ok(())
    }
}
