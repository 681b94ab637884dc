//! Whether two images come from one acquisition.
//!
//! The two heads are aligned, first by their coarse structure and then by the noise itself. Where the tissue
//! is flat (no edge, no texture at the scale of a few voxels), the highest frequencies contain only noise.
//! Copies of one acquisition share it, so its correlation is high. Another scan has different noise, so the
//! correlation is near zero, no matter how similar the heads are.

mod align;
mod patch;
mod residual;

use brainreel_volume::{Affine, Volume};

use crate::coarse::Coarse;
use align::{Alignment, align};
use patch::Pair;
use residual::{FlatTissue, Residual};

/// Smallest noise correlation of two images from one acquisition.
///
/// Two scans of a subject at the same position reach 0.1 in simulated heads and, with noise added to an
/// averaged real head, 0.12. Copies are above 0.3 unless noise of more than twice their own was added or they
/// were blurred by more than a voxel.
pub const SAME_ACQUISITION: f64 = 0.3;

/// Whiteness below which the residuals are anatomy rather than noise, because both images are too smooth.
const LEAST_WHITENESS: f64 = 0.05;

/// Smallest number of flat voxels for a verdict.
const FEWEST_VOXELS: usize = 600;
/// Number of refinements of the alignment by the noise.
const REFINEMENTS: usize = 3;
/// Noise correlation below which refinement stops.
const HOPELESS: f64 = 0.06;
/// Shift below which refinement stops, in voxels.
const SETTLED_VOXELS: f64 = 0.04;

/// Relation of two images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Copies of one acquisition.
    SameAcquisition,
    /// Two acquisitions, of one subject or two.
    OtherAcquisition,
    /// No verdict. An image is constant, too small or without flat tissue, the images do not overlap, or both
    /// were smoothed or denoised until no noise remains.
    Undecided,
}

/// The outcome of [`confirm`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Confirmation {
    /// The verdict at [`SAME_ACQUISITION`].
    pub verdict: Verdict,
    /// Correlation of the noise in the flattest tissue of both; 0 without a verdict.
    pub noise_correlation: f64,
    /// Whiteness of the residual, in the noisier image: 1 for white noise, near 0 if smoothing left only
    /// anatomy, which other scans of the subject share.
    pub noise_whiteness: f64,
    /// Correlation of the coarse structure after alignment.
    pub structure_correlation: f64,
    /// Number of flat voxels in which the noise was compared.
    pub n_voxels: usize,
    /// The images are left-right mirrored.
    pub mirrored: bool,
}

impl Confirmation {
    const UNDECIDED: Self = Self {
        verdict: Verdict::Undecided,
        noise_correlation: 0.0,
        noise_whiteness: 0.0,
        structure_correlation: 0.0,
        n_voxels: 0,
        mirrored: false,
    };
}

/// Compares two images, in any grids, voxel by voxel.
///
/// # Determinism
/// Bit-identical for any number of threads.
#[must_use]
pub fn confirm(a: &Volume<f32>, b: &Volume<f32>) -> Confirmation {
    // The noise is compared on the grid of the image with the larger voxels.
    let size = |volume: &Volume<f32>| volume.grid().affine().determinant().abs();
    let (reference, other) = if size(a) >= size(b) { (a, b) } else { (b, a) };
    let (Some(coarse), Some(other_coarse)) = (Coarse::of(reference), Coarse::of(other)) else {
        return Confirmation::UNDECIDED;
    };
    let thresholds = [coarse.native_threshold, other_coarse.native_threshold];
    let mut best = Confirmation::UNDECIDED;
    for alignment in align(&coarse, &other_coarse) {
        for antialias in [false, true] {
            let pair = Pair { reference, other, centre_mm: alignment.centre_mm, thresholds, antialias };
            if antialias && !pair.is_finer() {
                continue;
            }
            let found = compare(&pair, &alignment);
            if found.verdict == Verdict::SameAcquisition {
                return found;
            }
            let is_better = found.noise_correlation > best.noise_correlation;
            if is_better || best.n_voxels == 0 {
                best = found;
            }
        }
    }
    best
}

/// Refines the alignment by the noise and computes the noise correlation.
fn compare(pair: &Pair<'_>, alignment: &Alignment) -> Confirmation {
    let undecided = Confirmation {
        structure_correlation: alignment.correlation,
        mirrored: alignment.mirrored,
        ..Confirmation::UNDECIDED
    };
    let Some(reference) = pair.reference_patch() else { return undecided };
    let own = Residual::of(&reference, pair.thresholds[0]);
    let mut transform = alignment.transform;
    let mut best = undecided;
    for round in 0..=REFINEMENTS {
        let Some(patch) = pair.other_patch(reference.grid(), &transform) else { return best };
        let residual = Residual::of(&patch, pair.thresholds[1]);
        let flat = FlatTissue::of(&own, &residual);
        if flat.n_voxels() < FEWEST_VOXELS {
            return best;
        }
        let (peak, top) = flat.best_shift(&own, &residual);
        let noise_correlation = flat.correlation(&own, &residual);
        let noise_whiteness = flat.whiteness(&own).max(flat.whiteness(&residual));
        if best.n_voxels == 0 || noise_correlation > best.noise_correlation {
            let verdict = judge(noise_correlation, noise_whiteness);
            best = Confirmation {
                verdict,
                noise_correlation,
                noise_whiteness,
                n_voxels: flat.n_voxels(),
                ..undecided
            };
        }
        if round == REFINEMENTS || top < HOPELESS || peak.iter().all(|shift| shift.abs() < SETTLED_VOXELS) {
            break;
        }
        let affine = reference.grid().affine();
        let shift = [0, 1, 2].map(|row| (0..3).map(|axis| affine.column(axis)[row] * peak[axis]).sum());
        transform = transform.compose(&Affine::translation_by(shift));
    }
    best
}

fn judge(noise_correlation: f64, noise_whiteness: f64) -> Verdict {
    if noise_whiteness < LEAST_WHITENESS {
        Verdict::Undecided
    } else if noise_correlation >= SAME_ACQUISITION {
        Verdict::SameAcquisition
    } else {
        Verdict::OtherAcquisition
    }
}
