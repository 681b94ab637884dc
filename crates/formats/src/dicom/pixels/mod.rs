//! Pixels of slices, as stored numbers.

mod fragments;
mod jpeg;
mod jpeg_ls;
mod run_length;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use dicom_dictionary_std::uids;

use super::header::{SliceFormat, SliceHeader};
use super::stream::{Encoding, PixelKind, inflated_at};
use super::{FileFault, SeriesError, syntax_name};
use fragments::Fragments;

/// Remedy for an unsupported compression.
const DECOMPRESS: &str = "decompress it first, for instance with dcmdjpeg or gdcmconv --raw";
/// Upper bound on the compression ratio of the supported codecs.
const MAX_COMPRESSION: u64 = 1024;
/// Upper bound on the compression ratio of deflate.
const MAX_DEFLATION: u64 = 1032;

/// Largest number of pixels of a compressed slice. Decoders allocate several bytes per pixel before they read
/// data.
const MAX_COMPRESSED_PIXELS: usize = 1 << 24;
/// Largest number of pixel bytes of a deflated file, which is inflated at once.
const MAX_INFLATED: u64 = 1 << 31;

/// How the pixels of a transfer syntax are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Native,
    RunLength,
    Jpeg,
    JpegLs,
    Jpeg2000,
}

fn coding(transfer_syntax: &str) -> Option<Coding> {
    match transfer_syntax {
        uids::IMPLICIT_VR_LITTLE_ENDIAN
        | uids::EXPLICIT_VR_LITTLE_ENDIAN
        | uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN
        // Explicit VR Big Endian, which is retired.
        | "1.2.840.10008.1.2.2" => Some(Coding::Native),
        uids::RLE_LOSSLESS => Some(Coding::RunLength),
        // JPEG baseline, extended (of 8 bits) and lossless (process 14, of any prediction and of the first).
        uids::JPEG_BASELINE8_BIT | uids::JPEG_EXTENDED12_BIT | uids::JPEG_LOSSLESS | uids::JPEG_LOSSLESS_SV1 => {
            Some(Coding::Jpeg)
        }
        uids::JPEGLS_LOSSLESS | uids::JPEGLS_NEAR_LOSSLESS => Some(Coding::JpegLs),
        uids::JPEG2000_LOSSLESS | uids::JPEG2000 => Some(Coding::Jpeg2000),
        _ => None,
    }
}

impl SliceFormat {
    fn n_pixels(&self) -> usize {
        usize::from(self.columns) * usize::from(self.rows)
    }

    fn n_bytes(&self) -> u64 {
        self.n_pixels() as u64 * u64::from(self.bits_allocated / 8)
    }
}

/// Checks that a slice is supported and complete, before any memory is allocated.
pub(super) fn check(slice: &SliceHeader) -> Result<(), SeriesError> {
    let format = &slice.format;
    let unsupported =
        |found: String, remedy| Err(SeriesError::Unsupported { path: slice.path.clone(), found, remedy });
    if format.samples != 1 || !matches!(format.photometric.as_str(), "MONOCHROME1" | "MONOCHROME2" | "") {
        return unsupported(
            format!("a colour image ({}, {} samples a pixel)", format.photometric, format.samples),
            "take the original grey-scale series",
        );
    }
    if !matches!((format.bits_allocated, slice.pixels.kind), (8 | 16 | 32, _) | (64, PixelKind::Double)) {
        return unsupported(
            format!("an image of {} bits a pixel", format.bits_allocated),
            "export it with 8, 16 or 32 bits",
        );
    }
    let Some(coding) = coding(&format.transfer_syntax) else {
        return unsupported(format!("compressed as {}", syntax_name(&format.transfer_syntax)), DECOMPRESS);
    };
    let n_frames = u64::from(slice.frame.map_or(1, |(_, n_frames)| n_frames));
    let in_file = match slice.pixels.deflated_from {
        None => slice.file_length.saturating_sub(slice.pixels.offset),
        Some(start) => slice.file_length.saturating_sub(start).saturating_mul(MAX_DEFLATION),
    };
    let all = n_frames.saturating_mul(format.n_bytes());
    if coding != Coding::Native && format.n_pixels() > MAX_COMPRESSED_PIXELS
        || slice.pixels.deflated_from.is_some() && all > MAX_INFLATED
    {
        let found = format!("{n_frames} compressed slices of {}x{} pixels", format.columns, format.rows);
        return unsupported(found, "decompress it first, if it really is an image of a head");
    }
    let (found, expected) = match (coding, slice.pixels.length) {
        (Coding::Native, Some(length)) => (in_file.min(length.into()), all),
        (Coding::Native, None) => return Err(damaged(slice, "an uncompressed image of undefined length")),
        (_, None) => (in_file, all.div_ceil(MAX_COMPRESSION)),
        (_, Some(_)) => return Err(damaged(slice, "a compressed image that is not in fragments")),
    };
    if found < expected {
        return Err(SeriesError::Truncated { path: slice.path.clone(), found, expected });
    }
    Ok(())
}

