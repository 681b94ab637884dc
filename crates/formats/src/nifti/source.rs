//! Opening a file, compressed or not, and finding the second file of a pair.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::NiftiError;

const BUFFER: usize = 1 << 18;

/// The bytes of a file after decompression.
pub(super) struct Source {
    reader: Box<dyn Read>,
    /// Their number. `None` for a compressed file.
    pub(super) length: Option<u64>,
}

impl Source {
    /// Opens a file. Its first bytes, not its name, decide whether it is compressed.
    pub(super) fn open(path: &Path) -> Result<Self, NiftiError> {
        let read = |source| NiftiError::Read { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(read)?;
        let metadata = file.metadata().map_err(read)?;
        if metadata.is_dir() {
            return Err(NiftiError::NotNifti { path: path.to_owned(), found: "it is a folder".to_owned() });
        }
        let mut magic = Vec::with_capacity(2);
        file.by_ref().take(2).read_to_end(&mut magic).map_err(read)?;
        file.seek(SeekFrom::Start(0)).map_err(read)?;
        let buffered = BufReader::with_capacity(BUFFER, file);
        Ok(if magic == [0x1f, 0x8b] {
            Self { reader: Box::new(MultiGzDecoder::new(buffered)), length: None }
        } else {
            Self { reader: Box::new(buffered), length: Some(metadata.len()) }
        })
    }

    /// Fills `buffer` until the data end. Returns the number of bytes read, and the error if one occurred.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> (usize, Option<io::Error>) {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.reader.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (filled, Some(error)),
            }
        }
        (filled, None)
    }

    /// Skips up to `n` bytes. Returns the number of bytes skipped.
    pub(super) fn skip(&mut self, n: u64) -> io::Result<u64> {
        io::copy(&mut self.reader.by_ref().take(n), &mut io::sink())
    }
}

/// The header file of the given path (`.hdr` for `.img`).
pub(super) fn header_path(path: &Path) -> PathBuf {
    counterpart(path, "img", "hdr").unwrap_or_else(|| path.to_owned())
}

/// The data file of a pair, given its header file.
pub(super) fn image_path(header: &Path) -> PathBuf {
    counterpart(header, "hdr", "img").unwrap_or_else(|| header.to_owned())
}

fn counterpart(path: &Path, from: &str, to: &str) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    for ending in ["", ".gz"] {
        if let Some(stem) = name.strip_suffix(&format!(".{from}{ending}")) {
            return Some(path.with_file_name(format!("{stem}.{to}{ending}")));
        }
    }
    None
}
