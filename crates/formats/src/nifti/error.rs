//! Errors of NIfTI files.

use std::path::PathBuf;

use brainreel_artifact::ArtifactError;
use brainreel_volume::AffineError;

/// Why a NIfTI file cannot be read or written. Every message names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NiftiError {
    /// The file cannot be opened or read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The file has another format.
    #[error("{} is not a NIfTI file: {found}; expected .nii, .nii.gz or a .hdr/.img pair", path.display())]
    NotNifti {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        found: String,
    },
    /// A header field has an invalid value.
    #[error("{}: NIfTI header field {field} is {found}, expected {expected}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// The field, named as in the standard.
        field: &'static str,
        /// Its value.
        found: String,
        /// The expected value.
        expected: &'static str,
    },
    /// A NIfTI file that is not a scalar volume.
    #[error("{}: {found} is not supported; brainreel reads one 3-D volume of integers or floats", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Content of the file.
        found: String,
    },
    /// The file ends before its voxels do.
    #[error(
        "{} is truncated: {found} bytes of image data, expected {expected}; copy or convert the file again",
        path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes found.
        found: u64,
        /// Bytes expected from the header.
        expected: u64,
    },
    /// The compressed stream is damaged.
    #[error(
        "{} is damaged: its compressed data break off after {found} bytes of image data, expected {expected}; \
         copy or convert the file again",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Bytes of image data inflated so far.
        found: u64,
        /// Bytes expected from the header.
        expected: u64,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The header claims more voxels than any scanner produces.
    #[error(
        "{}: the header claims {dims:?} voxels, more than the {limit} that brainreel accepts; \
         the header is damaged or this is no brain image",
        path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The dimensions claimed.
        dims: Vec<i64>,
        /// [`brainreel_volume::Grid::MAX_VOXELS`].
        limit: usize,
    },
    /// The affine is invalid.
    #[error("{}: the {kind} gives no usable affine; convert the image again from DICOM", path.display())]
    Affine {
        /// The file.
        path: PathBuf,
        /// `sform`, `qform` or `voxel size`.
        kind: &'static str,
        /// The cause.
        #[source]
        source: Box<AffineError>,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] ArtifactError),
}
