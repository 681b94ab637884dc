//! Boxes of voxels: bounding box, padding, crop and uncrop.

use serde::{Deserialize, Serialize};

use crate::grid::as_f64;
use crate::{Affine, Grid, Mask, Volume};

/// A non-empty box of voxels. `start` is inclusive, `end` is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundingBox {
    start: [usize; 3],
    end: [usize; 3],
}

/// Errors of a box.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CropError {
    /// The box is empty.
    #[error("box {start:?} to {end:?} is empty, expected the end beyond the start on every axis")]
    Empty {
        /// First voxel.
        start: [usize; 3],
        /// End, exclusive.
        end: [usize; 3],
    },
    /// The box extends beyond the volume.
    #[error("box ends at {end:?}, outside a volume of {dims:?} voxels")]
    Outside {
        /// End, exclusive.
        end: [usize; 3],
        /// Dimensions of the volume.
        dims: [usize; 3],
    },
    /// A crop does not have the dimensions of its box.
    #[error("a piece of {got:?} voxels does not fit a box of {expected:?}")]
    Piece {
        /// Dimensions of the crop.
        got: [usize; 3],
        /// Dimensions of the box.
        expected: [usize; 3],
    },
}

impl BoundingBox {
    /// Creates a box from `start` (inclusive) to `end` (exclusive).
    ///
    /// # Errors
    /// [`CropError::Empty`] if it contains no voxel.
    pub fn new(start: [usize; 3], end: [usize; 3]) -> Result<Self, CropError> {
        if (0..3).all(|axis| start[axis] < end[axis]) {
            Ok(Self { start, end })
        } else {
            Err(CropError::Empty { start, end })
        }
    }

    /// The first voxel.
    #[must_use]
    pub const fn start(&self) -> [usize; 3] {
        self.start
    }

    /// End, exclusive.
    #[must_use]
    pub const fn end(&self) -> [usize; 3] {
        self.end
    }

    /// Voxels along each axis.
    #[must_use]
    pub fn dims(&self) -> [usize; 3] {
        [0, 1, 2].map(|axis| self.end[axis].saturating_sub(self.start[axis]))
    }

    /// The box padded by `padding` voxels on every side, clamped to a volume of `dims`.
    #[must_use]
    pub fn padded(&self, padding: usize, dims: [usize; 3]) -> Self {
        Self {
            start: self.start.map(|first| first.saturating_sub(padding)),
            end: [0, 1, 2].map(|axis| self.end[axis].saturating_add(padding).min(dims[axis])),
        }
    }

    /// The part of `grid` inside the box.
    ///
    /// # Errors
    /// [`CropError`] if the box is empty or not inside the grid.
    pub fn grid_within(&self, grid: &Grid) -> Result<Grid, CropError> {
        Self::new(self.start, self.end)?;
        let dims = grid.dims();
        if (0..3).any(|axis| self.end[axis] > dims[axis]) {
            return Err(CropError::Outside { end: self.end, dims });
        }
        let affine = grid.affine().compose(&Affine::translation_by(self.start.map(as_f64)));
        Ok(Grid::from_parts(self.dims(), affine))
    }

    /// Offsets of the rows of the box in the data of a grid.
    fn row_starts(self, grid: Grid) -> impl Iterator<Item = usize> {
        let [x, _, _] = self.start;
        (self.start[2]..self.end[2])
            .flat_map(move |k| (self.start[1]..self.end[1]).map(move |j| grid.offset([x, j, k])))
    }
}

/// The bounding box of voxels brighter than `threshold`. `None` if there are none.
#[must_use]
pub fn foreground_box(volume: &Volume<f32>, threshold: f64) -> Option<BoundingBox> {
    box_where(volume, |&value| f64::from(value) > threshold)
}

/// The bounding box of a mask. `None` if it is empty.
#[must_use]
pub fn mask_box(mask: &Mask) -> Option<BoundingBox> {
    box_where(mask, |&inside| inside)
}

fn box_where<T>(volume: &Volume<T>, inside: impl Fn(&T) -> bool) -> Option<BoundingBox> {
    let [nx, ny, _] = volume.dims();
    let (mut start, mut end) = ([usize::MAX; 3], [0; 3]);
    for (row_idx, row) in volume.as_slice().chunks_exact(nx).enumerate() {
        let Some(first) = row.iter().position(&inside) else { continue };
        let last = row.iter().rposition(&inside).unwrap_or(first);
        let (j, k) = (row_idx % ny, row_idx / ny);
        for (axis, (low, high)) in [(first, last), (j, j), (k, k)].into_iter().enumerate() {
            start[axis] = start[axis].min(low);
            end[axis] = end[axis].max(high + 1);
        }
    }
    BoundingBox::new(start, end).ok()
}

