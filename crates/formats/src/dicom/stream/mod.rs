//! Reads DICOM elements without trusting their lengths.
//!
//! dicom-rs allocates the claimed length of an element (up to 4 GiB) and recurses into sequences without a
//! limit. The elements are therefore first walked here in constant memory. Wanted elements that are small and
//! flat are copied and passed to dicom-rs. Everything else is skipped.

mod functional_groups;
mod source;
mod walker;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use functional_groups::FunctionalGroups;
use walker::{Start, Walker};

pub(super) use source::inflated_at;
pub(super) use walker::Encoding;

/// Why a file is not a usable DICOM file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileFault {
    /// The file cannot be opened or read.
    #[error("cannot be read")]
    Read(#[from] io::Error),
    /// The file has another format.
    #[error("is not a DICOM file: {found}")]
    NotDicom {
        /// What was found instead.
        found: &'static str,
    },
    /// The file is truncated.
    #[error("is truncated after {bytes} bytes; download or copy it again")]
    Truncated {
        /// Number of bytes read.
        bytes: u64,
    },
    /// The structure of the file is invalid.
    #[error("is damaged at byte {position}: {found}; download or copy it again")]
    Damaged {
        /// Where.
        position: u64,
        /// What was found.
        found: String,
    },
    /// The file is DICOM, but holds no image (a report, a registration...).
    #[error("is a DICOM file without an image")]
    NoImage,
    /// A link leads out of the tree.
    #[error("is a link that leads out of the tree, which is not followed; copy what it leads to")]
    LinkOut,
    /// The file is a DICOMDIR.
    #[error("is a DICOMDIR, the table of contents of a disc")]
    Directory,
}

/// The element that contains the pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PixelKind {
    /// PixelData: integers.
    Integer,
    /// FloatPixelData.
    Float,
    /// DoubleFloatPixelData.
    Double,
}

/// Location of the pixels of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PixelSpan {
    pub(super) kind: PixelKind,
    /// Offset of the first byte of the value: in the file, or in the inflated data set.
    pub(super) offset: u64,
    /// Length of the value; `None` for encapsulated fragments.
    pub(super) length: Option<u32>,
    /// Offset of the deflated data set in the file, if the data set is deflated.
    pub(super) deflated_from: Option<u64>,
    /// Whether the value is a sequence of 16-bit words.
    pub(super) words: bool,
}

/// The wanted elements of a file, and the location of its pixels.
pub(super) struct Elements {
    pub(super) transfer_syntax: String,
    pub(super) sop_class: String,
    /// Elements of the data set itself.
    pub(super) object: InMemDicomObject,
    /// Elements of the shared functional groups.
    pub(super) shared: Option<InMemDicomObject>,
    /// Elements of the functional groups of each frame.
    pub(super) frames: Vec<InMemDicomObject>,
    /// Elements that the DimensionIndexValues of the frames count.
    pub(super) dimensions: Vec<Tag>,
    pub(super) pixels: Option<PixelSpan>,
    pub(super) file_length: u64,
}

/// Reads the elements listed in `wanted`, up to the pixels.
pub(super) fn read_elements(path: &Path, wanted: &[Tag]) -> Result<Elements, FileFault> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(FileFault::NotDicom { found: "no plain file" });
    }
    let (mut walker, start) = Walker::open(file)?;
    let (transfer_syntax, sop_class) = match start {
        Start::DataSet(encoding) => (encoding.transfer_syntax().to_owned(), String::new()),
        Start::Meta => {
            let meta = walker.meta()?;
            (meta.transfer_syntax, meta.sop_class)
        }
    };
    if sop_class == dicom_dictionary_std::uids::MEDIA_STORAGE_DIRECTORY_STORAGE {
        return Err(FileFault::Directory);
    }
    let encoding = Encoding::of(&transfer_syntax);
    let mut walker = walker.into_data_set(&transfer_syntax);
    let mut groups = FunctionalGroups::default();
    let mut kept = Vec::new();
    let pixels = data_set(&mut walker, wanted, encoding, &mut kept, &mut groups)?;
    let dimensions = groups.dimensions.clone();
    let (shared, frames) = groups.objects(&walker)?;
    Ok(Elements {
        object: encoding.object(&kept).map_err(|found| walker.damaged(found))?,
        transfer_syntax,
        sop_class,
        shared,
        frames,
        dimensions,
        pixels,
        file_length: metadata.len(),
    })
}

/// Copies the wanted elements of the data set to `kept`.
fn data_set(
    walker: &mut Walker,
    wanted: &[Tag],
    encoding: Encoding,
    kept: &mut Vec<u8>,
    groups: &mut FunctionalGroups,
) -> Result<Option<PixelSpan>, FileFault> {
    while let Some(header) = walker.header(encoding)? {
        let kind = match header.tag {
            tags::PIXEL_DATA => Some(PixelKind::Integer),
            tags::FLOAT_PIXEL_DATA => Some(PixelKind::Float),
            tags::DOUBLE_FLOAT_PIXEL_DATA => Some(PixelKind::Double),
            _ => None,
        };
        if let Some(kind) = kind {
            return Ok(Some(walker.pixel_span(kind, &header)));
        }
        if !groups.take(walker, &header)? {
            walker.keep_or_skip(&header, wanted, encoding, kept)?;
        }
    }
    Ok(None)
}

/// Fills `buffer` until it is full or the data end.
pub(super) fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
