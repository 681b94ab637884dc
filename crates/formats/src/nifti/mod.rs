//! Reads and writes NIfTI-1 and NIfTI-2.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use brainreel_formats::nifti;
//! use brainreel_volume::{Affine, Grid, Volume};
//!
//! # let folder = tempfile::tempdir()?;
//! let path = folder.path().join("ramp.nii.gz");
//! let grid = Grid::new([4, 3, 2], Affine::from_diagonal([1.0, 1.0, 2.0]))?;
//! nifti::write(&path, &Volume::from_fn(grid, |[i, j, k]| (i + 10 * j + 100 * k) as i16))?;
//! let back = nifti::read_f32(&path)?;
//! assert_eq!(back.grid(), &grid);
//! assert_eq!(*back.at([3, 2, 1]), 123.0);
//! # Ok(())
//! # }
//! ```
//!
//! Results match nibabel. Scaling applies unless the slope is 0 or not finite. The affine is the sform if it
//! has a code, otherwise the qform if it has one, otherwise voxel sizes around a centred origin.
//!
//! The parser is our own. The `nifti` crate (0.18) reads only NIfTI-1. For unusual headers it panics in its
//! affine (negative voxel size, qfac other than 1 and -1), and it allocates the claimed size before it has
//! read a voxel.

mod affine;
mod datatype;
mod error;
mod gzip;
mod header;
mod read;
mod source;
mod write;

pub use datatype::{DataType, NiftiElement};
pub use error::NiftiError;
pub use header::{Header, NiftiVersion};
pub use read::{read_f32, read_f64, read_header, read_stored};
pub use write::{WriteOptions, write, write_with};
