//! Classic single-frame DICOM series: found, checked, stacked into volumes, and (for simulated scans)
//! written.
//!
//! Reading goes in two steps. [`scan_tree`] reads headers only and keeps a few hundred bytes a file;
//! [`load_series`] checks the geometry of one series, then reads its pixels. Element values are parsed by
//! dicom-rs, JPEG is decoded by it, and files are written through it; walking through a file, native
//! pixels and RLE are our own, because lengths in a file must not be believed before they are checked.

mod error;
mod geometry;
mod header;
mod load;
mod numbering;
mod pixels;
mod scan;
mod sidecar;
mod stream;
mod write;

pub use error::{SeriesError, SeriesWarning};
pub use load::{LoadedSeries, load_series};
pub use numbering::MissingSlices;
pub use scan::{FileProblem, SeriesIndex, SeriesTree, scan_tree};
pub use sidecar::Sidecar;
pub use stream::FileFault;
pub use write::{DicomSample, SeriesTags, WriteSeriesError, uid_from, write_series};

/// The name of a transfer syntax that is not read, with its UID.
fn syntax_name(uid: &str) -> String {
    let name = match uid {
        "1.2.840.10008.1.2.1.99" => "Deflated Explicit VR Little Endian",
        "1.2.840.10008.1.2.2" => "Explicit VR Big Endian",
        "1.2.840.10008.1.2.4.51" => "JPEG Extended",
        "1.2.840.10008.1.2.4.80" => "JPEG-LS Lossless",
        "1.2.840.10008.1.2.4.81" => "JPEG-LS Near-lossless",
        "1.2.840.10008.1.2.4.90" => "JPEG 2000 Lossless",
        "1.2.840.10008.1.2.4.91" => "JPEG 2000",
        "1.2.840.10008.1.2.4.201" | "1.2.840.10008.1.2.4.202" | "1.2.840.10008.1.2.4.203" => {
            "High-Throughput JPEG 2000"
        }
        "1.2.840.10008.1.2.4.110" | "1.2.840.10008.1.2.4.111" | "1.2.840.10008.1.2.4.112" => "JPEG XL",
        _ => return format!("transfer syntax {uid}"),
    };
    format!("{name} ({uid})")
}
