//! RLE: PackBits, one segment per byte of the pixel.

use super::super::header::SliceFormat;

/// Decodes a header of up to 15 segment offsets, then one PackBits segment per byte of the pixel, most
/// significant byte first. Returns little-endian words.
pub(super) fn decode(fragment: &[u8], format: &SliceFormat) -> Option<Vec<u8>> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_dictionary_std::uids;

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
        let pixels = decode(&fragment, &format(2, 2, 16)).unwrap();
        assert_eq!(pixels, [1, 1, 2, 1, 3, 1, 4, 1]);
        for length in 0..fragment.len() {
            assert_eq!(decode(&fragment[..length], &format(2, 2, 16)), None);
        }
    }
}
