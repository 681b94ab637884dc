//! Interpolation onto other grids: cubic B-spline, zero outside the field of view.

use brainreel_kernels::{AxisPlan, Outside, resample_mapped, resample_separable};

use crate::grid::as_f64;
use crate::{Affine, AffineError, Grid, GridError, Volume};

/// Spacings closer than this are equal and their axis is not resampled. Over 256 voxels the drift is below
/// 0.003 voxel, and the affine keeps the true spacing, so world positions do not change.
const SAME_SPACING_MM: f64 = 1e-5;

/// Tolerance when counting the voxels that cover the field of view, so that rounding adds no empty plane.
const COUNT_SLACK_VOXELS: f64 = 1e-6;

/// Why a volume cannot be resampled.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ResampleError {
    /// The requested spacing is not a valid length.
    #[error("spacing {spacing_mm:?} mm is not usable, expected positive finite lengths")]
    Spacing {
        /// The requested spacing.
        spacing_mm: [f64; 3],
    },
    /// The requested spacing is so small that the volume would be too large.
    #[error(
        "resampling {dims:?} voxels of {from_mm:?} mm to {to_mm:?} mm would give more than {} voxels",
        Grid::MAX_VOXELS
    )]
    TooLarge {
        /// Dimensions of the volume.
        dims: [usize; 3],
        /// Its spacing.
        from_mm: [f64; 3],
        /// The requested spacing.
        to_mm: [f64; 3],
        /// The cause.
        #[source]
        source: GridError,
    },
    /// The volume's affine is singular.
    #[error(transparent)]
    Affine(#[from] AffineError),
}

/// Resamples to a voxel spacing along the volume's own axes, by cubic B-spline interpolation.
///
/// The axis directions and the centre of voxel `[0, 0, 0]` are preserved. Each axis of `n` voxels gets the
/// `ceil((n - 1) * spacing / new spacing) + 1` voxels that cover the centres of all input voxels. Values
/// beyond the centre of the last input voxel (by more than rounding, 1e-4 voxel) are zero. For an
/// axis-aligned affine this equals `nibabel.processing.resample_to_output(order=3)`. For an oblique affine
/// nibabel would also rotate the image to the world axes; this function keeps the scanner's grid. An axis
/// whose spacing is right within 1e-5 mm is unchanged.
///
/// # Units
/// `spacing_mm` in millimetres, for the volume's axes in order.
///
/// # Errors
/// [`ResampleError::Spacing`] and [`ResampleError::TooLarge`].
pub fn resample_to_spacing(volume: &Volume<f32>, spacing_mm: [f64; 3]) -> Result<Volume<f32>, ResampleError> {
    if !spacing_mm.iter().all(|mm| mm.is_finite() && *mm > 0.0) {
        return Err(ResampleError::Spacing { spacing_mm });
    }
    let (dims, from_mm) = (volume.dims(), volume.grid().spacing_mm());
    let ratio = [0, 1, 2].map(|axis| step_voxels(from_mm[axis], spacing_mm[axis]));
    let out_dims = [0, 1, 2].map(|axis| match ratio[axis] {
        None => dims[axis],
        Some(step) => to_count((as_f64(dims[axis] - 1) / step - COUNT_SLACK_VOXELS).ceil().max(0.0)) + 1,
    });
    let affine =
        volume.grid().affine().compose(&Affine::from_diagonal(ratio.map(|step| step.unwrap_or(1.0))));
    let grid = Grid::new(out_dims, affine).map_err(|source| ResampleError::TooLarge {
        dims,
        from_mm,
        to_mm: spacing_mm,
        source,
    })?;
    let plans = [0, 1, 2].map(|axis| match ratio[axis] {
        None => AxisPlan::keep(dims[axis]),
        Some(step) => {
            let coordinates = (0..out_dims[axis]).map(|i| as_f64(i) * step).collect();
            AxisPlan::sample(dims[axis], coordinates, Outside::Zero)
        }
    });
    Ok(Volume::from_parts(grid, resample_separable(volume.as_slice(), &plans)))
}

/// Resamples to any grid, including rotated ones, by cubic B-spline interpolation. Zero outside the field of
/// view.
///
/// # Errors
/// [`ResampleError::Affine`] if the volume's affine is singular.
pub fn resample_onto(volume: &Volume<f32>, grid: &Grid) -> Result<Volume<f32>, ResampleError> {
    let map = volume.grid().affine().inverse()?.compose(grid.affine());
    let rows = map.rows();
    let data = resample_mapped(
        volume.as_slice(),
        volume.dims(),
        &[rows[0], rows[1], rows[2]],
        grid.dims(),
        Outside::Zero,
    );
    Ok(Volume::from_parts(*grid, data))
}

