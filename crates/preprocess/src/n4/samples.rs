//! Samples from which the field is estimated.

use brainreel_volume::{Mask, Volume};
use rayon::prelude::*;

use super::domain::Domain;
use super::{N4Config, N4Error, NonPositive};

/// Log intensities and weights on the sampled grid, first axis fastest.
#[derive(Debug)]
pub(super) struct Samples {
    dims: [usize; 3],
    log_intensity: Vec<f32>,
    /// Zero for excluded samples.
    weight: Vec<f32>,
}

impl Samples {
    /// Samples the image where the mask and the weights allow it and the intensity is positive.
    ///
    /// ITK includes voxels that are not positive with their intensity instead of its logarithm, which says
    /// nothing about the field. Here they are excluded unless the configuration includes them.
    pub(super) fn new(
        volume: &Volume<f32>,
        mask: Option<&Mask>,
        weights: Option<&Volume<f32>>,
        domain: &Domain,
        config: &N4Config,
    ) -> Result<Self, N4Error> {
        check(volume, mask, weights)?;
        let weight_at = |at: usize| match (mask, weights) {
            (Some(mask), _) if !mask.as_slice()[at] => 0.0,
            (_, Some(weights)) => weights.as_slice()[at],
            _ => 1.0,
        };
        if (0..volume.as_slice().len()).all(|at| weight_at(at) <= 0.0) {
            return Err(N4Error::EmptyMask);
        }
        let voxels = domain.sampled_voxels();
        let dims = voxels.each_ref().map(Vec::len);
        let n_samples = dims.iter().product();
        let mut samples = Self {
            dims,
            log_intensity: Vec::with_capacity(n_samples),
            weight: Vec::with_capacity(n_samples),
        };
        let (mut n_sampled, mut n_positive) = (0, 0);
        let [x, y, z] = &voxels;
        for [k, j, i] in
            z.iter().flat_map(|&k| y.iter().flat_map(move |&j| x.iter().map(move |&i| [k, j, i])))
        {
            let at = volume.grid().offset([i, j, k]);
            let (value, weight) = (volume.as_slice()[at], weight_at(at));
            let (is_positive, as_logarithm) = (value > 0.0, config.non_positive == NonPositive::AsLogarithm);
            let is_used = weight > 0.0 && (is_positive || as_logarithm);
            n_sampled += usize::from(weight > 0.0);
            n_positive += usize::from(weight > 0.0 && is_positive);
            let log_intensity = if is_positive { libm::logf(value) } else { value };
            samples.log_intensity.push(if is_used { log_intensity } else { 0.0 });
            samples.weight.push(if is_used { weight } else { 0.0 });
        }
        if n_positive == 0 {
            return Err(N4Error::NoPositiveVoxel { n_sampled, shrink_factor: config.shrink_factor });
        }
        Ok(samples)
    }

    /// Number of samples in all.
    pub(super) fn len(&self) -> usize {
        self.weight.len()
    }

    /// Samples of one plane.
    pub(super) const fn plane_len(&self) -> usize {
        self.dims[0] * self.dims[1]
    }

    /// The weight of sample `at` in the fit.
    pub(super) fn weight(&self, at: usize) -> f64 {
        f64::from(self.weight[at])
    }

    /// The largest weight of all samples.
    pub(super) fn largest_weight(&self) -> f64 {
        f64::from(self.weight.iter().copied().fold(0.0, f32::max))
    }

    /// The log intensity of sample `at` without the log field.
    pub(super) fn corrected(&self, at: usize, log_field: &[f32]) -> f64 {
        f64::from(self.log_intensity[at]) - f64::from(log_field[at])
    }

    /// Whether sample `at` is included.
    pub(super) fn is_used(&self, at: usize) -> bool {
        self.weight[at] > 0.0
    }

    /// Folds the corrected log intensities of each plane, in parallel; the planes' results are in order.
    pub(super) fn fold_planes<T: Send>(
        &self,
        log_field: &[f32],
        start: impl Fn() -> T + Sync,
        add: impl Fn(&mut T, f64) + Sync,
    ) -> Vec<T> {
        let fold = |plane: usize| {
            let mut result = start();
            for at in plane * self.plane_len()..(plane + 1) * self.plane_len() {
                if self.is_used(at) {
                    add(&mut result, self.corrected(at, log_field));
                }
            }
            result
        };
        (0..self.dims[2]).into_par_iter().map(fold).collect()
    }
}

fn check(volume: &Volume<f32>, mask: Option<&Mask>, weights: Option<&Volume<f32>>) -> Result<(), N4Error> {
    let expected = volume.dims();
    for (what, dims) in [("mask", mask.map(Volume::dims)), ("weights", weights.map(Volume::dims))] {
        if let Some(got) = dims.filter(|&got| got != expected) {
            return Err(N4Error::Shape { what, got, expected });
        }
    }
    if let Some((at, value)) = first(volume, |value| !value.is_finite()) {
        return Err(N4Error::NonFinite { at, value });
    }
    match weights.and_then(|weights| first(weights, |weight| !weight.is_finite() || weight < 0.0)) {
        Some((at, value)) => Err(N4Error::Weight { at, value }),
        None => Ok(()),
    }
}

/// Index and value of the first voxel that `is_bad`.
fn first(volume: &Volume<f32>, is_bad: impl Fn(f32) -> bool) -> Option<([usize; 3], f32)> {
    let [nx, ny, _] = volume.dims();
    let at = volume.as_slice().iter().position(|&value| is_bad(value))?;
    Some(([at % nx, at / nx % ny, at / nx / ny], volume.as_slice()[at]))
}
