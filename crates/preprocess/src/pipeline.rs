//! The steps, in order.

use std::borrow::Cow;

use brainreel_volume::crop::{BoundingBox, crop, foreground_box, mask_box};
use brainreel_volume::reorient::to_closest_canonical;
use brainreel_volume::resample::resample_to_spacing;
use brainreel_volume::zoom::zoom;
use brainreel_volume::{Grid, Mask, NetworkTransform, Volume};
use serde::{Deserialize, Serialize};

use crate::bet::Bet;
use crate::config::as_f64;
use crate::foreground::threshold;
use crate::n4::correct_bias;
use crate::qc::Examined;
use crate::{
    BiasCorrection, BiasGrid, BiasSummary, BrainExtractor, BrainSummary, ExtractionError, ExtractorChoice,
    ForegroundSummary, GridSummary, IntensityPercentiles, MirrorSymmetry, PreprocessConfig, PreprocessError,
    QcRecord, ResolutionGain, TissueContrast,
};

/// Largest resampled volume, 512^3 voxels: beyond any head, and a wrong spacing in a header cannot
/// make us allocate more.
const MAX_RESAMPLED_VOXELS: usize = 1 << 27;

/// A step of preprocessing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// Axis permutation and flips to closest-canonical (RAS).
    Reorient,
    /// Brain mask at the native spacing; everything else becomes zero.
    ExtractBrain,
    /// Cubic B-spline resampling to the isotropic spacing.
    Resample,
    /// N4 inside the brain; everything outside stays zero.
    CorrectBias,
    /// Crop to the padded box of the foreground.
    Crop,
    /// Zoom to the network's cube.
    Zoom,
}

/// A preprocessed scan.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessed {
    /// The cube that the network sees.
    pub network_input: Volume<f32>,
    /// From network voxels back to the scan.
    pub transform: NetworkTransform,
    /// What was done.
    pub qc: QcRecord,
    /// What came of the steps before.
    pub stages: Intermediates,
}

/// The images between the steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Intermediates {
    /// The head as it was read, closest-canonical.
    pub head: Volume<f32>,
    /// The brain, on the grid of `head`; nothing if it was not looked for.
    pub brain_mask: Option<Mask>,
    /// What the bias field was estimated from; nothing if it was not.
    pub bias: Option<BiasStage>,
    /// The whole field of view just before the crop: resampled, without the skull if the brain was
    /// extracted, corrected.
    pub uncropped: Volume<f32>,
    /// What counted as foreground of `uncropped`.
    pub foreground: Mask,
}

/// The image before bias correction and the field, on one grid; the corrected image is their ratio
/// inside the region.
#[derive(Debug, Clone, PartialEq)]
pub struct BiasStage {
    /// The image before.
    pub before: Volume<f32>,
    /// The field: a gain, without unit, its median in the region is one.
    pub field: Volume<f32>,
    /// Where it was estimated.
    pub region: Mask,
}

/// Makes the network input of a head, with what `config` names alone: a threshold instead of a mask,
/// or the classical extractor.
///
/// # Errors
/// [`PreprocessError`]: the image is constant, not finite or has no foreground, its field of view is
/// absurd, the configuration is out of range, or it names an extractor that
/// [`preprocess_with_brain`] has to be given.
///
/// # Determinism
/// The same bits for any number of threads.
pub fn preprocess(volume: &Volume<f32>, config: &PreprocessConfig) -> Result<Preprocessed, PreprocessError> {
    match config.brain_extractor {
        ExtractorChoice::None => run(volume, config, None),
        ExtractorChoice::Bet => run(volume, config, Some(&Bet::new(config.bet)?)),
        choice => Err(PreprocessError::NoExtractor { choice: choice.name() }),
    }
}

/// Makes the network input of the brain that `extractor` finds: the mask, not a threshold, then
/// decides what is foreground.
///
/// # Errors
/// As [`preprocess`], and [`PreprocessError::Extraction`].
pub fn preprocess_with_brain(
    volume: &Volume<f32>,
    config: &PreprocessConfig,
    extractor: &dyn BrainExtractor,
) -> Result<Preprocessed, PreprocessError> {
    run(volume, config, Some(extractor))
}

