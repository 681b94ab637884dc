//! The two cyclic redundancy checks of the log formats, table driven.

/// The reflected Castagnoli polynomial, for TensorBoard's record files.
const CASTAGNOLI: [u32; 256] = table(0x82f6_3b78);
/// The reflected polynomial of Ethernet and zip, for W&B's record log.
const ETHERNET: [u32; 256] = table(0xedb8_8320);

/// CRC-32C of the bytes.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    !update(&CASTAGNOLI, !0, bytes)
}

/// CRC-32 of several concatenated parts.
pub(crate) fn crc32(parts: &[&[u8]]) -> u32 {
    !parts.iter().fold(!0, |state, part| update(&ETHERNET, state, part))
}

/// The masked form in which TensorBoard stores a CRC-32C: rotated and offset, because the CRC of data that
/// contains CRCs is weak.
pub(crate) fn masked_crc32c(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn update(table: &[u32; 256], state: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(state, |state, byte| {
        let [low, ..] = state.to_le_bytes();
        table[usize::from(low ^ byte)] ^ (state >> 8)
    })
}

const fn table(polynomial: u32) -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ polynomial } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of the catalogue of parametrised CRC algorithms.
    #[test]
    fn check_values_are_the_published_ones() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32(&[b"1234", b"", b"56789"]), 0xcbf4_3926);
        assert_eq!((crc32c(b""), crc32(&[])), (0, 0));
    }
}
