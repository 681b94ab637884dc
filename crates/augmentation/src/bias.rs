//! A smooth multiplicative bias field.

use brainreel_volume::Volume;
use rayon::prelude::*;

use crate::maths::exp;

/// Largest order of the polynomial.
pub(crate) const MAX_ORDER: usize = 8;

/// Number of coefficients of a polynomial in three variables.
pub(crate) const fn n_coefficients(order: usize) -> usize {
    (order + 1) * (order + 2) * (order + 3) / 6
}

/// Multiplies the image by the exponential of a polynomial of the voxel position, which runs from -1 to 1
/// along each axis. `coefficients` are in the order of their powers of x, then y, then z.
///
/// # Panics
/// If their number is not [`n_coefficients`].
///
/// # Reference
/// Van Leemput et al. 1999, doi:10.1109/42.811268, as in TorchIO's `BiasField`.
#[expect(clippy::cast_possible_truncation, reason = "voxels are single precision")]
pub(crate) fn multiply(volume: &mut Volume<f32>, order: usize, coefficients: &[f64]) {
    assert_eq!(coefficients.len(), n_coefficients(order), "coefficients of order {order}");
    let dims @ [nx, ny, _] = volume.dims();
    volume.as_mut_slice().par_chunks_mut(nx).enumerate().for_each(|(row, out)| {
        let (y, z) = (place(row % ny, dims[1]), place(row / ny, dims[2]));
        let polynomial = in_x(order, coefficients, y, z);
        for (i, value) in out.iter_mut().enumerate() {
            let x = place(i, nx);
            let log_field = polynomial.iter().rev().fold(0.0, |sum, coefficient| sum * x + coefficient);
            *value *= exp(log_field) as f32;
        }
    });
}

/// The polynomial of one row: coefficients of the powers of x.
fn in_x(order: usize, coefficients: &[f64], y: f64, z: f64) -> [f64; MAX_ORDER + 1] {
    let mut polynomial = [0.0; MAX_ORDER + 1];
    let mut rest = coefficients.iter();
    for (x_order, sum) in polynomial.iter_mut().enumerate().take(order + 1) {
        let mut power_of_y = 1.0;
        for y_order in 0..=order - x_order {
            let mut power = power_of_y;
            for coefficient in rest.by_ref().take(order - x_order - y_order + 1) {
                *sum += coefficient * power;
                power *= z;
            }
            power_of_y *= y;
        }
    }
    polynomial
}

/// Position of voxel `i` of `n`, from -1 to 1.
fn place(i: usize, n: usize) -> f64 {
    let half = (n as f64 - 1.0) / 2.0;
    (i as f64 - half) / if half > 0.0 { half } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use brainreel_volume::{Affine, Grid};

    use super::*;

    #[test]
    fn coefficients_are_counted() {
        assert_eq!([0, 1, 2, 3].map(n_coefficients), [1, 4, 10, 20]);
    }

    #[test]
    fn linear_terms_are_in_order() {
        let grid = Grid::new([3, 3, 3], Affine::IDENTITY).unwrap();
        let mut volume = Volume::from_fn(grid, |_| 1.0_f32);
        // constant, z, y, x
        multiply(&mut volume, 1, &[0.0, 0.1, 0.2, 0.4]);
        for (index, log_field) in
            [([2, 1, 1], 0.4_f32), ([1, 2, 1], 0.2), ([1, 1, 2], 0.1), ([0, 0, 0], -0.7)]
        {
            assert!((volume.at(index).ln() - log_field).abs() < 1e-6, "{index:?}");
        }
    }
}
