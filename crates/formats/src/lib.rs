//! Bytes to volumes and back: NIfTI, DICOM, BIDS.
