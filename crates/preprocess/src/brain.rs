//! Brain extraction.

use brainreel_volume::{AffineError, Mask, Volume};

/// Extracts the brain from a head.
pub trait BrainExtractor: Sync {
    /// Name and version for the record.
    fn name(&self) -> &str;

    /// The brain mask, on the grid of `head`.
    ///
    /// # Shapes
    /// `head`: closest-canonical, at its native spacing.
    ///
    /// # Errors
    /// [`ExtractionError`] if no brain is found.
    fn extract(&self, head: &Volume<f32>) -> Result<Mask, ExtractionError>;
}

/// Errors of brain extraction.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ExtractionError {
    /// The mask is empty.
    #[error("brain extraction by {extractor} found no voxel of brain")]
    Empty {
        /// Name of the extractor.
        extractor: String,
    },
    /// The extractor cannot process the head.
    #[error("brain extraction by {extractor}: {problem}")]
    Input {
        /// Name of the extractor.
        extractor: String,
        /// The problem, and what was expected.
        problem: String,
    },
    /// The extractor's network failed.
    #[error("the network of {extractor} cannot be run: {problem}")]
    Network {
        /// Name of the extractor.
        extractor: String,
        /// The cause.
        problem: String,
    },
    /// The mask has other dimensions than the head.
    #[error("brain mask by {extractor} has {got:?} voxels, expected those of the head, {expected:?}")]
    Shape {
        /// Name of the extractor.
        extractor: String,
        /// Dimensions of the mask.
        got: [usize; 3],
        /// Dimensions of the head.
        expected: [usize; 3],
    },
    /// A voxel is not finite.
    #[error("brain extraction by {extractor}: voxel {first:?} is not finite, expected finite intensities")]
    NonFinite {
        /// Name of the extractor.
        extractor: String,
        /// Indices of the first.
        first: [usize; 3],
    },
    /// The image has no contrast.
    #[error(
        "brain extraction by {extractor} found no contrast, expected a head brighter than its background"
    )]
    NoContrast {
        /// Name of the extractor.
        extractor: String,
    },
    /// The field of view is smaller than any brain.
    #[error(
        "brain extraction by {extractor}: a field of view of {extent_mm:.0?} mm, expected at least {smallest_mm} mm along every axis; is the spacing in the header in mm?"
    )]
    TooSmall {
        /// Name of the extractor.
        extractor: String,
        /// Edges of the field of view.
        extent_mm: [f64; 3],
        /// Smallest plausible value.
        smallest_mm: f64,
    },
    /// The mask has an implausible volume.
    #[error(
        "brain extraction by {extractor} found {ml:.0} ml, expected {least_ml} to {most_ml} ml; are voxels too large to show the skull, or is the spacing in the header not in mm?"
    )]
    Volume {
        /// Name of the extractor.
        extractor: String,
        /// Volume of the mask.
        ml: f64,
        /// Smallest plausible value.
        least_ml: f64,
        /// Largest plausible value.
        most_ml: f64,
    },
    /// The affine is invalid.
    #[error(transparent)]
    Affine(#[from] AffineError),
}
