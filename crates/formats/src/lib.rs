//! Bytes to volumes and back: NIfTI, DICOM, BIDS.
//!
//! Every reader here treats its input as hostile: nothing panics, and no size written in a header is
//! believed before the bytes that would back it have been seen.

pub mod bids;
pub mod dicom;
pub mod nifti;
mod stored;

pub use stored::StoredVolume;
