//! GELU.

use rayon::prelude::*;

use super::compiled_for;
use super::softmax::exp;
use crate::InstructionSet;

/// Numbers that a thread takes at a time.
const CHUNK: usize = 1 << 15;

/// `x` times the normal distribution function of `x`, for every number.
///
/// # Reference
/// Abramowitz and Stegun 1964, 7.1.26: absolute error of the distribution function below 1e-7.
#[must_use]
pub fn gelu(isa: InstructionSet, x: &[f32]) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| {
        compiled_for(isa, || {
            for (y, &x) in y.iter_mut().zip(x) {
                let above = if x > 0.0 { x } else { 0.0 };
                *y = above - x.abs() * tail(x.abs()).0;
            }
        });
    });
    y
}

/// Gradient of [`gelu`], given the gradient of its result.
#[must_use]
pub fn gelu_gradient(isa: InstructionSet, x: &[f32], dy: &[f32]) -> Vec<f32> {
    assert_eq!(x.len(), dy.len(), "size of the result's gradient");
    let mut dx = vec![0.0; x.len()];
    dx.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK).zip(dy.par_chunks(CHUNK))).for_each(|(dx, (x, dy))| {
        compiled_for(isa, || {
            for ((dx, &x), &dy) in dx.iter_mut().zip(x).zip(dy) {
                let (tail, density) = tail(x.abs());
                let below = if x > 0.0 { 1.0 - tail } else { tail };
                *dx = dy * (below + x * density);
            }
        });
    });
    dx
}

/// Probability that a normal number is above `x >= 0`, and the density there.
#[inline(always)]
fn tail(x: f32) -> (f32, f32) {
    const INVERSE_ROOT_TWO_PI: f32 = 0.398_942_3;
    let t = 1.0 / (1.0 + 0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2 * x);
    let p = 1.061_405_4 * t - 1.453_152;
    let p = p * t + 1.421_413_7;
    let p = p * t - 0.284_496_74;
    let p = p * t + 0.254_829_6;
    let bell = exp(-0.5 * x * x);
    (0.5 * p * t * bell, INVERSE_ROOT_TWO_PI * bell)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The distribution function by Simpson's rule.
    fn expected(x: f64) -> [f64; 2] {
        let density = |x: f64| (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let n = 2000;
        let step = x / f64::from(n);
        let sum: f64 = (0..=n)
            .map(|i| {
                let weight = if i == 0 || i == n { 1.0 } else { 2.0 + 2.0 * f64::from(i % 2) };
                weight * density(f64::from(i) * step)
            })
            .sum();
        let below = 0.5 + sum * step / 3.0;
        [x * below, below + x * density(x)]
    }

    #[test]
    fn gelu_and_its_slope() {
        let x: Vec<f32> = (-60..=60).map(|i| i as f32 / 10.0).collect();
        for isa in InstructionSet::available() {
            let (y, dy) = (gelu(isa, &x), gelu_gradient(isa, &x, &vec![2.0; x.len()]));
            for ((&x, &y), &dy) in x.iter().zip(&y).zip(&dy) {
                let [value, slope] = expected(f64::from(x));
                assert!((f64::from(y) - value).abs() < 1e-6, "{x}: {y} {value}");
                assert!((f64::from(dy) - 2.0 * slope).abs() < 2e-6, "{x}: {dy} {slope}");
            }
        }
    }
}
