//! Classical brain extraction: a deformable surface that grows until it meets the brain border.
//!
//! A tessellated sphere starts in the centre of the head and is moved by three forces. One keeps its vertices
//! evenly spaced, one keeps it smooth, and one pushes it outwards while the tissue under it is brain, judged
//! by the smallest and largest intensity along the inward normal. It samples a copy of the head in voxels of
//! about 2 mm, in world space, so that spacing, orientation and handedness of the scan do not matter.
//!
//! Additions to the paper:
//! - Only the upper 150 mm of the head determine the centre, so that the neck does not pull it down.
//! - The intensity range is that of the head, not of the field of view with its air.
//! - The sphere grows with 642 vertices first and then with 2562.
//! - Nothing more than 160 mm below the top of the head is included.
//! - If the surface leaks through the skull (thin bone, thick slices), the fractional intensity is increased
//!   as long as the surface reaches a border with more contrast.
//! - Enclosed muscle, fat and marrow are separated from the brain by connected components.
//! - An image that is already skull-stripped is left unchanged.
//!
//! The mask includes sulci, ventricles and about one millimetre of surface fluid, so that it does not cut
//! into brains with atrophy.
//!
//! ```
//! use brainreel_preprocess::BrainExtractor;
//! use brainreel_preprocess::bet::{Bet, BetConfig};
//! use brainreel_volume::{Affine, Grid, Volume};
//!
//! // A ball of 60 mm in a dark shell in a bright one.
//! let grid = Grid::new([60, 60, 60], Affine::from_diagonal([3.0; 3]))?;
//! let head = Volume::from_fn(grid, |at| {
//!     let squared: f32 = at.iter().map(|i| (3.0 * *i as f32 - 88.5).powi(2)).sum();
//!     match squared.sqrt() {
//!         mm if mm < 60.0 => 100.0,
//!         mm if mm < 68.0 => 10.0,
//!         mm if mm < 76.0 => 120.0,
//!         _ => 0.0,
//!     }
//! });
//! let brain = Bet::new(BetConfig::default())?.extract(&head)?;
//! let ml = 0.027 * brain.as_slice().iter().filter(|inside| **inside).count() as f64;
//! assert!((ml - 905.0).abs() < 40.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
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

use crate::numbers::as_f64;
use crate::{BrainExtractor, ConfigError, ExtractionError};
use head::Head;
use samples::Samples;
use sphere::Sphere;
use surface::{Surface, Surroundings};

/// Name and version for the record.
const NAME: &str = "bet 1";

/// Initial (642 vertices) and final (2562 vertices) subdivisions of the sphere.
const COARSE: usize = 3;

/// Iterations of the coarse and of the fine surface.
const N_COARSE: usize = 400;
const N_FINE: usize = 150;

/// Stiffness values of the coarse surface, tried in turn while it folds onto itself.
const STIFFNESS: [f64; 3] = [1.0, 3.0, 10.0];

/// Smallest plausible volume of a human brain, in ml.
const LEAST_ML: f64 = 100.0;

/// Largest plausible volume of a brain with its fluid, in ml.
const MOST_ML: f64 = 2200.0;

/// Increments of the fractional intensity while the surface runs through the skull. In thick slices bone is
/// no darker than fluid, and the temporal bone is thin.
const RAISE: f64 = 0.05;
const N_RAISES: usize = 8;

/// The volume decreases steadily with the fractional intensity. A leak through the skull shows as a decrease
/// by more than this fraction, and by more than this multiple of the next decrease.
const BURST_SHARE: f64 = 0.06;
const BURST_FALLS: f64 = 2.0;

/// Largest share of vertices that may touch another part of the surface.
const MOST_FOLDED: f64 = 0.02;

/// Smallest field of view along an axis that can contain a brain, in mm.
const SMALLEST_MM: f64 = 40.0;

/// Largest bright volume outside the brain, as a fraction of the brain, in a skull-stripped image.
const STRIPPED_SHARE: f64 = 0.1;

/// Brain extraction by a deformable surface.
///
/// # Determinism
/// The same mask for any number of threads.
#[derive(Debug, Clone)]
pub struct Bet {
    config: BetConfig,
}

