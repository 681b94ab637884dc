//! A pickle reader that builds dicts, tuples and descriptions of tensors, and nothing else.
//!
//! No class is looked up and no function is called. The few names that PyTorch writes into state dicts are
//! known, and all others are rejected. Containers live in one arena and refer to each other by index, so that
//! neither nesting nor cycles can exhaust the stack. Memory is bounded by the number of instructions, which
//! is itself bounded.

use std::collections::BTreeMap;

use super::TorchError;
use super::element::Element;

/// Size limit of a pickle. That of R3D-18 with its optimizer state has about 100,000 bytes.
const MAX_PICKLE_BYTES: usize = 8 << 20;
/// Largest number of instructions.
const MAX_INSTRUCTIONS: usize = 1 << 20;
/// Largest number of axes of a tensor.
const MAX_AXES: usize = 8;
/// Largest number of characters of a rejected name in the message.
const SHOWN_NAME: usize = 80;

/// Values in a pickle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// A number that is not used: floats, long integers.
    Number,
    Text(&'a str),
    Bytes,
    /// A tuple or list: its index in the arena.
    Sequence(usize),
    Dict(usize),
    Tensor(usize),
    Storage(usize),
    Known(Known),
    /// An object that is irrelevant for a network, such as a NumPy scalar. Its content is dropped.
    Inert,
}

/// The known names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    OrderedDict,
    Size,
    /// `_rebuild_tensor` and `_rebuild_tensor_v2`: storage, offset, size, stride, and what follows.
    RebuildTensor,
    RebuildParameter,
    Storage(Element),
    /// Called or not, it becomes [`Value::Inert`].
    Inert,
}

/// The storage that a tensor is a view of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Storage<'a> {
    pub(super) key: &'a str,
    pub(super) element: Element,
    pub(super) n_elements: usize,
}

/// A tensor: a strided view of a storage, verified to be inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tensor {
    /// Index of the storage.
    pub(super) storage: usize,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// The content of a pickle.
#[derive(Debug, Default)]
pub(super) struct Pickled<'a> {
    pub(super) sequences: Vec<Vec<Value<'a>>>,
    pub(super) dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    pub(super) tensors: Vec<Tensor>,
    pub(super) storages: Vec<Storage<'a>>,
}

/// Reads one pickle from the start of `bytes`. Returns the object and the number of bytes consumed.
pub(super) fn read<'a>(bytes: &'a [u8], pickled: &mut Pickled<'a>) -> Result<(Value<'a>, usize), TorchError> {
    let bytes = &bytes[..bytes.len().min(MAX_PICKLE_BYTES)];
    let mut machine =
        Machine { bytes, at: 0, stack: Vec::new(), marks: Vec::new(), memo: BTreeMap::new(), pickled };
    for _ in 0..MAX_INSTRUCTIONS {
        let start = machine.at;
        let [code] = machine.array()?;
        if code == b'.' {
            let value = machine.pop(start)?;
            return Ok((value, machine.at));
        }
        machine.step(code, start)?;
    }
    Err(TorchError::Limit { what: "instructions in its pickle", limit: MAX_INSTRUCTIONS })
}

struct Machine<'a, 'p> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value<'a>>,
    /// Heights of the stack where marks were set.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Value<'a>>,
    pickled: &'p mut Pickled<'a>,
}

const fn unexpected(found: &'static str, expected: &'static str, at: usize) -> TorchError {
    TorchError::Unexpected { found, expected, at }
}

