//! Volumes: one value per voxel.

use crate::Grid;

/// Values on a [`Grid`], first axis fastest.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume<T> {
    grid: Grid,
    data: Vec<T>,
}

/// A boolean volume.
pub type Mask = Volume<bool>;

/// Errors of creating a volume.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VolumeError {
    /// The number of values differs from the number of voxels.
    #[error("{got} values for a grid of {dims:?} voxels, expected {expected}")]
    Length {
        /// Values given.
        got: usize,
        /// Voxels in the grid.
        expected: usize,
        /// The grid's dimensions.
        dims: [usize; 3],
    },
}

impl<T> Volume<T> {
    /// Pairs a grid with its values.
    ///
    /// # Errors
    /// [`VolumeError::Length`] if the number of values differs from the number of voxels.
    pub fn new(grid: Grid, data: Vec<T>) -> Result<Self, VolumeError> {
        if data.len() == grid.n_voxels() {
            Ok(Self { grid, data })
        } else {
            Err(VolumeError::Length { got: data.len(), expected: grid.n_voxels(), dims: grid.dims() })
        }
    }

    /// Creates a volume from values known to match the grid.
    pub(crate) const fn from_parts(grid: Grid, data: Vec<T>) -> Self {
        Self { grid, data }
    }

    /// Creates a volume whose value at `[i, j, k]` is `value([i, j, k])`.
    pub fn from_fn(grid: Grid, mut value: impl FnMut([usize; 3]) -> T) -> Self {
        let [ni, nj, nk] = grid.dims();
        let indices = (0..nk).flat_map(|k| (0..nj).flat_map(move |j| (0..ni).map(move |i| [i, j, k])));
        Self { grid, data: indices.map(&mut value).collect() }
    }

    /// The grid.
    #[must_use]
    pub const fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Number of voxels along each axis.
    #[must_use]
    pub const fn dims(&self) -> [usize; 3] {
        self.grid.dims()
    }

    /// The values, first axis fastest.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        &self.data
    }

    /// The values, mutable.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// The values, without the grid.
    #[must_use]
    pub fn into_vec(self) -> Vec<T> {
        self.data
    }

    /// The value at `[i, j, k]`.
    ///
    /// # Panics
    /// If the index is outside the grid.
    #[must_use]
    pub fn at(&self, index: [usize; 3]) -> &T {
        let dims = self.dims();
        assert!((0..3).all(|axis| index[axis] < dims[axis]), "voxel {index:?} outside {dims:?}");
        &self.data[self.grid.offset(index)]
    }

    /// Applies `f` to every value.
    #[must_use]
    pub fn map<U>(&self, f: impl FnMut(&T) -> U) -> Volume<U> {
        Volume { grid: self.grid, data: self.data.iter().map(f).collect() }
    }
}
