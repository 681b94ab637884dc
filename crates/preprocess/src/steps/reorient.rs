//! Axis permutation and flips to closest-canonical (RAS).

use std::borrow::Cow;

use brainreel_volume::reorient::to_closest_canonical;

use super::Step;
use super::scan::Scan;
use crate::PreprocessError;

/// The preprocessing step.
pub(super) struct Reorient;

impl Step for Reorient {
    fn name(&self) -> &'static str {
        "reorient"
    }

    fn apply(&self, scan: &mut Scan<'_>) -> Result<(), PreprocessError> {
        let head = to_closest_canonical(&scan.image);
        scan.image = Cow::Owned(head.clone());
        scan.head = Cow::Owned(head);
        Ok(())
    }
}
