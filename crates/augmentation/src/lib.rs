//! Random transforms of training images with TorchIO's semantics.
//!
//! What is done to an image is drawn first and applied later, so that a [`Draw`] can be logged and
//! replayed:
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
//! It knows nothing of files and networks. Volumes are RAS: along the first axis left and right, the
//! second back and front, the third down and up.
//!
//! # Determinism
//! A draw depends on (run seed, scan, epoch) alone, and its result on the draw and the image alone:
//! the same bits for any number of threads and on every platform.

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