fn damaged(slice: &SliceHeader, found: impl Into<String>) -> SeriesError {
    SeriesError::Pixels { path: slice.path.clone(), found: found.into() }
}

fn unreadable(slice: &SliceHeader, error: io::Error) -> SeriesError {
    SeriesError::File { path: slice.path.clone(), fault: FileFault::Read(error) }
}

/// Pixel data of a file, located once for all its frames.
pub(super) enum FilePixels {
    /// Frames are contiguous in the file.
    Plain,
    /// Contiguous frames, inflated.
    Inflated(Vec<u8>),
    /// Frames are compressed.
    Fragments(Fragments),
}

impl FilePixels {
    /// Prepares to read the file of a slice that passed [`check`].
    pub(super) fn of(slice: &SliceHeader) -> Result<Self, SeriesError> {
        if coding(&slice.format.transfer_syntax) != Some(Coding::Native) {
            return Fragments::find(slice).map(Self::Fragments);
        }
        let Some(start) = slice.pixels.deflated_from else { return Ok(Self::Plain) };
        let n_frames = u64::from(slice.frame.map_or(1, |(_, n_frames)| n_frames));
        let inflate = || -> io::Result<Vec<u8>> {
            let source = inflated_at(File::open(&slice.path)?, start, slice.pixels.offset)?;
            let mut bytes = Vec::new();
            source.take(n_frames * slice.format.n_bytes()).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        inflate().map(Self::Inflated).map_err(|error| unreadable(slice, error))
    }

    /// Reads the integers of a slice and passes each stored value to `convert`.
    pub(super) fn read_into<T>(
        &self,
        slice: &SliceHeader,
        out: &mut [T],
        convert: impl Fn(i64) -> T,
    ) -> Result<(), SeriesError> {
        let bytes = self.bytes(slice)?;
        let format = &slice.format;
        // Shift the stored bits up and back, which drops the other bits and extends the sign.
        let up = format.bits_allocated - 1 - format.high_bit;
        let down = format.bits_allocated - format.bits_stored;
        macro_rules! unpack {
            ($word:ty) => {
                for (value, bytes) in out.iter_mut().zip(bytes.as_chunks::<{ size_of::<$word>() }>().0) {
                    let word = <$word>::from_le_bytes(*bytes) << up;
                    let stored = if format.signed {
                        i64::from(word.cast_signed() >> down)
                    } else {
                        i64::from(word >> down)
                    };
                    *value = convert(stored);
                }
            };
        }
        match format.bits_allocated {
            8 => unpack!(u8),
            16 => unpack!(u16),
            _ => unpack!(u32),
        }
        Ok(())
    }

    /// Reads the floating-point numbers of a slice and converts them.
    pub(super) fn read_floats_into(
        &self,
        slice: &SliceHeader,
        out: &mut [f32],
        convert: impl Fn(f64) -> f32,
    ) -> Result<(), SeriesError> {
        let bytes = self.bytes(slice)?;
        if slice.pixels.kind == PixelKind::Double {
            for (value, &bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
                *value = convert(f64::from_le_bytes(bytes));
            }
        } else {
            for (value, &bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
                *value = convert(f32::from_le_bytes(bytes).into());
            }
        }
        Ok(())
    }

    /// The pixels of a slice as little-endian words.
    pub(super) fn bytes(&self, slice: &SliceHeader) -> Result<Vec<u8>, SeriesError> {
        let bytes = match self {
            Self::Plain => native(slice)?,
            Self::Inflated(all) => {
                let start = frame_offset(slice).min(all.len() as u64) as usize;
                let end = all.len().min(start.saturating_add(slice.format.n_bytes() as usize));
                all[start..end].to_vec()
            }
            Self::Fragments(fragments) => decompress(slice, &fragments.stream(slice)?)?,
        };
        let (found, expected) = (bytes.len() as u64, slice.format.n_bytes());
        if found != expected {
            return Err(SeriesError::Truncated { path: slice.path.clone(), found, expected });
        }
        Ok(bytes)
    }
}

/// Offset of a frame in the value of the pixels.
fn frame_offset(slice: &SliceHeader) -> u64 {
    u64::from(slice.frame.map_or(0, |(idx, _)| idx)) * slice.format.n_bytes()
}

fn native(slice: &SliceHeader) -> Result<Vec<u8>, SeriesError> {
    let big_endian = Encoding::of(&slice.format.transfer_syntax) == Encoding::ExplicitBig;
    let start = frame_offset(slice);
    // In big-endian words bytes are swapped in pairs, and a frame of bytes may start within a pair.
    let word = if big_endian { word_bytes(slice) } else { 1 };
    let lead = start % word;
    let length = (lead + slice.format.n_bytes()).next_multiple_of(word);
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(&slice.path)?;
        file.seek(SeekFrom::Start(slice.pixels.offset + start - lead))?;
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let mut bytes = read().map_err(|error| unreadable(slice, error))?;
    if word > 1 {
        bytes.chunks_exact_mut(word as usize).for_each(<[u8]>::reverse);
    }
    bytes.drain(..(lead as usize).min(bytes.len()));
    bytes.truncate(slice.format.n_bytes() as usize);
    Ok(bytes)
}

/// Word size in which big-endian files swap bytes.
fn word_bytes(slice: &SliceHeader) -> u64 {
    match slice.format.bits_allocated {
        8 if slice.pixels.words => 2,
        bits => u64::from(bits / 8),
    }
}

/// Why a compressed stream cannot be decoded.
enum Fault {
    Damaged(String),
    /// Its encoding is not supported.
    Unsupported(String),
}

impl From<String> for Fault {
    fn from(found: String) -> Self {
        Self::Damaged(found)
    }
}

impl From<&str> for Fault {
    fn from(found: &str) -> Self {
        Self::Damaged(found.to_owned())
    }
}

impl From<jpeg_ls::JpegLsFault> for Fault {
    fn from(fault: jpeg_ls::JpegLsFault) -> Self {
        match fault {
            jpeg_ls::JpegLsFault::Unsupported(what) => Self::Unsupported(format!("a JPEG-LS with {what}")),
            fault => Self::Damaged(fault.to_string()),
        }
    }
}

/// Decodes the stream of one frame. A decoder's panic on a damaged stream is converted to an error.
fn decompress(slice: &SliceHeader, stream: &[u8]) -> Result<Vec<u8>, SeriesError> {
    match catch_unwind(AssertUnwindSafe(|| decode(stream, &slice.format))) {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(Fault::Damaged(found))) => Err(damaged(slice, found)),
        Ok(Err(Fault::Unsupported(found))) => {
            Err(SeriesError::Unsupported { path: slice.path.clone(), found, remedy: DECOMPRESS })
        }
        Err(_) => Err(damaged(slice, "the decoder gave up")),
    }
}

fn decode(stream: &[u8], format: &SliceFormat) -> Result<Vec<u8>, Fault> {
    Ok(match coding(&format.transfer_syntax) {
        Some(Coding::RunLength) => run_length::decode(stream, format).ok_or("bad run lengths")?,
        Some(Coding::Jpeg) => to_bytes(jpeg::decode(stream, format)?.into_iter().map(i32::from), format),
        Some(Coding::JpegLs) => {
            let samples = jpeg_ls::decode(stream, [format.columns, format.rows])?;
            to_bytes(samples.into_iter().map(i32::from), format)
        }
        Some(Coding::Jpeg2000) => to_bytes(jpeg::decode_2000(stream, format)?.into_iter(), format),
        Some(Coding::Native) | None => return Err("not compressed".into()),
    })
}

/// Samples as words of the bits allocated.
fn to_bytes(samples: impl Iterator<Item = i32>, format: &SliceFormat) -> Vec<u8> {
    match format.bits_allocated {
        8 => samples.map(|sample| sample as u8).collect(),
        16 => samples.flat_map(|sample| (sample as u16).to_le_bytes()).collect(),
        _ => samples.flat_map(i32::to_le_bytes).collect(),
    }
}
