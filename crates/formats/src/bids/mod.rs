//! Names, layout and sidecars of BIDS datasets (specification 1.10).
//!
//! ```
//! # fn main() -> Result<(), brainreel_formats::bids::BidsError> {
//! use brainreel_formats::bids::{BidsName, label};
//!
//! let subject = label("002_S_0413").expect("letters and digits");
//! let name = BidsName::t1w(&subject, Some("m06"), None)?;
//! assert_eq!(name.relative_path_text(), "sub-002S0413/ses-m06/anat/sub-002S0413_ses-m06_T1w.nii.gz");
//! assert_eq!(BidsName::parse(&name.relative_path_text())?, name);
//! assert_eq!(
//!     name.derivative("network", "preproc").file_name(),
//!     "sub-002S0413_ses-m06_space-network_desc-preproc_T1w.nii.gz"
//! );
//! # Ok(())
//! # }
//! ```
//!
//! Labels are ASCII letters and digits only, so that no header can produce a path outside the folder.

mod dataset;
mod name;
mod sidecar;

pub use dataset::{
    BidsImage, DatasetDescription, DatasetKind, GeneratedBy, SkippedImage, T1wListing, list_t1w,
};
pub use name::{BidsName, label};
pub use sidecar::{DerivativeSidecar, RawSidecar, read_scanner, read_sidecar, sidecar_path, write_sidecar};

use std::path::PathBuf;

/// Errors of BIDS names and datasets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BidsError {
    /// A label that is empty, too long, or contains anything but letters and digits.
    #[error("{kind} label {found:?} is not made of 1 to 64 ASCII letters and digits")]
    Label {
        /// The kind of label.
        kind: &'static str,
        /// The value.
        found: String,
    },
    /// A file name that does not follow BIDS.
    #[error(
        "file name {found:?} is not a BIDS name: {fault}; expected sub-<label>[_ses-<label>][_run-<n>]_T1w.nii.gz"
    )]
    Name {
        /// The file name.
        found: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// The dataset's folder cannot be listed.
    #[error("cannot list the BIDS dataset {}", path.display())]
    List {
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}
