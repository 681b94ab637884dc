//! The bytes of a data set, deflated or not.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use flate2::bufread::DeflateDecoder;

/// Buffer size of a reader, in bytes. Headers are short.
const BUFFER: usize = 1 << 14;

/// A file, or the deflated stream in it.
pub(super) enum Source {
    Plain(BufReader<File>),
    Inflated(Box<BufReader<DeflateDecoder<BufReader<File>>>>),
}

impl Source {
    pub(super) fn plain(file: File) -> Self {
        Self::Plain(BufReader::with_capacity(BUFFER, file))
    }

    /// The rest of the file, inflated.
    pub(super) fn inflate(self) -> Self {
        match self {
            Self::Plain(rest) => {
                Self::Inflated(Box::new(BufReader::with_capacity(BUFFER, DeflateDecoder::new(rest))))
            }
            inflated @ Self::Inflated(_) => inflated,
        }
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self {
            Self::Plain(reader) => reader.read(buffer),
            Self::Inflated(reader) => reader.read(buffer),
        };
        end_of_data(read)
    }
}

/// Truncated deflate data is treated as the end of the data.
fn end_of_data(read: io::Result<usize>) -> io::Result<usize> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        read => read,
    }
}

/// The data set deflated at `start`, from its byte `offset`.
pub(in crate::dicom) fn inflated_at(mut file: File, start: u64, offset: u64) -> io::Result<impl Read> {
    file.seek(SeekFrom::Start(start))?;
    let mut source = Source::plain(file).inflate();
    io::copy(&mut source.by_ref().take(offset), &mut io::sink())?;
    Ok(source)
}
