//! Conforms a head to the grid of the network.

use brainreel_kernels::{AxisPlan, Outside, percentiles, resample_mapped, resample_separable};
use brainreel_volume::{Affine, AffineError, Grid, GridError, Volume};
use rayon::prelude::*;

/// Every axis is a multiple of this many voxels: six levels of halving.
const MULTIPLE: usize = 64;
/// Smallest and largest axis.
const AXIS_RANGE: (usize, usize) = (192, 320);
/// Offset that the published tool adds before truncating an extent, which nearly always rounds up.
const ALMOST_ONE_MM: f64 = 0.999;
/// Intensities above this percentile become one.
const BRIGHT_PERCENT: f64 = 99.0;
/// A rotation that moves no voxel by more than this is ignored, in voxels.
const STRAIGHT_VOXELS: f64 = 1e-4;

/// Errors of conforming an image.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConformError {
    /// Some voxels are not finite.
    #[error("{n_voxels} voxels are NaN or infinite, expected finite intensities")]
    NonFinite {
        /// Their number.
        n_voxels: usize,
    },
    /// The image has no contrast.
    #[error("the 99th percentile of the intensities is {percentile} above the minimum, expected a head")]
    NoContrast {
        /// That percentile.
        percentile: f32,
    },
    /// The image's affine cannot be inverted.
    #[error(transparent)]
    Affine(#[from] AffineError),
    /// The grid is invalid.
    #[error(transparent)]
    Grid(#[from] GridError),
}

/// The network's grid for an image on `grid`: 1 mm, axes to the left, inferior and anterior, with the same
/// centre. Every axis is the next multiple of 64 voxels that contains the image, but at least 192 and at most
/// 320. Larger images are cropped.
///
/// # Errors
/// [`GridError`] for a grid that is too large.
///
/// # Reference
/// `nipreps.synthstrip.cli.conform` 0.0.1, the same dimensions and affine.
pub fn conformed_grid(grid: &Grid) -> Result<Grid, GridError> {
    let last = grid.dims().map(|n| as_f64(n - 1));
    let corners: Vec<[f64; 3]> = (0..8_u8)
        .map(|corner| grid.affine().apply([0, 1, 2].map(|axis| f64::from(corner >> axis & 1) * last[axis])))
        .collect();
    let world_voxels = [0, 1, 2].map(|world| {
        let mm = corners.iter().map(|corner| corner[world]);
        let (low, high) =
            mm.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), mm| (low.min(mm), high.max(mm)));
        axis_voxels(high - low)
    });
    let dims = [world_voxels[0], world_voxels[2], world_voxels[1]];
    let centre = grid.affine().apply(last.map(|last| 0.5 * last));
    let half = dims.map(|n| 0.5 * as_f64(n - 1));
    let affine = Affine::new([
        [-1.0, 0.0, 0.0, centre[0] + half[0]],
        [0.0, 0.0, 1.0, centre[1] - half[2]],
        [0.0, -1.0, 0.0, centre[2] + half[1]],
        [0.0, 0.0, 0.0, 1.0],
    ]);
    Grid::new(dims, affine.expect("a permutation can be inverted"))
}

/// Voxels of 1 mm along an extent.
fn axis_voxels(extent_mm: f64) -> usize {
    let (low, high) = AXIS_RANGE;
    let whole = (extent_mm + ALMOST_ONE_MM).floor().clamp(0.0, as_f64(high));
    let found = (MULTIPLE..high).step_by(MULTIPLE).find(|n| as_f64(*n) >= whole);
    found.unwrap_or(high).max(low)
}

/// Resamples the image to the network's grid by cubic B-spline interpolation. Zero outside the image.
///
/// # Errors
/// [`ConformError`] if the image has voxels that are not finite, or its affine is singular.
pub fn conform(head: &Volume<f32>) -> Result<Volume<f32>, ConformError> {
    let by_depth = conform_by_depth(head)?;
    Ok(Volume::new(reversed(by_depth.grid()), to_reversed(by_depth.as_slice(), by_depth.dims()))
        .expect("the grid has the same voxels"))
}

/// As [`conform`], but with the axes in reverse order: the last axis of the network's grid runs fastest in
/// memory, as the network requires.
pub(crate) fn conform_by_depth(head: &Volume<f32>) -> Result<Volume<f32>, ConformError> {
    let n_voxels = head.as_slice().par_iter().filter(|value| !value.is_finite()).count();
    if n_voxels > 0 {
        return Err(ConformError::NonFinite { n_voxels });
    }
    let grid = reversed(&conformed_grid(head.grid())?);
    let map = head.grid().affine().inverse()?.compose(grid.affine());
    let rows = [map.rows()[0], map.rows()[1], map.rows()[2]];
    let data = match driving_axes(&rows, grid.dims()) {
        Some(driver) => straight(head, &rows, grid.dims(), driver),
        None => resample_mapped(head.as_slice(), head.dims(), &rows, grid.dims(), Outside::Zero),
    };
    Ok(Volume::new(grid, data).expect("one value a voxel"))
}

