//! Walking the elements of a file, without believing its lengths.
//!
//! dicom-rs allocates what an element's length field claims (up to 4 GiB) and recurses into sequences
//! without a limit. So the elements are walked here first, in constant memory: those that are wanted are
//! copied out, small and flat, and only they are handed to dicom-rs; everything else is skipped.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::entries;

/// The longest value that is copied out, in bytes. Every wanted element is far shorter.
const MAX_VALUE: u32 = 1 << 14;
/// The deepest nesting of sequences that is followed.
const MAX_DEPTH: usize = 64;
const UNDEFINED: u32 = u32::MAX;
const ITEM: Tag = Tag(0xfffe, 0xe000);
const ITEM_END: Tag = Tag(0xfffe, 0xe00d);
const SEQUENCE_END: Tag = Tag(0xfffe, 0xe0dd);

/// Why a file is not a DICOM file that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileFault {
    /// The file cannot be opened or read.
    #[error("cannot be read")]
    Read(#[from] io::Error),
    /// The file is something else.
    #[error("is not a DICOM file: {found}")]
    NotDicom {
        /// What was found instead.
        found: &'static str,
    },
    /// The file breaks off.
    #[error("is truncated after {bytes} bytes; download or copy it again")]
    Truncated {
        /// Length of what was read.
        bytes: u64,
    },
    /// The structure of the file makes no sense.
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
    /// The transfer syntax cannot be read at all.
    #[error(
        "has the transfer syntax {syntax}, which this version does not read; convert it to Explicit VR Little Endian"
    )]
    Syntax {
        /// Its name or UID.
        syntax: String,
    },
}

/// Where the pixels of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PixelSpan {
    /// Offset of the first byte of the value, in the file.
    pub(super) offset: u64,
    /// Length of the value; `None` for encapsulated fragments.
    pub(super) length: Option<u32>,
}

/// The wanted elements of a file, and where its pixels are.
pub(super) struct Elements {
    pub(super) transfer_syntax: String,
    pub(super) sop_class: String,
    pub(super) object: InMemDicomObject,
    pub(super) pixels: Option<PixelSpan>,
    pub(super) file_length: u64,
}

/// Reads the elements that `wanted` names, up to the pixels.
pub(super) fn read_elements(path: &Path, wanted: &[Tag]) -> Result<Elements, FileFault> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(FileFault::NotDicom { found: "no plain file" });
    }
    let mut walker = Walker { reader: BufReader::with_capacity(1 << 14, file), position: 0, implicit: false };
    let start = walker.find_start()?;
    let meta = if start == Start::DataSet { Meta::default() } else { walker.meta()? };
    let transfer_syntax = match start {
        Start::DataSet if walker.implicit => uids::IMPLICIT_VR_LITTLE_ENDIAN.to_owned(),
        Start::DataSet => uids::EXPLICIT_VR_LITTLE_ENDIAN.to_owned(),
        Start::Meta => meta.transfer_syntax,
    };
    match transfer_syntax.as_str() {
        uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN | "1.2.840.10008.1.2.2" => {
            return Err(FileFault::Syntax { syntax: super::syntax_name(&transfer_syntax) });
        }
        syntax => walker.implicit = syntax == uids::IMPLICIT_VR_LITTLE_ENDIAN,
    }
    let (bytes, pixels) = walker.data_set(wanted)?;
    let syntax = if walker.implicit {
        entries::IMPLICIT_VR_LITTLE_ENDIAN.erased()
    } else {
        entries::EXPLICIT_VR_LITTLE_ENDIAN.erased()
    };
    let object = InMemDicomObject::read_dataset_with_ts(bytes.as_slice(), &syntax)
        .map_err(|error| FileFault::Damaged { position: walker.position, found: error.to_string() })?;
    Ok(Elements { transfer_syntax, sop_class: meta.sop_class, object, pixels, file_length: metadata.len() })
}

