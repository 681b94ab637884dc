//! Zoom to the network's cube: the last step of every plan.

use std::borrow::Cow;

use brainreel_volume::crop::BoundingBox;
use brainreel_volume::zoom::zoom;

use super::Step;
use super::foreground::ForegroundRule;
use super::scan::Scan;
use crate::PreprocessError;

/// The preprocessing step.
pub(super) struct Zoom {
    foreground: ForegroundRule,
    size_voxels: usize,
}

impl Zoom {
    pub(super) fn new(size_voxels: usize, foreground: ForegroundRule) -> Self {
        Self { foreground, size_voxels }
    }
}

impl Step for Zoom {
    fn name(&self) -> &'static str {
        "zoom"
    }

    fn apply(&self, scan: &mut Scan<'_>) -> Result<(), PreprocessError> {
        if scan.framing.is_none() {
            scan.frame(self.foreground, |_, dims| BoundingBox::new([0; 3], dims))?;
        }
        scan.image = Cow::Owned(zoom(&scan.image, [self.size_voxels; 3])?);
        Ok(())
    }
}
