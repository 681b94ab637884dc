//! A scan on its way through the steps.

use std::borrow::Cow;

use brainreel_volume::crop::{BoundingBox, CropError, crop};
use brainreel_volume::{Grid, Mask, NetworkTransform, Volume};

use crate::config::as_f64;
use crate::foreground::{Foreground, ForegroundRule};
use crate::qc::{self, GridSummary, MirrorSymmetry, QcRecord, TissueContrast};
use crate::steps::StepSummaries;
use crate::steps::crop::ResolutionGain;
use crate::{Intermediates, PreprocessError, Preprocessed};

/// The image before bias correction and the field, on one grid. Inside the region the corrected image is
/// their ratio.
#[derive(Debug, Clone, PartialEq)]
pub struct BiasStage {
    /// The image before.
    pub before: Volume<f32>,
    /// The field: a gain, without unit, its median in the region is one.
    pub field: Volume<f32>,
    /// Where it was estimated.
    pub region: Mask,
}

/// A scan on its way through the steps.
pub(crate) struct Scan<'a> {
    /// The head as it was read, closest-canonical after the first step.
    pub(crate) head: Cow<'a, Volume<f32>>,
    /// The image that the next step works on.
    pub(crate) image: Cow<'a, Volume<f32>>,
    /// Name of the brain extractor.
    pub(crate) extractor: Option<String>,
    /// The brain on the grid of `head`.
    pub(crate) brain_mask: Option<Mask>,
    /// The brain on the grid of `image`, as long as that is not framed.
    pub(crate) brain: Option<Mask>,
    /// The image before bias correction, and the field.
    pub(crate) bias: Option<BiasStage>,
    /// The image before it was cropped, and its foreground.
    pub(crate) framing: Option<Framing>,
    /// Numbers that the steps report.
    pub(crate) summaries: StepSummaries,
}

/// The whole field of view, and what was cut out of it.
pub(crate) struct Framing {
    uncropped: Volume<f32>,
    foreground: Foreground,
    crop_box: BoundingBox,
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

    /// Finds the foreground and cuts out of the image the box that `choose` returns for it.
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

    /// The result, after the last of `steps`.
    pub(crate) fn finish(self, native: &Grid, steps: Vec<String>) -> Preprocessed {
        let Self { head, image, brain_mask, brain, bias, framing, summaries, .. } = self;
        let Framing { uncropped, foreground, crop_box } =
            framing.expect("the last step of every plan frames the image");
        let (head, network_input) = (head.into_owned(), image.into_owned());
        let resampled = uncropped.grid();
        let mut qc = QcRecord {
            steps,
            input: GridSummary::of(native),
            field_of_view_mm: extent_mm(head.grid()),
            resampled: GridSummary::of(resampled),
            foreground: foreground.summary,
            foreground_box: foreground.bounding_box,
            crop_box,
            fraction_kept: as_f64(crop_box.dims().iter().product()) / as_f64(resampled.n_voxels()),
            resolution: ResolutionGain::of(resampled, crop_box.dims(), network_input.dims()[0]),
            foreground_intensity: foreground.intensity,
            summaries,
            tissue: brain.as_ref().and_then(|brain| TissueContrast::of(&uncropped, brain, &head)),
            symmetry: MirrorSymmetry::of(&uncropped, &foreground.mask),
            warnings: Vec::new(),
        };
        qc.warnings = qc::find_warnings(&qc);
        let transform = NetworkTransform::between(network_input.grid(), native);
        let stages = Intermediates { head, brain_mask, bias, uncropped, foreground: foreground.mask };
        Preprocessed { network_input, transform, qc, stages }
    }
}

/// Edges of the field of view.
pub(crate) fn extent_mm(grid: &Grid) -> [f64; 3] {
    let (dims, spacing) = (grid.dims(), grid.spacing_mm());
    [0, 1, 2].map(|axis| spacing[axis] * as_f64(dims[axis]))
}

/// Sets every voxel outside the mask to zero.
pub(crate) fn clear_outside(volume: &mut Volume<f32>, mask: &Mask) {
    for (value, inside) in volume.as_mut_slice().iter_mut().zip(mask.as_slice()) {
        if !inside {
            *value = 0.0;
        }
    }
}

/// The values inside a mask.
pub(crate) fn values_inside(volume: &Volume<f32>, mask: &Mask) -> Vec<f32> {
    let pairs = volume.as_slice().iter().zip(mask.as_slice());
    pairs.filter(|(_, inside)| **inside).map(|(value, _)| *value).collect()
}