impl<'a> Machine<'a, '_> {
    /// Executes one instruction. The opcodes are those of `pickletools`.
    fn step(&mut self, code: u8, at: usize) -> Result<(), TorchError> {
        match code {
            0x80 => self.protocol(at)?,
            0x95 => drop(self.array::<8>()?), // a frame's length: only a hint for buffering
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop(at)?),
            b'1' => drop(self.pop_to_mark(at)?),
            b'2' => self.duplicate(at)?,
            b'h' | b'j' | b'q' | b'r' | 0x94 => self.memo(code, at)?,
            b'N' | 0x88 | 0x89 | b'J' | b'K' | b'M' | 0x8a | b'G' => self.scalar(code)?,
            b'X' | 0x8c | 0x8d | b'U' | b'T' | b'C' | b'B' => self.text(code, at)?,
            b']' | b')' => self.push_sequence(Vec::new()),
            b'a' | b'e' => self.append(code, at)?,
            b't' | b'l' | 0x85 | 0x86 | 0x87 => self.sequence(code, at)?,
            b'}' => self.push_dict(Vec::new()),
            b's' | b'u' | b'd' => self.items(code, at)?,
            b'c' | 0x93 => self.global(code, at)?,
            b'R' | 0x81 => self.call(at)?,
            b'b' => self.build(at)?,
            b'Q' => self.persistent(at)?,
            _ => return Err(TorchError::Opcode { code, at }),
        }
        Ok(())
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], TorchError> {
        let rest = &self.bytes[self.at..];
        if n > rest.len() {
            return Err(if self.bytes.len() == MAX_PICKLE_BYTES {
                TorchError::Limit { what: "bytes of pickle", limit: MAX_PICKLE_BYTES }
            } else {
                TorchError::Truncated { at: self.bytes.len() }
            });
        }
        self.at += n;
        Ok(&rest[..n])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TorchError> {
        let bytes = self.take(N)?;
        Ok(bytes.try_into().expect("as many bytes were taken"))
    }

    fn line(&mut self) -> Result<&'a [u8], TorchError> {
        let rest = &self.bytes[self.at..];
        let n = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let line = self.take(n)?;
        self.take(1)?;
        Ok(line)
    }

    fn pop(&mut self, at: usize) -> Result<Value<'a>, TorchError> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        let value = (self.stack.len() > bottom).then(|| self.stack.pop()).flatten();
        value.ok_or(unexpected("an empty stack", "a value", at))
    }

    fn pop_to_mark(&mut self, at: usize) -> Result<Vec<Value<'a>>, TorchError> {
        let mark = self.marks.pop().ok_or(unexpected("no mark", "a mark", at))?;
        Ok(self.stack.split_off(mark))
    }

    fn top(&self, at: usize) -> Result<Value<'a>, TorchError> {
        self.stack.last().copied().ok_or(unexpected("an empty stack", "a value", at))
    }

    fn push_sequence(&mut self, values: Vec<Value<'a>>) {
        self.pickled.sequences.push(values);
        self.stack.push(Value::Sequence(self.pickled.sequences.len() - 1));
    }

    fn push_dict(&mut self, items: Vec<(Value<'a>, Value<'a>)>) {
        self.pickled.dicts.push(items);
        self.stack.push(Value::Dict(self.pickled.dicts.len() - 1));
    }

    fn protocol(&mut self, at: usize) -> Result<(), TorchError> {
        let [version] = self.array()?;
        if (2..=5).contains(&version) {
            Ok(())
        } else {
            Err(unexpected("another version of pickle", "version 2 to 5", at))
        }
    }

    fn duplicate(&mut self, at: usize) -> Result<(), TorchError> {
        let top = self.top(at)?;
        self.stack.push(top);
        Ok(())
    }

    fn memo(&mut self, code: u8, at: usize) -> Result<(), TorchError> {
        let key = match code {
            b'h' | b'q' => u32::from(self.array::<1>()?[0]),
            b'j' | b'r' => u32::from_le_bytes(self.array()?),
            _ => u32::try_from(self.memo.len()).unwrap_or(u32::MAX),
        };
        if matches!(code, b'h' | b'j') {
            let value = self.memo.get(&key).copied();
            self.stack.push(value.ok_or(unexpected("an unknown memo", "one that was set", at))?);
        } else {
            let top = self.top(at)?;
            self.memo.insert(key, top);
        }
        Ok(())
    }

    fn scalar(&mut self, code: u8) -> Result<(), TorchError> {
        let value = match code {
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'J' => Value::Int(i32::from_le_bytes(self.array()?).into()),
            b'K' => Value::Int(self.array::<1>()?[0].into()),
            b'M' => Value::Int(u16::from_le_bytes(self.array()?).into()),
            0x8a => self.long()?,
            _ => {
                self.array::<8>()?;
                Value::Number
            }
        };
        self.stack.push(value);
        Ok(())
    }

    /// An integer of up to 255 bytes, two's complement, little-endian.
    fn long(&mut self) -> Result<Value<'a>, TorchError> {
        let [n] = self.array()?;
        let bytes = self.take(n.into())?;
        if bytes.len() > 8 {
            return Ok(Value::Number);
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut word = if negative { [0xff; 8] } else { [0; 8] };
        word[..bytes.len()].copy_from_slice(bytes);
        Ok(Value::Int(i64::from_le_bytes(word)))
    }

    fn text(&mut self, code: u8, at: usize) -> Result<(), TorchError> {
        let n = match code {
            0x8c | b'U' | b'C' => usize::from(self.array::<1>()?[0]),
            0x8d => usize::try_from(u64::from_le_bytes(self.array()?)).unwrap_or(usize::MAX),
            _ => u32::from_le_bytes(self.array()?) as usize,
        };
        let bytes = self.take(n)?;
        let value = if matches!(code, b'C' | b'B') {
            Value::Bytes
        } else {
            let text = std::str::from_utf8(bytes);
            Value::Text(text.map_err(|_| unexpected("a text that is not UTF-8", "UTF-8", at))?)
        };
        self.stack.push(value);
        Ok(())
    }

    fn sequence(&mut self, code: u8, at: usize) -> Result<(), TorchError> {
        let values = match code {
            b't' | b'l' => self.pop_to_mark(at)?,
            _ => {
                let mut values = Vec::new();
                for _ in 0..=(code - 0x85) {
                    values.push(self.pop(at)?);
                }
                values.reverse();
                values
            }
        };
        self.push_sequence(values);
        Ok(())
    }

    fn append(&mut self, code: u8, at: usize) -> Result<(), TorchError> {
        let values = if code == b'e' { self.pop_to_mark(at)? } else { vec![self.pop(at)?] };
        match self.top(at)? {
            Value::Sequence(idx) => self.pickled.sequences[idx].extend(values),
            _ => return Err(unexpected("something else", "a list to append to", at)),
        }
        Ok(())
    }

    fn items(&mut self, code: u8, at: usize) -> Result<(), TorchError> {
        let values = if code == b's' {
            let value = self.pop(at)?;
            vec![self.pop(at)?, value]
        } else {
            self.pop_to_mark(at)?
        };
        let (pairs, rest) = values.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(unexpected("a key without a value", "pairs", at));
        }
        let pairs = pairs.iter().map(|[key, value]| (*key, *value));
        if code == b'd' {
            self.push_dict(pairs.collect());
            return Ok(());
        }
        match self.top(at)? {
            Value::Dict(idx) => self.pickled.dicts[idx].extend(pairs),
            _ => return Err(unexpected("something else", "a dict to add to", at)),
        }
        Ok(())
    }

    fn global(&mut self, code: u8, at: usize) -> Result<(), TorchError> {
        let (module, name) = if code == b'c' {
            let not_text = |_| unexpected("a name that is not UTF-8", "UTF-8", at);
            let module = std::str::from_utf8(self.line()?).map_err(not_text)?;
            (module, std::str::from_utf8(self.line()?).map_err(not_text)?)
        } else {
            let name = self.pop(at)?;
            match (self.pop(at)?, name) {
                (Value::Text(module), Value::Text(name)) => (module, name),
                _ => return Err(unexpected("something else", "module and name", at)),
            }
        };
        let known = known(module, name).ok_or_else(|| {
            let full = format!("{module}.{name}");
            TorchError::Global { name: full.escape_debug().take(SHOWN_NAME).collect() }
        })?;
        self.stack.push(Value::Known(known));
        Ok(())
    }

    /// Result of calling a known name with its arguments.
    fn call(&mut self, at: usize) -> Result<(), TorchError> {
        let Value::Sequence(arguments) = self.pop(at)? else {
            return Err(unexpected("something else", "a tuple of arguments", at));
        };
        let Value::Known(callee) = self.pop(at)? else {
            return Err(unexpected("something else", "a name that state dicts use", at));
        };
        let arguments = self.pickled.sequences[arguments].clone();
        match (callee, arguments.as_slice()) {
            (Known::OrderedDict, []) => self.push_dict(Vec::new()),
            (Known::OrderedDict, &[Value::Sequence(pairs)]) => self.dict_of_pairs(pairs, at)?,
            (Known::Size, &[Value::Sequence(axes)]) => self.stack.push(Value::Sequence(axes)),
            (Known::RebuildTensor, &[storage, offset, size, stride, ..]) => {
                self.tensor([storage, offset, size, stride], at)?;
            }
            (Known::RebuildParameter, &[tensor @ Value::Tensor(_), ..]) => self.stack.push(tensor),
            (Known::Inert, _) => self.stack.push(Value::Inert),
            _ => return Err(unexpected("odd arguments", "those that PyTorch writes", at)),
        }
        Ok(())
    }

    /// `OrderedDict([(key, value), ..])`, as Python 2 wrote it.
    fn dict_of_pairs(&mut self, pairs: usize, at: usize) -> Result<(), TorchError> {
        let mut items = Vec::new();
        for pair in &self.pickled.sequences[pairs] {
            match pair {
                Value::Sequence(pair) => match self.pickled.sequences[*pair][..] {
                    [key, value] => items.push((key, value)),
                    _ => return Err(unexpected("something else", "a key and a value", at)),
                },
                _ => return Err(unexpected("something else", "a key and a value", at)),
            }
        }
        self.push_dict(items);
        Ok(())
    }

    /// Attributes of an object: a state dict has `_metadata`, which says nothing about its tensors.
    fn build(&mut self, at: usize) -> Result<(), TorchError> {
        self.pop(at)?;
        match self.top(at)? {
            Value::Dict(_) | Value::Inert => Ok(()),
            _ => Err(unexpected("attributes of something else", "those of a dict", at)),
        }
    }

    /// `("storage", class, key, location, number of elements)`, which PyTorch keeps outside of the pickle.
    fn persistent(&mut self, at: usize) -> Result<(), TorchError> {
        let wrong = unexpected("an odd persistent id", "that of a storage", at);
        let Value::Sequence(id) = self.pop(at)? else { return Err(wrong) };
        let (Value::Text("storage"), Value::Known(Known::Storage(element)), Value::Text(key), n) =
            (match self.pickled.sequences[id][..] {
                [kind, class, key, _, n] | [kind, class, key, _, n, Value::None] => (kind, class, key, n),
                _ => return Err(wrong),
            })
        else {
            return Err(wrong);
        };
        let n_elements = index(n).ok_or(wrong)?;
        self.pickled.storages.push(Storage { key, element, n_elements });
        self.stack.push(Value::Storage(self.pickled.storages.len() - 1));
        Ok(())
    }

    fn tensor(&mut self, arguments: [Value<'a>; 4], at: usize) -> Result<(), TorchError> {
        let wrong = unexpected("odd arguments", "storage, offset, size and stride", at);
        let [Value::Storage(storage), offset, Value::Sequence(size), Value::Sequence(stride)] = arguments
        else {
            return Err(wrong);
        };
        let offset = index(offset).ok_or(wrong.clone())?;
        let numbers = |idx: usize| -> Option<Vec<usize>> {
            let values = &self.pickled.sequences[idx];
            (values.len() <= MAX_AXES).then(|| values.iter().map(|value| index(*value)).collect()).flatten()
        };
        let shape = numbers(size).ok_or(wrong.clone())?;
        let strides = numbers(stride).filter(|strides| strides.len() == shape.len()).ok_or(wrong)?;
        let n_elements = self.pickled.storages[storage].n_elements;
        let tensor = Tensor { storage, offset, shape, strides };
        if !tensor.fits(n_elements) {
            return Err(TorchError::View { shape: tensor.shape, n_elements });
        }
        self.pickled.tensors.push(tensor);
        self.stack.push(Value::Tensor(self.pickled.tensors.len() - 1));
        Ok(())
    }
}

