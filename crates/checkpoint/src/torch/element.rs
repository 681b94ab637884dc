//! Number types of storages.

use half::{bf16, f16};

/// The number type of a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    F16,
    Bf16,
    F32,
    F64,
    U8,
    I8,
    I16,
    I32,
    I64,
    Bool,
}

impl Element {
    /// The type that a storage class of PyTorch holds.
    pub(super) fn of_storage(class: &str) -> Option<Self> {
        Some(match class {
            "HalfStorage" => Self::F16,
            "BFloat16Storage" => Self::Bf16,
            "FloatStorage" => Self::F32,
            "DoubleStorage" => Self::F64,
            "ByteStorage" => Self::U8,
            "CharStorage" => Self::I8,
            "ShortStorage" => Self::I16,
            "IntStorage" => Self::I32,
            "LongStorage" => Self::I64,
            "BoolStorage" => Self::Bool,
            _ => return None,
        })
    }

    /// Bytes of a number.
    pub(super) const fn width(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::F64 | Self::I64 => 8,
        }
    }

    /// Conversion of this type to single precision. `None` for integers.
    #[expect(clippy::cast_possible_truncation, reason = "weights are computed with in single precision")]
    pub(super) const fn to_f32(self) -> Option<fn(&[u8]) -> f32> {
        match self {
            Self::F16 => Some(|bytes| f16::from_le_bytes(word(bytes)).to_f32()),
            Self::Bf16 => Some(|bytes| bf16::from_le_bytes(word(bytes)).to_f32()),
            Self::F32 => Some(|bytes| f32::from_le_bytes(word(bytes))),
            Self::F64 => Some(|bytes| f64::from_le_bytes(word(bytes)) as f32),
            _ => None,
        }
    }
}

fn word<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("numbers are cut to their width")
}