/// New spacing in old voxels. `None` if they are equal.
fn step_voxels(from_mm: f64, to_mm: f64) -> Option<f64> {
    ((from_mm - to_mm).abs() > SAME_SPACING_MM).then_some(to_mm / from_mm)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative; saturates, then refused"
)]
const fn to_count(count: f64) -> usize {
    let count = count as usize;
    if count > Grid::MAX_VOXELS { Grid::MAX_VOXELS } else { count }
}

#[cfg(test)]
mod tests {
    use super::*;
    use brainreel_testkit::{Tolerance, assert_close};

    /// An L shape, which has no mirror symmetry.
    fn l_shape(dims: [usize; 3], affine: Affine) -> Volume<f32> {
        Volume::from_fn(Grid::new(dims, affine).unwrap(), |[i, j, k]| {
            let inside = k > 1 && (i < 3 || (j < 4 && i < 8));
            if inside { 100.0 + 3.0 * k as f32 } else { 5.0 }
        })
    }

    fn oblique() -> Affine {
        Affine::new([[-0.88, 0.1, 0.0, 40.0], [0.1, 1.1, 0.2, -50.0], [0.0, -0.2, 1.9, 11.0], [0.0; 4]])
            .unwrap()
    }

    #[test]
    fn own_grid_is_identity() {
        let volume = l_shape([11, 9, 7], oblique());
        let spacing = volume.grid().spacing_mm();
        assert_eq!(resample_to_spacing(&volume, spacing).unwrap(), volume);
        let onto = resample_onto(&volume, volume.grid()).unwrap();
        let expected: Vec<f64> = volume.as_slice().iter().map(|&v| v.into()).collect();
        assert_close(onto.as_slice(), &expected, Tolerance::relative(1e-6));
    }

    #[test]
    fn spacing_directions_and_first_voxel_are_as_promised() {
        let volume = l_shape([11, 9, 7], oblique());
        let out = resample_to_spacing(&volume, [1.0, 0.7, 1.3]).unwrap();
        for (axis, mm) in [1.0, 0.7, 1.3].into_iter().enumerate() {
            assert!((out.grid().spacing_mm()[axis] - mm).abs() < 1e-12);
            let (new, old) = (out.grid().affine().column(axis), volume.grid().affine().column(axis));
            let old_mm = volume.grid().spacing_mm()[axis];
            for row in 0..3 {
                assert!((new[row] / mm - old[row] / old_mm).abs() < 1e-12);
            }
        }
        let origins = [&out, &volume].map(|v| v.grid().affine().translation().map(f64::to_bits));
        assert_eq!(origins[0], origins[1]);
        let onto = resample_onto(&volume, out.grid()).unwrap();
        let expected: Vec<f64> = onto.as_slice().iter().map(|&v| v.into()).collect();
        assert_close(out.as_slice(), &expected, Tolerance::relative(1e-5));
    }

    #[test]
    fn count_covers_all_centres_without_an_empty_plane() {
        let volume = l_shape([166, 3, 2], Affine::from_diagonal([1.2, 1.0, 1.0]));
        // (166 - 1) * 1.2 = 198 exactly, up to rounding.
        let out = resample_to_spacing(&volume, [1.0; 3]).unwrap();
        assert_eq!(out.dims(), [199, 3, 2]);
        assert!((out.at([198, 0, 0]) - volume.at([165, 0, 0])).abs() < 1e-3);
        let slab = l_shape([1, 3, 2], Affine::from_diagonal([5.0, 1.0, 1.0]));
        assert_eq!(resample_to_spacing(&slab, [1.0; 3]).unwrap().dims(), [1, 3, 2]);
    }

    #[test]
    fn unusable_spacings_are_refused() {
        let volume = l_shape([11, 9, 7], oblique());
        for mm in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(
                resample_to_spacing(&volume, [1.0, mm, 1.0]),
                Err(ResampleError::Spacing { .. })
            ));
        }
        let tiny = resample_to_spacing(&volume, [1e-30; 3]);
        assert!(matches!(tiny, Err(ResampleError::TooLarge { .. })));
    }
}
