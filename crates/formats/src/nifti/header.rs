//! The header: fields by their offsets, in both versions and both byte orders.

use std::path::Path;

use brainreel_volume::{Affine, Grid};

use super::affine::{self, Geometry};
use super::datatype::describe_unsupported;
use super::{DataType, NiftiError};

/// Bytes of the larger of the two headers.
pub(super) const MAX_HEADER: usize = 540;

/// Which of the two header layouts a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NiftiVersion {
    /// 348-byte header, single precision geometry.
    One,
    /// 540-byte header, double precision geometry.
    Two,
}

/// Header contents, checked and corrected as nibabel does on loading.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Layout of the header.
    pub version: NiftiVersion,
    /// Whether the file is big-endian.
    pub big_endian: bool,
    /// Number type of the stored voxels.
    pub data_type: DataType,
    /// Dimensions and voxel-to-RAS+ affine in mm.
    pub grid: Grid,
    /// `(slope, intercept)` for stored values. `None` if there is no scaling.
    pub scaling: Option<(f64, f64)>,
    /// Source of the affine: `sform`, `qform` or `voxel size`.
    pub affine_kind: &'static str,
    /// Whether header and voxels share one file.
    pub(super) single_file: bool,
    /// Offset of the first voxel in the data file.
    pub(super) data_offset: u64,
}

impl Header {
    /// Voxel bytes according to the header.
    #[must_use]
    pub fn data_bytes(&self) -> u64 {
        self.grid.n_voxels() as u64 * self.data_type.width() as u64
    }

    /// Whether sform or qform define the axes. Otherwise the affine is only a convention.
    #[must_use]
    pub fn has_orientation(&self) -> bool {
        self.affine_kind != affine::BY_VOXEL_SIZE
    }

    /// Parses the first bytes of a file. `path` is for messages only.
    ///
    /// # Errors
    /// A [`NiftiError`] that names the offending field.
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, NiftiError> {
        let fields = Fields::new(path, bytes)?;
        let single_file = fields.magic()?;
        let code = fields.datatype_code();
        let data_type = DataType::from_code(code).ok_or_else(|| NiftiError::Unsupported {
            path: path.to_owned(),
            found: describe_unsupported(code),
        })?;
        let geometry = fields.geometry()?;
        let (affine, affine_kind) = affine::best(&geometry).map_err(|fault| fault.at(path))?;
        let grid = Grid::new(geometry.dims, affine).map_err(|_| NiftiError::TooLarge {
            path: path.to_owned(),
            dims: geometry.dims.map(|n| n as i64).to_vec(),
            limit: Grid::MAX_VOXELS,
        })?;
        Ok(Self {
            version: fields.version,
            big_endian: fields.big_endian,
            data_type,
            grid,
            scaling: fields.scaling()?,
            affine_kind,
            single_file,
            data_offset: fields.data_offset(single_file)?,
        })
    }
}

/// The affine of a grid, for [`super::write`].
pub(super) fn rows(affine: &Affine) -> [[f64; 4]; 3] {
    let rows = affine.rows();
    [rows[0], rows[1], rows[2]]
}

/// Typed access to the raw bytes.
struct Fields<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    version: NiftiVersion,
    big_endian: bool,
}

