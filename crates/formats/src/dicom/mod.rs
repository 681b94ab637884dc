//! DICOM series, classic and multi-frame: finds, checks and stacks them into volumes, and writes them (for
//! simulated scans).
//!
//! Reading has two steps. [`scan_tree`] reads only headers and keeps a few hundred bytes per slice.
//! [`load_series`] checks the geometry of one series, then reads its pixels. dicom-rs parses element values
//! and writes files; other crates decode JPEG and JPEG 2000. The element walker and the decoders for native
//! pixels, RLE and JPEG-LS are our own, because lengths in a file must not be trusted before they are
//! checked.

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

pub use error::{SeriesError, SeriesWarning, SliceName};
pub use load::{LoadOptions, LoadedSeries, load_series, load_series_with};
pub use numbering::MissingSlices;
pub use scan::{FileProblem, SeriesIndex, SeriesTree, scan_tree};
pub use sidecar::Sidecar;
pub use stream::FileFault;
pub use write::{DicomSample, SeriesTags, WriteSeriesError, uid_from, write_series};

/// Name and UID of an unsupported transfer syntax.
fn syntax_name(uid: &str) -> String {
    let name = match uid {
        "1.2.840.10008.1.2.1.98" => "Encapsulated Uncompressed",
        "1.2.840.10008.1.2.4.92" | "1.2.840.10008.1.2.4.93" => "JPEG 2000 Multi-component",
        "1.2.840.10008.1.2.4.100" | "1.2.840.10008.1.2.4.101" => "MPEG-2 video",
        "1.2.840.10008.1.2.4.201" | "1.2.840.10008.1.2.4.202" | "1.2.840.10008.1.2.4.203" => {
            "High-Throughput JPEG 2000"
        }
        "1.2.840.10008.1.2.4.110" | "1.2.840.10008.1.2.4.111" | "1.2.840.10008.1.2.4.112" => "JPEG XL",
        _ => return format!("transfer syntax {uid}"),
    };
    format!("{name} ({uid})")
}