impl Tensor {
    /// Number of elements; known not to overflow once [`Tensor::fits`] was true.
    pub(super) fn n_elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether all elements are inside a storage of `n` elements, and there are at most `n`.
    fn fits(&self, n: usize) -> bool {
        let count = self.shape.iter().try_fold(1_usize, |count, axis| count.checked_mul(*axis));
        let Some(count) = count.filter(|count| *count <= n) else { return false };
        let last = self.shape.iter().zip(&self.strides).try_fold(self.offset, |last, (axis, stride)| {
            last.checked_add(axis.saturating_sub(1).checked_mul(*stride)?)
        });
        count == 0 || last.is_some_and(|last| last < n)
    }
}

fn index(value: Value<'_>) -> Option<usize> {
    if let Value::Int(n) = value { usize::try_from(n).ok() } else { None }
}

/// The names that PyTorch writes into state dicts and optimizer states.
fn known(module: &str, name: &str) -> Option<Known> {
    Some(match (module, name) {
        ("collections", "OrderedDict") => Known::OrderedDict,
        ("torch", "Size") => Known::Size,
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Known::RebuildTensor,
        ("torch._utils", "_rebuild_parameter") => Known::RebuildParameter,
        ("torch", class) => return Element::of_storage(class).map(Known::Storage).or_else(|| inert(class)),
        // A loss or an epoch that was a NumPy number.
        ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar")
        | ("numpy", "dtype")
        | ("_codecs", "encode") => Known::Inert,
        _ => return None,
    })
}

fn inert(class: &str) -> Option<Known> {
    (class == "device").then_some(Known::Inert)
}
