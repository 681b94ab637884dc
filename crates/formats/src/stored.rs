//! A volume in its stored number type.

use brainreel_volume::{Grid, Volume};

/// A volume whose values keep the number type of their source, so that integers stay exact and small.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum StoredVolume {
    /// Unsigned 8-bit integers.
    U8(Volume<u8>),
    /// Signed 16-bit integers.
    I16(Volume<i16>),
    /// Unsigned 16-bit integers.
    U16(Volume<u16>),
    /// Signed 32-bit integers.
    I32(Volume<i32>),
    /// Unsigned 32-bit integers.
    U32(Volume<u32>),
    /// Single precision floats.
    F32(Volume<f32>),
}

/// Evaluates `$body` with `$volume` bound to the typed volume inside a [`StoredVolume`].
macro_rules! each_type {
    ($stored:expr, $volume:ident => $body:expr) => {
        match $stored {
            StoredVolume::U8($volume) => $body,
            StoredVolume::I16($volume) => $body,
            StoredVolume::U16($volume) => $body,
            StoredVolume::I32($volume) => $body,
            StoredVolume::U32($volume) => $body,
            StoredVolume::F32($volume) => $body,
        }
    };
}

impl StoredVolume {
    /// The voxel grid.
    #[must_use]
    pub fn grid(&self) -> &Grid {
        each_type!(self, volume => volume.grid())
    }

    /// The name of the number type: `u8`, `i16`, `u16`, `i32`, `u32` or `f32`.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::U8(_) => "u8",
            Self::I16(_) => "i16",
            Self::U16(_) => "u16",
            Self::I32(_) => "i32",
            Self::U32(_) => "u32",
            Self::F32(_) => "f32",
        }
    }

    /// The values as `f32`. Exact except for 32-bit integers beyond 2^24.
    #[must_use]
    pub fn to_f32(&self) -> Volume<f32> {
        match self {
            Self::U8(volume) => volume.map(|&value| f32::from(value)),
            Self::I16(volume) => volume.map(|&value| f32::from(value)),
            Self::U16(volume) => volume.map(|&value| f32::from(value)),
            Self::I32(volume) => volume.map(|&value| value as f32),
            Self::U32(volume) => volume.map(|&value| value as f32),
            Self::F32(volume) => volume.clone(),
        }
    }

    /// The values as `f64`, exactly.
    #[must_use]
    pub fn to_f64(&self) -> Volume<f64> {
        each_type!(self, volume => volume.map(|&value| f64::from(value)))
    }

    /// Writes the volume as NIfTI in its own number type; see [`crate::nifti::write()`].
    ///
    /// # Errors
    /// Those of [`crate::nifti::write()`].
    pub fn write_nifti(&self, path: &std::path::Path) -> Result<(), crate::nifti::NiftiError> {
        each_type!(self, volume => crate::nifti::write(path, volume))
    }
}
