//! Parser of the zip archives that PyTorch writes since 1.6.
//!
//! PyTorch stores its entries uncompressed and contiguous. An entry is a slice of the file, and no number in
//! the archive causes an allocation. Compressed or encrypted entries are rejected.

use std::collections::BTreeMap;

use flate2::Crc;

use super::TorchError;

/// Largest number of entries.
const MAX_ENTRIES: usize = 1 << 16;
/// Shortest end record; a comment of up to 65,535 bytes may follow it.
const END_BYTES: usize = 22;
const LONGEST_COMMENT: usize = 65_535;

/// An entry's bytes and the checksum that they should have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) bytes: &'a [u8],
    crc: u32,
}

/// The entries of an archive.
pub(super) struct Archive<'a> {
    entries: BTreeMap<&'a str, Entry<'a>>,
    /// The folder that everything is in, such as `archive/`.
    folder: &'a str,
}

const fn damaged(problem: &'static str) -> TorchError {
    TorchError::Archive { problem }
}

impl<'a> Archive<'a> {
    /// Lists the entries.
    pub(super) fn open(file: &'a [u8]) -> Result<Self, TorchError> {
        let directory = Directory::find(file)?;
        let mut rest = directory.bytes;
        let mut entries = BTreeMap::new();
        for _ in 0..directory.n_entries {
            let (name, entry, length) = central_entry(file, rest)?;
            entries.insert(name, entry);
            rest = &rest[length..];
        }
        let pickles = entries.keys().filter_map(|name| name.strip_suffix("data.pkl"));
        let folder = pickles.min_by_key(|folder| folder.len());
        let folder = folder.ok_or(damaged("holds no data.pkl: it was not written by torch.save"))?;
        let archive = Self { entries, folder };
        match archive.entry("byteorder") {
            Some(Entry { bytes: b"little", .. }) | None => Ok(archive),
            Some(_) => Err(TorchError::BigEndian),
        }
    }

    /// The pickle.
    pub(super) fn pickle(&self) -> Result<&'a [u8], TorchError> {
        let entry = self.entry("data.pkl").ok_or(damaged("holds no data.pkl"))?;
        entry.checked("data.pkl")
    }

    /// The bytes of a storage, if it exists.
    pub(super) fn storage(&self, key: &str) -> Option<Entry<'a>> {
        self.entry(&format!("data/{key}"))
    }

    fn entry(&self, name: &str) -> Option<Entry<'a>> {
        self.entries.get(format!("{}{name}", self.folder).as_str()).copied()
    }
}

impl<'a> Entry<'a> {
    /// The bytes, if their checksum matches the archive.
    pub(super) fn checked(&self, key: &str) -> Result<&'a [u8], TorchError> {
        let mut crc = Crc::new();
        crc.update(self.bytes);
        if crc.sum() == self.crc {
            Ok(self.bytes)
        } else {
            let (got, expected) = (crc.sum(), self.crc);
            Err(TorchError::Checksum { key: key.to_owned(), got, expected })
        }
    }
}

/// The list of entries at the end of the file.
struct Directory<'a> {
    bytes: &'a [u8],
    n_entries: usize,
}

impl<'a> Directory<'a> {
    fn find(file: &'a [u8]) -> Result<Self, TorchError> {
        let first = file.len().saturating_sub(END_BYTES + LONGEST_COMMENT);
        let found = file[first..].windows(END_BYTES).rposition(|window| window.starts_with(b"PK\x05\x06"));
        let end = first + found.ok_or(damaged("has no end record: the file is cut off"))?;
        let short = Fields(&file[end..]);
        let (mut n_entries, mut size, mut start) =
            (u64::from(short.u16(10)?), u64::from(short.u32(12)?), u64::from(short.u32(16)?));
        // PyTorch always adds the 64-bit record; the locator stands right in front of the short one.
        let locator = Fields(&file[end.saturating_sub(20)..end]);
        if locator.0.starts_with(b"PK\x06\x07") {
            let long = Fields(slice(file, locator.u64(8)?, 56)?);
            if !long.0.starts_with(b"PK\x06\x06") {
                return Err(damaged("has a locator that leads nowhere"));
            }
            (n_entries, size, start) = (long.u64(32)?, long.u64(40)?, long.u64(48)?);
        }
        let n_entries = usize::try_from(n_entries).unwrap_or(usize::MAX);
        if n_entries > MAX_ENTRIES {
            return Err(TorchError::Limit { what: "entries in its archive", limit: MAX_ENTRIES });
        }
        let size = usize::try_from(size).map_err(|_| damaged("has a list of entries beyond its end"))?;
        Ok(Self { bytes: slice(file, start, size)?, n_entries })
    }
}

