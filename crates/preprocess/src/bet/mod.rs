//! A classical brain extraction: a balloon that grows until it meets the border of the brain.
//!
//! # Reference
//! Smith 2002, doi:10.1002/hbm.10062.

mod cells;
mod config;
mod head;
mod raster;
mod samples;
mod sphere;
mod surface;
mod trim;
mod vector;

pub use config::BetConfig;

use brainreel_volume::morphology::{fill_holes, largest_component};
use brainreel_volume::{Mask, Volume};

use crate::config::as_f64;
use crate::{BrainExtractor, ConfigError, ExtractionError};
use head::Head;
use samples::Samples;
use sphere::Sphere;
use surface::{Surface, Surroundings};

/// Name and version, for the record.
const NAME: &str = "bet 1";

/// Subdivisions of the sphere at first (642 vertices) and at last (2562).
const COARSE: usize = 3;

/// Moves of the coarse surface, and of the fine one.
const N_COARSE: usize = 600;
const N_FINE: usize = 400;

/// How stiff the coarse surface is, in turn, as long as it folds onto itself.
const STIFFNESS: [f64; 3] = [1.0, 3.0, 10.0];

/// Share of the vertices that may lie on another part of the surface.
const MOST_FOLDED: f64 = 0.02;

/// Smallest field of view along an axis in which there can be a brain, in mm.
const SMALLEST_MM: f64 = 40.0;

/// Largest share of the brain that may shine outside of it if somebody has stripped the head before.
const STRIPPED_SHARE: f64 = 0.1;

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
        check(head)?;
        let no_contrast = || ExtractionError::NoContrast { extractor: NAME.to_owned() };
        let samples = Samples::new(head);
        let measured = Head::measure(&samples, self.config.radius_mm).ok_or_else(no_contrast)?;
        let surroundings = Surroundings { samples: &samples, head: &measured, config: &self.config };
        // Once among the workers, the thousand steps need not wake them again.
        let enclosed = rayon::scope(|_| enclosed(head, &surroundings));
        let brain = match stripped(head, &enclosed, &measured) {
            Some(stripped) => stripped,
            None => trim::trim(head, &enclosed, &measured),
        };
        if brain.as_slice().contains(&true) {
            Ok(brain)
        } else {
            Err(ExtractionError::Empty { extractor: NAME.to_owned() })
        }
    }
}

fn check(head: &Volume<f32>) -> Result<(), ExtractionError> {
    let [ni, nj, _] = head.dims();
    if let Some(at) = head.as_slice().iter().position(|value| !value.is_finite()) {
        let extractor = NAME.to_owned();
        return Err(ExtractionError::NonFinite { extractor, first: [at % ni, at / ni % nj, at / ni / nj] });
    }
    head.grid().affine().inverse()?;
    let spacing_mm = head.grid().spacing_mm();
    let extent_mm = [0, 1, 2].map(|axis| spacing_mm[axis] * as_f64(head.dims()[axis]));
    if extent_mm.into_iter().fold(f64::INFINITY, f64::min) < SMALLEST_MM {
        let extractor = NAME.to_owned();
        return Err(ExtractionError::TooSmall { extractor, extent_mm, smallest_mm: SMALLEST_MM });
    }
    Ok(())
}

/// The voxels inside the surface, which is made stiffer until it does not fold onto itself.
fn enclosed(head: &Volume<f32>, surroundings: &Surroundings<'_>) -> Mask {
    let coarse = Sphere::new(COARSE);
    let fine = coarse.subdivided();
    let mut surface = grown(&coarse, &fine, surroundings, STIFFNESS[0]);
    for stiffness in STIFFNESS.into_iter().skip(1) {
        if surface.folded_share() <= MOST_FOLDED {
            break;
        }
        surface = grown(&coarse, &fine, surroundings, stiffness);
    }
    raster::fill(head.grid(), &surface.vertices, &fine.triangles)
}

fn grown<'a>(
    coarse: &Sphere,
    fine: &'a Sphere,
    surroundings: &Surroundings<'_>,
    stiffness: f64,
) -> Surface<'a> {
    let mut surface = Surface::start(coarse, surroundings.head);
    surface.evolve(surroundings, N_COARSE, stiffness);
    let mut surface = surface.refined(fine);
    surface.evolve(surroundings, N_FINE, 1.0);
    surface
}

/// Everything bright, if that is hardly more than what the surface encloses: then there is no skull.
fn stripped(head: &Volume<f32>, enclosed: &Mask, measured: &Head) -> Option<Mask> {
    let (mut n_inside, mut n_beyond) = (0, 0);
    let mut all = enclosed.clone();
    for (inside, value) in all.as_mut_slice().iter_mut().zip(head.as_slice()) {
        if *inside {
            n_inside += 1;
        } else if f64::from(*value) > measured.threshold {
            n_beyond += 1;
            *inside = true;
        }
    }
    let is_stripped = as_f64(n_beyond) <= STRIPPED_SHARE * as_f64(n_inside);
    is_stripped.then(|| fill_holes(&largest_component(&all)))
}
