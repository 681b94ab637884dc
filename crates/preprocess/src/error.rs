//! Errors of preprocessing.

use brainreel_volume::crop::CropError;
use brainreel_volume::resample::ResampleError;
use brainreel_volume::zoom::ZoomError;

use crate::ExtractionError;
use crate::n4::N4Error;

/// Errors of preprocessing. The caller adds the scan.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PreprocessError {
    /// Voxels that are not finite.
    #[error(
        "{n_voxels} voxels are not finite, the first at {first:?}; expected finite intensities everywhere"
    )]
    NonFinite {
        /// Their number.
        n_voxels: usize,
        /// Indices of the first.
        first: [usize; 3],
    },
    /// Every voxel has the same value.
    #[error("every voxel is {value}, expected an image with contrast")]
    Constant {
        /// That value.
        value: f32,
    },
    /// The field of view is larger than any head, so the header's spacing is likely wrong.
    #[error(
        "a field of view of {extent_mm:.0?} mm at {spacing_mm} mm is more than {max_voxels} voxels; is the spacing in the header in mm?"
    )]
    FieldOfView {
        /// Edges of the field of view.
        extent_mm: [f64; 3],
        /// The requested spacing.
        spacing_mm: f64,
        /// The voxel limit.
        max_voxels: usize,
    },
    /// Nothing is brighter than the threshold.
    #[error("no voxel is brighter than the foreground threshold {threshold}, the brightest is {brightest}")]
    EmptyForeground {
        /// The threshold.
        threshold: f64,
        /// The largest intensity.
        brightest: f64,
    },
    /// The configuration names an extractor that the caller must provide.
    #[error("brain_extractor = \"{choice}\" needs an extractor, and none was given")]
    NoExtractor {
        /// The configured extractor.
        choice: &'static str,
    },
    /// The brain mask is smaller than a voxel of the new grid.
    #[error("nothing is left of the brain mask at {spacing_mm} mm; the mask or the spacing is wrong")]
    VanishedBrain {
        /// The new spacing.
        spacing_mm: f64,
    },
    /// The bias field cannot be estimated.
    #[error("bias correction: {0}")]
    Bias(#[from] N4Error),
    /// No brain mask.
    #[error(transparent)]
    Extraction(#[from] ExtractionError),
    /// Resampling is impossible.
    #[error(transparent)]
    Resample(#[from] ResampleError),
    /// Cropping is impossible.
    #[error(transparent)]
    Crop(#[from] CropError),
    /// The cropped image cannot be zoomed to the size of the network input.
    #[error(transparent)]
    Zoom(#[from] ZoomError),
}

/// Errors of the configuration.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A number is out of range.
    #[error("preprocess.{field} is {got}, expected {expected}")]
    Range {
        /// Name of the field.
        field: &'static str,
        /// Its value.
        got: f64,
        /// The allowed values.
        expected: &'static str,
    },
    /// Settings that contradict each other.
    #[error(
        "preprocess.bias_correction = \"n4\" with bias_region = \"brain\" needs a brain mask, but brain_extractor is \
         \"none\""
    )]
    BiasWithoutBrain,
}
