//! Volumes on world-space grids.
//!
//! A [`Volume`] is a [`Grid`] (dims and voxel-to-RAS+ affine, in millimetres) plus one value a voxel,
//! the first axis running fastest (NIfTI order). Nothing here reads or writes files.

mod affine;
mod grid;
mod volume;

pub use affine::{Affine, AffineError};
pub use grid::{Grid, GridError};
pub use volume::{Mask, Volume, VolumeError};
