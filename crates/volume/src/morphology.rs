//! Morphology of masks: components, holes, dilation and erosion in millimetres.

use brainreel_kernels as kernels;

use crate::{Mask, Volume};

/// The largest face-connected component. Ties go to the first. Empty for an empty mask.
#[must_use]
pub fn largest_component(mask: &Mask) -> Mask {
    Volume::from_parts(*mask.grid(), kernels::largest_component(mask.as_slice(), mask.dims()))
}

/// The mask with holes filled: adds all voxels that are not face-connected to the border of the volume.
#[must_use]
pub fn fill_holes(mask: &Mask) -> Mask {
    Volume::from_parts(*mask.grid(), kernels::fill_holes(mask.as_slice(), mask.dims()))
}

/// Distance of every voxel centre to the nearest voxel centre of the mask, in mm. Zero inside, infinite
/// everywhere if the mask is empty. A sheared grid is treated as orthogonal.
///
/// # Determinism
/// Bit-identical for any number of threads.
#[must_use]
pub fn distance_mm(mask: &Mask) -> Volume<f32> {
    let squared = kernels::squared_distance(mask.as_slice(), mask.dims(), mask.grid().spacing_mm());
    Volume::from_parts(*mask.grid(), squared.into_iter().map(f32::sqrt).collect())
}

/// Dilation: the voxels whose centre is at most `radius_mm` from the centre of a mask voxel.
#[must_use]
pub fn dilate(mask: &Mask, radius_mm: f64) -> Mask {
    distance_mm(mask).map(|&distance| f64::from(distance) <= radius_mm + SLACK_MM)
}

/// Erosion: the mask voxels whose centre is more than `radius_mm` from the centre of any voxel outside. The
/// region beyond the volume does not count as outside.
#[must_use]
pub fn erode(mask: &Mask, radius_mm: f64) -> Mask {
    distance_mm(&mask.map(|inside| !inside)).map(|&distance| f64::from(distance) > radius_mm + SLACK_MM)
}

/// Tolerance of distances, so that a radius of whole voxels includes whole voxels.
const SLACK_MM: f64 = 1e-4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Affine, Grid};

    fn ball(radius_mm: f64) -> Mask {
        let grid = Grid::new([41, 31, 21], Affine::from_diagonal([-0.5, 0.75, 1.0])).unwrap();
        Volume::from_fn(grid, |at| {
            let [x, y, z] = at.map(|i| i as f64);
            let [x, y, z] = [(x - 20.0) * 0.5, (y - 15.0) * 0.75, z - 10.0];
            (x * x + y * y + z * z).sqrt() <= radius_mm
        })
    }

    fn count(mask: &Mask) -> f64 {
        mask.as_slice().iter().filter(|&&inside| inside).count() as f64
    }

    #[test]
    fn radii_are_millimetres_on_every_axis() {
        let (small, large) = (ball(4.0), ball(7.0));
        let ratio = count(&dilate(&small, 3.0)) / count(&large);
        assert!((0.85..=1.0).contains(&ratio), "{ratio}"); // a ball of voxels grows a little less
        let ratio = count(&erode(&large, 3.0)) / count(&small);
        assert!((0.9..=1.1).contains(&ratio), "{ratio}");
        assert_eq!(dilate(&small, 0.0), small);
        assert_eq!(erode(&small, 0.0), small);
    }

    #[test]
    fn holes_and_crumbs() {
        let mut mask = ball(7.0);
        let whole = mask.clone();
        let inside = mask.grid().offset([20, 15, 10]);
        mask.as_mut_slice()[inside] = false;
        let corner = mask.grid().offset([0, 0, 0]);
        mask.as_mut_slice()[corner] = true;
        assert_eq!(fill_holes(&largest_component(&mask)), whole);
    }

    #[test]
    fn nothing_is_far_from_everything() {
        let none = ball(7.0).map(|_| false);
        assert_eq!(dilate(&none, 5.0), none);
        let all = none.map(|_| true);
        assert_eq!(erode(&all, 5.0), all);
    }
}
