//! Why a bias field cannot be estimated.

/// Why a bias field cannot be estimated; the caller adds which scan.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum N4Error {
    /// A mask or weights that are not on the image's grid.
    #[error(
        "the {what} of the bias correction has {got:?} voxels, expected those of the image, {expected:?}"
    )]
    Shape {
        /// Which input.
        what: &'static str,
        /// Its dimensions.
        got: [usize; 3],
        /// Dimensions of the image.
        expected: [usize; 3],
    },
    /// Voxels that are not numbers.
    #[error("voxel {at:?} is {value}, expected finite intensities everywhere")]
    NonFinite {
        /// Indices of the first.
        at: [usize; 3],
        /// Its value.
        value: f32,
    },
    /// A weight that is not a weight.
    #[error("the weight of voxel {at:?} is {value}, expected a finite number that is not negative")]
    Weight {
        /// Indices of the first.
        at: [usize; 3],
        /// Its value.
        value: f32,
    },
    /// Nothing to estimate the field from.
    #[error("no voxel of the bias correction's mask has a weight, expected at least one")]
    EmptyMask,
    /// No intensity has a logarithm.
    #[error(
        "none of the {n_sampled} voxels in the mask (every {shrink_factor} along an axis) is positive, expected a brain"
    )]
    NoPositiveVoxel {
        /// Voxels of the mask that are sampled.
        n_sampled: usize,
        /// How they are sampled.
        shrink_factor: usize,
    },
    /// A mesh that would need more memory than any field is worth.
    #[error("the finest mesh has {n_control:?} control points, more than {max} in all; use fewer levels")]
    Mesh {
        /// Control points along each axis.
        n_control: [usize; 3],
        /// How many are allowed.
        max: usize,
    },
}
