//! Preprocesses a native T1-weighted volume to the network input.
//!
//! [`preprocess`] and [`preprocess_with_brain`] are pure functions: closest-canonical orientation, brain
//! mask, cubic B-spline resampling to an isotropic spacing, N4 inside the brain, crop to the brain with a
//! margin, zoom to a cube. They return the image, one affine that maps back to the scan
//! ([`NetworkTransform`]), the intermediate images ([`Intermediates`]) and a [`QcRecord`]. [`steps`] lists
//! the steps. The caller handles files, batches and parallelism over scans.
//!
//! ```
//! use brainreel_preprocess::{PreprocessConfig, preprocess};
//! use brainreel_volume::{Affine, Grid, Volume};
//!
//! let grid = Grid::new([40, 48, 44], Affine::from_diagonal([4.0, 4.0, 4.0]))?;
//! let head = Volume::from_fn(grid, |[i, j, k]| f32::from(i > 9 && j > 7 && k > 5 && i + j + k < 90));
//! let config = PreprocessConfig { spacing_mm: 4.0, size_voxels: 32, ..PreprocessConfig::whole_head() };
//! let done = preprocess(&head, &config.validated()?)?;
//! assert_eq!(done.network_input.dims(), [32; 3]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The SynthStrip network is a [`BrainExtractor`] in its own crate.

pub mod bet;
mod brain;
mod error;
pub mod n4;
mod numbers;
mod pipeline;
pub mod steps;

pub use brain::{BrainExtractor, ExtractionError};
pub use brainreel_volume::NetworkTransform;
pub use error::{ConfigError, PreprocessError};
pub use pipeline::{Intermediates, Preprocessed, preprocess, preprocess_with_brain};
pub use steps::config::{PreprocessConfig, ValidPreprocessConfig};
pub use steps::correct_bias::{BiasCorrection, BiasGrid, BiasRegion};
pub use steps::extract_brain::{ExtractorChoice, SynthStripSettings};
pub use steps::foreground::ForegroundRule;
pub use steps::qc::{
    ForegroundSummary, GridSummary, IntensityPercentiles, Metric, MirrorSymmetry, QcRecord, QcWarning,
    ResolutionGain, TissueContrast,
};
pub use steps::scan::BiasStage;

/// Revision of the results of this crate. Raise it whenever the same scan and configuration give other
/// numbers. Network inputs of another revision are then recomputed.
pub const REVISION: u32 = 3;
