//! Reads and writes NIfTI, DICOM and BIDS.
//!
//! All readers treat their input as hostile. They do not panic, and they do not trust a size in a header
//! before they have seen the bytes.

pub mod bids;
pub mod dicom;
pub mod nifti;
mod stored;

pub use stored::StoredVolume;