/// The order of the steps. Brain extraction comes first of all that looks at intensities, and the bias
/// field is taken out inside the mask before anything depends on a threshold; only bias correction and
/// resampling may change places.
fn plan(config: &PreprocessConfig, with_brain: bool) -> Vec<Step> {
    let mut middle = Vec::new();
    if config.resample {
        middle.push(Step::Resample);
    }
    if config.bias_correction == BiasCorrection::N4 {
        let at = if config.bias_grid == BiasGrid::Native { 0 } else { middle.len() };
        middle.insert(at, Step::CorrectBias);
    }
    let mut steps = vec![Step::Reorient];
    if with_brain {
        steps.push(Step::ExtractBrain);
    }
    steps.extend(middle);
    if config.crop {
        steps.push(Step::Crop);
    }
    steps.push(Step::Zoom);
    steps
}

/// A scan on its way.
struct Working {
    image: Volume<f32>,
    /// The brain on the image's grid.
    brain: Option<Mask>,
    bias: Option<BiasStage>,
    bias_summary: Option<BiasSummary>,
}

fn run(
    volume: &Volume<f32>,
    config: &PreprocessConfig,
    extractor: Option<&dyn BrainExtractor>,
) -> Result<Preprocessed, PreprocessError> {
    let config = config.clone().validated()?;
    check_intensities(volume)?;
    if config.resample {
        check_extent(volume, config.spacing_mm)?;
    }
    let head = to_closest_canonical(volume); // Step::Reorient
    let brain_mask = extractor.map(|extractor| extract(extractor, &head)).transpose()?;
    let mut image = head.clone();
    if let Some(mask) = &brain_mask {
        clear_outside(&mut image, mask);
    }
    let steps = plan(&config, extractor.is_some());
    let mut working = Working { image, brain: brain_mask.clone(), bias: None, bias_summary: None };
    for step in &steps {
        match step {
            Step::Resample => working.resample(config.spacing_mm)?,
            Step::CorrectBias => working.correct_bias(&config)?,
            Step::Reorient | Step::ExtractBrain | Step::Crop | Step::Zoom => {}
        }
    }
    let Working { image: uncropped, brain, bias, bias_summary } = working;
    let found = find_foreground(&uncropped, brain.as_ref(), extractor, &config)?;
    let crop_box = if config.crop {
        found.region.padded(config.padding_voxels, uncropped.dims())
    } else {
        BoundingBox::new([0; 3], uncropped.dims())?
    };
    let network_input = zoom(&crop(&uncropped, &crop_box)?, [config.size_voxels; 3])?;
    let resampled = uncropped.grid();
    let field_of_view_mm = extent_mm(head.grid());
    let mut qc = QcRecord {
        steps,
        input: GridSummary::of(volume.grid()),
        field_of_view_mm,
        resampled: GridSummary::of(resampled),
        foreground: found.summary,
        foreground_box: found.region,
        crop_box,
        fraction_kept: as_f64(crop_box.dims().iter().product()) / as_f64(resampled.n_voxels()),
        resolution: ResolutionGain::of(resampled, crop_box.dims(), config.size_voxels),
        foreground_intensity: found.intensity,
        brain: brain_mask.as_ref().map(BrainSummary::of),
        bias: bias_summary,
        tissue: brain.as_ref().and_then(|brain| TissueContrast::of(&uncropped, brain, &head)),
        symmetry: MirrorSymmetry::of(&uncropped, &found.mask),
        warnings: Vec::new(),
    };
    qc.warnings = Examined { qc: &qc }.warnings();
    let transform = NetworkTransform::between(network_input.grid(), volume.grid());
    let stages = Intermediates { head, brain_mask, bias, uncropped, foreground: found.mask };
    Ok(Preprocessed { network_input, transform, qc, stages })
}

impl Working {
    /// Resamples the image and its mask; outside the mask all becomes zero, before and after, so that
    /// neither the skull nor the interpolation's ringing is left.
    fn resample(&mut self, spacing_mm: f64) -> Result<(), PreprocessError> {
        self.image = resample_to_spacing(&self.image, [spacing_mm; 3])?;
        if let Some(brain) = &self.brain {
            let coverage = resample_to_spacing(&brain.map(|&inside| f32::from(inside)), [spacing_mm; 3])?;
            let brain = coverage.map(|&share| share > 0.5);
            if !brain.as_slice().contains(&true) {
                return Err(PreprocessError::VanishedBrain { spacing_mm });
            }
            clear_outside(&mut self.image, &brain);
            self.brain = Some(brain);
        }
        Ok(())
    }

