//! Volumes on world-space grids.
//!
//! A [`Volume`] is a [`Grid`] (dims and voxel-to-RAS+ affine, in millimetres) plus one value a voxel,
//! the first axis running fastest (NIfTI order). Nothing here reads or writes files.

mod affine;
pub mod crop;
mod grid;
mod orientation;
pub mod reorient;
pub mod resample;
mod transform;
mod volume;
pub mod zoom;

pub use affine::{Affine, AffineError};
pub use grid::{Grid, GridError};
pub use orientation::Orientation;
pub use transform::NetworkTransform;
pub use volume::{Mask, Volume, VolumeError};
