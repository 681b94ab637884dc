//! Files of PyTorch before 1.6: five consecutive pickles, then the storages.

use std::collections::BTreeMap;

use super::TorchError;
use super::pickle::{Pickled, Value, read};

/// The first pickle: a magic number.
const MAGIC: [u8; 15] = [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];
/// The second: the version of the format.
const VERSION: i64 = 1001;

/// Whether a file starts like this format.
pub(super) fn is_legacy(file: &[u8]) -> bool {
    file.starts_with(&MAGIC)
}

/// The object of a file, and the bytes of its storages by key.
pub(super) struct Legacy<'a> {
    pub(super) pickled: Pickled<'a>,
    pub(super) root: Value<'a>,
    pub(super) storages: BTreeMap<&'a str, &'a [u8]>,
}

/// Reads everything but the numbers.
pub(super) fn open(file: &[u8]) -> Result<Legacy<'_>, TorchError> {
    let mut rest = &file[MAGIC.len()..];
    let version = next(&mut rest, &mut Pickled::default())?;
    if version != Value::Int(VERSION) {
        let (found, expected) = ("another version of the format", "1001");
        return Err(TorchError::Unexpected { found, expected, at: MAGIC.len() });
    }
    check_byte_order(&mut rest)?;
    let mut pickled = Pickled::default();
    let root = next(&mut rest, &mut pickled)?;
    let keys = next(&mut rest, &mut pickled)?;
    let storages = storages(rest, keys, &pickled)?;
    Ok(Legacy { pickled, root, storages })
}

/// Reads one pickle and advances past it.
fn next<'a>(rest: &mut &'a [u8], pickled: &mut Pickled<'a>) -> Result<Value<'a>, TorchError> {
    let (value, length) = read(rest, pickled)?;
    *rest = &rest[length..];
    Ok(value)
}

/// The third pickle describes the machine that wrote the numbers.
fn check_byte_order(rest: &mut &[u8]) -> Result<(), TorchError> {
    let mut pickled = Pickled::default();
    let Value::Dict(system) = next(rest, &mut pickled)? else { return Ok(()) };
    let big = (Value::Text("little_endian"), Value::Bool(false));
    if pickled.dicts[system].contains(&big) { Err(TorchError::BigEndian) } else { Ok(()) }
}

/// After the pickles: for each key a count of elements and their bytes.
fn storages<'a>(
    mut bytes: &'a [u8],
    keys: Value<'a>,
    pickled: &Pickled<'a>,
) -> Result<BTreeMap<&'a str, &'a [u8]>, TorchError> {
    let wrong = TorchError::Unexpected { found: "something else", expected: "a list of storages", at: 0 };
    let Value::Sequence(keys) = keys else { return Err(wrong) };
    let widths: BTreeMap<&str, usize> =
        pickled.storages.iter().map(|storage| (storage.key, storage.element.width())).collect();
    let mut found = BTreeMap::new();
    for key in &pickled.sequences[keys] {
        let Value::Text(key) = *key else { return Err(wrong) };
        let width = *widths.get(key).ok_or(wrong.clone())?;
        let missing = |got| TorchError::Storage { key: key.to_owned(), got, expected: 8 };
        let (count, rest) = bytes.split_first_chunk::<8>().ok_or(missing(bytes.len()))?;
        let n_bytes = usize::try_from(u64::from_le_bytes(*count)).ok().and_then(|n| n.checked_mul(width));
        let n_bytes = n_bytes.unwrap_or(usize::MAX);
        let numbers = rest.get(..n_bytes).ok_or_else(|| TorchError::Storage {
            key: key.to_owned(),
            got: rest.len(),
            expected: n_bytes,
        })?;
        found.insert(key, numbers);
        bytes = &rest[n_bytes..];
    }
    Ok(found)
}
