//! State of a scan during preprocessing.

use std::borrow::Cow;

use brainreel_volume::crop::{BoundingBox, CropError, crop};
use brainreel_volume::{Mask, Volume};

use super::StepSummaries;
use super::foreground::{Foreground, ForegroundRule};
use crate::PreprocessError;

/// The image before bias correction and the field, on one grid. Inside the region the corrected image is
/// their ratio.
#[derive(Debug, Clone, PartialEq)]
pub struct BiasStage {
    /// The image before correction.
    pub before: Volume<f32>,
    /// The field: a gain without unit, with median one in the region.
    pub field: Volume<f32>,
    /// Region in which the field was estimated.
    pub region: Mask,
}

/// State of a scan during preprocessing.
pub(crate) struct Scan<'a> {
    /// The input head, closest-canonical after the first step.
    pub(crate) head: Cow<'a, Volume<f32>>,
    /// Input image of the next step.
    pub(crate) image: Cow<'a, Volume<f32>>,
    /// Name of the brain extractor.
    pub(crate) extractor: Option<String>,
    /// The brain on the grid of `head`.
    pub(crate) brain_mask: Option<Mask>,
    /// The brain on the grid of `image`, before the crop.
    pub(crate) brain: Option<Mask>,
    /// The image before bias correction, and the field.
    pub(crate) bias: Option<BiasStage>,
    /// The image before cropping, and its foreground.
    pub(crate) framing: Option<Framing>,
    /// Numbers reported by the steps.
    pub(crate) summaries: StepSummaries,
}

/// The whole field of view, and its crop box.
pub(crate) struct Framing {
    pub(crate) uncropped: Volume<f32>,
    pub(crate) foreground: Foreground,
    pub(crate) crop_box: BoundingBox,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(volume: &'a Volume<f32>) -> Self {
        Self {
            head: Cow::Borrowed(volume),
            image: Cow::Borrowed(volume),
            extractor: None,
            brain_mask: None,
            brain: None,
            bias: None,
            framing: None,
            summaries: StepSummaries::default(),
        }
    }

    /// The brain, or without one the foreground.
    pub(crate) fn region(&self, rule: ForegroundRule) -> Cow<'_, Mask> {
        match &self.brain {
            Some(brain) => Cow::Borrowed(brain),
            None => Cow::Owned(rule.mask(&self.image)),
        }
    }

    /// Finds the foreground and crops the image to the box that `choose` returns for it.
    pub(crate) fn frame(
        &mut self,
        rule: ForegroundRule,
        choose: impl FnOnce(&Foreground, [usize; 3]) -> Result<BoundingBox, CropError>,
    ) -> Result<(), PreprocessError> {
        let mut foreground = Foreground::find(&self.image, self.brain.as_ref(), rule)?;
        foreground.summary.extractor.clone_from(&self.extractor);
        let crop_box = choose(&foreground, self.image.dims())?;
        let cropped = crop(&self.image, &crop_box)?;
        let uncropped = std::mem::replace(&mut self.image, Cow::Owned(cropped)).into_owned();
        self.framing = Some(Framing { uncropped, foreground, crop_box });
        Ok(())
    }
}