    /// Takes the bias field out of the brain, or of the foreground if there is no mask; the field is
    /// scaled so that the median of the region stays what it is.
    fn correct_bias(&mut self, config: &PreprocessConfig) -> Result<(), PreprocessError> {
        let region: Cow<'_, Mask> = match &self.brain {
            Some(brain) => Cow::Borrowed(brain),
            None => {
                let limit = threshold(&self.image, config.foreground);
                Cow::Owned(self.image.map(|&value| f64::from(value) > limit))
            }
        };
        let mut done = correct_bias(&self.image, Some(&region), None, &config.n4)?;
        let (summary, scale) = BiasSummary::of(&done, &region);
        let before = std::mem::replace(&mut self.image, done.corrected);
        done.field.as_mut_slice().iter_mut().for_each(|gain| *gain /= scale);
        self.image.as_mut_slice().iter_mut().for_each(|value| *value *= scale);
        self.bias_summary = Some(summary);
        self.bias = Some(BiasStage { before, field: done.field, region: region.into_owned() });
        Ok(())
    }
}

fn check_intensities(volume: &Volume<f32>) -> Result<(), PreprocessError> {
    let data = volume.as_slice();
    let n_voxels = data.iter().filter(|value| !value.is_finite()).count();
    if let Some(at) = data.iter().position(|value| !value.is_finite()) {
        let [nx, ny, _] = volume.dims();
        return Err(PreprocessError::NonFinite { n_voxels, first: [at % nx, at / nx % ny, at / nx / ny] });
    }
    let value = data[0];
    if data.iter().all(|other| other.to_bits() == value.to_bits()) {
        return Err(PreprocessError::Constant { value });
    }
    Ok(())
}

fn extent_mm(grid: &Grid) -> [f64; 3] {
    let (dims, spacing) = (grid.dims(), grid.spacing_mm());
    [0, 1, 2].map(|axis| spacing[axis] * as_f64(dims[axis]))
}

fn check_extent(volume: &Volume<f32>, spacing_mm: f64) -> Result<(), PreprocessError> {
    let extent_mm = extent_mm(volume.grid());
    let n_voxels: f64 = extent_mm.iter().map(|mm| (mm / spacing_mm).max(1.0)).product();
    if n_voxels > as_f64(MAX_RESAMPLED_VOXELS) {
        return Err(PreprocessError::FieldOfView { extent_mm, spacing_mm, max_voxels: MAX_RESAMPLED_VOXELS });
    }
    Ok(())
}

fn extract(extractor: &dyn BrainExtractor, head: &Volume<f32>) -> Result<Mask, PreprocessError> {
    let mask = extractor.extract(head)?;
    let (extractor, got, expected) = (extractor.name().to_owned(), mask.dims(), head.dims());
    if got != expected {
        return Err(ExtractionError::Shape { extractor, got, expected }.into());
    }
    if !mask.as_slice().contains(&true) {
        return Err(ExtractionError::Empty { extractor }.into());
    }
    Ok(mask)
}

fn clear_outside(volume: &mut Volume<f32>, mask: &Mask) {
    for (value, inside) in volume.as_mut_slice().iter_mut().zip(mask.as_slice()) {
        if !inside {
            *value = 0.0;
        }
    }
}

/// The foreground of a resampled volume.
struct Foreground {
    mask: Mask,
    region: BoundingBox,
    summary: ForegroundSummary,
    intensity: IntensityPercentiles,
}

fn find_foreground(
    volume: &Volume<f32>,
    brain: Option<&Mask>,
    extractor: Option<&dyn BrainExtractor>,
    config: &PreprocessConfig,
) -> Result<Foreground, PreprocessError> {
    let threshold = if brain.is_some() { None } else { Some(threshold(volume, config.foreground)) };
    let limit = threshold.unwrap_or(f64::NEG_INFINITY);
    let region = brain.map_or_else(|| foreground_box(volume, limit), mask_box);
    let mask = brain.cloned().unwrap_or_else(|| volume.map(|&value| f64::from(value) > limit));
    let mut values = inside(volume, &mask);
    let n_voxels = values.len();
    let (Some(region), Some(intensity)) = (region, IntensityPercentiles::of(&mut values)) else {
        let brightest = volume.as_slice().iter().copied().fold(f32::NEG_INFINITY, f32::max).into();
        return Err(PreprocessError::EmptyForeground { threshold: limit, brightest });
    };
    let extractor = extractor.map(|extractor| extractor.name().to_owned());
    let fraction = as_f64(n_voxels) / as_f64(volume.as_slice().len());
    let summary = ForegroundSummary { extractor, threshold, n_voxels, fraction };
    Ok(Foreground { mask, region, summary, intensity })
}

/// The values inside a mask.
pub(crate) fn inside(volume: &Volume<f32>, mask: &Mask) -> Vec<f32> {
    let pairs = volume.as_slice().iter().zip(mask.as_slice());
    pairs.filter(|(_, inside)| **inside).map(|(value, _)| *value).collect()
}

#[cfg(test)]
mod tests;
