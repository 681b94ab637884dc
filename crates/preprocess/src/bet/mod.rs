//! A classical brain extraction: a balloon that grows until it meets the border of the brain.
//!
//! # Reference
//! Smith 2002, doi:10.1002/hbm.10062.

mod config;
mod head;
mod raster;
mod samples;
mod sphere;
mod surface;
mod vector;

pub use config::BetConfig;

use brainreel_volume::{Mask, Volume};

use crate::{BrainExtractor, ConfigError, ExtractionError};
use head::Head;
use samples::Samples;
use sphere::Sphere;
use surface::Surface;

/// Name and version, for the record.
const NAME: &str = "bet 1";

/// Brain extraction by a deformable surface.
#[derive(Debug, Clone)]
pub struct Bet {
    config: BetConfig,
}

impl Bet {
    /// An extractor with these settings.
    ///
    /// # Errors
    /// [`ConfigError::Range`] names the first setting that is out of its range.
    pub fn new(config: BetConfig) -> Result<Self, ConfigError> {
        Ok(Self { config: config.validated()? })
    }
}

impl BrainExtractor for Bet {
    fn name(&self) -> &str {
        NAME
    }

    fn extract(&self, head: &Volume<f32>) -> Result<Mask, ExtractionError> {
        let empty = || ExtractionError::Empty { extractor: NAME.to_owned() };
        let samples = Samples::new(head).ok_or_else(empty)?;
        let measured = Head::measure(&samples, self.config.radius_mm).ok_or_else(empty)?;
        let sphere = Sphere::new(4);
        let mut surface = Surface::start(&sphere, &measured);
        surface.evolve(&samples, &measured, &self.config, 1.0);
        let to_voxel = head.grid().affine().inverse().map_err(|_| empty())?;
        Ok(raster::fill(head.grid(), &to_voxel, &surface.vertices, &sphere.triangles))
    }
}
