//! Zooms a volume to given dimensions.

use brainreel_kernels::{AxisPlan, resample_separable};

use crate::grid::as_f64;
use crate::{Affine, Grid, GridError, Volume};

/// Why a volume cannot be zoomed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ZoomError {
    /// An axis of one voxel cannot be enlarged.
    #[error("axis {axis} has one voxel and cannot be stretched to {target}, expected at least two")]
    OneVoxel {
        /// The axis, 0 to 2.
        axis: usize,
        /// The requested number of voxels.
        target: usize,
    },
    /// The requested dimensions are invalid.
    #[error(transparent)]
    Grid(#[from] GridError),
}

/// Resamples each axis to `target` voxels by cubic B-spline interpolation. The first and last voxel of an
/// axis keep their world positions.
///
/// An axis reduced to one voxel keeps its first voxel and its spacing.
///
/// # Errors
/// [`ZoomError`] if an axis of one voxel would be enlarged, or `target` is not a valid size.
///
/// # Reference
/// `scipy.ndimage.zoom(order=3)` with its defaults (`mode="constant"`, `grid_mode=False`): prefilter
/// with mirrored boundary, output index `i` at input coordinate `i * (size - 1) / (target - 1)`. At
/// sizes where rounding puts its last coordinate beyond the image, scipy's last plane is zero; ours is
/// the image's.
pub fn zoom(volume: &Volume<f32>, target: [usize; 3]) -> Result<Volume<f32>, ZoomError> {
    let dims = volume.dims();
    if let Some(axis) = (0..3).find(|&axis| dims[axis] == 1 && target[axis] > 1) {
        return Err(ZoomError::OneVoxel { axis, target: target[axis] });
    }
    let step = [0, 1, 2].map(|axis| match target[axis] {
        0 | 1 => 1.0,
        n => as_f64(dims[axis] - 1) / as_f64(n - 1),
    });
    let grid = Grid::new(target, volume.grid().affine().compose(&Affine::from_diagonal(step)))?;
    let plans = [0, 1, 2].map(|axis| AxisPlan::stretch(dims[axis], target[axis]));
    Ok(Volume::from_parts(grid, resample_separable(volume.as_slice(), &plans)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(dims: [usize; 3]) -> Volume<f32> {
        let affine =
            Affine::new([[0.9, 0.1, 0.0, -4.0], [-0.1, 1.2, 0.0, 5.0], [0.0, 0.0, -2.0, 6.0], [0.0; 4]]);
        Volume::from_fn(Grid::new(dims, affine.unwrap()).unwrap(), |[i, j, k]| (i * i + 3 * j + 7 * k) as f32)
    }

    #[test]
    fn corners_keep_value_and_world_position() {
        let source = volume([7, 9, 11]);
        let zoomed = zoom(&source, [5, 12, 8]).unwrap();
        for corner in 0..8_usize {
            let pick = |dims: [usize; 3]| [0, 1, 2].map(|axis| (corner >> axis & 1) * (dims[axis] - 1));
            let (old, new) = (pick(source.dims()), pick(zoomed.dims()));
            assert!((source.at(old) - zoomed.at(new)).abs() < 1e-4, "{old:?} {new:?}");
            let was = source.grid().affine().apply(old.map(as_f64));
            let is = zoomed.grid().affine().apply(new.map(as_f64));
            assert!((0..3).all(|row| (was[row] - is[row]).abs() < 1e-12), "{was:?} {is:?}");
        }
    }

    #[test]
    fn own_size_is_identity_and_single_voxels_have_rules() {
        let source = volume([4, 3, 5]);
        assert_eq!(zoom(&source, [4, 3, 5]).unwrap(), source);
        let flat = zoom(&source, [1, 3, 5]).unwrap();
        assert!((flat.at([0, 2, 4]) - source.at([0, 2, 4])).abs() < 1e-5);
        assert!(matches!(zoom(&source, [4, 0, 5]), Err(ZoomError::Grid(_))));
        assert!(matches!(
            zoom(&volume([4, 1, 5]), [4, 2, 5]),
            Err(ZoomError::OneVoxel { axis: 1, target: 2 })
        ));
    }
}