/// For each image axis, the parallel axis of the network's grid. `None` if the image is rotated.
fn driving_axes(rows: &[[f64; 4]; 3], dims: [usize; 3]) -> Option<[usize; 3]> {
    let mut driver = [0; 3];
    for (axis, row) in rows.iter().enumerate() {
        let reach = [0, 1, 2].map(|out| row[out].abs() * as_f64(dims[out]));
        let longest = (0..3).max_by(|a, b| reach[*a].total_cmp(&reach[*b]))?;
        if (0..3).any(|out| out != longest && reach[out] > STRAIGHT_VOXELS) {
            return None;
        }
        driver[axis] = longest;
    }
    let all = (0..3).all(|out| driver.contains(&out));
    all.then_some(driver)
}

/// Interpolates axis by axis, then permutes the axes to the network's order.
fn straight(head: &Volume<f32>, rows: &[[f64; 4]; 3], dims: [usize; 3], driver: [usize; 3]) -> Vec<f32> {
    let plans = [0, 1, 2].map(|axis| {
        let (step, first) = (rows[axis][driver[axis]], rows[axis][3]);
        let coordinates = (0..dims[driver[axis]]).map(|i| step * as_f64(i) + first).collect();
        AxisPlan::sample(head.dims()[axis], coordinates, Outside::Zero)
    });
    let sampled = resample_separable(head.as_slice(), &plans);
    let n = driver.map(|out| dims[out]);
    let strides = [1, n[0], n[0] * n[1]];
    let stride_of = |out: usize| (0..3).find(|axis| driver[*axis] == out).map_or(0, |axis| strides[axis]);
    permute(&sampled, dims, [0, 1, 2].map(stride_of))
}

/// Values of a grid of `dims`, first axis fastest, with `strides` in `data`.
fn permute(data: &[f32], dims: [usize; 3], strides: [usize; 3]) -> Vec<f32> {
    let [n0, n1, _] = dims;
    let mut out = vec![0.0; dims.iter().product()];
    out.par_chunks_mut(n0 * n1).enumerate().for_each(|(k, plane)| {
        // Small tiles, so that both sides stay in cache for any fast axis.
        const SIDE: usize = 16;
        for first_j in (0..n1).step_by(SIDE) {
            for first_i in (0..n0).step_by(SIDE) {
                for j in first_j..(first_j + SIDE).min(n1) {
                    let row = k * strides[2] + j * strides[1];
                    for i in first_i..(first_i + SIDE).min(n0) {
                        plane[j * n0 + i] = data[row + i * strides[0]];
                    }
                }
            }
        }
    });
    out
}

/// The same voxels with the axes in reverse order.
pub(crate) fn reversed(grid: &Grid) -> Grid {
    let [i, j, k] = grid.dims();
    let rows = grid.affine().rows().map(|row| [row[2], row[1], row[0], row[3]]);
    let affine = Affine::new(rows).expect("reversing axes keeps the matrix invertible");
    Grid::new([k, j, i], affine).expect("as many voxels as before")
}

/// Values of a grid of `dims` in the order of the reversed grid.
fn to_reversed(data: &[f32], dims: [usize; 3]) -> Vec<f32> {
    let [n0, n1, n2] = dims;
    permute(data, [n2, n1, n0], [n0 * n1, n0, 1])
}

/// Scales intensities for the network: the minimum becomes zero, the 99th percentile becomes one, and
/// brighter values are clipped.
///
/// # Errors
/// [`ConformError::NoContrast`] if that percentile equals the minimum.
pub fn scale_intensities(values: &mut [f32]) -> Result<(), ConformError> {
    let minimum = values.par_iter().copied().reduce(|| f32::INFINITY, f32::min);
    let percentile = bright_percentile(values) - minimum;
    if !(percentile > 0.0 && percentile.is_finite()) {
        return Err(ConformError::NoContrast { percentile });
    }
    values.par_iter_mut().for_each(|value| *value = ((*value - minimum) / percentile).clamp(0.0, 1.0));
    Ok(())
}

#[expect(clippy::cast_possible_truncation, reason = "an order statistic of single-precision numbers")]
fn bright_percentile(values: &[f32]) -> f32 {
    percentiles(&mut values.to_vec(), &[BRIGHT_PERCENT]).first().copied().unwrap_or(f64::NAN) as f32
}

