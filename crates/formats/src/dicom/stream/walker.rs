//! Walks through elements one by one.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry, VirtualVr};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags, uids};
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::entries;

use super::source::Source;
use super::{FileFault, PixelKind, PixelSpan, read_up_to};

/// Largest value that is copied, in bytes. All wanted elements are far shorter.
const MAX_VALUE: u32 = 1 << 14;
/// Largest nesting depth of sequences.
const MAX_DEPTH: usize = 64;
pub(super) const UNDEFINED: u32 = u32::MAX;
const ITEM: Tag = Tag(0xfffe, 0xe000);
const ITEM_END: Tag = Tag(0xfffe, 0xe00d);
const SEQUENCE_END: Tag = Tag(0xfffe, 0xe0dd);

/// How elements are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dicom) enum Encoding {
    ImplicitLittle,
    ExplicitLittle,
    ExplicitBig,
}

impl Encoding {
    /// The encoding of the elements of a transfer syntax.
    pub(in crate::dicom) fn of(transfer_syntax: &str) -> Self {
        match transfer_syntax {
            uids::IMPLICIT_VR_LITTLE_ENDIAN => Self::ImplicitLittle,
            "1.2.840.10008.1.2.2" => Self::ExplicitBig,
            _ => Self::ExplicitLittle,
        }
    }