impl Bet {
    /// Creates an extractor with these settings.
    ///
    /// # Errors
    /// [`ConfigError::Range`] names the first setting that is out of range.
    pub fn new(config: BetConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { config })
    }

    /// The settings after some steps towards a smaller brain.
    fn raised(&self, n_steps: usize) -> BetConfig {
        let fractional_intensity = self.config.fractional_intensity + RAISE * as_f64(n_steps);
        BetConfig { fractional_intensity, ..self.config }
    }

    /// The volume enclosed by a surface that is not larger than a brain.
    fn enclosed(
        &self,
        head: &Volume<f32>,
        samples: &Samples,
        measured: &Head,
    ) -> Result<Mask, ExtractionError> {
        let coarse = Sphere::new(COARSE);
        let fine = coarse.subdivided();
        let mut grown: Vec<Surface<'_>> = Vec::new();
        let mut weak_shares = Vec::new();
        let mut smallest_ml = f64::INFINITY;
        for raise in 0..=N_RAISES {
            while grown.len() < raise + 3 {
                let mut surface = Surface::start(&coarse, measured);
                let config = self.raised(grown.len());
                let surroundings = Surroundings { samples, head: measured, config: &config };
                surface.evolve(&surroundings, N_COARSE, STIFFNESS[0]);
                weak_shares.push(surface.weak_share(&surroundings));
                grown.push(surface);
            }
            let [here, next, last] = [0, 1, 2].map(|more| grown[raise + more].volume_ml());
            let has_burst = here - next > (BURST_SHARE * here).max(BURST_FALLS * (next - last));
            smallest_ml = smallest_ml.min(here);
            // A smaller surface must reach a better border, otherwise it shrinks into the brain.
            let gains = weak_shares[raise + 1] <= weak_shares[raise];
            if here <= MOST_ML && !(has_burst && gains) {
                // One more step after a leak, because a bulge may remain.
                let raise = if raise > 0 && gains { raise + 1 } else { raise };
                let config = self.raised(raise);
                let surroundings = Surroundings { samples, head: measured, config: &config };
                return Ok(refined(head, grown.swap_remove(raise), [&coarse, &fine], &surroundings));
            }
        }
        Err(implausible(smallest_ml))
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
        let enclosed = self.enclosed(head, &samples, &measured)?;
        let brain = match stripped(head, &enclosed, &measured) {
            Some(stripped) => stripped,
            None => trim::trim(head, &enclosed, &measured, self.config.fractional_intensity),
        };
        match volume_ml(&brain) {
            0.0 => Err(ExtractionError::Empty { extractor: NAME.to_owned() }),
            ml if ml < LEAST_ML => Err(implausible(ml)),
            _ => Ok(brain),
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

fn volume_ml(mask: &Mask) -> f64 {
    let n_voxels = mask.as_slice().iter().filter(|inside| **inside).count();
    as_f64(n_voxels) * mask.grid().affine().determinant().abs() / 1000.0
}

fn implausible(ml: f64) -> ExtractionError {
    ExtractionError::Volume { extractor: NAME.to_owned(), ml, least_ml: LEAST_ML, most_ml: MOST_ML }
}

/// The voxels inside the fine surface. It is grown again with more stiffness while it folds onto itself.
fn refined(
    head: &Volume<f32>,
    grown: Surface<'_>,
    [coarse, fine]: [&Sphere; 2],
    surroundings: &Surroundings<'_>,
) -> Mask {
    let polish = |surface: Surface<'_>| {
        let mut surface = surface.refined(fine);
        surface.evolve(surroundings, N_FINE, 1.0);
        surface
    };
    let mut surface = polish(grown);
    for stiffness in STIFFNESS.into_iter().skip(1) {
        if surface.folded_share() <= MOST_FOLDED {
            break;
        }
        let mut stiffer = Surface::start(coarse, surroundings.head);
        stiffer.evolve(surroundings, N_COARSE, stiffness);
        surface = polish(stiffer);
    }
    raster::fill(head.grid(), &surface.vertices, &fine.triangles)
}

/// All bright voxels, if they are hardly more than the surface encloses, which means that there is no skull.
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

#[cfg(test)]
mod tests;
