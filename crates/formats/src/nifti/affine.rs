//! Affines from header fields and back.

use std::path::Path;

use brainreel_volume::{Affine, AffineError};

use super::NiftiError;

/// Header fields that define the affine.
pub(super) struct Geometry {
    pub(super) dims: [usize; 3],
    pub(super) qfac: f64,
    pub(super) spacing: [f64; 3],
    pub(super) quaternion: [f64; 3],
    pub(super) quaternion_threshold: f64,
    pub(super) offset: [f64; 3],
    pub(super) sform: [[f64; 4]; 3],
    pub(super) qform_code: i32,
    pub(super) sform_code: i32,
}

/// An error in the geometry, before the file name is attached.
pub(super) enum Fault {
    /// The quaternion is longer than 1.
    Quaternion([f64; 3]),
    /// The matrix cannot be inverted.
    Matrix(&'static str, Box<AffineError>),
}

impl Fault {
    pub(super) fn at(self, path: &Path) -> NiftiError {
        match self {
            Self::Quaternion(bcd) => NiftiError::Header {
                path: path.to_owned(),
                field: "quatern_b,c,d",
                found: format!("{bcd:?}"),
                expected: "a vector of length 1 at most",
            },
            Self::Matrix(kind, source) => NiftiError::Affine { path: path.to_owned(), kind, source },
        }
    }
}

/// Origin label of an affine without a transform in the header.
pub(super) const BY_VOXEL_SIZE: &str = "voxel size";

/// The affine that nibabel's `get_best_affine` selects, and its origin in words.
pub(super) fn best(geometry: &Geometry) -> Result<(Affine, &'static str), Fault> {
    let (rows, kind) = if geometry.sform_code != 0 {
        (geometry.sform, "sform")
    } else if geometry.qform_code != 0 {
        (qform(geometry)?, "qform")
    } else {
        (base(geometry), BY_VOXEL_SIZE)
    };
    let affine = Affine::new([rows[0], rows[1], rows[2], [0.0, 0.0, 0.0, 1.0]])
        .map_err(|source| Fault::Matrix(kind, Box::new(source)))?;
    Ok((affine, kind))
}

/// Voxel sizes only: x flipped, world origin at the centre of the volume.
fn base(geometry: &Geometry) -> [[f64; 4]; 3] {
    let [x, y, z] = geometry.spacing;
    let zooms = [-x, y, z];
    let mut rows = [[0.0; 4]; 3];
    for (axis, row) in rows.iter_mut().enumerate() {
        row[axis] = zooms[axis];
        row[3] = -(geometry.dims[axis] as f64 - 1.0) / 2.0 * zooms[axis];
    }
    rows
}

fn qform(geometry: &Geometry) -> Result<[[f64; 4]; 3], Fault> {
    let [b, c, d] = geometry.quaternion;
    let a_squared = 1.0 - (b * b + c * c + d * d);
    let a = if a_squared.abs() < geometry.quaternion_threshold {
        0.0
    } else if a_squared > 0.0 {
        a_squared.sqrt()
    } else {
        // NaN takes this branch too.
        return Err(Fault::Quaternion(geometry.quaternion));
    };
    let rotation = rotation_of([a, b, c, d]);
    let [x, y, z] = geometry.spacing;
    let zooms = [x, y, z * geometry.qfac];
    Ok([0, 1, 2].map(|row| {
        let r = rotation[row];
        [r[0] * zooms[0], r[1] * zooms[1], r[2] * zooms[2], geometry.offset[row]]
    }))
}

fn rotation_of([w, x, y, z]: [f64; 4]) -> [[f64; 3]; 3] {
    let norm = w * w + x * x + y * y + z * z;
    let s = 2.0 / norm;
    let (xs, ys, zs) = (x * s, y * s, z * s);
    [
        [1.0 - (y * ys + z * zs), x * ys - w * zs, x * zs + w * ys],
        [x * ys + w * zs, 1.0 - (x * xs + z * zs), y * zs - w * xs],
        [x * zs - w * ys, y * zs + w * xs, 1.0 - (x * xs + y * ys)],
    ]
}

/// The qform fields closest to an affine: rotation, voxel sizes and flip.
pub(super) struct Qform {
    pub(super) qfac: f64,
    pub(super) quaternion: [f64; 3],
}

/// Decomposes the linear part into voxel sizes, handedness and the nearest rotation. Shear is lost, as the
/// format requires.
pub(super) fn to_qform(affine: &Affine) -> Qform {
    let spacing = affine.spacing_mm();
    let qfac = if affine.determinant() < 0.0 { -1.0 } else { 1.0 };
    let signs = [1.0, 1.0, qfac];
    let rows = affine.rows();
    let unit = [0, 1, 2].map(|row| [0, 1, 2].map(|axis| rows[row][axis] / spacing[axis] * signs[axis]));
    let [a, b, c, d] = quaternion_of(&nearest_rotation(unit));
    let sign = if a < 0.0 { -1.0 } else { 1.0 };
    Qform { qfac, quaternion: [b * sign, c * sign, d * sign] }
}

/// Newton's iteration for the orthogonal polar factor; `matrix` has a positive determinant.
fn nearest_rotation(mut matrix: [[f64; 3]; 3]) -> [[f64; 3]; 3] {
    for _ in 0..50 {
        let cofactors = cofactors(&matrix);
        let determinant: f64 = (0..3).map(|axis| matrix[0][axis] * cofactors[0][axis]).sum();
        if determinant <= 0.0 || !determinant.is_finite() {
            break;
        }
        let mut change = 0.0_f64;
        for (row, cofactor_row) in matrix.iter_mut().zip(&cofactors) {
            for (value, cofactor) in row.iter_mut().zip(cofactor_row) {
                // The cofactor matrix divided by the determinant is the transposed inverse.
                let next = f64::midpoint(*value, cofactor / determinant);
                change = change.max((next - *value).abs());
                *value = next;
            }
        }
        if change < 1e-15 {
            break;
        }
    }
    matrix
}

fn cofactors(m: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    [0, 1, 2].map(|row: usize| {
        let (r1, r2) = ((row + 1) % 3, (row + 2) % 3);
        [0, 1, 2].map(|column: usize| {
            let (c1, c2) = ((column + 1) % 3, (column + 2) % 3);
            m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]
        })
    })
}

/// Shepperd's method: divides by the largest component, so no rotation is near a division by zero.
fn quaternion_of(r: &[[f64; 3]; 3]) -> [f64; 4] {
    let trace = r[0][0] + r[1][1] + r[2][2];
    let candidates = [trace, r[0][0], r[1][1], r[2][2]];
    let largest = (0..4).max_by(|&i, &j| candidates[i].total_cmp(&candidates[j])).unwrap_or(0);
    let q = match largest {
        0 => [1.0 + trace, r[2][1] - r[1][2], r[0][2] - r[2][0], r[1][0] - r[0][1]],
        1 => [r[2][1] - r[1][2], 1.0 + 2.0 * r[0][0] - trace, r[0][1] + r[1][0], r[0][2] + r[2][0]],
        2 => [r[0][2] - r[2][0], r[0][1] + r[1][0], 1.0 + 2.0 * r[1][1] - trace, r[1][2] + r[2][1]],
        _ => [r[1][0] - r[0][1], r[0][2] + r[2][0], r[1][2] + r[2][1], 1.0 + 2.0 * r[2][2] - trace],
    };
    let norm = q.iter().map(|v| v * v).sum::<f64>().sqrt();
    q.map(|v| v / norm)
}
