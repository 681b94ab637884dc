//! Reads tensors from PyTorch checkpoints without executing anything in them.
//!
//! Both formats are supported: the zip archive of PyTorch 1.6 and later, and the sequence of pickles before
//! that. A pickle is a program. Only its instructions for dicts, tuples and tensors are interpreted, with a
//! fixed list of names. Sizes are checked against the available bytes before anything is allocated.

mod element;
mod error;
mod legacy;
mod pickle;
#[cfg(test)]
mod tests;
mod zip;

use std::cell::RefCell;
use std::collections::BTreeMap;

pub use error::TorchError;
use pickle::{Pickled, Storage, Tensor, Value};
use zip::Archive;

use crate::HostTensor;

/// Largest total number of decoded elements: eight times those of R3D-18.
const MAX_VALUES: usize = 1 << 28;
/// Keys under which training scripts store the state dict.
const STATE_KEYS: [&str; 3] = ["model_state_dict", "state_dict", "model"];

/// Why a tensor of a readable checkpoint is rejected.
#[derive(Debug)]
pub(crate) enum Refused {
    Torch(TorchError),
    /// The named tensor does not hold floating-point numbers.
    DataType {
        name: String,
        got: String,
    },
}

impl From<TorchError> for Refused {
    fn from(error: TorchError) -> Self {
        Self::Torch(error)
    }
}

/// Whether a file starts like a checkpoint of PyTorch.
pub(crate) fn is_torch(file: &[u8]) -> bool {
    file.starts_with(b"PK\x03\x04") || legacy::is_legacy(file)
}

/// Decodes the tensors whose names `select` accepts to single precision.
pub(crate) fn decode(
    file: &[u8],
    select: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, HostTensor>, Refused> {
    if legacy::is_legacy(file) {
        let legacy = legacy::open(file)?;
        let bytes_of = |storage: &Storage<'_>| {
            let bytes = legacy.storages.get(storage.key).copied().unwrap_or_default();
            sized(storage, bytes)
        };
        return gather(&legacy.pickled, legacy.root, bytes_of, select);
    }
    let archive = Archive::open(file)?;
    let mut pickled = Pickled::default();
    let (root, _) = pickle::read(archive.pickle()?, &mut pickled)?;
    // Many tensors may share a storage, whose checksum is compared once.
    let checked: RefCell<BTreeMap<String, &[u8]>> = RefCell::default();
    let bytes_of = |storage: &Storage<'_>| {
        if let Some(bytes) = checked.borrow().get(storage.key).copied() {
            return sized(storage, bytes);
        }
        let entry = archive.storage(storage.key);
        let bytes = sized(storage, entry.map(|entry| entry.bytes).unwrap_or_default())?;
        if let Some(entry) = entry {
            entry.checked(storage.key)?;
        }
        checked.borrow_mut().insert(storage.key.to_owned(), bytes);
        Ok(bytes)
    };
    gather(&pickled, root, bytes_of, select)
}

/// The bytes, if their number matches the storage's elements.
fn sized<'a>(storage: &Storage<'_>, bytes: &'a [u8]) -> Result<&'a [u8], TorchError> {
    let expected = storage.n_elements.saturating_mul(storage.element.width());
    if bytes.len() == expected {
        Ok(bytes)
    } else {
        let (key, got) = (storage.key.escape_debug().take(40).collect(), bytes.len());
        Err(TorchError::Storage { key, got, expected })
    }
}

fn gather<'a>(
    pickled: &Pickled<'_>,
    root: Value<'_>,
    bytes_of: impl Fn(&Storage<'_>) -> Result<&'a [u8], TorchError>,
    select: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, HostTensor>, Refused> {
    let mut found = BTreeMap::new();
    let mut n_values = 0_usize;
    for (key, value) in state_dict(pickled, root)? {
        let (Value::Text(name), Value::Tensor(idx)) = (key, value) else { continue };
        if !select(name) {
            continue;
        }
        let tensor = &pickled.tensors[*idx];
        let storage = &pickled.storages[tensor.storage];
        n_values = n_values.saturating_add(tensor.n_elements());
        if n_values > MAX_VALUES {
            return Err(TorchError::Limit { what: "numbers in its tensors", limit: MAX_VALUES }.into());
        }
        let Some(to_f32) = storage.element.to_f32() else {
            return Err(Refused::DataType {
                name: (*name).to_owned(),
                got: format!("{:?}", storage.element).to_uppercase(),
            });
        };
        let values = values(tensor, bytes_of(storage)?, storage.element.width(), to_f32);
        found.insert((*name).to_owned(), HostTensor { shape: tensor.shape.clone(), values });
    }
    Ok(found)
}

type Item<'a> = (Value<'a>, Value<'a>);

/// The dict of tensors: the root itself, or its value under one of the usual keys.
fn state_dict<'p, 'a>(pickled: &'p Pickled<'a>, root: Value<'a>) -> Result<&'p [Item<'a>], TorchError> {
    let Value::Dict(root) = root else {
        return Err(TorchError::NoStateDict { found: "something else than a dict" });
    };
    let items = |idx: usize| pickled.dicts[idx].as_slice();
    let has_tensor = |items: &[Item<'_>]| items.iter().any(|(_, value)| matches!(value, Value::Tensor(_)));
    let inner = STATE_KEYS.iter().find_map(|wanted| {
        items(root).iter().find_map(|(key, value)| match (key, value) {
            (Value::Text(key), Value::Dict(idx)) if key == wanted => Some(items(*idx)),
            _ => None,
        })
    });
    let found = inner.filter(|items| has_tensor(items)).unwrap_or(items(root));
    if has_tensor(found) {
        Ok(found)
    } else {
        Err(TorchError::NoStateDict { found: "a dict without tensors" })
    }
}

/// The elements of a tensor in C order, from the bytes of its storage.
fn values(tensor: &Tensor, bytes: &[u8], width: usize, to_f32: fn(&[u8]) -> f32) -> Vec<f32> {
    let n = tensor.n_elements();
    if n == 0 {
        return Vec::new();
    }
    if is_contiguous(tensor) {
        let start = tensor.offset * width;
        return bytes[start..start + n * width].chunks_exact(width).map(to_f32).collect();
    }
    let mut index = vec![0; tensor.shape.len()];
    let mut values = Vec::with_capacity(n);
    for _ in 0..n {
        let at: usize = index.iter().zip(&tensor.strides).map(|(i, stride)| i * stride).sum();
        values.push(to_f32(&bytes[(tensor.offset + at) * width..][..width]));
        for axis in (0..index.len()).rev() {
            index[axis] += 1;
            if index[axis] < tensor.shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    values
}

fn is_contiguous(tensor: &Tensor) -> bool {
    let mut step = 1_usize;
    tensor.shape.iter().zip(&tensor.strides).rev().all(|(axis, stride)| {
        let fits = *axis == 1 || *stride == step;
        step = step.saturating_mul(*axis);
        fits
    })
}
