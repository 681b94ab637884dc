//! Number types of voxels.

/// The scalar number types of the standard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataType {
    /// Unsigned 8-bit (code 2).
    U8,
    /// Signed 16-bit (code 4).
    I16,
    /// Signed 32-bit (code 8).
    I32,
    /// 32-bit float (code 16).
    F32,
    /// 64-bit float (code 64).
    F64,
    /// Signed 8-bit (code 256).
    I8,
    /// Unsigned 16-bit (code 512).
    U16,
    /// Unsigned 32-bit (code 768).
    U32,
    /// Signed 64-bit (code 1024).
    I64,
    /// Unsigned 64-bit (code 1280).
    U64,
}

impl DataType {
    /// The type of a header's `datatype`, if it is a supported scalar.
    #[must_use]
    pub const fn from_code(code: i16) -> Option<Self> {
        Some(match code {
            2 => Self::U8,
            4 => Self::I16,
            8 => Self::I32,
            16 => Self::F32,
            64 => Self::F64,
            256 => Self::I8,
            512 => Self::U16,
            768 => Self::U32,
            1024 => Self::I64,
            1280 => Self::U64,
            _ => return None,
        })
    }

    /// The `datatype` of the header.
    #[must_use]
    pub const fn code(self) -> i16 {
        match self {
            Self::U8 => 2,
            Self::I16 => 4,
            Self::I32 => 8,
            Self::F32 => 16,
            Self::F64 => 64,
            Self::I8 => 256,
            Self::U16 => 512,
            Self::U32 => 768,
            Self::I64 => 1024,
            Self::U64 => 1280,
        }
    }

    /// Bytes per voxel.
    #[must_use]
    pub const fn width(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }
}

/// The standard's name of an unsupported datatype.
pub(crate) fn describe_unsupported(code: i16) -> String {
    let name = match code {
        1 => "1-bit voxels",
        32 | 1792 | 2048 => "complex voxels",
        128 => "RGB colour voxels",
        2304 => "RGBA colour voxels",
        1536 => "128-bit float voxels",
        _ => "an unknown kind of voxel",
    };
    format!("{name} (datatype {code})")
}

mod sealed {
    pub trait Sealed {}
}

/// A number type for writing voxels.
pub trait NiftiElement: Copy + Send + Sync + sealed::Sealed {
    /// The type in the header.
    const DATA_TYPE: DataType;
    /// Appends the little-endian bytes.
    fn extend_le_bytes(values: &[Self], bytes: &mut Vec<u8>);
}

macro_rules! element {
    ($($type:ty => $name:ident),*) => {$(
        impl sealed::Sealed for $type {}
        impl NiftiElement for $type {
            const DATA_TYPE: DataType = DataType::$name;
            fn extend_le_bytes(values: &[Self], bytes: &mut Vec<u8>) {
                bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            }
        }
    )*};
}

element!(u8 => U8, i8 => I8, i16 => I16, u16 => U16, i32 => I32, u32 => U32, i64 => I64, u64 => U64,
         f32 => F32, f64 => F64);
