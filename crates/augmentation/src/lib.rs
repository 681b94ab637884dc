//! Random transforms of training images with TorchIO's semantics.
//!
//! Transforms are drawn first and applied later, so that a [`Draw`] can be logged and replayed:
//!
//! ```
//! use brainreel_augmentation::{AugmentationConfig, Draw};
//! use brainreel_volume::{Affine, Grid, Volume};
//!
//! let grid = Grid::new([8, 8, 8], Affine::IDENTITY)?;
//! let mut image = Volume::from_fn(grid, |[i, j, k]| (i + j * k) as f32);
//!
//! let config = AugmentationConfig { noise_probability: 1.0, ..AugmentationConfig::default() };
//! let draw: Draw = config.draw(2025, "sub-01_ses-m00", 0);
//! draw.apply(&mut image)?;
//! assert!(draw.to_string().contains("noise"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! This crate is independent of files and networks. Volumes are RAS: the first axis runs from left to right,
//! the second from posterior to anterior, the third from inferior to superior.
//!
//! # Determinism
//! A draw depends only on (run seed, scan, epoch), and its result only on the draw and the image. The bits
//! are the same for any number of threads and on every platform.

mod affine;
mod bias;
mod config;
mod draw;
mod error;
mod filter;
mod intensity;
mod maths;
mod sample;
mod turn;

pub use config::{AugmentationConfig, AugmentationPreset, Axis, TransformName};
pub use draw::{Draw, Transform};
pub use error::AugmentError;
pub use intensity::{add_noise, apply_gamma, z_normalize};