    pub(super) fn transfer_syntax(self) -> &'static str {
        match self {
            Self::ImplicitLittle => uids::IMPLICIT_VR_LITTLE_ENDIAN,
            Self::ExplicitLittle => uids::EXPLICIT_VR_LITTLE_ENDIAN,
            Self::ExplicitBig => "1.2.840.10008.1.2.2",
        }
    }

    fn u16(self, bytes: [u8; 2]) -> u16 {
        if self == Self::ExplicitBig { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    fn u32(self, bytes: [u8; 4]) -> u32 {
        if self == Self::ExplicitBig { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    pub(super) fn tag(self, [a, b, c, d]: [u8; 4]) -> Tag {
        Tag(self.u16([a, b]), self.u16([c, d]))
    }

    /// Parses flat elements.
    pub(super) fn object(self, bytes: &[u8]) -> Result<InMemDicomObject, String> {
        let syntax = match self {
            Self::ImplicitLittle => entries::IMPLICIT_VR_LITTLE_ENDIAN.erased(),
            Self::ExplicitLittle => entries::EXPLICIT_VR_LITTLE_ENDIAN.erased(),
            Self::ExplicitBig => entries::EXPLICIT_VR_BIG_ENDIAN.erased(),
        };
        InMemDicomObject::read_dataset_with_ts(bytes, &syntax).map_err(|error| error.to_string())
    }
}

/// How a file starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Start {
    /// The file meta group comes next.
    Meta,
    /// There is no meta group: the data set comes next.
    DataSet(Encoding),
}

#[derive(Default)]
pub(super) struct Meta {
    pub(super) transfer_syntax: String,
    pub(super) sop_class: String,
}

/// Tag, value representation and length of an element.
pub(super) struct ElementHeader {
    pub(super) tag: Tag,
    pub(super) bytes: Vec<u8>,
    pub(super) vr: [u8; 2],
    pub(super) length: u32,
    /// The encoding of the items, if it is a sequence.
    pub(super) inside: Encoding,
}

/// Called with each item of a sequence: the encoding of its elements, and its end if known.
type OnItem<'a> = dyn FnMut(&mut Walker, Encoding, Option<u64>) -> Result<(), FileFault> + 'a;
/// Called with each element. Must consume its value.
type OnElement<'a> = dyn FnMut(&mut Walker, &ElementHeader) -> Result<(), FileFault> + 'a;

pub(super) struct Walker {
    source: Source,
    /// Number of bytes read from the file or the inflated data set.
    position: u64,
    deflated_from: Option<u64>,
}

impl Walker {
    pub(super) fn open(file: File) -> Result<(Self, Start), FileFault> {
        let mut reader = BufReader::with_capacity(1 << 14, file);
        let mut head = Vec::with_capacity(132);
        reader.by_ref().take(132).read_to_end(&mut head)?;
        let (start, position) = find_start(&head)?;
        reader.seek_relative(position - head.len() as i64)?;
        let source = Source::Plain(reader);
        Ok((Self { source, position: position.cast_unsigned(), deflated_from: None }, start))
    }

    /// Group 2, which is always explicit and little-endian.
    pub(super) fn meta(&mut self) -> Result<Meta, FileFault> {
        let mut meta = Meta::default();
        while let Source::Plain(reader) = &mut self.source {
            match reader.fill_buf()? {
                [2, 0, ..] => {}
                [] => return Err(FileFault::Truncated { bytes: self.position }),
                _ => break,
            }
            let truncated = FileFault::Truncated { bytes: self.position };
            let header = self.header(Encoding::ExplicitLittle)?.ok_or(truncated)?;
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

    /// Switches from the meta group to the data set.
    pub(super) fn into_data_set(mut self, transfer_syntax: &str) -> Self {
        if transfer_syntax == uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN {
            self.deflated_from = Some(self.position);
            self.position = 0;
            self.source = self.source.inflate();
        }
        self
    }

    pub(super) fn pixel_span(&self, kind: PixelKind, header: &ElementHeader) -> PixelSpan {
        PixelSpan {
            kind,
            offset: self.position,
            length: (header.length != UNDEFINED).then_some(header.length),
            deflated_from: self.deflated_from,
            // Implicit encoding has only OW.
            words: header.vr != *b"OB",
        }
    }

    /// Copies a wanted element that is small and flat to `kept`.
    pub(super) fn keep_or_skip(
        &mut self,
        header: &ElementHeader,
        wanted: &[Tag],
        encoding: Encoding,
        kept: &mut Vec<u8>,
    ) -> Result<(), FileFault> {
        if !wanted.contains(&header.tag) || header.length > MAX_VALUE {
            return self.skip_value(header);
        }
        let known = known_representation(header, encoding).filter(|_| header.length <= u16::MAX.into());
        match known {
            Some(vr) => {
                kept.extend_from_slice(&header.bytes[..4]);
                kept.extend_from_slice(&vr);
                kept.extend_from_slice(&(header.length as u16).to_le_bytes());
            }
            None => kept.extend_from_slice(&header.bytes),
        }
        let start = kept.len();
        kept.resize(start + header.length as usize, 0);
        self.fill(&mut kept[start..])
    }

    /// The next element's header, `None` at the end of the file.
    pub(super) fn header(&mut self, encoding: Encoding) -> Result<Option<ElementHeader>, FileFault> {
        let mut head = [0; 8];
        let n_read = read_up_to(&mut self.source, &mut head)?;
        if n_read == 0 {
            return Ok(None);
        }
        self.position += n_read as u64;
        if n_read < 8 {
            return Err(FileFault::Truncated { bytes: self.position });
        }
        let [g0, g1, e0, e1, v, r, l0, l1] = head;
        let tag = encoding.tag([g0, g1, e0, e1]);
        let mut header = ElementHeader { tag, bytes: head.to_vec(), vr: [v, r], length: 0, inside: encoding };
        if encoding == Encoding::ImplicitLittle || tag.0 == 0xfffe {
            header.length = encoding.u32([v, r, l0, l1]);
            header.vr = *b"  ";
            return Ok(Some(header));
        }
        match &[v, r] {
            b"OB" | b"OD" | b"OF" | b"OL" | b"OV" | b"OW" | b"SQ" | b"SV" | b"UC" | b"UN" | b"UR" | b"UT"
            | b"UV" => {
                let mut long = [0; 4];
                self.fill(&mut long)?;
                header.bytes.extend_from_slice(&long);
                header.length = encoding.u32(long);
                // An element of unknown VR and undefined length is a sequence in implicit encoding.
                if [v, r] == *b"UN" {
                    header.inside = Encoding::ImplicitLittle;
                }
            }
            representation if representation.iter().all(u8::is_ascii_uppercase) => {
                header.length = encoding.u16([l0, l1]).into();
            }
            other => return Err(self.damaged(format!("element {tag} of type {:?}", other.escape_ascii()))),
        }
        Ok(Some(header))
    }

    fn need_header(&mut self, encoding: Encoding) -> Result<ElementHeader, FileFault> {
        let header = self.header(encoding)?;
        header.ok_or(FileFault::Truncated { bytes: self.position })
    }

    /// Calls `visit` at the start of each item of a sequence.
    pub(super) fn each_item(
        &mut self,
        sequence: &ElementHeader,
        visit: &mut OnItem<'_>,
    ) -> Result<(), FileFault> {
        let end = self.end_of(sequence);
        while end.is_none_or(|end| self.position < end) {
            let item = self.need_header(sequence.inside)?;
            match item.tag {
                ITEM => {
                    let item_end = self.end_of(&item);
                    visit(self, sequence.inside, item_end)?;
                }
                SEQUENCE_END if end.is_none() => return Ok(()),
                tag => return Err(self.damaged(format!("element {tag} between the items of a sequence"))),
            }
        }
        self.check_end(end)
    }

    /// Calls `visit` with each element of an item.
    pub(super) fn each_element(
        &mut self,
        encoding: Encoding,
        end: Option<u64>,
        visit: &mut OnElement<'_>,
    ) -> Result<(), FileFault> {
        while end.is_none_or(|end| self.position < end) {
            let header = self.need_header(encoding)?;
            if header.tag == ITEM_END && end.is_none() {
                return Ok(());
            }
            visit(self, &header)?;
        }
        self.check_end(end)
    }

    fn end_of(&self, header: &ElementHeader) -> Option<u64> {
        (header.length != UNDEFINED).then(|| self.position + u64::from(header.length))
    }

    fn check_end(&self, end: Option<u64>) -> Result<(), FileFault> {
        match end {
            Some(end) if end != self.position => {
                Err(self.damaged("a sequence that is longer than it says".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Skips the value of an element of any kind.
    pub(super) fn skip_value(&mut self, header: &ElementHeader) -> Result<(), FileFault> {
        if header.length == UNDEFINED {
            self.skip_sequence(header.inside)
        } else {
            self.skip(header.length.into())
        }
    }

    /// Skips the items of a sequence of undefined length.
    fn skip_sequence(&mut self, encoding: Encoding) -> Result<(), FileFault> {
        enum Level {
            Sequence(Encoding),
            Item(Encoding),
        }
        let mut levels = vec![Level::Sequence(encoding)];
        while let Some(level) = levels.last() {
            let (inside_item, encoding) = match *level {
                Level::Sequence(encoding) => (false, encoding),
                Level::Item(encoding) => (true, encoding),
            };
            let header = self.need_header(encoding)?;
            match (header.tag, inside_item) {
                (SEQUENCE_END, false) | (ITEM_END, true) => {
                    levels.pop();
                }
                (ITEM, false) if header.length == UNDEFINED => levels.push(Level::Item(encoding)),
                (_, true) if header.length == UNDEFINED => levels.push(Level::Sequence(header.inside)),
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

    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<(), FileFault> {
        let n_read = read_up_to(&mut self.source, buffer)?;
        self.position += n_read as u64;
        if n_read < buffer.len() { Err(FileFault::Truncated { bytes: self.position }) } else { Ok(()) }
    }

    fn skip(&mut self, n: u64) -> Result<(), FileFault> {
        let n_skipped = io::copy(&mut self.source.by_ref().take(n), &mut io::sink())?;
        self.position += n_skipped;
        if n_skipped < n { Err(FileFault::Truncated { bytes: self.position }) } else { Ok(()) }
    }

    pub(super) fn damaged(&self, found: String) -> FileFault {
        FileFault::Damaged { position: self.position, found }
    }
}

/// The VR of an element that the file marks as unknown. The dictionary may contain it.
fn known_representation(header: &ElementHeader, encoding: Encoding) -> Option<[u8; 2]> {
    if encoding != Encoding::ExplicitLittle || header.vr != *b"UN" {
        return None;
    }
    let vr = match StandardDataDictionary.by_tag(header.tag)?.vr() {
        VirtualVr::Exact(vr) => vr,
        _ => return None,
    };
    let short =
        [VR::AS, VR::CS, VR::DA, VR::DS, VR::FD, VR::FL, VR::IS, VR::LO, VR::SH, VR::UI, VR::UL, VR::US];
    short.contains(&vr).then(|| vr.to_bytes())
}

/// Identifies the first bytes of a file, and the offset of its elements.
fn find_start(head: &[u8]) -> Result<(Start, i64), FileFault> {
    let not_dicom = |found| Err(FileFault::NotDicom { found });
    match head {
        [] => not_dicom("it is empty"),
        head if head.len() == 132 && head.ends_with(b"DICM") => Ok((Start::Meta, 132)),
        head if head.starts_with(b"DICM") => Ok((Start::Meta, 4)),
        [2, 0, 0, 0, b'U', b'L', ..] => Ok((Start::Meta, 0)),
        // Old archives store the bare data set, which starts with group 8.
        [8, 0, element, 0, v, r, ..] if *element < 0x20 => {
            let explicit = v.is_ascii_uppercase() && r.is_ascii_uppercase();
            let encoding = if explicit { Encoding::ExplicitLittle } else { Encoding::ImplicitLittle };
            Ok((Start::DataSet(encoding), 0))
        }
        [0, 8, 0, element, v, r, ..]
            if *element < 0x20 && v.is_ascii_uppercase() && r.is_ascii_uppercase() =>
        {
            Ok((Start::DataSet(Encoding::ExplicitBig), 0))
        }
        head if head.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) => {
            not_dicom("it holds text")
        }
        _ => not_dicom("it has neither the DICM mark nor a data set"),
    }
}
