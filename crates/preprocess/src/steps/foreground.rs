//! Separates tissue from air.

use brainreel_kernels::{otsu_threshold, percentiles};
use brainreel_volume::crop::{BoundingBox, foreground_box, mask_box};
use brainreel_volume::{Mask, Volume};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::qc::{ForegroundSummary, IntensityPercentiles};
use crate::PreprocessError;
use crate::numbers::{as_f64, values_inside};

/// What counts as foreground.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum ForegroundRule {
    /// Brighter than Otsu's threshold between the minimum and the 99.9th percentile of the image.
    ///
    /// On a head in noisy air the threshold lies between air and tissue, far above the noise, and the
    /// box is that of the skin. On a skull-stripped image, whose background is one value, it lies in
    /// the partial volume of the brain's surface, which the padding covers.
    #[default]
    Otsu,
    /// Brighter than a given intensity. Use 0 for images whose background is exactly zero.
    Above(f64),
}

/// Upper percentile of the range for the threshold, so that a few very bright voxels (inflowing blood,
/// spikes) do not stretch it.
const BRIGHT_PERCENT: f64 = 99.9;

impl ForegroundRule {
    /// The intensity above which voxels are foreground.
    pub(crate) fn threshold(self, volume: &Volume<f32>) -> f64 {
        match self {
            Self::Above(value) => value,
            Self::Otsu => {
                let found = percentiles(&mut volume.as_slice().to_vec(), &[0.0, BRIGHT_PERCENT]);
                let [low, high] = found[..] else { return 0.0 };
                otsu_threshold(volume.as_slice(), low, high)
            }
        }
    }

    /// The voxels above the threshold.
    pub(crate) fn mask(self, volume: &Volume<f32>) -> Mask {
        let threshold = self.threshold(volume);
        volume.map(|&value| f64::from(value) > threshold)
    }
}

/// The foreground of a resampled volume.
pub(crate) struct Foreground {
    pub(crate) mask: Mask,
    pub(crate) bounding_box: BoundingBox,
    pub(crate) summary: ForegroundSummary,
    pub(crate) intensity: IntensityPercentiles,
}

impl Foreground {
    /// The brain, or without one the voxels that `rule` selects.
    pub(crate) fn find(
        volume: &Volume<f32>,
        brain: Option<&Mask>,
        rule: ForegroundRule,
    ) -> Result<Self, PreprocessError> {
        let threshold = if brain.is_some() { None } else { Some(rule.threshold(volume)) };
        let limit = threshold.unwrap_or(f64::NEG_INFINITY);
        let bounding_box = brain.map_or_else(|| foreground_box(volume, limit), mask_box);
        let mask = brain.cloned().unwrap_or_else(|| volume.map(|&value| f64::from(value) > limit));
        let mut values = values_inside(volume, &mask);
        let n_voxels = values.len();
        let (Some(bounding_box), Some(intensity)) = (bounding_box, IntensityPercentiles::of(&mut values))
        else {
            let brightest = volume.as_slice().iter().copied().fold(f32::NEG_INFINITY, f32::max).into();
            return Err(PreprocessError::EmptyForeground { threshold: limit, brightest });
        };
        let fraction = as_f64(n_voxels) / as_f64(volume.as_slice().len());
        let summary = ForegroundSummary { extractor: None, threshold, n_voxels, fraction };
        Ok(Self { mask, bounding_box, summary, intensity })
    }
}
