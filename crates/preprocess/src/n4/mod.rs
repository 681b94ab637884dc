//! N4: removes the smooth bias field of coils and tissue from a T1-weighted image.
//!
//! A multiplicative field blurs the histogram of log intensities. Each iteration sharpens the histogram,
//! attributes the difference between intensity and sharpened intensity to the field, fits a cubic B-spline to
//! that difference, and adds it to the field. The mesh becomes finer from level to level. Voxels and control
//! points are on grids, so fit and evaluation work axis by axis.
//!
//! Where the paper and ITK differ, this follows ITK, like ANTs and SimpleITK. Unlike ITK, mask voxels that
//! are not positive are excluded from the estimate ([`NonPositive`]).
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
//! It does not extract the brain. On a whole head the field follows fat and air, so pass a brain mask.
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
    /// The image divided by the field, inside and outside the mask.
    pub corrected: Volume<f32>,
    /// The field: a positive gain without unit. It approaches one far outside the mask.
    pub field: Volume<f32>,
    /// Number of iterations at each level.
    pub n_iterations: Vec<usize>,
    /// The last change of the field at each level: the coefficient of variation of its ratio. Infinite
    /// without iterations.
    pub convergence: Vec<f64>,
}

/// Estimates the bias field of `volume` and divides the image by it.
///
/// The field is estimated from positive voxels of `mask` (everywhere without a mask) with a weight above
/// zero. `weights` apply to the fit of the field, not to the histogram. The scale of the field is arbitrary,
/// and so is the brightness of the corrected image.
///
/// # Shapes
/// Mask and weights have the dimensions of `volume`.
///
/// # Errors
/// [`N4Error`] if dimensions differ, a voxel is not finite, a weight is negative, mask and weights select no
/// voxel, no selected voxel is positive, or the mesh is too fine.
///
/// # Determinism
/// Bit-identical for any number of threads.
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