/// Crops the volume to the box. World positions are preserved.
///
/// # Errors
/// [`CropError`] if the box is empty or not inside the volume.
pub fn crop<T: Copy>(volume: &Volume<T>, region: &BoundingBox) -> Result<Volume<T>, CropError> {
    let grid = region.grid_within(volume.grid())?;
    let width = region.dims()[0];
    let mut data = Vec::with_capacity(grid.n_voxels());
    for start in region.row_starts(*volume.grid()) {
        data.extend_from_slice(&volume.as_slice()[start..start + width]);
    }
    Ok(Volume::from_parts(grid, data))
}

/// Inserts the result of [`crop`] into a volume on `grid`, with `fill` around it.
///
/// # Errors
/// [`CropError`] if the box is not inside the grid or the crop does not have the size of the box.
pub fn pad<T: Copy>(
    piece: &Volume<T>,
    region: &BoundingBox,
    grid: &Grid,
    fill: T,
) -> Result<Volume<T>, CropError> {
    region.grid_within(grid)?;
    let (got, expected) = (piece.dims(), region.dims());
    if got != expected {
        return Err(CropError::Piece { got, expected });
    }
    let mut data = vec![fill; grid.n_voxels()];
    for (start, row) in region.row_starts(*grid).zip(piece.as_slice().chunks_exact(got[0])) {
        data[start..start + got[0]].copy_from_slice(row);
    }
    Ok(Volume::from_parts(*grid, data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grid(dims: [usize; 3]) -> Grid {
        let affine =
            Affine::new([[-0.9, 0.1, 0.0, 4.0], [0.1, 1.2, 0.3, 5.0], [0.0, 0.2, 2.0, 6.0], [0.0; 4]]);
        Grid::new(dims, affine.unwrap()).unwrap()
    }

    fn any_box() -> impl Strategy<Value = ([usize; 3], BoundingBox)> {
        let axis = (1_usize..9)
            .prop_flat_map(|n| (Just(n), 0..n).prop_flat_map(|(n, a)| (Just(n), Just(a), a + 1..=n)));
        [axis.clone(), axis.clone(), axis].prop_map(|axes| {
            let region = BoundingBox::new(axes.map(|a| a.1), axes.map(|a| a.2)).unwrap();
            (axes.map(|a| a.0), region)
        })
    }

    proptest! {
        #[test]
        fn crop_then_pad_keeps_the_inside_and_fills_the_outside((dims, region) in any_box()) {
            let volume = Volume::from_fn(grid(dims), |[i, j, k]| 1 + i + 10 * j + 100 * k);
            let piece = crop(&volume, &region).unwrap();
            let back = pad(&piece, &region, volume.grid(), 0).unwrap();
            let inside = |index: [usize; 3]| {
                (0..3).all(|axis| (region.start()[axis]..region.end()[axis]).contains(&index[axis]))
            };
            let expected = Volume::from_fn(*volume.grid(), |at| if inside(at) { *volume.at(at) } else { 0 });
            prop_assert_eq!(&back, &expected);
            prop_assert_eq!(crop(&back, &region).unwrap(), piece);
        }

        #[test]
        fn foreground_box_finds_the_filled_box((dims, region) in any_box()) {
            let piece = Volume::from_fn(region.grid_within(&grid(dims)).unwrap(), |_| 2.0_f32);
            let volume = pad(&piece, &region, &grid(dims), 1.0).unwrap();
            prop_assert_eq!(foreground_box(&volume, 1.0), Some(region));
            prop_assert_eq!(mask_box(&volume.map(|&v| v > 1.0)), Some(region));
            prop_assert_eq!(foreground_box(&volume, 2.0), None);
            let grown = region.padded(2, dims);
            for (axis, &n) in dims.iter().enumerate() {
                prop_assert_eq!(grown.start()[axis], region.start()[axis].saturating_sub(2));
                prop_assert_eq!(grown.end()[axis], (region.end()[axis] + 2).min(n));
            }
        }
    }

    #[test]
    fn cropped_voxels_stay_in_place() {
        let volume = Volume::from_fn(grid([5, 6, 7]), |index| index);
        let piece = crop(&volume, &BoundingBox::new([1, 2, 3], [4, 4, 7]).unwrap()).unwrap();
        assert_eq!(piece.dims(), [3, 2, 4]);
        let (is, was) = (piece.grid().affine(), volume.grid().affine());
        assert_eq!(*piece.at([2, 1, 0]), [3, 3, 3]);
        let (a, b) = (is.apply([2.0, 1.0, 0.0]), was.apply([3.0, 3.0, 3.0]));
        assert!((0..3).all(|row| (a[row] - b[row]).abs() < 1e-12));
    }

    #[test]
    fn boxes_outside_are_refused() {
        let volume = Volume::from_fn(grid([5, 6, 7]), |_| 0_u8);
        let region = BoundingBox::new([0, 0, 0], [5, 6, 8]).unwrap();
        assert!(matches!(crop(&volume, &region), Err(CropError::Outside { .. })));
        assert!(BoundingBox::new([1, 0, 0], [1, 6, 8]).is_err());
        let region = BoundingBox::new([0, 0, 0], [5, 6, 6]).unwrap();
        assert!(matches!(pad(&volume, &region, volume.grid(), 0), Err(CropError::Piece { .. })));
    }
}
