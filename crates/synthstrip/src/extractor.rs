//! The SynthStrip brain extractor.

use brainreel_preprocess::{BrainExtractor, ExtractionError};
use brainreel_volume::morphology::{fill_holes, largest_component};
use brainreel_volume::{Mask, Volume};

use crate::conform::{conform_by_depth, scale_intensities};
use crate::distance::{BEYOND_MM, resample_distance};
use crate::network::SynthStripWeights;
use crate::programs::Programs;

/// Settings of SynthStrip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SynthStripConfig {
    /// Distance from the brain surface up to which voxels belong to the mask, in mm, positive outwards. The
    /// published tool uses 1 mm.
    pub border_mm: f64,
}

impl Default for SynthStripConfig {
    fn default() -> Self {
        Self { border_mm: 1.0 }
    }
}

/// Errors of the configuration.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The border is not a plausible distance.
    #[error("the border is {got_mm} mm, expected more than -{BEYOND_MM} and less than {BEYOND_MM}")]
    Border {
        /// Its value.
        got_mm: f64,
    },
}

/// Extracts the brain with the SynthStrip network.
///
/// Several threads may share it. They take turns, because the network itself uses all cores.
pub struct SynthStrip {
    name: String,
    config: SynthStripConfig,
    programs: Programs,
}

/// Result for a head, on the head's own grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Extracted {
    /// The brain mask.
    pub mask: Mask,
    /// Distance from the brain surface in mm, negative inside. 100 outside the network's field of view.
    pub distance_mm: Volume<f32>,
}

impl SynthStrip {
    /// Creates an extractor with these weights.
    ///
    /// # Errors
    /// [`ConfigError`] if the configuration is out of range.
    pub fn new(weights: &SynthStripWeights, config: SynthStripConfig) -> Result<Self, ConfigError> {
        if config.border_mm.is_nan() || config.border_mm.abs() >= f64::from(BEYOND_MM) {
            return Err(ConfigError::Border { got_mm: config.border_mm });
        }
        let (network, output) = weights.network();
        let name = format!("synthstrip {}", weights.sha256().short());
        Ok(Self { name, config, programs: Programs::new(network, output) })
    }

    /// Distance from the brain surface in mm, on the grid of `head`. `progress` receives the next layer and
    /// the number of layers.
    ///
    /// # Errors
    /// [`ExtractionError::Input`] if the head is not valid input for the network,
    /// [`ExtractionError::Network`] if the network fails.
    ///
    /// # Determinism
    /// Bit-identical for any number of threads.
    pub fn distance(
        &self,
        head: &Volume<f32>,
        progress: impl FnMut(usize, usize),
    ) -> Result<Volume<f32>, ExtractionError> {
        let distance = self.network_distance(head, progress)?;
        resample_distance(&distance, head.grid()).map_err(|error| self.unsuitable(&error))
    }

    /// Output of the network: the distance in mm on its own grid ([`crate::conformed_grid`], with axes in
    /// reverse order: anterior, inferior, left).
    ///
    /// # Errors
    /// As [`SynthStrip::distance`].
    pub fn network_distance(
        &self,
        head: &Volume<f32>,
        progress: impl FnMut(usize, usize),
    ) -> Result<Volume<f32>, ExtractionError> {
        let mut conformed = conform_by_depth(head).map_err(|error| self.unsuitable(&error))?;
        scale_intensities(conformed.as_mut_slice()).map_err(|error| self.unsuitable(&error))?;
        let grid = *conformed.grid();
        let [width, height, depth] = grid.dims();
        let values = self.programs.run([depth, height, width], conformed.as_slice(), progress);
        let values = values.map_err(|error| ExtractionError::Network {
            extractor: self.name.clone(),
            problem: error.to_string(),
        })?;
        Ok(Volume::new(grid, values).expect("one number a voxel"))
    }

    fn unsuitable(&self, problem: &dyn std::error::Error) -> ExtractionError {
        ExtractionError::Input { extractor: self.name.clone(), problem: problem.to_string() }
    }

    /// Mask and distances. `progress` receives the next layer and the number of layers.
    ///
    /// # Errors
    /// As [`SynthStrip::distance`], and [`ExtractionError::Empty`] if nothing is within the border.
    pub fn extract_all(
        &self,
        head: &Volume<f32>,
        progress: impl FnMut(usize, usize),
    ) -> Result<Extracted, ExtractionError> {
        let distance_mm = self.distance(head, progress)?;
        let within = distance_mm.map(|&distance| f64::from(distance) < self.config.border_mm);
        if !within.as_slice().contains(&true) {
            return Err(ExtractionError::Empty { extractor: self.name.clone() });
        }
        Ok(Extracted { mask: fill_holes(&largest_component(&within)), distance_mm })
    }
}

impl BrainExtractor for SynthStrip {
    fn name(&self) -> &str {
        &self.name
    }

    fn extract(&self, head: &Volume<f32>) -> Result<Mask, ExtractionError> {
        self.extract_all(head, |_, _| {}).map(|found| found.mask)
    }
}
