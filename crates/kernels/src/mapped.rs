//! Interpolation at points given by an affine map from output voxels to input voxels.

use rayon::prelude::*;

use crate::bspline::{Outside, Taps, taps, to_coordinate};
use crate::spline_coefficients;

/// Rows of an affine map from output voxel indices to input voxel coordinates.
pub type PointMap = [[f64; 4]; 3];

/// Cubic B-spline interpolation of `data` at the images of the voxels of `out_dims` under `map`.
///
/// For a map without rotation or shear, [`resample_separable`](crate::resample_separable) is many
/// times faster.
///
/// # Panics
/// If the length of the data does not match `dims`, or an axis is empty.
///
/// # Determinism
/// Bit-identical for any number of threads.
#[must_use]
pub fn resample_mapped(
    data: &[f32],
    dims: [usize; 3],
    map: &PointMap,
    out_dims: [usize; 3],
    outside: Outside,
) -> Vec<f32> {
    assert!(dims.iter().all(|&n| n > 0), "an axis of {dims:?} is empty");
    let coefficients = spline_coefficients(data, dims);
    let mut out = vec![0.0; out_dims.iter().product()];
    if out.is_empty() {
        return out;
    }
    out.par_chunks_mut(out_dims[0]).enumerate().for_each(|(row, values)| {
        let (j, k) = (to_coordinate(row % out_dims[1]), to_coordinate(row / out_dims[1]));
        for (i, value) in values.iter_mut().enumerate() {
            let point = map.map(|r| r[0] * to_coordinate(i) + r[1] * j + r[2] * k + r[3]);
            let axis_taps = [0, 1, 2].map(|axis| taps(point[axis], dims[axis], outside));
            *value = evaluate(&coefficients, dims, &axis_taps);
        }
    });
    out
}

#[expect(clippy::cast_possible_truncation, reason = "volumes are stored as f32, summed as f64")]
fn evaluate(coefficients: &[f32], dims: [usize; 3], [x, y, z]: &[Taps; 3]) -> f32 {
    if [x, y, z].iter().any(|t| t.weight.iter().all(|&w| w.abs() < f64::MIN_POSITIVE)) {
        return 0.0;
    }
    let mut sum = 0.0;
    for (&k, wz) in z.index.iter().zip(z.weight) {
        for (&j, wy) in y.index.iter().zip(y.weight) {
            let row = &coefficients[dims[0] * (j + dims[1] * k)..][..dims[0]];
            let along: f64 = x.index.iter().zip(x.weight).map(|(&i, wx)| wx * f64::from(row[i])).sum();
            sum += wz * wy * along;
        }
    }
    sum as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AxisPlan, resample_separable};
    use brainreel_testkit::{Tolerance, assert_close};

    fn l_shape(dims: [usize; 3]) -> Vec<f32> {
        let inside = |i: usize, j: usize, k: usize| k > 1 && (i < 3 || (j < 3 && i < 7));
        let mut data = Vec::new();
        for k in 0..dims[2] {
            for j in 0..dims[1] {
                data.extend((0..dims[0]).map(|i| if inside(i, j, k) { 100.0 + k as f32 } else { 2.0 }));
            }
        }
        data
    }

    #[test]
    fn scaling_map_equals_separable_path() {
        let (dims, out_dims) = ([9, 7, 5], [12, 9, 6]);
        let data = l_shape(dims);
        for outside in [Outside::Zero, Outside::Mirror] {
            let map = [[0.8, 0.0, 0.0, -0.5], [0.0, 0.75, 0.0, 0.25], [0.0, 0.0, 0.9, 0.0]];
            let plans = [0, 1, 2].map(|axis| {
                let line = (0..out_dims[axis]).map(|i| map[axis][axis] * to_coordinate(i) + map[axis][3]);
                AxisPlan::sample(dims[axis], line.collect(), outside)
            });
            let expected: Vec<f64> = resample_separable(&data, &plans).iter().map(|&v| v.into()).collect();
            let got = resample_mapped(&data, dims, &map, out_dims, outside);
            assert_close(&got, &expected, Tolerance::relative(1e-6));
        }
    }

    #[test]
    fn permuting_map_permutes() {
        let dims = [4, 3, 5];
        let data = l_shape(dims);
        let map = [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 2.0], [0.0, 1.0, 0.0, 0.0]];
        let got = resample_mapped(&data, dims, &map, [3, 5, 4], Outside::Zero);
        for (i, j, k) in [(0, 0, 0), (2, 4, 3), (1, 2, 0), (0, 3, 2)] {
            let want = data[k + 4 * ((2 - i) + 3 * j)];
            assert!((got[i + 3 * (j + 5 * k)] - want).abs() < 1e-4, "{i} {j} {k}");
        }
    }
}
