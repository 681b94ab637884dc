//! What can go wrong with augmentation.

use brainreel_volume::AffineError;

use crate::TransformName;

/// What can go wrong with augmentation.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AugmentError {
    /// A setting is out of range.
    #[error("{field} is {got}, expected {expected}")]
    Config {
        /// The setting.
        field: &'static str,
        /// Its value.
        got: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A transform of a draw that was read from somewhere has a parameter that it cannot have.
    #[error("the {} has {got}, expected {expected}", transform.title())]
    Parameter {
        /// The transform.
        transform: TransformName,
        /// The parameter and its value.
        got: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A voxel is not a finite number.
    #[error(
        "{value} at voxel {voxel:?}{}, expected finite voxels",
        after.map_or_else(String::new, |name| format!(" after the {}", name.title()))
    )]
    NotFinite {
        /// What it is.
        value: f32,
        /// Where.
        voxel: [usize; 3],
        /// The transform that made it so; `None` if the image came with it.
        after: Option<TransformName>,
    },
    /// All voxels are equal, so that there is no standard deviation to divide by.
    #[error("no contrast, all {n_voxels} voxels are {value}; expected voxels that are not all equal")]
    Flat {
        /// The value.
        value: f32,
        /// Number of voxels.
        n_voxels: usize,
    },
    /// Only cubes can be turned by 90 degrees and keep their shape.
    #[error("the image has {dims:?} voxels, expected a cube to be turned by 90 degrees")]
    NotACube {
        /// Voxels along each axis.
        dims: [usize; 3],
    },
    /// The image has no place in the world.
    #[error(transparent)]
    Affine(#[from] AffineError),
}
