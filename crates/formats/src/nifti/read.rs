//! Reads voxels.

use std::path::Path;

use brainreel_volume::{Grid, Volume};
use rayon::prelude::*;

use super::header::MAX_HEADER;
use super::source::{Source, header_path, image_path};
use super::{DataType, Header, NiftiError};
use crate::StoredVolume;

/// Bytes inflated and converted at a time; a multiple of every voxel width.
const CHUNK: usize = 1 << 20;
/// Bytes converted by one task.
const SUB_CHUNK: usize = 1 << 17;

/// Reads a 3-D volume as `f32`. Scaling is applied in double precision, then rounded.
///
/// # Errors
/// [`NiftiError`] names the file. Memory is only allocated for voxels that exist in the file.
pub fn read_f32(path: &Path) -> Result<Volume<f32>, NiftiError> {
    read_as(path, |value| value as f32)
}

/// Reads a 3-D volume as `f64`, with scaling applied.
///
/// # Errors
/// As [`read_f32`].
pub fn read_f64(path: &Path) -> Result<Volume<f64>, NiftiError> {
    read_as(path, |value| value)
}

/// Reads a 3-D volume in its stored number type. u8, i16, u16 and i32 without scaling keep their type, i8
/// becomes i16, and everything else (and everything scaled) becomes `f32`.
///
/// # Errors
/// As [`read_f32`].
pub fn read_stored(path: &Path) -> Result<StoredVolume, NiftiError> {
    let (header, body) = open(path)?;
    let grid = header.grid;
    Ok(match (header.data_type, header.scaling) {
        (DataType::U8, None) => StoredVolume::U8(volume(grid, body.collect(&header, |v| v as u8)?)),
        (DataType::I8 | DataType::I16, None) => {
            StoredVolume::I16(volume(grid, body.collect(&header, |v| v as i16)?))
        }
        (DataType::U16, None) => StoredVolume::U16(volume(grid, body.collect(&header, |v| v as u16)?)),
        (DataType::I32, None) => StoredVolume::I32(volume(grid, body.collect(&header, |v| v as i32)?)),
        (DataType::U32, None) => StoredVolume::U32(volume(grid, body.collect(&header, |v| v as u32)?)),
        _ => StoredVolume::F32(volume(grid, body.collect(&header, |v| v as f32)?)),
    })
}

/// Reads and checks only the header.
///
/// # Errors
/// As [`read_f32`], for the header.
pub fn read_header(path: &Path) -> Result<Header, NiftiError> {
    parse_header(&header_path(path)).map(|(header, _, _)| header)
}

fn read_as<T>(path: &Path, convert: impl Fn(f64) -> T + Sync) -> Result<Volume<T>, NiftiError>
where
    T: Copy + Default + Send,
{
    let (header, body) = open(path)?;
    Ok(volume(header.grid, body.collect(&header, convert)?))
}

fn volume<T>(grid: Grid, data: Vec<T>) -> Volume<T> {
    Volume::new(grid, data).expect("as many values were collected as the grid has voxels")
}

/// The header, its file and the number of bytes read.
fn parse_header(path: &Path) -> Result<(Header, Source, u64), NiftiError> {
    let mut source = Source::open(path)?;
    let mut bytes = [0; MAX_HEADER];
    // Read only the header, so that short version 1 files are not read past their end.
    let (n_first, failed) = source.fill(&mut bytes[..348]);
    let mut n_read = n_first;
    let is_version_two = matches!(bytes[..4], [0x1c, 2, 0, 0] | [0, 0, 2, 0x1c]);
    if n_first == 348 && is_version_two {
        n_read += source.fill(&mut bytes[348..]).0;
    }
    if let (Some(error), true) = (failed, n_read < 348) {
        return Err(NiftiError::Read { path: path.to_owned(), source: error });
    }
    let header = Header::parse(path, &bytes[..n_read])?;
    Ok((header, source, n_read as u64))
}

/// Reader of the voxel bytes.
struct Body<'a> {
    path: std::borrow::Cow<'a, Path>,
    source: Source,
}

