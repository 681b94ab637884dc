//! Errors of augmentation.

use brainreel_volume::AffineError;

use crate::TransformName;

/// Errors of augmentation.
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
        /// The allowed values.
        expected: &'static str,
    },
    /// A transform of a deserialised draw has an invalid parameter.
    #[error("the {} has {got}, expected {expected}", transform.title())]
    Parameter {
        /// The transform.
        transform: TransformName,
        /// The parameter and its value.
        got: String,
        /// The allowed values.
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
        /// The transform that caused it. `None` if the input image had it.
        after: Option<TransformName>,
    },
    /// All voxels are equal, so the standard deviation is 0.
    #[error("no contrast, all {n_voxels} voxels are {value}; expected voxels that are not all equal")]
    Flat {
        /// The value.
        value: f32,
        /// Number of voxels.
        n_voxels: usize,
    },
    /// Only cubes keep their shape under rotation by 90 degrees.
    #[error("the image has {dims:?} voxels, expected a cube to be turned by 90 degrees")]
    NotACube {
        /// Voxels along each axis.
        dims: [usize; 3],
    },
    /// The affine of the image is invalid.
    #[error(transparent)]
    Affine(#[from] AffineError),
}
