//! From a native T1-weighted volume to the network input.
//!
//! [`preprocess`] is a pure function: closest-canonical orientation, cubic B-spline resampling to an
//! isotropic spacing, crop to the foreground with a margin, zoom to a cube; beside the image come the
//! one affine that leads back to the scan ([`NetworkTransform`]) and a [`QcRecord`]. [`Step`] lists the
//! order. Files, batches and parallelism over scans are the caller's.
//!
//! ```
//! use brainreel_preprocess::{PreprocessConfig, preprocess};
//! use brainreel_volume::{Affine, Grid, Volume};
//!
//! let grid = Grid::new([40, 48, 44], Affine::from_diagonal([4.0, 4.0, 4.0]))?;
//! let head = Volume::from_fn(grid, |[i, j, k]| f32::from(i > 9 && j > 7 && k > 5 && i + j + k < 90));
//! let config = PreprocessConfig { spacing_mm: 4.0, size_voxels: 32, ..PreprocessConfig::default() };
//! let done = preprocess(&head, &config)?;
//! assert_eq!(done.network_input.dims(), [32; 3]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It does not strip the skull or correct the bias field: [`BrainExtraction`] and [`BiasCorrection`]
//! say what can be chosen; [`n4::correct_bias`] is there to be called alone. A [`BrainExtractor`] of the
//! caller's own is used by [`preprocess_with_brain`].

mod brain;
mod config;
mod error;
mod foreground;
pub mod n4;
mod pipeline;
mod qc;

pub use brain::{BrainExtractor, ExtractionError};
pub use brainreel_volume::NetworkTransform;
pub use config::{BiasCorrection, BrainExtraction, ConfigError, ForegroundRule, PreprocessConfig};
pub use error::PreprocessError;
pub use pipeline::{Preprocessed, Step, preprocess, preprocess_with_brain};
pub use qc::{ForegroundSummary, GridSummary, IntensityPercentiles, QcRecord, QcWarning, ResolutionGain};
