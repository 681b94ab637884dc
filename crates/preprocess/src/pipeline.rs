//! The steps, in order.

use brainreel_volume::crop::{BoundingBox, crop, foreground_box, mask_box};
use brainreel_volume::reorient::to_closest_canonical;
use brainreel_volume::resample::resample_to_spacing;
use brainreel_volume::zoom::zoom;
use brainreel_volume::{Grid, Mask, NetworkTransform, Volume};
use serde::{Deserialize, Serialize};

use crate::config::as_f64;
use crate::foreground::threshold;
use crate::{
    BiasCorrection, BrainExtraction, BrainExtractor, ExtractionError, ForegroundSummary, GridSummary,
    IntensityPercentiles, PreprocessConfig, PreprocessError, QcRecord, QcWarning, ResolutionGain,
};

/// Largest resampled volume, 512^3 voxels: beyond any head, and a wrong spacing in a header cannot
/// make us allocate more.
const MAX_RESAMPLED_VOXELS: usize = 1 << 27;

/// A step of preprocessing, in the order of the steps.
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
    /// The whole field of view in native space at the resampled spacing, RAS; without the skull if the
    /// brain was extracted.
    pub native_1mm: Volume<f32>,
    /// From network voxels back to the scan.
    pub transform: NetworkTransform,
    /// What was done.
    pub qc: QcRecord,
}

/// Makes the network input of a whole head.
///
/// # Errors
/// [`PreprocessError`]: the image is constant, not finite or has no foreground, its field of view is
/// absurd, or the configuration is out of range.
///
/// # Determinism
/// The same bits for any number of threads.
pub fn preprocess(volume: &Volume<f32>, config: &PreprocessConfig) -> Result<Preprocessed, PreprocessError> {
    match config.brain_extraction {
        BrainExtraction::None => run(volume, config, None),
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

/// The order of the steps. Bias correction belongs between `Resample` and `Crop`: inside the brain
/// mask, before anything depends on a threshold.
fn plan(config: &PreprocessConfig, with_brain: bool) -> Vec<Step> {
    let mut steps = vec![Step::Reorient];
    if with_brain {
        steps.push(Step::ExtractBrain);
    }
    steps.push(Step::Resample);
    match config.bias_correction {
        BiasCorrection::None => {}
    }
    steps.extend([Step::Crop, Step::Zoom]);
    steps
}

fn run(
    volume: &Volume<f32>,
    config: &PreprocessConfig,
    extractor: Option<&dyn BrainExtractor>,
) -> Result<Preprocessed, PreprocessError> {
    let config = config.validated()?;
    check_intensities(volume)?;
    check_extent(volume, config.spacing_mm)?;
    let native = to_closest_canonical(volume); // Step::Reorient
    let steps = plan(&config, extractor.is_some());
    let field_of_view_mm = extent_mm(native.grid());
    let brain = extractor.map(|extractor| extract(extractor, &native)).transpose()?;
    let (native_1mm, brain) = resample(native, brain, config.spacing_mm)?;
    let found = find_foreground(&native_1mm, brain.as_ref(), extractor, &config)?;
    let crop_box = found.region.padded(config.padding_voxels, native_1mm.dims());
    let network_input = zoom(&crop(&native_1mm, &crop_box)?, [config.size_voxels; 3])?;
    let resampled = native_1mm.grid();
    let qc = QcRecord {
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
        warnings: QcWarning::of_field_of_view(field_of_view_mm),
    };
    let transform = NetworkTransform::between(network_input.grid(), volume.grid());
    Ok(Preprocessed { network_input, native_1mm, transform, qc })
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

/// Resamples the head and its mask; outside the mask all becomes zero, before and after, so that
/// neither the skull nor the interpolation's ringing is left.
fn resample(
    mut native: Volume<f32>,
    brain: Option<Mask>,
    spacing_mm: f64,
) -> Result<(Volume<f32>, Option<Mask>), PreprocessError> {
    let Some(brain) = brain else {
        return Ok((resample_to_spacing(&native, [spacing_mm; 3])?, None));
    };
    clear_outside(&mut native, &brain);
    let mut resampled = resample_to_spacing(&native, [spacing_mm; 3])?;
    let coverage = resample_to_spacing(&brain.map(|&inside| f32::from(inside)), [spacing_mm; 3])?;
    let brain = coverage.map(|&share| share > 0.5);
    clear_outside(&mut resampled, &brain);
    Ok((resampled, Some(brain)))
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
    let data = volume.as_slice();
    let mut values: Vec<f32> = match brain {
        Some(mask) => {
            data.iter().zip(mask.as_slice()).filter(|(_, inside)| **inside).map(|(v, _)| *v).collect()
        }
        None => data.iter().copied().filter(|&value| f64::from(value) > limit).collect(),
    };
    let n_voxels = values.len();
    let (Some(region), Some(intensity)) = (region, IntensityPercentiles::of(&mut values)) else {
        let brightest = data.iter().copied().fold(f32::NEG_INFINITY, f32::max).into();
        return Err(PreprocessError::EmptyForeground { threshold: limit, brightest });
    };
    let extractor = extractor.map(|extractor| extractor.name().to_owned());
    let fraction = as_f64(n_voxels) / as_f64(data.len());
    Ok(Foreground {
        region,
        summary: ForegroundSummary { extractor, threshold, n_voxels, fraction },
        intensity,
    })
}

#[cfg(test)]
mod tests;
