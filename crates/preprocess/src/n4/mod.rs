//! N4: taking the smooth bias field of coils and tissue out of a T1-weighted image.
//!
//! A field that multiplies the image blurs the histogram of log intensities. Each iteration sharpens
//! the histogram, lays what an intensity differs from its sharpened one to the field, fits a cubic
//! B-spline to that, and adds it to the field; the mesh gets finer from level to level. Voxels and
//! control points lie on grids, so that fit and evaluation go axis by axis.
//!
//! Where the paper and ITK's implementation differ, this is ITK's, as in ANTs and SimpleITK. Different
//! from ITK, voxels of the mask that are not positive are left out of the estimate ([`NonPositive`]).
//!
//! ```
//! use brainreel_preprocess::n4::{N4Config, correct_bias};
//! use brainreel_volume::{Affine, Grid, Volume};
//!
//! let grid = Grid::new([24, 24, 24], Affine::from_diagonal([8.0; 3]))?;
//! let tissue = |[i, j, k]: [usize; 3]| if (i / 4 + j / 4 + k / 4) % 2 == 0 { 100.0 } else { 60.0 };
//! let shaded = Volume::from_fn(grid, |at| tissue(at) * (1.0 + 0.02 * at[0] as f32));
//! let config = N4Config { shrink_factor: 1, n_iterations: vec![20; 2], ..N4Config::default() };
//! let done = correct_bias(&shaded, None, None, &config.validated()?)?;
//! let ends = |volume: &Volume<f32>| volume.at([22, 1, 1]) / volume.at([1, 1, 1]);
//! assert!(ends(&done.field) > 1.2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It does not find the brain: on a whole head the field follows fat and air, so give it a brain mask.
//!
//! # Reference
//! Tustison et al. 2010, doi:10.1109/TMI.2010.2046908.

mod config;
mod domain;
mod error;
mod estimate;
mod samples;
mod sharpen;

pub use config::{N4Config, N4Mesh, NonPositive, ValidN4Config};
pub use error::N4Error;

use brainreel_volume::{Mask, Volume};
use rayon::prelude::*;

use domain::Domain;
use estimate::{Estimate, estimate};
use samples::Samples;

/// An image without its bias field.
#[derive(Debug, Clone, PartialEq)]
pub struct N4Output {
    /// The image divided by the field, inside and outside of the mask.
    pub corrected: Volume<f32>,
    /// The field: a gain, without unit and positive. It goes to one far outside of the mask.
    pub field: Volume<f32>,
    /// Iterations done at each level.
    pub n_iterations: Vec<usize>,
    /// The last change of the field at each level: the coefficient of variation of its ratio.
    /// Infinite where no iteration was done.
    pub convergence: Vec<f64>,
}

/// Estimates the bias field of `volume` and divides the image by it.
///
/// The field is estimated from the positive voxels of `mask` (everywhere if there is none) whose
/// weight is above zero. `weights` say how much a voxel counts in the fit of the field, not in the
/// histogram. The field has a scale of its own: the brightness of the corrected image is arbitrary.
///
/// # Shapes
/// Mask and weights have the dimensions of `volume`.
///
/// # Errors
/// [`N4Error`]: dimensions differ, a voxel is not finite, a weight is negative, mask and weights leave
/// no voxel, none of them is positive, the mesh is too fine.
///
/// # Determinism
/// The same bits for any number of threads.
///
/// # Reference
/// Tustison et al. 2010, doi:10.1109/TMI.2010.2046908; `itk::N4BiasFieldCorrectionImageFilter`.
pub fn correct_bias(
    volume: &Volume<f32>,
    mask: Option<&Mask>,
    weights: Option<&Volume<f32>>,
    config: &ValidN4Config,
) -> Result<N4Output, N4Error> {
    let domain = Domain::new(volume.grid(), config)?;
    let samples = Samples::new(volume, mask, weights, &domain, config)?;
    let done = estimate(&samples, &domain, config);
    drop(samples); // before the two images of the result are made
    Ok(divide(volume, &domain, done))
}

/// Evaluates the field on every voxel and divides by it.
fn divide(volume: &Volume<f32>, domain: &Domain, done: Estimate) -> N4Output {
    let grid = domain.voxel_grid(done.n_iterations.len() - 1);
    let n = volume.dims()[0] * volume.dims()[1];
    let (mut corrected, mut field) = (volume.clone(), volume.map(|_| 1.0));
    let planes = corrected.as_mut_slice().par_chunks_mut(n).zip(field.as_mut_slice().par_chunks_mut(n));
    planes.enumerate().for_each(|(plane, (corrected, field))| {
        grid.expand_plane(&done.control, plane, field);
        for (value, gain) in corrected.iter_mut().zip(field) {
            *gain = libm::expf(*gain);
            *value /= *gain;
        }
    });
    N4Output { corrected, field, n_iterations: done.n_iterations, convergence: done.convergence }
}

#[cfg(test)]
mod tests;