fn open(path: &Path) -> Result<(Header, Body<'static>), NiftiError> {
    let header_file = header_path(path);
    let (header, mut source, n_read) = parse_header(&header_file)?;
    let (body_file, already_read) = if header.single_file {
        (header_file, n_read)
    } else {
        let image = image_path(&header_file);
        source = Source::open(&image)?;
        (image, 0)
    };
    let expected = header.data_bytes();
    let truncated = |found| NiftiError::Truncated { path: body_file.clone(), found, expected };
    // The size of a compressed file's content is known only after inflating.
    if let Some(length) = source.length
        && length < header.data_offset.saturating_add(expected)
    {
        return Err(truncated(length.saturating_sub(header.data_offset)));
    }
    let gap = header.data_offset.saturating_sub(already_read);
    match source.skip(gap) {
        Ok(n) if n == gap => {}
        Ok(_) => return Err(truncated(0)),
        Err(error) => return Err(NiftiError::Damaged { path: body_file, found: 0, expected, source: error }),
    }
    Ok((header, Body { path: body_file.into(), source }))
}

impl Body<'_> {
    /// Reads and converts all voxels. The result grows with the bytes read, and its capacity exceeds them by
    /// at most a factor of two.
    fn collect<T>(mut self, header: &Header, convert: impl Fn(f64) -> T + Sync) -> Result<Vec<T>, NiftiError>
    where
        T: Copy + Default + Send,
    {
        let expected = header.data_bytes();
        let (n_voxels, width) = (header.grid.n_voxels(), header.data_type.width());
        let mut values: Vec<T> = Vec::new();
        let mut buffer = vec![0_u8; CHUNK.min(n_voxels * width)];
        while values.len() < n_voxels {
            let wanted = CHUNK.min((n_voxels - values.len()) * width);
            let (n_filled, failed) = self.source.fill(&mut buffer[..wanted]);
            if n_filled < wanted {
                let found = (values.len() * width + n_filled) as u64;
                let path = self.path.into_owned();
                return Err(match failed {
                    Some(source) if source.kind() != std::io::ErrorKind::UnexpectedEof => {
                        NiftiError::Damaged { path, found, expected, source }
                    }
                    _ => NiftiError::Truncated { path, found, expected },
                });
            }
            let start = values.len();
            if values.capacity() < start + wanted / width {
                let reserve = n_voxels.min((start + wanted / width) * 2) - start;
                values.reserve_exact(reserve);
            }
            values.resize(start + wanted / width, T::default());
            values[start..]
                .par_chunks_mut(SUB_CHUNK / width)
                .zip(buffer[..wanted].par_chunks(SUB_CHUNK))
                .for_each(|(out, bytes)| decode(header, bytes, out, &convert));
        }
        Ok(values)
    }
}

/// Converts stored bytes to values.
fn decode<T>(header: &Header, bytes: &[u8], out: &mut [T], convert: &impl Fn(f64) -> T) {
    macro_rules! decode_as {
        ($type:ty) => {{
            let words = bytes.as_chunks::<{ size_of::<$type>() }>().0;
            let stored = |word: &[u8; size_of::<$type>()]| {
                if header.big_endian { <$type>::from_be_bytes(*word) } else { <$type>::from_le_bytes(*word) }
            };
            match header.scaling {
                None => {
                    for (value, word) in out.iter_mut().zip(words) {
                        *value = convert(stored(word) as f64);
                    }
                }
                Some((slope, intercept)) => {
                    for (value, word) in out.iter_mut().zip(words) {
                        *value = convert(stored(word) as f64 * slope + intercept);
                    }
                }
            }
        }};
    }
    match header.data_type {
        DataType::U8 => decode_as!(u8),
        DataType::I8 => decode_as!(i8),
        DataType::I16 => decode_as!(i16),
        DataType::U16 => decode_as!(u16),
        DataType::I32 => decode_as!(i32),
        DataType::U32 => decode_as!(u32),
        DataType::I64 => decode_as!(i64),
        DataType::U64 => decode_as!(u64),
        DataType::F32 => decode_as!(f32),
        DataType::F64 => decode_as!(f64),
    }
}