/// One entry of the list, and the length of its record.
fn central_entry<'a>(file: &'a [u8], list: &'a [u8]) -> Result<(&'a str, Entry<'a>, usize), TorchError> {
    let record = Fields(list);
    if !list.starts_with(b"PK\x01\x02") {
        return Err(damaged("has fewer entries than its end record says"));
    }
    let (flags, method) = (record.u16(8)?, record.u16(10)?);
    if method != 0 || flags & 1 != 0 {
        return Err(damaged("has compressed or encrypted entries, which PyTorch does not write"));
    }
    let lengths = [28, 30, 32].map(|at| record.u16(at).map(usize::from));
    let (n_name, n_extra, n_comment) = (lengths[0].clone()?, lengths[1].clone()?, lengths[2].clone()?);
    let name = std::str::from_utf8(slice(list, 46, n_name)?);
    let name = name.map_err(|_| damaged("has a name that is not UTF-8"))?;
    let extra = slice(list, 46 + n_name as u64, n_extra)?;
    let mut long = long_fields(extra);
    let mut field = |at: usize| match record.u32(at)? {
        u32::MAX => long.next().ok_or(damaged("lacks a 64-bit length")),
        short => Ok(u64::from(short)),
    };
    let (plain, stored, header) = (field(24)?, field(20)?, field(42)?);
    if plain != stored {
        return Err(damaged("has a stored entry with two lengths"));
    }
    let local = Fields(slice(file, header, 30)?);
    if !local.0.starts_with(b"PK\x03\x04") {
        return Err(damaged("has an entry without its header"));
    }
    let start = header + 30 + u64::from(local.u16(26)?) + u64::from(local.u16(28)?);
    let length = usize::try_from(plain).map_err(|_| damaged("has an entry beyond its end"))?;
    let entry = Entry { bytes: slice(file, start, length)?, crc: record.u32(16)? };
    let n_record = 46 + n_name + n_extra + n_comment;
    slice(list, 0, n_record)?;
    Ok((name, entry, n_record))
}

/// The 64-bit values that replace 32-bit fields of all ones.
fn long_fields(mut extra: &[u8]) -> impl Iterator<Item = u64> {
    let mut found: &[u8] = &[];
    while let [a, b, c, d, rest @ ..] = extra {
        let (tag, length) = (u16::from_le_bytes([*a, *b]), usize::from(u16::from_le_bytes([*c, *d])));
        let (field, next) = rest.split_at(length.min(rest.len()));
        if tag == 1 {
            found = field;
            break;
        }
        extra = next;
    }
    found.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word))
}

/// `length` bytes from `start`, if they exist.
fn slice(bytes: &[u8], start: u64, length: usize) -> Result<&[u8], TorchError> {
    let outside = damaged("points beyond its end: the file is cut off or damaged");
    let start = usize::try_from(start).map_err(|_| outside.clone())?;
    let end = start.checked_add(length).ok_or(outside.clone())?;
    bytes.get(start..end).ok_or(outside)
}

/// Little-endian numbers at fixed offsets.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn word<const N: usize>(&self, at: usize) -> Result<[u8; N], TorchError> {
        let bytes = slice(self.0, at as u64, N)?;
        Ok(bytes.try_into().expect("as many bytes were cut"))
    }

    fn u16(&self, at: usize) -> Result<u16, TorchError> {
        self.word(at).map(u16::from_le_bytes)
    }

    fn u32(&self, at: usize) -> Result<u32, TorchError> {
        self.word(at).map(u32::from_le_bytes)
    }

    fn u64(&self, at: usize) -> Result<u64, TorchError> {
        self.word(at).map(u64::from_le_bytes)
    }
}
