//! The public functions: plan and run the steps.

use brainreel_volume::{Grid, Mask, NetworkTransform, Volume};

use crate::numbers::{as_f64, extent_mm};
use crate::steps::plan;
use crate::steps::qc::{self, GridSummary, MirrorSymmetry, QcRecord, ResolutionGain, TissueContrast};
use crate::steps::scan::{BiasStage, Framing, Scan};
use crate::{BrainExtractor, ExtractorChoice, PreprocessError, ValidPreprocessConfig};

/// A preprocessed scan.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessed {
    /// The network input.
    pub network_input: Volume<f32>,
    /// Maps network voxels back to the scan.
    pub transform: NetworkTransform,
    /// The quality-control record.
    pub qc: QcRecord,
    /// Intermediate images.
    pub stages: Intermediates,
}

/// Intermediate images.
#[derive(Debug, Clone, PartialEq)]
pub struct Intermediates {
    /// The input head, closest-canonical.
    pub head: Volume<f32>,
    /// The brain, on the grid of `head`. `None` without brain extraction.
    pub brain_mask: Option<Mask>,
    /// The image before bias correction, with the field. `None` without bias correction.
    pub bias: Option<BiasStage>,
    /// The whole field of view before the crop: resampled, skull-stripped if the brain was extracted, and
    /// corrected.
    pub uncropped: Volume<f32>,
    /// Foreground of `uncropped`.
    pub foreground: Mask,
}

/// Computes the network input of a head without an external extractor: with a threshold instead of a mask, or
/// with the classical extractor, as configured.
///
/// # Errors
/// [`PreprocessError`] if the image is constant, not finite or has no foreground, its field of view is
/// implausible, or the configuration names an extractor that must be passed to [`preprocess_with_brain`].
///
/// # Determinism
/// Bit-identical for any number of threads.
pub fn preprocess(
    volume: &Volume<f32>,
    config: &ValidPreprocessConfig,
) -> Result<Preprocessed, PreprocessError> {
    match config.brain_extractor {
        ExtractorChoice::None => run(volume, config, None),
        ExtractorChoice::Bet => run(volume, config, Some(config.bet())),
        choice => Err(PreprocessError::NoExtractor { choice: choice.name() }),
    }
}

/// Computes the network input of the brain extracted by `extractor`. The mask, not a threshold, defines the
/// foreground.
///
/// # Errors
/// As [`preprocess`], and [`PreprocessError::Extraction`].
pub fn preprocess_with_brain(
    volume: &Volume<f32>,
    config: &ValidPreprocessConfig,
    extractor: &dyn BrainExtractor,
) -> Result<Preprocessed, PreprocessError> {
    run(volume, config, Some(extractor))
}

fn run(
    volume: &Volume<f32>,
    config: &ValidPreprocessConfig,
    extractor: Option<&dyn BrainExtractor>,
) -> Result<Preprocessed, PreprocessError> {
    check_intensities(volume)?;
    let steps = plan(config, extractor);
    for step in &steps {
        step.check(volume)?;
    }
    let mut scan = Scan::new(volume);
    for step in &steps {
        step.apply(&mut scan)?;
    }
    let names = steps.iter().map(|step| step.name().to_owned()).collect();
    Ok(finish(scan, volume.grid(), names))
}

/// Builds the result after the last step.
fn finish(scan: Scan<'_>, native: &Grid, steps: Vec<String>) -> Preprocessed {
    let Scan { head, image, brain_mask, brain, bias, framing, summaries, .. } = scan;
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

#[cfg(test)]
mod tests;
