//! The pixels of one slice, as stored numbers.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use dicom_core::value::{PixelFragmentSequence, Value};
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use dicom_pixeldata::PixelDecoder;

use super::header::{SliceFormat, SliceHeader};
use super::stream::read_up_to;
use super::{FileFault, SeriesError, syntax_name};

/// No codec that is read here packs tighter than this.
const MAX_COMPRESSION: u64 = 1024;

/// How the pixels of a transfer syntax are encoded.
enum Coding {
    Native,
    RunLength,
    Jpeg,
}

fn coding(transfer_syntax: &str) -> Option<Coding> {
    match transfer_syntax {
        uids::IMPLICIT_VR_LITTLE_ENDIAN | uids::EXPLICIT_VR_LITTLE_ENDIAN => Some(Coding::Native),
        uids::RLE_LOSSLESS => Some(Coding::RunLength),
        // JPEG baseline and lossless (processes 1, 14 and 14 with first-order prediction).
        "1.2.840.10008.1.2.4.50" | "1.2.840.10008.1.2.4.57" | "1.2.840.10008.1.2.4.70" => Some(Coding::Jpeg),
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

/// Checks, before any memory is taken, that a slice is of a kind that can be read and is all there.
pub(super) fn check(slice: &SliceHeader) -> Result<(), SeriesError> {
    let format = &slice.format;
    let unsupported =
        |found: String, remedy| Err(SeriesError::Unsupported { path: slice.path.clone(), found, remedy });
    if format.multi_frame {
        return unsupported(
            "an enhanced or multi-frame image".to_owned(),
            "export it as a classic single-frame series",
        );
    }
    if format.samples != 1 || !matches!(format.photometric.as_str(), "MONOCHROME1" | "MONOCHROME2" | "") {
        return unsupported(
            format!("a colour image ({}, {} samples a pixel)", format.photometric, format.samples),
            "take the original grey-scale series",
        );
    }
    if !matches!(format.bits_allocated, 8 | 16 | 32) {
        return unsupported(
            format!("an image of {} bits a pixel", format.bits_allocated),
            "export it with 8, 16 or 32 bits",
        );
    }
    let Some(coding) = coding(&format.transfer_syntax) else {
        return unsupported(
            format!("compressed as {}", syntax_name(&format.transfer_syntax)),
            "decompress it first, for instance with dcmdjpeg or gdcmconv --raw",
        );
    };
    let behind_header = slice.file_length.saturating_sub(slice.pixels.offset);
    let (found, expected) = match (coding, slice.pixels.length) {
        (Coding::Native, Some(length)) => (behind_header.min(length.into()), format.n_bytes()),
        (Coding::Native, None) => {
            return Err(damaged(slice, "an uncompressed image of undefined length"));
        }
        (_, None) => (behind_header, format.n_bytes().div_ceil(MAX_COMPRESSION)),
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

/// Reads the pixels of a slice that passed [`check`] and converts them: `convert` gets the stored value.
pub(super) fn read_into<T>(
    slice: &SliceHeader,
    out: &mut [T],
    convert: impl Fn(i64) -> T,
) -> Result<(), SeriesError> {
    let bytes = match coding(&slice.format.transfer_syntax) {
        Some(Coding::Native) => native(slice)?,
        Some(Coding::RunLength) => {
            let fragment = fragments(slice)?;
            run_length(&fragment, &slice.format).ok_or_else(|| damaged(slice, "bad run lengths"))?
        }
        Some(Coding::Jpeg) => jpeg(slice, fragments(slice)?)?,
        None => return check(slice),
    };
    let format = &slice.format;
    if bytes.len() as u64 != format.n_bytes() {
        let (found, expected) = (bytes.len() as u64, format.n_bytes());
        return Err(SeriesError::Truncated { path: slice.path.clone(), found, expected });
    }
    // Stored bits are moved to the top and back, which drops the others and extends the sign.
    let up = format.bits_allocated - 1 - format.high_bit;
    let down = format.bits_allocated - format.bits_stored;
    macro_rules! unpack {
        ($word:ty, $signed:ty) => {
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
        8 => unpack!(u8, i8),
        16 => unpack!(u16, i16),
        _ => unpack!(u32, i32),
    }
    Ok(())
}

fn open_at(slice: &SliceHeader, offset: u64) -> Result<File, SeriesError> {
    let open = || -> io::Result<File> {
        let mut file = File::open(&slice.path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(file)
    };
    open().map_err(|error| SeriesError::File { path: slice.path.clone(), fault: FileFault::Read(error) })
}

fn native(slice: &SliceHeader) -> Result<Vec<u8>, SeriesError> {
    let mut file = open_at(slice, slice.pixels.offset)?;
    let mut bytes = Vec::new();
    file.by_ref()
        .take(slice.format.n_bytes())
        .read_to_end(&mut bytes)
        .map_err(|error| SeriesError::File { path: slice.path.clone(), fault: FileFault::Read(error) })?;
    Ok(bytes)
}

/// The fragments of a single frame, laid end to end.
fn fragments(slice: &SliceHeader) -> Result<Vec<u8>, SeriesError> {
    let mut reader = BufReader::new(open_at(slice, slice.pixels.offset)?);
    let mut left = slice.file_length.saturating_sub(slice.pixels.offset);
    let mut bytes = Vec::new();
    let mut is_offset_table = true;
    loop {
        let mut head = [0; 8];
        let n_read = read_up_to(&mut reader, &mut head).map_err(|error| damaged(slice, error.to_string()))?;
        left = left.saturating_sub(n_read as u64);
        let [g0, g1, e0, e1, length @ ..] = head;
        let length = u64::from(u32::from_le_bytes(length));
        match [g0, g1, e0, e1] {
            [0xfe, 0xff, 0xdd, 0xe0] if n_read == 8 => return Ok(bytes),
            [0xfe, 0xff, 0x00, 0xe0] if n_read == 8 && length <= left => {}
            _ => return Err(damaged(slice, "the fragments break off")),
        }
        left -= length;
        let mut item = reader.by_ref().take(length);
        let copied = if is_offset_table {
            io::copy(&mut item, &mut io::sink())
        } else {
            item.read_to_end(&mut bytes).map(|n| n as u64)
        };
        if !matches!(copied, Ok(n) if n == length) {
            return Err(damaged(slice, "the fragments break off"));
        }
        is_offset_table = false;
    }
}

/// Decodes RLE: a header of up to 15 segment offsets, then one PackBits segment a byte of the pixel, the
/// most significant first. (The decoder of dicom-rs panics on a segment that ends early.)
fn run_length(fragment: &[u8], format: &SliceFormat) -> Option<Vec<u8>> {
    let word = |idx: usize| -> Option<usize> {
        let bytes: [u8; 4] = fragment.get(4 * idx..4 * idx + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let width = usize::from(format.bits_allocated / 8);
    if word(0)? != width {
        return None;
    }
    let n_pixels = format.n_pixels();
    let mut pixels = vec![0; n_pixels * width];
    for segment in 0..width {
        let end = if segment + 1 < width { word(segment + 2)? } else { fragment.len() };
        let plane = unpack_bits(fragment.get(word(segment + 1)?..end)?, n_pixels)?;
        let from_least = width - 1 - segment;
        for (pixel, byte) in pixels.chunks_exact_mut(width).zip(plane) {
            pixel[from_least] = byte;
        }
    }
    Some(pixels)
}

fn unpack_bits(mut packed: &[u8], n: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    while out.len() < n {
        let (&control, rest) = packed.split_first()?;
        packed = match control.cast_signed() {
            -128 => rest,
            count @ 0.. => {
                let (literal, rest) = rest.split_at_checked(usize::from(count.unsigned_abs()) + 1)?;
                out.extend_from_slice(literal);
                rest
            }
            count => {
                let (&byte, rest) = rest.split_first()?;
                out.resize(out.len() + usize::from(count.unsigned_abs()) + 1, byte);
                rest
            }
        };
    }
    (out.len() == n).then_some(out)
}

/// Decodes through dicom-rs. A panic of the decoder on a damaged stream is taken as its error.
fn jpeg(slice: &SliceHeader, stream: Vec<u8>) -> Result<Vec<u8>, SeriesError> {
    let format = &slice.format;
    if jpeg_dimensions(&stream) != Some([format.columns, format.rows]) {
        return Err(damaged(slice, "the JPEG frame is not of the size that the header says"));
    }
    let mut object = InMemDicomObject::new_empty();
    let numbers = [
        (tags::SAMPLES_PER_PIXEL, 1),
        (tags::ROWS, format.rows),
        (tags::COLUMNS, format.columns),
        (tags::BITS_ALLOCATED, format.bits_allocated),
        (tags::BITS_STORED, format.bits_stored),
        (tags::HIGH_BIT, format.high_bit),
        (tags::PIXEL_REPRESENTATION, format.signed.into()),
    ];
    for (tag, number) in numbers {
        object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(number)));
    }
    object.put(DataElement::new(
        tags::PHOTOMETRIC_INTERPRETATION,
        VR::CS,
        PrimitiveValue::from("MONOCHROME2"),
    ));
    let fragments = PixelFragmentSequence::new_fragments(vec![stream]);
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, Value::PixelSequence(fragments)));
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(&format.transfer_syntax)
        .media_storage_sop_class_uid(uids::MR_IMAGE_STORAGE)
        .media_storage_sop_instance_uid("2.25.1");
    let file = object.with_meta(meta).map_err(|error| damaged(slice, error.to_string()))?;
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        file.decode_pixel_data().map(|pixels| pixels.data().to_vec()).map_err(|error| error.to_string())
    }));
    match decoded {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(found)) => Err(damaged(slice, found)),
        Err(_) => Err(damaged(slice, "the JPEG decoder gave up")),
    }
}

