//! Volumes on world-space grids.
//!
//! A [`Volume`] is a [`Grid`] (dims and voxel-to-RAS+ affine, in millimetres) plus one value per voxel, first
//! axis fastest (NIfTI order). This crate reads and writes no files.
//!
//! ```
//! use brainreel_volume::{Affine, Grid, Orientation, Volume, reorient, resample};
//!
//! // Two voxels a millimetre to the left, one a millimetre forward and up.
//! let grid = Grid::new([8, 4, 4], Affine::from_diagonal([-0.5, 1.0, 1.0]))?;
//! let volume = Volume::from_fn(grid, |[i, j, k]| (i + j + k) as f32);
//! assert_eq!(Orientation::of(grid.affine()).codes(), "LAS");
//!
//! let canonical = reorient::to_closest_canonical(&volume);
//! let isotropic = resample::resample_to_spacing(&canonical, [1.0; 3])?;
//! assert_eq!(isotropic.dims(), [5, 4, 4]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Every step preserves world positions. [`NetworkTransform`] maps the final grid back to the scan.

mod affine;
pub mod crop;
mod grid;
pub mod morphology;
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
