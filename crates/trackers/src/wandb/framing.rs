//! Framing of a W&B record log: LevelDB's log format after a W&B header.
//!
//! Blocks have 32 KiB. A record is one full chunk, or a first, middle and last chunks. A chunk never crosses
//! a block boundary; it starts with a checksum, a length and its type. The checksum is the CRC-32 of type and
//! data, not LevelDB's masked CRC-32C.

use std::io::{self, Read};

use crate::checksum::crc32;

/// `:W&B`, the magic number 0xBEE1 (low byte first), version 0.
pub(crate) const FILE_HEADER: [u8; 7] = *b":W&B\xe1\xbe\x00";
const BLOCK: u64 = 32_768;
const CHUNK_HEADER: usize = 7;
/// Length limit of a record. Our records are shorter.
const LONGEST_RECORD: usize = 64 << 20;

const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// Bytes left in the block at `position`.
fn room(position: u64) -> usize {
    usize::try_from(BLOCK - position % BLOCK).expect("a block is small")
}

/// Appends the chunks of a record that starts at byte `position` of the file.
pub(crate) fn push_record(bytes: &mut Vec<u8>, position: u64, data: &[u8]) {
    let start = bytes.len();
    let mut rest = data;
    let mut is_first = true;
    loop {
        let room = room(position + (bytes.len() - start) as u64);
        if room < CHUNK_HEADER {
            bytes.extend(std::iter::repeat_n(0, room));
            continue;
        }
        let (chunk, after) = rest.split_at(rest.len().min(room - CHUNK_HEADER));
        let kind = match (is_first, after.is_empty()) {
            (true, true) => FULL,
            (true, false) => FIRST,
            (false, false) => MIDDLE,
            (false, true) => LAST,
        };
        let length = u16::try_from(chunk.len()).expect("a chunk is shorter than its block");
        bytes.extend(crc32(&[&[kind], chunk]).to_le_bytes());
        bytes.extend(length.to_le_bytes());
        bytes.push(kind);
        bytes.extend(chunk);
        if after.is_empty() {
            return;
        }
        (rest, is_first) = (after, false);
    }
}

/// Reads records one by one.
pub(crate) struct RecordReader<R> {
    source: R,
    position: u64,
}

impl<R: Read> RecordReader<R> {
    /// Reads the file header. `None` if it is not a W&B log.
    pub(crate) fn new(mut source: R) -> io::Result<Option<Self>> {
        let mut header = [0; FILE_HEADER.len()];
        let is_ours = fill(&mut source, &mut header)? && header == FILE_HEADER;
        Ok(is_ours.then_some(Self { source, position: FILE_HEADER.len() as u64 }))
    }

    /// The next record and its end position. `None` at the end of the file, or at the first damaged record.
    pub(crate) fn next_record(&mut self) -> io::Result<Option<(Vec<u8>, u64)>> {
        let (mut record, mut has_begun) = (Vec::new(), false);
        while let Some((kind, chunk)) = self.next_chunk()? {
            let begins = matches!(kind, FULL | FIRST);
            if begins == has_begun || record.len() > LONGEST_RECORD {
                return Ok(None);
            }
            has_begun = true;
            record.extend(chunk);
            match kind {
                FULL | LAST => return Ok(Some((record, self.position))),
                FIRST | MIDDLE => {}
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    fn next_chunk(&mut self) -> io::Result<Option<(u8, Vec<u8>)>> {
        let room = room(self.position);
        if room < CHUNK_HEADER {
            let mut padding = [0; CHUNK_HEADER];
            if !self.fill(&mut padding[..room])? {
                return Ok(None);
            }
        }
        let mut header = [0; CHUNK_HEADER];
        if !self.fill(&mut header)? {
            return Ok(None);
        }
        let [a, b, c, d, low, high, kind] = header;
        let mut chunk = vec![0; usize::from(u16::from_le_bytes([low, high]))];
        let is_whole =
            self.fill(&mut chunk)? && u32::from_le_bytes([a, b, c, d]) == crc32(&[&[kind], &chunk]);
        Ok(is_whole.then_some((kind, chunk)))
    }

    /// Fills `bytes`. Returns false if the file ends first.
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<bool> {
        self.position += bytes.len() as u64;
        fill(&mut self.source, bytes)
    }
}

fn fill(source: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match source.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(records: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = FILE_HEADER.to_vec();
        for record in records {
            let position = bytes.len() as u64;
            push_record(&mut bytes, position, record);
        }
        bytes
    }

    fn read(bytes: &[u8]) -> (Vec<Vec<u8>>, u64) {
        let mut reader = RecordReader::new(bytes).unwrap().unwrap();
        let (mut records, mut end) = (Vec::new(), FILE_HEADER.len() as u64);
        while let Some((record, behind)) = reader.next_record().unwrap() {
            records.push(record);
            end = behind;
        }
        (records, end)
    }

    #[test]
    fn records_of_any_length_come_back() {
        // Ends of blocks: 32768 = 7 (file) + 7 (chunk) + 32754.
        for first in [0, 1, 32_746, 32_747, 32_748, 32_753, 32_754, 32_755, 65_508, 65_509, 100_000] {
            let records = [vec![1; first], b"second".to_vec(), Vec::new(), vec![3; 40_000]];
            let bytes = write(&records);
            assert_eq!(read(&bytes), (records.to_vec(), bytes.len() as u64), "{first} bytes");
        }
    }

    #[test]
    fn torn_and_damaged_records_end_the_log() {
        let records = [b"one".to_vec(), vec![2; 50_000]];
        let (bytes, whole) = (write(&records), 7 + 7 + 3);
        for cut in [1, 10, 17_240, 17_260, 49_000, 50_000, 50_013] {
            assert_eq!(
                read(&bytes[..bytes.len() - cut]),
                (records[..1].to_vec(), whole),
                "{cut} bytes cut off"
            );
        }
        for at in [7, 11, 13, 14, 16] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(read(&damaged).0.len(), 0, "byte {at}");
        }
        assert!(RecordReader::new(&b":W&C\xe1\xbe\x00"[..]).unwrap().is_none());
        assert!(RecordReader::new(&b":W&"[..]).unwrap().is_none());
    }
}
