//! 4x4 voxel-to-world transforms in `f64`.

use serde::{Deserialize, Serialize};

/// A 4x4 homogeneous transform, row major, last row `0 0 0 1`.
///
/// As a grid's affine it maps voxel indices `[i, j, k]` to RAS+ millimetres.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Affine([[f64; 4]; 4]);

/// Errors of an affine matrix.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AffineError {
    /// The linear part is singular.
    #[error("affine {matrix:?} is singular or not finite, so voxels have no place in the world")]
    Singular {
        /// The offending matrix.
        matrix: Box<[[f64; 4]; 4]>,
    },
}

impl Affine {
    /// The identity.
    pub const IDENTITY: Self = Self::from_diagonal([1.0, 1.0, 1.0]);

    /// Checks that the matrix is finite and invertible and that its last row is `0 0 0 1`.
    ///
    /// # Errors
    /// [`AffineError::Singular`] otherwise.
    pub fn new(matrix: [[f64; 4]; 4]) -> Result<Self, AffineError> {
        let affine = Self([matrix[0], matrix[1], matrix[2], [0.0, 0.0, 0.0, 1.0]]);
        affine.inverse().map(|_| affine)
    }

    /// Scaling along the axes, without translation. Entries must be non-zero.
    #[must_use]
    pub const fn from_diagonal(d: [f64; 3]) -> Self {
        Self([[d[0], 0.0, 0.0, 0.0], [0.0, d[1], 0.0, 0.0], [0.0, 0.0, d[2], 0.0], [0.0, 0.0, 0.0, 1.0]])
    }

    /// A shift by `offset`.
    #[must_use]
    pub const fn translation_by(offset: [f64; 3]) -> Self {
        let mut affine = Self::IDENTITY;
        affine.0[0][3] = offset[0];
        affine.0[1][3] = offset[1];
        affine.0[2][3] = offset[2];
        affine
    }

    /// Creates an affine from a matrix known to be valid.
    pub(crate) const fn from_rows(rows: [[f64; 4]; 4]) -> Self {
        Self(rows)
    }

    /// The rows of the matrix.
    #[must_use]
    pub const fn rows(&self) -> &[[f64; 4]; 4] {
        &self.0
    }

    /// Column `axis` of the linear part: the step in mm to the next voxel along that axis.
    #[must_use]
    pub fn column(&self, axis: usize) -> [f64; 3] {
        [self.0[0][axis], self.0[1][axis], self.0[2][axis]]
    }

    /// The world position of voxel `[0, 0, 0]`, in mm.
    #[must_use]
    pub fn translation(&self) -> [f64; 3] {
        self.column(3)
    }

    /// Lengths of the three columns: the voxel size in mm.
    #[must_use]
    pub fn spacing_mm(&self) -> [f64; 3] {
        [0, 1, 2].map(|axis| self.column(axis).iter().map(|v| v * v).sum::<f64>().sqrt())
    }

    /// Maps a point (voxel indices to mm, for a grid's affine).
    #[must_use]
    pub fn apply(&self, point: [f64; 3]) -> [f64; 3] {
        [0, 1, 2].map(|row| {
            let r = &self.0[row];
            r[0] * point[0] + r[1] * point[1] + r[2] * point[2] + r[3]
        })
    }

    /// `self` after `first`: `self.compose(first).apply(p) == self.apply(first.apply(p))`.
    #[must_use]
    pub fn compose(&self, first: &Self) -> Self {
        let mut out = [[0.0; 4]; 4];
        for (row, out_row) in out.iter_mut().enumerate() {
            for (column, value) in out_row.iter_mut().enumerate() {
                *value = (0..4).map(|k| self.0[row][k] * first.0[k][column]).sum();
            }
        }
        Self(out)
    }

    /// Determinant of the linear part; negative for a left-handed grid.
    #[must_use]
    pub fn determinant(&self) -> f64 {
        let m = &self.0;
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
            + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
    }

    /// The inverse transform.
    ///
    /// # Errors
    /// [`AffineError::Singular`] if the columns are not finite, or are linearly dependent relative to their
    /// lengths.
    pub fn inverse(&self) -> Result<Self, AffineError> {
        let m = &self.0;
        let determinant = self.determinant();
        let volume: f64 = self.spacing_mm().iter().product();
        let finite = m.iter().flatten().all(|v| v.is_finite());
        if !finite || volume <= 0.0 || (determinant / volume).abs() < 1e-9 {
            return Err(AffineError::Singular { matrix: Box::new(self.0) });
        }
        let mut inverse = [[0.0; 4]; 4];
        for (row, values) in inverse.iter_mut().enumerate().take(3) {
            for (column, value) in values.iter_mut().enumerate().take(3) {
                let (r1, r2) = ((column + 1) % 3, (column + 2) % 3);
                let (c1, c2) = ((row + 1) % 3, (row + 2) % 3);
                *value = (m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]) / determinant;
            }
        }
        for row in inverse.iter_mut().take(3) {
            row[3] = -(row[0] * m[0][3] + row[1] * m[1][3] + row[2] * m[2][3]);
        }
        inverse[3][3] = 1.0;
        Ok(Self(inverse))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oblique() -> Affine {
        Affine::new([
            [0.9, 0.1, -0.2, -70.0],
            [-0.1, 1.1, 0.05, -90.5],
            [0.2, -0.05, 1.2, 33.25],
            [0.0, 0.0, 0.0, 1.0],
        ])
        .unwrap()
    }

    #[test]
    fn inverse_undoes_an_oblique_affine() {
        let affine = oblique();
        let back = affine.inverse().unwrap();
        for point in [[0.0, 0.0, 0.0], [3.0, -5.0, 11.0], [120.0, 7.5, 0.25]] {
            let round_trip = back.apply(affine.apply(point));
            for axis in 0..3 {
                assert!((round_trip[axis] - point[axis]).abs() < 1e-11, "{round_trip:?} != {point:?}");
            }
        }
    }

    #[test]
    fn singular_and_non_finite_matrices_are_refused() {
        let mut rows = *oblique().rows();
        rows[2] = rows[1];
        assert!(Affine::new(rows).is_err());
        rows[2] = [f64::NAN, 0.0, 0.0, 0.0];
        assert!(Affine::new(rows).is_err());
        assert!(Affine::new([[0.0; 4]; 4]).is_err());
    }
}
