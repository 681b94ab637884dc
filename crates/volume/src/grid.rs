//! Voxel grids in world space.

use serde::{Deserialize, Serialize};

use crate::Affine;

/// Dimensions in voxels and the affine from voxel indices to RAS+ mm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    dims: [usize; 3],
    affine: Affine,
}

/// Errors of grid dimensions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GridError {
    /// An axis has no voxels, or there are more than [`Grid::MAX_VOXELS`].
    #[error("dimensions {dims:?} are outside 1..={} voxels in all", Grid::MAX_VOXELS)]
    Dims {
        /// The requested dimensions.
        dims: [usize; 3],
    },
}

impl Grid {
    /// Upper bound on the number of voxels, 1024^3. No scanner comes close, and it bounds the allocation for
    /// a hostile header.
    pub const MAX_VOXELS: usize = 1 << 30;

    /// Creates a grid of `dims` voxels.
    ///
    /// # Errors
    /// [`GridError::Dims`] if an axis is empty or there are too many voxels.
    pub fn new(dims: [usize; 3], affine: Affine) -> Result<Self, GridError> {
        let n_voxels = dims.iter().try_fold(1_usize, |product, &n| product.checked_mul(n));
        match n_voxels {
            Some(1..=Self::MAX_VOXELS) => Ok(Self { dims, affine }),
            _ => Err(GridError::Dims { dims }),
        }
    }

    /// Creates a grid from values known to be valid.
    pub(crate) const fn from_parts(dims: [usize; 3], affine: Affine) -> Self {
        Self { dims, affine }
    }

    /// Number of voxels along each axis.
    #[must_use]
    pub const fn dims(&self) -> [usize; 3] {
        self.dims
    }

    /// Voxel indices to RAS+ mm.
    #[must_use]
    pub const fn affine(&self) -> &Affine {
        &self.affine
    }

    /// Total number of voxels.
    #[must_use]
    pub const fn n_voxels(&self) -> usize {
        self.dims[0] * self.dims[1] * self.dims[2]
    }

    /// Voxel size in mm.
    #[must_use]
    pub fn spacing_mm(&self) -> [f64; 3] {
        self.affine.spacing_mm()
    }

    /// Index of voxel `[i, j, k]` in the data, first axis fastest.
    #[must_use]
    pub const fn offset(&self, index: [usize; 3]) -> usize {
        index[0] + self.dims[0] * (index[1] + self.dims[1] * index[2])
    }
}

/// A voxel index or count as a coordinate; exact, as grids are below 2^30 voxels.
#[expect(clippy::cast_precision_loss, reason = "at most Grid::MAX_VOXELS")]
pub(crate) const fn as_f64(i: usize) -> f64 {
    i as f64
}
