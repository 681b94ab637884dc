//! The framing of a record file: length, checksum of the length, data, checksum of the data.

use std::io::{self, Read};

use crate::checksum::masked_crc32c;

/// Length limit of a record. Our records are shorter.
const LONGEST_RECORD: u64 = 64 << 20;
/// Overhead of a frame in bytes.
const OVERHEAD: u64 = 16;

/// A record with its frame.
pub(crate) fn framed(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut frame = Vec::with_capacity(data.len() + 16);
    frame.extend(length);
    frame.extend(masked_crc32c(&length).to_le_bytes());
    frame.extend(data);
    frame.extend(masked_crc32c(data).to_le_bytes());
    frame
}

/// Reads the next record into `data` and returns the size of its frame. `None` at the end of the file, or at
/// the first damaged record.
pub(crate) fn read_record(reader: &mut impl Read, data: &mut Vec<u8>) -> io::Result<Option<u64>> {
    let (mut length, mut checksum) = ([0; 8], [0; 4]);
    if !read_whole(reader, &mut length)? || !read_whole(reader, &mut checksum)? {
        return Ok(None);
    }
    let n_bytes = u64::from_le_bytes(length);
    if u32::from_le_bytes(checksum) != masked_crc32c(&length) || n_bytes > LONGEST_RECORD {
        return Ok(None);
    }
    data.clear();
    // The buffer grows with the data read, not with the length in the header.
    reader.by_ref().take(n_bytes).read_to_end(data)?;
    if data.len() as u64 != n_bytes || !read_whole(reader, &mut checksum)? {
        return Ok(None);
    }
    Ok((u32::from_le_bytes(checksum) == masked_crc32c(data)).then_some(n_bytes + OVERHEAD))
}

/// Fills `bytes`. Returns false if the file ends first.
fn read_whole(reader: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_records_come_back_and_others_do_not() {
        let records = [&b""[..], b"one", &[7; 70_000]];
        let bytes: Vec<u8> = records.iter().flat_map(|data| framed(data)).collect();
        let read = |mut bytes: &[u8]| {
            let (mut found, mut data, mut end) = (Vec::new(), Vec::new(), 0);
            while let Some(n_bytes) = read_record(&mut bytes, &mut data).unwrap() {
                found.push(data.clone());
                end += n_bytes;
            }
            (found, end)
        };
        assert_eq!(read(&bytes), (records.map(<[u8]>::to_vec).to_vec(), bytes.len() as u64));
        for cut in [1, 4, 5, 16, 69_999, 70_015] {
            assert_eq!(read(&bytes[..bytes.len() - cut]).1, 16 + 19, "{cut} bytes cut off");
        }
        for at in [0, 8, 12, 15, 16, 24, 28, 31] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x40;
            assert!(read(&damaged).1 <= 16, "byte {at}");
        }
        let promise =
            [&(1_u64 << 40).to_le_bytes()[..], &masked_crc32c(&(1_u64 << 40).to_le_bytes()).to_le_bytes()];
        assert_eq!(read(&promise.concat()).1, 0);
    }
}
