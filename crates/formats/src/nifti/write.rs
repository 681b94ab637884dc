//! Writes NIfTI-1, or NIfTI-2 if an axis is too long.

use std::path::Path;

use brainreel_volume::Volume;
use rayon::prelude::*;

use super::header::rows;
use super::{NiftiElement, NiftiError, affine, gzip};

/// Voxels encoded per task.
const PIECE: usize = 1 << 17;

/// Options for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteOptions {
    /// Compression level of `.nii.gz`, 0 (none) to 9 (smallest). Above the default of 3, head images take
    /// much more time for little reduction.
    pub level: u32,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self { level: 3 }
    }
}

/// Writes a volume in its own number type with sform and qform (code 1, scanner), `.gz` by extension.
///
/// # Determinism
/// The same volume gives the same bytes, for any number of threads.
///
/// # Errors
/// [`NiftiError::Write`] names the path; [`NiftiError::Header`] if the name is not `.nii` or `.nii.gz`.
pub fn write<T: NiftiElement>(path: &Path, volume: &Volume<T>) -> Result<(), NiftiError> {
    write_with(path, volume, WriteOptions::default())
}

/// Like [`write()`], with options.
///
/// # Errors
/// As [`write()`].
pub fn write_with<T: NiftiElement>(
    path: &Path,
    volume: &Volume<T>,
    options: WriteOptions,
) -> Result<(), NiftiError> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let compressed = name.ends_with(".nii.gz");
    if !compressed && !name.ends_with(".nii") {
        return Err(NiftiError::NotNifti {
            path: path.to_owned(),
            found: format!("the output name ends in {:?}", path.extension().unwrap_or_default()),
        });
    }
    let bytes = to_bytes(volume);
    brainreel_artifact::write_atomic_with(path, |output| {
        if compressed { gzip::write(output, &bytes, options.level) } else { output.write_all(&bytes) }
    })?;
    Ok(())
}

fn to_bytes<T: NiftiElement>(volume: &Volume<T>) -> Vec<u8> {
    let mut bytes = header_bytes(volume);
    let data = volume.as_slice();
    bytes.reserve_exact(size_of_val(data));
    if data.len() <= PIECE {
        T::extend_le_bytes(data, &mut bytes);
        return bytes;
    }
    let pieces: Vec<Vec<u8>> = data
        .par_chunks(PIECE)
        .map(|piece| {
            let mut out = Vec::with_capacity(size_of_val(piece));
            T::extend_le_bytes(piece, &mut out);
            out
        })
        .collect();
    for piece in pieces {
        bytes.extend_from_slice(&piece);
    }
    bytes
}

/// A header under construction.
struct Bytes(Vec<u8>);

impl Bytes {
    fn put<const N: usize>(&mut self, offset: usize, field: [u8; N]) {
        self.0[offset..offset + N].copy_from_slice(&field);
    }

    fn put_f32(&mut self, offset: usize, values: &[f64]) {
        for (idx, &value) in values.iter().enumerate() {
            self.put(offset + 4 * idx, (value as f32).to_le_bytes());
        }
    }

    fn put_f64(&mut self, offset: usize, values: &[f64]) {
        for (idx, &value) in values.iter().enumerate() {
            self.put(offset + 8 * idx, value.to_le_bytes());
        }
    }
}

/// Header and the four bytes that say "no extension".
fn header_bytes<T: NiftiElement>(volume: &Volume<T>) -> Vec<u8> {
    let dims = volume.dims();
    if dims.iter().all(|&n| i16::try_from(n).is_ok()) { version_one(volume) } else { version_two(volume) }
}

/// `pixdim`: qfac, the three voxel sizes, then ones.
fn pixdim<T>(volume: &Volume<T>, qfac: f64) -> [f64; 8] {
    let [x, y, z] = volume.grid().spacing_mm();
    [qfac, x, y, z, 1.0, 1.0, 1.0, 1.0]
}

fn version_one<T: NiftiElement>(volume: &Volume<T>) -> Vec<u8> {
    let affine = volume.grid().affine();
    let qform = affine::to_qform(affine);
    let mut header = Bytes(vec![0; 352]);
    header.put(0, 348_i32.to_le_bytes());
    header.put(38, *b"r");
    header.put(40, 3_i16.to_le_bytes());
    for (axis, n) in volume.dims().into_iter().chain([1; 4]).enumerate() {
        header.put(42 + 2 * axis, (n as i16).to_le_bytes());
    }
    header.put(70, T::DATA_TYPE.code().to_le_bytes());
    header.put(72, (8 * T::DATA_TYPE.width() as i16).to_le_bytes());
    header.put_f32(76, &pixdim(volume, qform.qfac));
    header.put_f32(108, &[352.0, 1.0, 0.0]);
    header.put(123, [2]); // mm
    header.put(252, 1_i16.to_le_bytes());
    header.put(254, 1_i16.to_le_bytes());
    header.put_f32(256, &qform.quaternion);
    header.put_f32(268, &affine.translation());
    header.put_f32(280, rows(affine).as_flattened());
    header.put(344, *b"n+1\0");
    header.0
}

fn version_two<T: NiftiElement>(volume: &Volume<T>) -> Vec<u8> {
    let affine = volume.grid().affine();
    let qform = affine::to_qform(affine);
    let mut header = Bytes(vec![0; 544]);
    header.put(0, 540_i32.to_le_bytes());
    header.put(4, *b"n+2\0\r\n\x1a\n");
    header.put(12, T::DATA_TYPE.code().to_le_bytes());
    header.put(14, (8 * T::DATA_TYPE.width() as i16).to_le_bytes());
    header.put(16, 3_i64.to_le_bytes());
    for (axis, n) in volume.dims().into_iter().chain([1; 4]).enumerate() {
        header.put(24 + 8 * axis, (n as i64).to_le_bytes());
    }
    header.put_f64(104, &pixdim(volume, qform.qfac));
    header.put(168, 544_i64.to_le_bytes());
    header.put_f64(176, &[1.0, 0.0]);
    header.put(344, 1_i32.to_le_bytes());
    header.put(348, 1_i32.to_le_bytes());
    header.put_f64(352, &qform.quaternion);
    header.put_f64(376, &affine.translation());
    header.put_f64(400, rows(affine).as_flattened());
    header.put(500, 2_i32.to_le_bytes()); // mm
    header.0
}
