//! Brain extraction by the SynthStrip network.
//!
//! [`SynthStrip`] resamples a head to the grid that the network was trained on (1 mm, axes to the left,
//! inferior and anterior, every axis a multiple of 64 between 192 and 320), scales its intensities, runs the
//! network on brainreel's CPU engine and resamples the distance to the brain surface to the head's own grid.
//! The mask is the largest connected component of voxels closer than the border, with holes filled.
//!
//! ```
//! use std::error::Error;
//! use std::path::Path;
//!
//! use brainreel_preprocess::BrainExtractor;
//! use brainreel_synthstrip::{SynthStrip, SynthStripConfig, SynthStripWeights};
//! use brainreel_volume::{Mask, Volume};
//!
//! fn brain_of(head: &Volume<f32>) -> Result<Mask, Box<dyn Error>> {
//!     let weights = SynthStripWeights::read(Path::new("synthstrip.1.pt"))?;
//!     let extractor = SynthStrip::new(&weights, SynthStripConfig::default())?;
//!     Ok(extractor.extract(head)?)
//! }
//! ```
//!
//! It runs on the CPU and contains no weights: [`SynthStripWeights`] reads them from a file.
//!
//! # Reference
//! Hoopes, Mora, Dalca, Fischl, Hoffmann 2022, SynthStrip: skull-stripping for any brain image, NeuroImage 260,
//! 119474. The grid is that of the published tools; where they differ, of `nipreps-synthstrip`.

mod conform;
mod distance;
mod extractor;
mod network;
mod programs;

pub use conform::{ConformError, conform, conformed_grid, scale_intensities};
pub use distance::resample_distance;
pub use extractor::{ConfigError, Extracted, SynthStrip, SynthStripConfig};
pub use network::{
    PUBLISHED, SynthStripConv, SynthStripWeights, synthstrip_convs, synthstrip_network, synthstrip_tensors,
};