/// A count as a coordinate.
#[expect(clippy::cast_precision_loss, reason = "at most Grid::MAX_VOXELS")]
pub(crate) const fn as_f64(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(dims: [usize; 3], rows: [[f64; 4]; 3]) -> Grid {
        Grid::new(dims, Affine::new([rows[0], rows[1], rows[2], [0.0; 4]]).unwrap()).unwrap()
    }

    #[test]
    fn axes_are_multiples_of_64_in_range() {
        for (extent_mm, voxels) in
            [(0.0, 192), (192.0, 192), (192.0005, 192), (192.01, 256), (300.0, 320), (2000.0, 320)]
        {
            assert_eq!(axis_voxels(extent_mm), voxels, "{extent_mm}");
        }
    }

    #[test]
    fn the_centre_stays_and_the_axes_are_left_inferior_anterior() {
        let oblique =
            grid([100, 120, 90], [[0.1, -1.1, 0.3, 40.0], [1.0, 0.2, -0.1, -50.0], [0.0, 0.3, 2.0, 3.0]]);
        let target = conformed_grid(&oblique).unwrap();
        assert_eq!(brainreel_volume::Orientation::of(target.affine()).codes(), "LIA");
        let centre = |grid: &Grid| grid.affine().apply(grid.dims().map(|n| 0.5 * as_f64(n - 1)));
        for (a, b) in centre(&oblique).iter().zip(centre(&target)) {
            assert!((a - b).abs() < 1e-9);
        }
    }

    /// A head without any symmetry between axes or directions.
    fn lopsided(grid: Grid) -> Volume<f32> {
        let [ni, nj, nk] = grid.dims().map(as_f64);
        Volume::from_fn(grid, |[i, j, k]| {
            let (x, y, z) = (as_f64(i) / ni - 0.4, as_f64(j) / nj - 0.5, as_f64(k) / nk - 0.45);
            let r = (x * x * 5.0 + y * y * 7.0 + z * z * 9.0).sqrt();
            (100.0 * (-4.0 * r * r).exp() * (1.5 + x + 0.5 * y - 0.7 * z)) as f32
        })
    }

    #[test]
    fn straight_and_general_paths_agree_whatever_the_order_of_axes() {
        for rows in [
            [[1.1, 0.0, 0.0, -60.0], [0.0, 0.9, 0.0, -50.0], [0.0, 0.0, 1.3, -40.0]],
            [[0.0, 0.0, -1.1, 60.0], [-0.9, 0.0, 0.0, 50.0], [0.0, 1.3, 0.0, -40.0]],
            [[0.0, 1.1, 0.0, -60.0], [0.9, 0.0, 0.0, -50.0], [0.0, 0.0, 1.3, -40.0]],
        ] {
            let head = lopsided(grid([31, 27, 23], rows));
            let fast = conform_by_depth(&head).unwrap();
            let map = head.grid().affine().inverse().unwrap().compose(fast.grid().affine());
            let rows = [map.rows()[0], map.rows()[1], map.rows()[2]];
            assert!(driving_axes(&rows, fast.dims()).is_some());
            let slow = resample_mapped(head.as_slice(), head.dims(), &rows, fast.dims(), Outside::Zero);
            for (a, b) in fast.as_slice().iter().zip(&slow) {
                assert!((a - b).abs() < 1e-3, "{a} {b}");
            }
        }
    }

    #[test]
    fn values_stay_at_their_place_in_the_world() {
        let tilt = 0.3_f64;
        let (c, s) = (tilt.cos(), tilt.sin());
        let rows = [[-2.0 * c, 1.5 * s, 0.0, 30.0], [2.0 * s, 1.5 * c, 0.0, -25.0], [0.0, 0.0, 2.5, -20.0]];
        let grid = grid([31, 27, 23], rows);
        let smooth = |[x, y, z]: [f64; 3]| 100.0 + 30.0 * (0.11 * x).sin() + 2.0 * y - 0.9 * z;
        let head = Volume::from_fn(grid, |index| smooth(grid.affine().apply(index.map(as_f64))) as f32);
        let found = conform(&head).unwrap();
        let back = found.grid().affine().inverse().unwrap();
        for index in [[10, 12, 9], [15, 13, 11], [18, 9, 14]] {
            let at = back.apply(head.grid().affine().apply(index.map(as_f64))).map(|v| v.round() as usize);
            let want = smooth(found.grid().affine().apply(at.map(as_f64)));
            assert!((f64::from(*found.at(at)) - want).abs() < 0.5, "{} {want}", found.at(at));
        }
        assert!(found.at([0, 0, 0]).abs() < 1e-9, "nothing beyond the image");
    }

    #[test]
    fn intensities_are_scaled_to_one_at_the_99th_percentile() {
        let mut values: Vec<f32> = (0..=1000).map(|i| i as f32 - 5.0).collect();
        scale_intensities(&mut values).unwrap();
        assert!(
            values[0].abs() < 1e-7 && (values[990] - 1.0).abs() < 1e-6 && (values[495] - 0.5).abs() < 1e-6
        );
        assert!(values[1000] <= 1.0);
        let flat = scale_intensities(&mut [3.0; 50]);
        assert!(matches!(flat, Err(ConformError::NoContrast { .. })));
        let dims = grid([4, 4, 4], [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]);
        let holes = Volume::from_fn(dims, |[i, _, _]| if i == 2 { f32::NAN } else { 1.0 });
        assert_eq!(conform(&holes).unwrap_err(), ConformError::NonFinite { n_voxels: 16 });
    }
}
