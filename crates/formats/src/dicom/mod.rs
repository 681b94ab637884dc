//! Classic single-frame DICOM series: found, checked, stacked into volumes, and (for simulated scans)
//! written.

mod write;

pub use write::{DicomSample, SeriesTags, WriteSeriesError, uid_from, write_series};
