//! Fragments of encapsulated pixels, and their frames.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::super::SeriesError;
use super::super::header::SliceHeader;
use super::super::stream::read_up_to;
use super::{damaged, unreadable};

/// Largest number of fragments per file.
const MAX_FRAGMENTS: usize = 1 << 20;

/// A piece of a compressed stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fragment {
    /// Offset of its first byte in the file.
    offset: u64,
    length: u64,
    /// Whether it starts like any kind of JPEG.
    starts_image: bool,
}

/// The fragments of every frame of a file.
#[derive(Debug)]
pub(in crate::dicom) struct Fragments {
    frames: Vec<Vec<Fragment>>,
}

impl Fragments {
    /// Finds the fragments of the file of `slice`.
    pub(super) fn find(slice: &SliceHeader) -> Result<Self, SeriesError> {
        let n_frames = slice.frame.map_or(1, |(_, n_frames)| n_frames as usize);
        let listing = Listing::read(slice)?;
        let frames = listing.frames(n_frames).ok_or_else(|| {
            let found = format!("{} fragments for {n_frames} frames", listing.fragments.len());
            damaged(slice, found)
        })?;
        Ok(Self { frames })
    }

    /// The compressed stream of a frame: its concatenated fragments.
    pub(super) fn stream(&self, slice: &SliceHeader) -> Result<Vec<u8>, SeriesError> {
        let idx = slice.frame.map_or(0, |(idx, _)| idx as usize);
        let fragments = self.frames.get(idx).map_or(&[][..], Vec::as_slice);
        let read = || -> io::Result<Vec<u8>> {
            let mut file = File::open(&slice.path)?;
            let mut bytes = Vec::new();
            for fragment in fragments {
                file.seek(SeekFrom::Start(fragment.offset))?;
                file.by_ref().take(fragment.length).read_to_end(&mut bytes)?;
            }
            Ok(bytes)
        };
        read().map_err(|error| unreadable(slice, error))
    }
}

/// The items of a file's pixel data.
struct Listing {
    /// Offsets of frames from the first fragment (basic offset table). Empty if the file has none.
    offsets: Vec<u64>,
    fragments: Vec<Fragment>,
}

impl Listing {
    fn read(slice: &SliceHeader) -> Result<Self, SeriesError> {
        let broken = || damaged(slice, "the fragments break off");
        let mut file = File::open(&slice.path).map_err(|error| unreadable(slice, error))?;
        let mut position = slice.pixels.offset;
        file.seek(SeekFrom::Start(position)).map_err(|error| unreadable(slice, error))?;
        let mut reader = BufReader::new(file);
        let mut listing = Self { offsets: Vec::new(), fragments: Vec::new() };
        let mut is_offset_table = true;
        loop {
            let mut head = [0; 8];
            let n_read = read_up_to(&mut reader, &mut head).map_err(|error| unreadable(slice, error))?;
            position += 8;
            let [g0, g1, e0, e1, length @ ..] = head;
            let length = u64::from(u32::from_le_bytes(length));
            match [g0, g1, e0, e1] {
                [0xfe, 0xff, 0xdd, 0xe0] if n_read == 8 => return Ok(listing),
                [0xfe, 0xff, 0x00, 0xe0] if n_read == 8 && position + length <= slice.file_length => {}
                _ => return Err(broken()),
            }
            if is_offset_table {
                listing.offsets = offset_table(&mut reader, length).map_err(|_| broken())?;
            } else {
                let fragment = fragment_at(&mut reader, position, length).map_err(|_| broken())?;
                listing.fragments.push(fragment);
            }
            if listing.fragments.len() > MAX_FRAGMENTS {
                return Err(damaged(slice, format!("more than {MAX_FRAGMENTS} fragments")));
            }
            is_offset_table = false;
            position += length;
        }
    }

    /// The fragments of each frame: all fragments, one per frame, by the offset table, or by image starts.
    fn frames(&self, n_frames: usize) -> Option<Vec<Vec<Fragment>>> {
        if n_frames == 1 {
            return Some(vec![self.fragments.clone()]);
        }
        if self.fragments.len() == n_frames {
            return Some(self.fragments.iter().map(|&fragment| vec![fragment]).collect());
        }
        if self.offsets.len() == n_frames {
            let first = self.fragments.first()?.offset;
            return self.split(n_frames, |fragment| self.offsets.contains(&(fragment.offset - first)));
        }
        self.split(n_frames, |fragment| fragment.starts_image)
    }

    fn split(&self, n_frames: usize, starts: impl Fn(&Fragment) -> bool) -> Option<Vec<Vec<Fragment>>> {
        let mut frames: Vec<Vec<Fragment>> = Vec::new();
        for fragment in &self.fragments {
            if starts(fragment) {
                frames.push(Vec::new());
            }
            frames.last_mut()?.push(*fragment);
        }
        (frames.len() == n_frames).then_some(frames)
    }
}

fn offset_table(reader: &mut impl Read, length: u64) -> io::Result<Vec<u64>> {
    let mut bytes = Vec::new();
    reader.take(length).read_to_end(&mut bytes)?;
    Ok(bytes.as_chunks().0.iter().map(|&word| u32::from_le_bytes(word).into()).collect())
}

fn fragment_at(reader: &mut BufReader<File>, offset: u64, length: u64) -> io::Result<Fragment> {
    let mut start = [0; 2];
    let n_read = read_up_to(&mut reader.by_ref().take(length), &mut start)?;
    reader.seek_relative(i64::try_from(length).map_err(io::Error::other)? - n_read as i64)?;
    // JPEG and JPEG-LS start with FFD8, JPEG 2000 with FF4F.
    Ok(Fragment { offset, length, starts_image: matches!(start, [0xff, 0xd8 | 0x4f]) })
}
