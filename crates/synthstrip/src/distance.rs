//! Resamples the distance map to the head's own grid.

use brainreel_volume::{AffineError, Grid, Volume};
use rayon::prelude::*;

use crate::conform::as_f64;

/// Distance outside the network's field of view, in mm: far from any brain.
pub(crate) const BEYOND_MM: f32 = 100.0;
/// Tolerance for points outside by rounding, in voxels.
const SLACK_VOXELS: f64 = 1e-6;

/// Resamples distances to another grid by trilinear interpolation. 100 mm beyond the outermost voxel centres.
///
/// # Errors
/// [`AffineError`] if the affine of the distances is singular.
///
/// # Determinism
/// Bit-identical for any number of threads.
pub fn resample_distance(distance: &Volume<f32>, grid: &Grid) -> Result<Volume<f32>, AffineError> {
    let map = distance.grid().affine().inverse()?.compose(grid.affine());
    let rows = [map.rows()[0], map.rows()[1], map.rows()[2]];
    let [n0, n1, _] = grid.dims();
    let mut out = vec![BEYOND_MM; grid.n_voxels()];
    out.par_chunks_mut(n0).enumerate().for_each(|(line, values)| {
        let (j, k) = (as_f64(line % n1), as_f64(line / n1));
        let start = rows.map(|row| row[1] * j + row[2] * k + row[3]);
        for (i, value) in values.iter_mut().enumerate() {
            let point = [0, 1, 2].map(|axis| rows[axis][0] * as_f64(i) + start[axis]);
            if let Some(found) = sample(distance, point) {
                *value = found;
            }
        }
    });
    Ok(Volume::new(*grid, out).expect("one value a voxel"))
}

/// Trilinear interpolation. `None` outside.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a point inside of the grid")]
fn sample(volume: &Volume<f32>, point: [f64; 3]) -> Option<f32> {
    let dims = volume.dims();
    let mut low = [0; 3];
    let mut share = [0.0_f32; 3];
    for axis in 0..3 {
        let last = as_f64(dims[axis] - 1);
        if !(-SLACK_VOXELS..=last + SLACK_VOXELS).contains(&point[axis]) {
            return None;
        }
        let inside = point[axis].clamp(0.0, last);
        low[axis] = (inside as usize).min(dims[axis].saturating_sub(2));
        share[axis] = (inside - as_f64(low[axis])) as f32;
    }
    let step = [1, dims[0], dims[0] * dims[1]].map(|step| step);
    let next = [0, 1, 2].map(|axis| if dims[axis] > 1 { step[axis] } else { 0 });
    let data = volume.as_slice();
    let at = volume.grid().offset(low);
    let along = |at: usize| data[at] + share[0] * (data[at + next[0]] - data[at]);
    let across = |at: usize| {
        let (a, b) = (along(at), along(at + next[1]));
        a + share[1] * (b - a)
    };
    let (a, b) = (across(at), across(at + next[2]));
    Some(a + share[2] * (b - a))
}

#[cfg(test)]
mod tests {
    use super::*;
    use brainreel_volume::Affine;

    #[test]
    fn linear_distances_stay_linear_and_beyond_is_far() {
        let affine = [[-1.0, 0.0, 0.0, 9.0], [0.0, 0.0, 1.0, -4.0], [0.0, -1.0, 0.0, 6.0], [0.0; 4]];
        let grid = Grid::new([12, 9, 10], Affine::new(affine).unwrap()).unwrap();
        let plane = |[x, y, z]: [f64; 3]| 2.0 + 0.5 * x - 0.25 * y + 0.125 * z;
        let distance = Volume::from_fn(grid, |index| plane(grid.affine().apply(index.map(as_f64))) as f32);
        let (c, s) = (0.4_f64.cos(), 0.4_f64.sin());
        let oblique = [[0.7 * c, -s, 0.0, 2.0], [0.7 * s, c, 0.0, -2.0], [0.0, 0.0, 1.3, -1.0], [0.0; 4]];
        let target = Grid::new([9, 8, 7], Affine::new(oblique).unwrap()).unwrap();
        let found = resample_distance(&distance, &target).unwrap();
        let back = grid.affine().inverse().unwrap();
        let (mut n_inside, mut n_outside) = (0, 0);
        for k in 0..7 {
            for j in 0..8 {
                for i in 0..9 {
                    let world = target.affine().apply([i, j, k].map(as_f64));
                    let voxel = back.apply(world);
                    let inside = (0..3).all(|a| (0.0..=as_f64(grid.dims()[a] - 1)).contains(&voxel[a]));
                    let want = if inside { plane(world) as f32 } else { BEYOND_MM };
                    assert!((found.at([i, j, k]) - want).abs() < 1e-4);
                    *(if inside { &mut n_inside } else { &mut n_outside }) += 1;
                }
            }
        }
        assert!(n_inside > 50 && n_outside > 50, "{n_inside} {n_outside}");
    }

    #[test]
    fn a_single_plane_is_a_volume() {
        let grid = Grid::new([3, 1, 2], Affine::IDENTITY).unwrap();
        let distance = Volume::from_fn(grid, |[i, _, k]| (i + 10 * k) as f32);
        assert_eq!(resample_distance(&distance, &grid).unwrap(), distance);
    }
}
