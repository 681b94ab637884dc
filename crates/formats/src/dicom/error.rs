//! Errors of stacking a series into a volume.

use std::fmt;
use std::path::PathBuf;

use super::FileFault;

/// A slice in a message: a file, or a frame of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceName {
    /// The file.
    pub path: PathBuf,
    /// One-based frame of a multi-frame file.
    pub frame: Option<u32>,
}

impl fmt::Display for SliceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.frame {
            Some(frame) => write!(f, "frame {frame} of {}", self.path.display()),
            None => write!(f, "{}", self.path.display()),
        }
    }
}

/// Why the files of a series cannot be stacked into a volume. Every message names the series (by the
/// folder of its first file) or the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeriesError {
    /// Too few slices for a volume: a localizer or an incomplete download.
    #[error(
        "series in {} has {got} slices, expected at least {expected}; it is a localizer or its download is incomplete",
        series.display()
    )]
    TooFewSlices {
        /// Folder of the first file.
        series: PathBuf,
        /// Slices found.
        got: usize,
        /// Slices needed.
        expected: usize,
    },
    /// A file has no slice position or orientation.
    #[error(
        "{} has no {missing}, so its slices have no place in the world; export the series again with its geometry",
        path.display()
    )]
    MissingGeometry {
        /// The file.
        path: PathBuf,
        /// The missing or unusable attribute.
        missing: &'static str,
    },
    /// The slices are not parallel.
    #[error(
        "series in {} mixes slice orientations ({} differs from the first by {degrees:.2} degrees, expected 0); \
         it is a localizer or two series under one number: separate them",
        series.display(), path.display()
    )]
    MixedOrientation {
        /// Folder of the first file.
        series: PathBuf,
        /// A file that differs from the first.
        path: PathBuf,
        /// The difference.
        degrees: f64,
    },
    /// The slices differ in size or pixel spacing.
    #[error(
        "series in {} mixes slice formats: {} has {found}, expected {expected} as in the first file; \
         separate the two series",
        series.display(), path.display()
    )]
    MixedFormat {
        /// Folder of the first file.
        series: PathBuf,
        /// A file that differs from the first.
        path: PathBuf,
        /// Its format.
        found: String,
        /// The first file's format.
        expected: String,
    },
    /// All slices lie in one plane.
    #[error(
        "series in {} is not a volume: its {n_slices} slices lie within {extent_mm:.4} mm of each other",
        series.display()
    )]
    NotAVolume {
        /// Folder of the first file.
        series: PathBuf,
        /// Number of slices.
        n_slices: usize,
        /// Distance between the outermost slices.
        extent_mm: f64,
    },
    /// Two different slices at one position: several echoes, time points or reconstructions.
    #[error(
        "series in {} has different slices at the same position ({first} and {second}); \
         it holds several echoes, time points or reconstructions: separate them",
        series.display()
    )]
    Duplicate {
        /// Folder of the first file.
        series: PathBuf,
        /// One of the slices.
        first: SliceName,
        /// The other.
        second: SliceName,
    },
    /// The series has several time points.
    #[error(
        "series in {} holds {n_times} time points, expected 1; take one of them apart from the others",
        series.display()
    )]
    TimePoints {
        /// Folder of the first file.
        series: PathBuf,
        /// Their number.
        n_times: usize,
    },
    /// Two files with one SOP Instance UID that are not the same image.
    #[error(
        "series in {} has two files of one SOP Instance UID that differ in their {differ} ({} and {}); \
         one of them is damaged or was changed: remove it",
        series.display(), first.display(), second.display()
    )]
    ConflictingCopies {
        /// Folder of the first file.
        series: PathBuf,
        /// One of the files.
        first: PathBuf,
        /// The other.
        second: PathBuf,
        /// What differs.
        differ: &'static str,
    },
    /// A gap between slices differs from the others.
    #[error(
        "series in {} has unequal slice increments: {found_mm:.4} mm before {slice}, expected {expected_mm:.4} mm \
         (within {allowed_mm:.4}); slices are missing or belong to another series: download it again",
        series.display()
    )]
    UnequalIncrement {
        /// Folder of the first file.
        series: PathBuf,
        /// The slice after the gap.
        slice: SliceName,
        /// The gap.
        found_mm: f64,
        /// The median gap.
        expected_mm: f64,
        /// The tolerance.
        allowed_mm: f64,
    },
    /// A slice deviates from even spacing, although each gap is within tolerance.
    #[error(
        "series in {} is not evenly stacked: {slice} lies {off_mm:.4} mm off its place, expected at most \
         {allowed_mm:.4} mm at a spacing of {spacing_mm:.4} mm",
        series.display()
    )]
    UnevenPosition {
        /// Folder of the first file.
        series: PathBuf,
        /// The slice.
        slice: SliceName,
        /// Its deviation.
        off_mm: f64,
        /// The median gap.
        spacing_mm: f64,
        /// The tolerance.
        allowed_mm: f64,
    },
    /// The stack is sheared: slices are shifted in plane relative to each other.
    #[error(
        "series in {} has a gantry tilt of {degrees:.2} degrees, expected none (at most {limit:.2}); \
         a sheared stack is not a volume, resample it to right angles first",
        series.display()
    )]
    GantryTilt {
        /// Folder of the first file.
        series: PathBuf,
        /// The angle between the stack and the slice normal.
        degrees: f64,
        /// The largest angle accepted.
        limit: f64,
    },
    /// More voxels than any scanner produces.
    #[error("series in {} claims {dims:?} voxels, which is no brain image", series.display())]
    TooLarge {
        /// Folder of the first file.
        series: PathBuf,
        /// Columns, rows and slices.
        dims: [usize; 3],
    },
    /// An unsupported kind of image.
    #[error("{} is {found}, which this version does not read; {remedy}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: String,
        /// The remedy.
        remedy: &'static str,
    },
    /// The pixel data are truncated.
    #[error(
        "{} is truncated: {found} bytes of pixels, expected {expected}; download or copy it again",
        path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes found.
        found: u64,
        /// Bytes that rows and columns require.
        expected: u64,
    },
    /// The compressed pixels cannot be decoded.
    #[error("the compressed pixels of {} are damaged: {found}; download or copy it again", path.display())]
    Pixels {
        /// The file.
        path: PathBuf,
        /// The decoder's message.
        found: String,
    },
    /// A file can no longer be read, or not as DICOM.
    #[error("{} {fault}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        fault: FileFault,
    },
}

/// Warning about a series that can still be stacked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SeriesWarning {
    /// Copies of slices were dropped.
    #[error("{n_dropped} files dropped that are copies of others, by SOP Instance UID and content")]
    CopiesDropped {
        /// Their number.
        n_dropped: usize,
    },
    /// The slice positions are slightly uneven.
    #[error(
        "slice positions deviate by up to {deviation_mm:.4} mm from a spacing of {spacing_mm:.4} mm; evened out"
    )]
    UnevenIncrement {
        /// Largest deviation of a gap from the median, or of a slice from its expected position.
        deviation_mm: f64,
        /// The median.
        spacing_mm: f64,
    },
    /// The stack is slightly sheared.
    #[error("the stack leans by {degrees:.2} degrees; kept in the affine")]
    SlightTilt {
        /// The angle between the stack and the slice normal.
        degrees: f64,
    },
    /// Low values are displayed bright (MONOCHROME1).
    #[error("the photometric interpretation is MONOCHROME1; values are kept as stored")]
    Monochrome1,
}
