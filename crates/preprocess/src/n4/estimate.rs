//! The iterations: sharpen, fit the residual, add it to the field.

use brainreel_kernels::{LatticeGrid, refine_lattice};
use rayon::prelude::*;

use super::N4Config;
use super::domain::Domain;
use super::samples::Samples;
use super::sharpen::{Histogram, Sharpening};
use crate::numbers::as_f64;

/// Control points with less support than this, relative to the largest weight, stay zero: a tenth of
/// `f32::EPSILON`, as in ITK where weights are one.
const LEAST_SUPPORT: f64 = 1.2e-8;

/// The log field as control points of the finest mesh, with convergence data.
#[derive(Debug)]
pub(super) struct Estimate {
    pub(super) control: Vec<f64>,
    pub(super) n_iterations: Vec<usize>,
    pub(super) convergence: Vec<f64>,
}

/// Estimates the log field from the samples, level by level.
pub(super) fn estimate(samples: &Samples, domain: &Domain, config: &N4Config) -> Estimate {
    let n_coarsest = domain.sample_grid(0).n_control().iter().product();
    let mut log_field = vec![0.0; samples.len()];
    let mut done = Estimate { control: vec![0.0; n_coarsest], n_iterations: vec![], convergence: vec![] };
    for (level, &limit) in config.n_iterations.iter().enumerate() {
        if level > 0 {
            done.control = refine_lattice(&done.control, domain.sample_grid(level - 1).n_control());
        }
        let mesh = Mesh::new(samples, domain.sample_grid(level));
        let (mut n_iterations, mut change) = (0, f64::INFINITY);
        while n_iterations < limit && change > config.convergence_threshold {
            let Some(histogram) = Histogram::of(samples, &log_field, config.n_histogram_bins) else { break };
            mesh.add_residual(&histogram.sharpen(config), &log_field, &mut done.control);
            change = mesh.update(&done.control, &mut log_field);
            n_iterations += 1;
        }
        done.n_iterations.push(n_iterations);
        done.convergence.push(change);
    }
    done
}

/// The mesh of one level over the samples.
struct Mesh<'a> {
    samples: &'a Samples,
    grid: LatticeGrid,
    numerator: LatticeGrid,
    /// For each control point, the weighted sum of squared B-spline weights.
    support: Vec<f64>,
    least_support: f64,
}

impl<'a> Mesh<'a> {
    fn new(samples: &'a Samples, grid: LatticeGrid) -> Self {
        let support = grid.squared().contract(|offset, row| {
            for (at, value) in (offset..).zip(row) {
                *value = samples.weight(at);
            }
        });
        let least_support = LEAST_SUPPORT * samples.largest_weight();
        Self { samples, numerator: grid.cubed_over_squares(), support, least_support, grid }
    }

    /// Fits the residual of the sharpening and adds it to the control points.
    ///
    /// # Reference
    /// B-spline approximation of Lee 1997, with weights as in `itk::BSplineScatteredDataPointSetToImageFilter`.
    fn add_residual(&self, sharpening: &Sharpening, log_field: &[f32], control: &mut [f64]) {
        let samples = self.samples;
        let sums = self.numerator.contract(|offset, row| {
            for (at, value) in (offset..).zip(row) {
                *value = if samples.is_used(at) {
                    samples.weight(at) * sharpening.residual(samples.corrected(at, log_field))
                } else {
                    0.0
                };
            }
        });
        for ((point, sum), support) in control.iter_mut().zip(sums).zip(&self.support) {
            if *support > self.least_support {
                *point += sum / support;
            }
        }
    }

    /// Updates the field at the samples. Returns its change as the coefficient of variation of the ratio of
    /// the old field to the new one.
    fn update(&self, control: &[f64], log_field: &mut [f32]) -> f64 {
        let n = self.samples.plane_len();
        let planes: Vec<Moments> = log_field
            .par_chunks_mut(n)
            .enumerate()
            .map_init(
                || vec![0.0; n],
                |new, (plane, old)| {
                    self.grid.expand_plane(control, plane, new);
                    let mut moments = Moments::default();
                    for (at, (new, old)) in (plane * n..).zip(new.iter().zip(old)) {
                        if self.samples.is_used(at) {
                            moments.add(libm::expm1(f64::from(*old) - f64::from(*new)));
                        }
                        *old = *new;
                    }
                    moments
                },
            )
            .collect();
        planes.iter().fold(Moments::default(), Moments::merge).variation_about_one()
    }
}

/// Count, sum and sum of squares.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    n: usize,
    sum: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.n += 1;
        self.sum += value;
        self.squares += value * value;
    }

    fn merge(self, other: &Self) -> Self {
        Self { n: self.n + other.n, sum: self.sum + other.sum, squares: self.squares + other.squares }
    }

    /// Coefficient of variation of one plus the values; zero for a single value.
    fn variation_about_one(self) -> f64 {
        if self.n < 2 {
            return 0.0;
        }
        let n = as_f64(self.n);
        let mean = self.sum / n;
        let variance = (self.squares - n * mean * mean) / (n - 1.0);
        variance.max(0.0).sqrt() / (1.0 + mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variation_is_that_of_the_ratios() {
        // numpy: numpy.std([1.1, 0.9, 1.3], ddof=1) / numpy.mean([1.1, 0.9, 1.3])
        let mut first = Moments::default();
        first.add(0.1);
        let mut rest = Moments::default();
        rest.add(-0.1);
        rest.add(0.3);
        assert!((first.merge(&rest).variation_about_one() - 0.2 / 1.1).abs() < 1e-12);
        assert!(first.variation_about_one().abs() < 1e-15);
    }
}
