//! Orientation of the voxel axes.

use std::fmt;

use crate::Affine;

/// For each voxel axis: the closest world axis (0 left-right, 1 posterior-anterior, 2 inferior-superior) and
/// whether the direction is reversed.
///
/// Displayed as axis codes: the letter of the side that an axis points to, `RAS` when canonical.
///
/// # Reference
/// `nibabel.orientations.io_orientation` (5.x).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orientation {
    axes: [WorldAxis; 3],
}

/// World direction of a voxel axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WorldAxis {
    /// 0 right, 1 anterior, 2 superior.
    pub(crate) world: usize,
    /// Whether the voxel axis points to the left, posterior or inferior.
    pub(crate) flipped: bool,
}

/// Tolerance for equal entries of a rotation. At exactly 45 degrees the lower axis wins, regardless of
/// rounding.
const TIE: f64 = 1e-12;

impl Orientation {
    /// The orientation of a grid. The rotation closest to the affine's linear part (polar decomposition after
    /// removing the voxel sizes) pairs voxel axes with world axes by its largest entries. The best aligned
    /// voxel axis chooses first.
    #[must_use]
    pub fn of(affine: &Affine) -> Self {
        let rotation = closest_rotation(affine);
        let mut order = [0, 1, 2];
        let strength = |axis: usize| (0..3).fold(0.0_f64, |max, row| max.max(rotation[row][axis].abs()));
        // Stable insertion of three: an axis moves forward only past clearly weaker ones.
        for last in 1..3 {
            for at in (1..=last).rev() {
                if strength(order[at]) > strength(order[at - 1]) + TIE {
                    order.swap(at, at - 1);
                }
            }
        }
        let mut free = [true; 3];
        let mut axes = [WorldAxis { world: 0, flipped: false }; 3];
        for axis in order {
            let world = (0..3).filter(|&row| free[row]).fold(None, |best: Option<usize>, row| match best {
                Some(best) if rotation[row][axis].abs() <= rotation[best][axis].abs() + TIE => Some(best),
                _ => Some(row),
            });
            let world = world.unwrap_or(axis);
            free[world] = false;
            axes[axis] = WorldAxis { world, flipped: rotation[world][axis] < 0.0 };
        }
        Self { axes }
    }

    pub(crate) const fn axes(&self) -> [WorldAxis; 3] {
        self.axes
    }

    /// Whether the axes are already right, anterior, superior.
    #[must_use]
    pub fn is_canonical(&self) -> bool {
        (0..3).all(|axis| self.axes[axis] == WorldAxis { world: axis, flipped: false })
    }

    /// The axis codes, such as `RAS` or `LPI`.
    #[must_use]
    pub fn codes(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Orientation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for WorldAxis { world, flipped } in self.axes {
            formatter.write_str([["R", "L"], ["A", "P"], ["S", "I"]][world][usize::from(flipped)])?;
        }
        Ok(())
    }
}

type Matrix = [[f64; 3]; 3];

/// The orthogonal factor of the polar decomposition of the affine's directions, by Newton's
/// iteration (Higham 1986, doi:10.1137/0907079); the same as `U V^T` of the singular value
/// decomposition, also for a left-handed matrix.
fn closest_rotation(affine: &Affine) -> Matrix {
    let spacing = affine.spacing_mm();
    let mut x: Matrix = [0, 1, 2].map(|row| [0, 1, 2].map(|axis| affine.column(axis)[row] / spacing[axis]));
    for _ in 0..100 {
        let (inverse_transpose, change_bound) = (inverse_transpose(&x), 1e-15);
        let mut change = 0.0_f64;
        for row in 0..3 {
            for axis in 0..3 {
                let next = 0.5 * (x[row][axis] + inverse_transpose[row][axis]);
                change = change.max((next - x[row][axis]).abs());
                x[row][axis] = next;
            }
        }
        if change <= change_bound {
            break;
        }
    }
    x
}

fn inverse_transpose(m: &Matrix) -> Matrix {
    let cofactor = |row: usize, column: usize| {
        let (r1, r2) = ((row + 1) % 3, (row + 2) % 3);
        let (c1, c2) = ((column + 1) % 3, (column + 2) % 3);
        m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]
    };
    let determinant: f64 = (0..3).map(|column| m[0][column] * cofactor(0, column)).sum();
    [0, 1, 2].map(|row| [0, 1, 2].map(|column| cofactor(row, column) / determinant))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(rows: [[f64; 3]; 3]) -> String {
        let affine = rows.map(|r| [r[0], r[1], r[2], 0.0]);
        let affine = Affine::new([affine[0], affine[1], affine[2], [0.0, 0.0, 0.0, 1.0]]).unwrap();
        Orientation::of(&affine).codes()
    }

    #[test]
    fn axis_codes_of_scanner_orientations() {
        assert_eq!(codes([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), "RAS");
        assert_eq!(codes([[-1.0, 0.0, 0.0], [0.0, -0.9, 0.0], [0.0, 0.0, -2.0]]), "LPI");
        // A sagittal series: columns run posterior, rows inferior, slices left to right.
        assert_eq!(codes([[0.0, 0.0, 1.2], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), "PIR");
        // Left-handed and slightly oblique.
        assert_eq!(codes([[-0.99, 0.1, 0.0], [0.1, 0.98, 0.2], [0.0, -0.2, 1.2]]), "LAS");
    }

    #[test]
    fn exact_ties_go_to_the_lower_axis_whatever_the_rounding() {
        for noise in [-1e-15, 0.0, 1e-15] {
            let s = 0.5_f64.sqrt();
            assert_eq!(codes([[s + noise, -s, 0.0], [s, s - noise, 0.0], [0.0, 0.0, 1.0]]), "RAS");
        }
    }
}
