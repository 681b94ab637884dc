//! Errors of bias correction.

/// Errors of bias correction. The caller adds the scan.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum N4Error {
    /// A mask or weights with other dimensions than the image.
    #[error(
        "the {what} of the bias correction has {got:?} voxels, expected those of the image, {expected:?}"
    )]
    Shape {
        /// The input.
        what: &'static str,
        /// Its dimensions.
        got: [usize; 3],
        /// Dimensions of the image.
        expected: [usize; 3],
    },
    /// Voxels that are not finite.
    #[error("voxel {at:?} is {value}, expected finite intensities everywhere")]
    NonFinite {
        /// Indices of the first.
        at: [usize; 3],
        /// Its value.
        value: f32,
    },
    /// An invalid weight.
    #[error("the weight of voxel {at:?} is {value}, expected a finite number that is not negative")]
    Weight {
        /// Indices of the first.
        at: [usize; 3],
        /// Its value.
        value: f32,
    },
    /// No voxels to estimate the field from.
    #[error("no voxel of the bias correction's mask has a weight, expected at least one")]
    EmptyMask,
    /// No intensity is positive.
    #[error(
        "none of the {n_sampled} voxels in the mask (every {shrink_factor} along an axis) is positive, expected a brain"
    )]
    NoPositiveVoxel {
        /// Number of sampled mask voxels.
        n_sampled: usize,
        /// The shrink factor.
        shrink_factor: usize,
    },
    /// A mesh with too many control points.
    #[error("the finest mesh has {n_control:?} control points, more than {max} in all; use fewer levels")]
    Mesh {
        /// Control points along each axis.
        n_control: [usize; 3],
        /// The limit.
        max: usize,
    },
}
