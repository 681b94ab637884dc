//! Flips and quarter turns, without interpolation.

use brainreel_volume::Volume;
use rayon::prelude::*;

use crate::{AugmentError, Axis};

/// Mirrors the image along an axis. The grid does not change.
pub(crate) fn flip(volume: &mut Volume<f32>, axis: Axis) {
    let [nx, ny, _] = volume.dims();
    let voxels = volume.as_mut_slice();
    match axis {
        Axis::X => voxels.par_chunks_mut(nx).for_each(<[f32]>::reverse),
        Axis::Y => voxels.par_chunks_mut(nx * ny).for_each(|slice| reverse_rows(slice, nx)),
        Axis::Z => reverse_rows(voxels, nx * ny),
    }
}

/// Reverses the order of rows of `length` values.
fn reverse_rows(values: &mut [f32], length: usize) {
    let n_rows = values.len() / length;
    let (front, back) = values.split_at_mut(n_rows / 2 * length);
    front
        .par_chunks_mut(length)
        .zip(back.par_chunks_mut(length).rev())
        .for_each(|(first, last)| first.swap_with_slice(last));
}

/// Rotates a cube by `quarters` times 90 degrees about an axis through its centre, counter-clockwise seen
/// from the positive end of the axis, like a positive angle of the affine transform.
pub(crate) fn rotate90(volume: &mut Volume<f32>, axis: Axis, quarters: u8) -> Result<(), AugmentError> {
    let dims @ [n, ..] = volume.dims();
    if dims != [n; 3] {
        return Err(AugmentError::NotACube { dims });
    }
    let from = volume.as_slice().to_vec();
    let (a, b) = axis.others();
    volume.as_mut_slice().par_chunks_mut(n * n).enumerate().for_each(|(k, slice)| {
        for (j, row) in slice.chunks_mut(n).enumerate() {
            for (i, value) in row.iter_mut().enumerate() {
                let mut index = [i, j, k];
                for _ in 0..quarters % 4 {
                    (index[a], index[b]) = (index[b], n - 1 - index[a]);
                }
                *value = from[index[0] + n * (index[1] + n * index[2])];
            }
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use brainreel_volume::{Affine, Grid};

    use super::*;

    fn image(dims: [usize; 3]) -> Volume<f32> {
        let grid = Grid::new(dims, Affine::IDENTITY).unwrap();
        Volume::from_fn(grid, |[i, j, k]| (100 * i + 10 * j + k) as f32)
    }

    #[test]
    fn flips_mirror_one_axis() {
        for (axis, place) in [(Axis::X, [4, 1, 2]), (Axis::Y, [0, 2, 2]), (Axis::Z, [0, 1, 0])] {
            let mut flipped = image([5, 4, 3]);
            flip(&mut flipped, axis);
            assert_eq!(flipped.at([0, 1, 2]).to_bits(), image([5, 4, 3]).at(place).to_bits(), "{axis:?}");
            flip(&mut flipped, axis);
            assert_eq!(flipped, image([5, 4, 3]));
        }
    }

    #[test]
    fn quarter_turns_add_up() {
        for axis in Axis::ALL {
            let mut turned = image([4, 4, 4]);
            rotate90(&mut turned, axis, 1).unwrap();
            assert_ne!(turned, image([4, 4, 4]));
            rotate90(&mut turned, axis, 3).unwrap();
            assert_eq!(turned, image([4, 4, 4]), "{axis:?}");
        }
        assert!(rotate90(&mut image([4, 4, 3]), Axis::X, 1).is_err());
    }

    #[test]
    fn a_turn_about_z_takes_right_to_front() {
        let mut volume = image([5, 5, 5]);
        rotate90(&mut volume, Axis::Z, 1).unwrap();
        assert_eq!(volume.at([2, 4, 3]).to_bits(), image([5, 5, 5]).at([4, 2, 3]).to_bits());
    }
}