#[derive(PartialEq)]
enum Start {
    /// The file meta group comes next.
    Meta,
    /// There is no meta group: the data set comes next.
    DataSet,
}

#[derive(Default)]
struct Meta {
    transfer_syntax: String,
    sop_class: String,
}

/// Tag, value representation and length of an element.
struct ElementHeader {
    tag: Tag,
    bytes: Vec<u8>,
    length: u32,
    implicit_inside: bool,
}

struct Walker {
    reader: BufReader<File>,
    position: u64,
    implicit: bool,
}

impl Walker {
    fn find_start(&mut self) -> Result<Start, FileFault> {
        let mut head = Vec::with_capacity(132);
        self.reader.by_ref().take(132).read_to_end(&mut head)?;
        let rewind = |walker: &mut Self, to: i64| -> Result<(), FileFault> {
            walker.reader.seek_relative(to - head.len() as i64)?;
            walker.position = to.cast_unsigned();
            Ok(())
        };
        let not_dicom = |found| Err(FileFault::NotDicom { found });
        match head.as_slice() {
            [] => not_dicom("it is empty"),
            head if head.len() == 132 && head.ends_with(b"DICM") => {
                rewind(self, 132)?;
                Ok(Start::Meta)
            }
            head if head.starts_with(b"DICM") => {
                rewind(self, 4)?;
                Ok(Start::Meta)
            }
            [2, 0, 0, 0, b'U', b'L', ..] => {
                rewind(self, 0)?;
                Ok(Start::Meta)
            }
            // Old archives keep the bare data set, which begins with group 8.
            [8, 0, element, 0, v, r, ..] if *element < 0x20 => {
                self.implicit = !(v.is_ascii_uppercase() && r.is_ascii_uppercase());
                rewind(self, 0)?;
                Ok(Start::DataSet)
            }
            head if head.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) => {
                not_dicom("it holds text")
            }
            _ => not_dicom("it has neither the DICM mark nor a data set"),
        }
    }

    /// Group 2, which is always explicit.
    fn meta(&mut self) -> Result<Meta, FileFault> {
        let mut meta = Meta::default();
        loop {
            match self.reader.fill_buf()? {
                [2, 0, ..] => {}
                [] => return Err(FileFault::Truncated { bytes: self.position }),
                _ => break,
            }
            let header = self.header(false)?.ok_or(FileFault::Truncated { bytes: self.position })?;
            let target = match header.tag {
                tags::TRANSFER_SYNTAX_UID => &mut meta.transfer_syntax,
                tags::MEDIA_STORAGE_SOP_CLASS_UID => &mut meta.sop_class,
                _ => {
                    self.skip(header.length.into())?;
                    continue;
                }
            };
            if header.length > 64 {
                return Err(self.damaged(format!("a UID of {} bytes", header.length)));
            }
            let mut value = vec![0; header.length as usize];
            self.fill(&mut value)?;
            *target = String::from_utf8_lossy(&value).trim_matches([' ', '\0']).to_owned();
        }
        if meta.transfer_syntax.is_empty() {
            return Err(self.damaged("no transfer syntax in the file meta group".to_owned()));
        }
        Ok(meta)
    }

    fn data_set(&mut self, wanted: &[Tag]) -> Result<(Vec<u8>, Option<PixelSpan>), FileFault> {
        let mut kept = Vec::new();
        while let Some(header) = self.header(self.implicit)? {
            if header.tag == tags::PIXEL_DATA {
                let length = (header.length != UNDEFINED).then_some(header.length);
                return Ok((kept, Some(PixelSpan { offset: self.position, length })));
            }
            if header.length == UNDEFINED {
                self.skip_sequence(header.implicit_inside)?;
            } else if wanted.contains(&header.tag) && header.length <= MAX_VALUE {
                kept.extend_from_slice(&header.bytes);
                let start = kept.len();
                kept.resize(start + header.length as usize, 0);
                self.fill(&mut kept[start..])?;
            } else {
                self.skip(header.length.into())?;
            }
        }
        Ok((kept, None))
    }

    /// The next element's header, `None` at the end of the file.
    fn header(&mut self, implicit: bool) -> Result<Option<ElementHeader>, FileFault> {
        let mut head = [0; 8];
        let n_read = read_up_to(&mut self.reader, &mut head)?;
        if n_read == 0 {
            return Ok(None);
        }
        self.position += n_read as u64;
        if n_read < 8 {
            return Err(FileFault::Truncated { bytes: self.position });
        }
        let [g0, g1, e0, e1, v, r, l0, l1] = head;
        let tag = Tag(u16::from_le_bytes([g0, g1]), u16::from_le_bytes([e0, e1]));
        let mut bytes = head.to_vec();
        let mut implicit_inside = implicit;
        let length = if implicit || tag.0 == 0xfffe {
            u32::from_le_bytes([v, r, l0, l1])
        } else {
            match &[v, r] {
                b"OB" | b"OD" | b"OF" | b"OL" | b"OV" | b"OW" | b"SQ" | b"SV" | b"UC" | b"UN" | b"UR"
                | b"UT" | b"UV" => {
                    let mut long = [0; 4];
                    self.fill(&mut long)?;
                    bytes.extend_from_slice(&long);
                    // What is unknown and of unknown length is a sequence in implicit encoding.
                    implicit_inside = [v, r] == *b"UN";
                    u32::from_le_bytes(long)
                }
                representation if representation.iter().all(u8::is_ascii_uppercase) => {
                    u16::from_le_bytes([l0, l1]).into()
                }
                other => {
                    return Err(self.damaged(format!("element {tag} of type {:?}", other.escape_ascii())));
                }
            }
        };
        Ok(Some(ElementHeader { tag, bytes, length, implicit_inside }))
    }

    /// Skips the items of a sequence of undefined length.
    fn skip_sequence(&mut self, implicit: bool) -> Result<(), FileFault> {
        enum Level {
            Sequence { implicit: bool },
            Item { implicit: bool },
        }
        let mut levels = vec![Level::Sequence { implicit }];
        while let Some(level) = levels.last() {
            let (inside_item, implicit) = match *level {
                Level::Sequence { implicit } => (false, implicit),
                Level::Item { implicit } => (true, implicit),
            };
            let header = self.header(implicit)?.ok_or(FileFault::Truncated { bytes: self.position })?;
            match (header.tag, inside_item) {
                (SEQUENCE_END, false) | (ITEM_END, true) => {
                    levels.pop();
                }
                (ITEM, false) if header.length == UNDEFINED => levels.push(Level::Item { implicit }),
                (_, true) if header.length == UNDEFINED => {
                    levels.push(Level::Sequence { implicit: header.implicit_inside });
                }
                (ITEM, false) | (_, true) => self.skip(header.length.into())?,
                (tag, false) => {
                    return Err(self.damaged(format!("element {tag} between the items of a sequence")));
                }
            }
            if levels.len() > MAX_DEPTH {
                return Err(self.damaged(format!("sequences nested deeper than {MAX_DEPTH}")));
            }
        }
        Ok(())
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), FileFault> {
        let n_read = read_up_to(&mut self.reader, buffer)?;
        self.position += n_read as u64;
        if n_read < buffer.len() { Err(FileFault::Truncated { bytes: self.position }) } else { Ok(()) }
    }

    fn skip(&mut self, n: u64) -> Result<(), FileFault> {
        let n_skipped = io::copy(&mut self.reader.by_ref().take(n), &mut io::sink())?;
        self.position += n_skipped;
        if n_skipped < n { Err(FileFault::Truncated { bytes: self.position }) } else { Ok(()) }
    }

    fn damaged(&self, found: String) -> FileFault {
        FileFault::Damaged { position: self.position, found }
    }
}

/// Fills `buffer` as far as the bytes reach.
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
