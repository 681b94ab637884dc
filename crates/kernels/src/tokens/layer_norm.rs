//! Layer norm.

use rayon::prelude::*;

use super::compiled_for;
use super::softmax::sum_of;
use crate::InstructionSet;

/// Rows that a thread takes at a time, and that one partial sum of the parameters' gradients covers.
const ROWS: usize = 512;

/// Gradients of the operands of [`layer_norm`].
#[derive(Debug, Clone)]
pub struct LayerNormGradients {
    /// Gradient of the input.
    pub x: Vec<f32>,
    /// Gradient of the scale.
    pub gamma: Vec<f32>,
    /// Gradient of the shift.
    pub beta: Vec<f32>,
}

/// Mean and inverse deviation of a row.
#[inline(always)]
fn moments(row: &[f32], epsilon: f32) -> (f32, f32) {
    let n = row.len() as f32;
    let mean = sum_of(row, row, |x, _| x) / n;
    let variance = sum_of(row, row, |x, _| (x - mean) * (x - mean)) / n;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

/// Every row of as many numbers as `gamma` has, normalised to mean 0 and variance 1, then scaled and shifted.
///
/// # Panics
/// If the numbers are no whole rows.
#[must_use]
pub fn layer_norm(isa: InstructionSet, x: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32) -> Vec<f32> {
    let channels = gamma.len();
    assert!(x.len().is_multiple_of(channels) && beta.len() == channels, "sizes of a layer norm");
    let mut y = vec![0.0; x.len()];
    y.par_chunks_mut(ROWS * channels).zip(x.par_chunks(ROWS * channels)).for_each(|(y, x)| {
        compiled_for(isa, || {
            for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                let (mean, inverse) = moments(x, epsilon);
                for (((y, &x), &gamma), &beta) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
                    *y = (x - mean) * inverse * gamma + beta;
                }
            }
        });
    });
    y
}

/// Gradients of the operands, given the gradient of the result.
///
/// # Determinism
/// Bit-identical for any number of threads.
///
/// # Panics
/// If sizes are inconsistent.
#[must_use]
pub fn layer_norm_gradients(
    isa: InstructionSet,
    x: &[f32],
    gamma: &[f32],
    dy: &[f32],
    epsilon: f32,
) -> LayerNormGradients {
    let channels = gamma.len();
    assert!(x.len().is_multiple_of(channels) && dy.len() == x.len(), "sizes of a layer norm");
    let mut dx = vec![0.0; x.len()];
    let chunk = ROWS * channels;
    let parts: Vec<[Vec<f32>; 2]> = dx
        .par_chunks_mut(chunk)
        .zip(x.par_chunks(chunk).zip(dy.par_chunks(chunk)))
        .map(|(dx, (x, dy))| {
            let mut sums = [vec![0.0; channels], vec![0.0; channels]];
            compiled_for(isa, || {
                let rows = x.chunks_exact(channels).zip(dy.chunks_exact(channels));
                for (dx, (x, dy)) in dx.chunks_exact_mut(channels).zip(rows) {
                    row_gradient(dx, x, gamma, dy, epsilon, &mut sums);
                }
            });
            sums
        })
        .collect();
    let total = |which: usize| {
        let mut total = vec![0.0_f32; channels];
        for part in &parts {
            total.iter_mut().zip(&part[which]).for_each(|(total, part)| *total += part);
        }
        total
    };
    LayerNormGradients { gamma: total(0), beta: total(1), x: dx }
}

#[inline(always)]
fn row_gradient(
    dx: &mut [f32],
    x: &[f32],
    gamma: &[f32],
    dy: &[f32],
    epsilon: f32,
    [d_gamma, d_beta]: &mut [Vec<f32>; 2],
) {
    let n = x.len() as f32;
    let (mean, inverse) = moments(x, epsilon);
    for ((((dx, &x), &dy), d_gamma), d_beta) in dx.iter_mut().zip(x).zip(dy).zip(d_gamma).zip(d_beta) {
        let normal = (x - mean) * inverse;
        *dx = normal;
        *d_gamma += dy * normal;
        *d_beta += dy;
    }
    // `dx` holds the normalised row; its product with the scaled gradient, first.
    let mut lanes = [[0.0; crate::LANES]; 2];
    for (i, ((&normal, &dy), &gamma)) in dx.iter().zip(dy).zip(gamma).enumerate() {
        let scaled = dy * gamma;
        lanes[0][i % crate::LANES] += scaled;
        lanes[1][i % crate::LANES] += scaled * normal;
    }
    let [mean_slope, mean_product] = lanes.map(|lanes| lanes.iter().sum::<f32>() / n);
    for ((dx, &dy), &gamma) in dx.iter_mut().zip(dy).zip(gamma) {
        *dx = inverse * (dy * gamma - mean_slope - *dx * mean_product);
    }
}
