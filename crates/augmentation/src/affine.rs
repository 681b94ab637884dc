//! Rotation and scaling about the image's centre, with linear interpolation.

use brainreel_volume::{Affine, AffineError, Grid, Volume};
use rayon::prelude::*;

/// Scales and rotates the image content in world millimetres. The grid does not change. Unknown voxels get
/// the minimum of the image.
///
/// # Units
/// `degrees` about the world's axes, counter-clockwise; scales above 1 make things larger.
///
/// # Reference
/// TorchIO's `Affine` with `center="image"` and `default_pad_value="minimum"`: a point is first
/// rotated about y, then x, then z, and then scaled.
pub(crate) fn transform(
    volume: &mut Volume<f32>,
    scales: [f64; 3],
    degrees: [f64; 3],
) -> Result<(), AffineError> {
    let map = source_of_voxel(volume.grid(), scales, degrees)?;
    let from = volume.as_slice().to_vec();
    let padding = from.par_iter().copied().reduce(|| f32::INFINITY, f32::min);
    let dims @ [nx, ny, _] = volume.dims();
    volume.as_mut_slice().par_chunks_mut(nx).enumerate().for_each(|(row, out)| {
        let start = map.apply([0.0, (row % ny) as f64, (row / ny) as f64]);
        let step = map.column(0);
        for (i, value) in out.iter_mut().enumerate() {
            let point = [0, 1, 2].map(|axis| start[axis] + i as f64 * step[axis]);
            *value = sample(&from, dims, point).unwrap_or(padding);
        }
    });
    Ok(())
}

/// Maps a voxel of the result to its position in the image.
fn source_of_voxel(grid: &Grid, scales: [f64; 3], degrees: [f64; 3]) -> Result<Affine, AffineError> {
    let middle = grid.dims().map(|n| (n as f64 - 1.0) / 2.0);
    let centre = grid.affine().apply(middle);
    let [rx, ry, rz] = [0, 1, 2].map(|axis| rotation(axis, degrees[axis]));
    let about_centre = Affine::from_diagonal(scales).compose(&rz.compose(&rx).compose(&ry)).inverse()?;
    let world = Affine::translation_by(centre)
        .compose(&about_centre)
        .compose(&Affine::translation_by(centre.map(|c| -c)));
    Ok(grid.affine().inverse()?.compose(&world).compose(grid.affine()))
}

/// Rotation about one axis.
fn rotation(axis: usize, degrees: f64) -> Affine {
    let angle = degrees.to_radians();
    let (sine, cosine) = (libm::sin(angle), libm::cos(angle));
    let mut rows = *Affine::IDENTITY.rows();
    let (a, b) = ((axis + 1) % 3, (axis + 2) % 3);
    (rows[a][a], rows[a][b], rows[b][a], rows[b][b]) = (cosine, -sine, sine, cosine);
    Affine::new(rows).unwrap_or(Affine::IDENTITY)
}

/// Linear interpolation. Up to half a voxel beyond the outermost centres their values are extended; further
/// out the result is `None`.
#[expect(clippy::cast_possible_truncation, reason = "voxels are single precision, indices inside the grid")]
#[expect(clippy::cast_sign_loss, reason = "clamped to the grid")]
fn sample(from: &[f32], [nx, ny, nz]: [usize; 3], point: [f64; 3]) -> Option<f32> {
    let mut low = [0; 3];
    let mut high = [0; 3];
    let mut weight = [0.0; 3];
    for (axis, n) in [nx, ny, nz].into_iter().enumerate() {
        if !(point[axis] >= -0.5 && point[axis] < n as f64 - 0.5) {
            return None;
        }
        let inside = point[axis].clamp(0.0, n as f64 - 1.0);
        low[axis] = inside as usize;
        high[axis] = (low[axis] + 1).min(n - 1);
        weight[axis] = inside - low[axis] as f64;
    }
    let along_x = |y: usize, z: usize| {
        let row = nx * (y + ny * z);
        let (a, b) = (f64::from(from[row + low[0]]), f64::from(from[row + high[0]]));
        a + weight[0] * (b - a)
    };
    let along_y = |z: usize| {
        let (a, b) = (along_x(low[1], z), along_x(high[1], z));
        a + weight[1] * (b - a)
    };
    let (a, b) = (along_y(low[2]), along_y(high[2]));
    Some((a + weight[2] * (b - a)) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Axis;
    use crate::turn::rotate90;

    fn image(affine: Affine) -> Volume<f32> {
        let grid = Grid::new([6, 6, 6], affine).unwrap();
        Volume::from_fn(grid, |[i, j, k]| (i * i + 3 * j + 7 * k * j) as f32)
    }

    #[test]
    fn nothing_asked_nothing_changed() {
        let before = image(Affine::from_diagonal([1.0, 1.5, 0.75]));
        let mut same = before.clone();
        transform(&mut same, [1.0; 3], [0.0; 3]).unwrap();
        let worst = same.as_slice().iter().zip(before.as_slice()).map(|(a, b)| (a - b).abs());
        assert!(worst.fold(0.0, f32::max) < 1e-4);
    }

    #[test]
    fn ninety_degrees_are_a_quarter_turn() {
        for (idx, axis) in Axis::ALL.into_iter().enumerate() {
            let (mut turned, mut rotated) = (image(Affine::IDENTITY), image(Affine::IDENTITY));
            rotate90(&mut turned, axis, 1).unwrap();
            let mut degrees = [0.0; 3];
            degrees[idx] = 90.0;
            transform(&mut rotated, [1.0; 3], degrees).unwrap();
            for (a, b) in turned.as_slice().iter().zip(rotated.as_slice()) {
                assert!((a - b).abs() < 1e-4, "{axis:?}: {a} {b}");
            }
        }
    }

    #[test]
    fn shrinking_pads_with_the_minimum() {
        let mut small = image(Affine::IDENTITY).map(|v| v - 5.0);
        transform(&mut small, [0.5; 3], [0.0; 3]).unwrap();
        assert!((small.at([0, 0, 0]) + 5.0).abs() < 1e-6);
    }
}