impl<'a> Fields<'a> {
    fn new(path: &'a Path, bytes: &'a [u8]) -> Result<Self, NiftiError> {
        let not_nifti = |found: String| NiftiError::NotNifti { path: path.to_owned(), found };
        if bytes.is_empty() {
            return Err(not_nifti("the file is empty".to_owned()));
        }
        let size: [u8; 4] = bytes
            .get(..4)
            .and_then(|head| head.try_into().ok())
            .ok_or_else(|| not_nifti(format!("only {} bytes", bytes.len())))?;
        let (version, big_endian) = match (u32::from_le_bytes(size), u32::from_be_bytes(size)) {
            (348, _) => (NiftiVersion::One, false),
            (_, 348) => (NiftiVersion::One, true),
            (540, _) => (NiftiVersion::Two, false),
            (_, 540) => (NiftiVersion::Two, true),
            _ if bytes.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) => {
                return Err(not_nifti("it holds text".to_owned()));
            }
            (other, _) => return Err(not_nifti(format!("header size {other} instead of 348 or 540"))),
        };
        let needed = if version == NiftiVersion::One { 348 } else { 540 };
        let bytes = bytes.get(..needed).ok_or_else(|| {
            not_nifti(format!("the header breaks off after {} of {needed} bytes", bytes.len()))
        })?;
        Ok(Self { path, bytes, version, big_endian })
    }

    /// `N` bytes at an offset that lies inside both headers, in little-endian order.
    fn at<const N: usize>(&self, offset: usize) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&self.bytes[offset..offset + N]);
        if self.big_endian {
            field.reverse();
        }
        field
    }

    fn i16(&self, offset: usize) -> i16 {
        i16::from_le_bytes(self.at(offset))
    }

    fn i32(&self, offset: usize) -> i32 {
        i32::from_le_bytes(self.at(offset))
    }

    fn i64(&self, offset: usize) -> i64 {
        i64::from_le_bytes(self.at(offset))
    }

    /// The `idx`th float of an array: 4 bytes each at `one` in version 1, 8 bytes each at `two` in version 2.
    fn float(&self, one: usize, two: usize, idx: usize) -> f64 {
        match self.version {
            NiftiVersion::One => f32::from_le_bytes(self.at(one + 4 * idx)).into(),
            NiftiVersion::Two => f64::from_le_bytes(self.at(two + 8 * idx)),
        }
    }

    fn fault(&self, field: &'static str, found: impl ToString, expected: &'static str) -> NiftiError {
        NiftiError::Header { path: self.path.to_owned(), field, found: found.to_string(), expected }
    }

    /// Whether the magic string is that of a single file.
    fn magic(&self) -> Result<bool, NiftiError> {
        let (magic, single, pair): (&[u8], &[u8], &[u8]) = match self.version {
            NiftiVersion::One => (&self.bytes[344..348], b"n+1\0", b"ni1\0"),
            NiftiVersion::Two => (&self.bytes[4..8], b"n+2\0", b"ni2\0"),
        };
        match magic {
            magic if magic == single => Ok(true),
            magic if magic == pair => Ok(false),
            [0, 0, 0, 0] => Err(NiftiError::Unsupported {
                path: self.path.to_owned(),
                found: "an Analyze 7.5 header (which does not know left from right)".to_owned(),
            }),
            other => Err(self.fault("magic", other.escape_ascii(), "n+1, ni1, n+2 or ni2")),
        }
    }

    fn datatype_code(&self) -> i16 {
        match self.version {
            NiftiVersion::One => self.i16(70),
            NiftiVersion::Two => self.i16(12),
        }
    }

    fn dims(&self) -> Result<[usize; 3], NiftiError> {
        let dim = |idx: usize| match self.version {
            NiftiVersion::One => i64::from(self.i16(40 + 2 * idx)),
            NiftiVersion::Two => self.i64(16 + 8 * idx),
        };
        let n_axes = dim(0);
        let dims: Vec<i64> = match n_axes {
            1..=7 => (1..).take(n_axes as usize).map(dim).collect(),
            _ => return Err(self.fault("dim[0]", n_axes, "a number of axes from 1 to 7")),
        };
        if let Some(&bad) = dims.iter().find(|&&n| n < 1) {
            return Err(self.fault(
                "dim",
                format!("{dims:?} (an axis of {bad})"),
                "at least 1 voxel an axis",
            ));
        }
        if dims.len() < 3 || dims[3..].iter().any(|&n| n != 1) {
            return Err(NiftiError::Unsupported {
                path: self.path.to_owned(),
                found: format!("an image of {} axes, {dims:?}", dims.len()),
            });
        }
        let n_voxels = dims.iter().try_fold(1_i64, |product, &n| product.checked_mul(n));
        match n_voxels {
            Some(n) if n <= Grid::MAX_VOXELS as i64 => {
                Ok([dims[0] as usize, dims[1] as usize, dims[2] as usize])
            }
            _ => Err(NiftiError::TooLarge { path: self.path.to_owned(), dims, limit: Grid::MAX_VOXELS }),
        }
    }

    fn geometry(&self) -> Result<Geometry, NiftiError> {
        let [qform_code, sform_code] = match self.version {
            NiftiVersion::One => [i32::from(self.i16(252)), i32::from(self.i16(254))],
            NiftiVersion::Two => [self.i32(344), self.i32(348)],
        };
        // nibabel's repairs on loading: no or negative voxel size, odd qfac, unknown transform code.
        let spacing = [1, 2, 3].map(|idx| match self.float(76, 104, idx) {
            size if size.abs() > 0.0 => size.abs(),
            size if size.is_nan() => size,
            _ => 1.0,
        });
        let qfac = if self.float(76, 104, 0).total_cmp(&-1.0).is_eq() { -1.0 } else { 1.0 };
        let known = |code: i32| if (0..=5).contains(&code) { code } else { 0 };
        Ok(Geometry {
            dims: self.dims()?,
            qfac,
            spacing,
            quaternion: [0, 1, 2].map(|idx| self.float(256, 352, idx)),
            quaternion_threshold: 3.0
                * match self.version {
                    NiftiVersion::One => f64::from(f32::EPSILON),
                    NiftiVersion::Two => f64::EPSILON,
                },
            offset: [0, 1, 2].map(|idx| self.float(268, 376, idx)),
            sform: [0, 4, 8].map(|row| [0, 1, 2, 3].map(|column| self.float(280, 400, row + column))),
            qform_code: known(qform_code),
            sform_code: known(sform_code),
        })
    }

    fn scaling(&self) -> Result<Option<(f64, f64)>, NiftiError> {
        let (slope, intercept) = (self.float(112, 176, 0), self.float(116, 184, 0));
        if !slope.is_finite() || slope.abs() == 0.0 {
            return Ok(None);
        }
        if !intercept.is_finite() {
            return Err(self.fault("scl_inter", intercept, "a number, because scl_slope is one"));
        }
        let identity = slope.total_cmp(&1.0).is_eq() && intercept.abs() == 0.0;
        Ok((!identity).then_some((slope, intercept)))
    }

    fn data_offset(&self, single_file: bool) -> Result<u64, NiftiError> {
        let minimum = if single_file { self.bytes.len() as u64 + 4 } else { 0 };
        let offset = match self.version {
            NiftiVersion::One => f64::from(f32::from_le_bytes(self.at(108))),
            NiftiVersion::Two => self.i64(168) as f64,
        };
        let expected = "an offset behind the header";
        // A terabyte is beyond any header extension, and below it the conversion is exact.
        if !(0.0..1e12).contains(&offset) {
            return Err(self.fault("vox_offset", offset, expected));
        }
        match offset as u64 {
            0 => Ok(minimum),
            offset if offset < minimum => Err(self.fault("vox_offset", offset, expected)),
            offset => Ok(offset),
        }
    }
}