/// Columns and rows in the frame header of a JPEG stream.
fn jpeg_dimensions(stream: &[u8]) -> Option<[u16; 2]> {
    let mut position = 2;
    loop {
        let &[0xff, marker, high, low, ..] = stream.get(position..)? else { return None };
        let is_frame = matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc);
        if is_frame {
            let &[_, rows_high, rows_low, columns_high, columns_low, ..] = stream.get(position + 4..)? else {
                return None;
            };
            return Some([
                u16::from_be_bytes([columns_high, columns_low]),
                u16::from_be_bytes([rows_high, rows_low]),
            ]);
        }
        position += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(columns: u16, rows: u16, bits_allocated: u16) -> SliceFormat {
        SliceFormat {
            transfer_syntax: uids::RLE_LOSSLESS.to_owned(),
            columns,
            rows,
            samples: 1,
            bits_allocated,
            bits_stored: bits_allocated,
            high_bit: bits_allocated - 1,
            signed: false,
            photometric: "MONOCHROME2".to_owned(),
            multi_frame: false,
        }
    }

    /// The example of PackBits in Apple's Technical Note TN1023.
    #[test]
    fn pack_bits_unpacks_the_published_example() {
        let packed =
            [0xfe, 0xaa, 0x02, 0x80, 0x00, 0x2a, 0xfd, 0xaa, 0x03, 0x80, 0x00, 0x2a, 0x22, 0xf7, 0xaa];
        let unpacked = [
            0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0xaa, 0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0x22, 0xaa, 0xaa,
            0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa,
        ];
        assert_eq!(unpack_bits(&packed, 24).unwrap(), unpacked);
        for length in 0..packed.len() {
            assert_eq!(unpack_bits(&packed[..length], 24), None);
        }
    }

    #[test]
    fn run_lengths_interleave_the_most_significant_plane_first() {
        let mut fragment = vec![0; 64];
        fragment[0] = 2;
        fragment[4] = 64;
        fragment[8] = 66;
        fragment.extend([0xfd, 0x01, 0x03, 1, 2, 3, 4]);
        let pixels = run_length(&fragment, &format(2, 2, 16)).unwrap();
        assert_eq!(pixels, [1, 1, 2, 1, 3, 1, 4, 1]);
        for length in 0..fragment.len() {
            assert_eq!(run_length(&fragment[..length], &format(2, 2, 16)), None);
        }
    }
}
