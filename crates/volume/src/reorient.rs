//! Axis permutation and flips, without interpolation.

use crate::{Affine, Grid, Orientation, Volume};

/// Permutes and flips the axes so that they are as close as possible to right, anterior, superior. World
/// positions are preserved.
///
/// # Reference
/// `nibabel.as_closest_canonical`, including oblique and left-handed affines.
#[must_use]
pub fn to_closest_canonical<T: Copy>(volume: &Volume<T>) -> Volume<T> {
    let orientation = Orientation::of(volume.grid().affine());
    if orientation.is_canonical() {
        return volume.clone();
    }
    let (source, flipped) = to_canonical(&orientation);
    reorder(volume, source, flipped)
}

/// Reverses [`to_closest_canonical`] for a volume on the grid `original`.
///
/// # Panics
/// If the volume does not have the dimensions of a reoriented volume on `original`.
#[must_use]
pub fn from_closest_canonical<T: Copy>(canonical: &Volume<T>, original: &Grid) -> Volume<T> {
    let (source, flipped) = to_canonical(&Orientation::of(original.affine()));
    assert_eq!(canonical.dims(), source.map(|axis| original.dims()[axis]), "not a volume of that grid");
    let back = [0, 1, 2].map(|axis| (0..3).find(|&to| source[to] == axis).unwrap_or(axis));
    let data = reorder(canonical, back, back.map(|axis| flipped[axis])).into_vec();
    Volume::from_parts(*original, data)
}

/// The input axis that becomes axis 0, 1, 2 of the output, and whether it is reversed.
fn to_canonical(orientation: &Orientation) -> ([usize; 3], [bool; 3]) {
    let axes = orientation.axes();
    let source = [0, 1, 2].map(|world| (0..3).find(|&axis| axes[axis].world == world).unwrap_or(world));
    (source, source.map(|axis| axes[axis].flipped))
}

/// Output axis `a` is input axis `source[a]`, reversed if `flipped[a]`.
fn reorder<T: Copy>(volume: &Volume<T>, source: [usize; 3], flipped: [bool; 3]) -> Volume<T> {
    let in_dims = volume.dims();
    let dims = source.map(|axis| in_dims[axis]);
    let in_strides = [1, in_dims[0], in_dims[0] * in_dims[1]];
    let strides = source.map(|axis| in_strides[axis]);
    let line = |axis: usize, i: usize| if flipped[axis] { dims[axis] - 1 - i } else { i } * strides[axis];
    let data = volume.as_slice();
    let mut out = Vec::with_capacity(data.len());
    for k in 0..dims[2] {
        for j in 0..dims[1] {
            let start = line(1, j) + line(2, k);
            out.extend((0..dims[0]).map(|i| data[start + line(0, i)]));
        }
    }
    let grid = reordered_grid(volume.grid(), source, flipped);
    Volume::from_parts(grid, out)
}

fn reordered_grid(grid: &Grid, source: [usize; 3], flipped: [bool; 3]) -> Grid {
    let in_dims = grid.dims();
    let mut rows = [[0.0; 4]; 4]; // output voxel to input voxel
    for (axis, &from) in source.iter().enumerate() {
        rows[from][axis] = if flipped[axis] { -1.0 } else { 1.0 };
        rows[from][3] = if flipped[axis] { crate::grid::as_f64(in_dims[from] - 1) } else { 0.0 };
    }
    rows[3][3] = 1.0;
    let affine = grid.affine().compose(&Affine::from_rows(rows));
    Grid::from_parts(source.map(|axis| in_dims[axis]), affine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shuffled(source: [usize; 3], flipped: [bool; 3], oblique: f64) -> Volume<u32> {
        let (c, s) = (oblique.cos(), oblique.sin());
        let affine =
            Affine::new([[0.9 * c, -s, 0.0, -30.0], [0.9 * s, c, 0.0, 12.5], [0.0, 0.0, 1.3, 7.0], [0.0; 4]]);
        let grid = Grid::new([5, 3, 7], affine.unwrap()).unwrap();
        let volume = Volume::from_fn(grid, |[i, j, k]| (i + 10 * j + 100 * k) as u32);
        reorder(&volume, source, flipped)
    }

    proptest! {
        #[test]
        fn any_permutation_and_flip_comes_back(
            order in Just([0, 1, 2]).prop_shuffle(),
            flipped in any::<[bool; 3]>(),
            oblique in -0.6..0.6,
        ) {
            let volume = shuffled(order, flipped, oblique);
            let canonical = to_closest_canonical(&volume);
            prop_assert_eq!(Orientation::of(canonical.grid().affine()).codes(), "RAS");
            prop_assert_eq!(from_closest_canonical(&canonical, volume.grid()), volume);
            let expected = shuffled([0, 1, 2], [false; 3], oblique);
            prop_assert_eq!(canonical.as_slice(), expected.as_slice());
            for (row, want) in canonical.grid().affine().rows().iter().zip(expected.grid().affine().rows()) {
                for (got, want) in row.iter().zip(want) {
                    prop_assert!((got - want).abs() < 1e-12);
                }
            }
        }
    }

    #[test]
    fn values_stay_at_their_world_position() {
        let volume = shuffled([2, 0, 1], [true, false, true], 0.3);
        let canonical = to_closest_canonical(&volume);
        let back = volume.grid().affine().inverse().unwrap();
        for index in [[0, 0, 0], [4, 2, 6], [1, 2, 3]] {
            let world = canonical.grid().affine().apply(index.map(crate::grid::as_f64));
            let source = back.apply(world).map(|x| x.round() as usize);
            assert_eq!(canonical.at(index), volume.at(source));
        }
    }
}
