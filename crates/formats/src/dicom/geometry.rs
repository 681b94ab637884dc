//! Computes the grid of a volume from slice positions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use brainreel_volume::{Affine, Grid};

use super::error::SliceName;
use super::header::{SliceFormat, SliceHeader};
use super::{SeriesError, SeriesWarning};

/// Smallest number of slices of a volume, as in dicom2nifti. Fewer slices are a localizer.
pub(super) const MIN_SLICES: usize = 4;
/// Slices closer than this are at the same position, mm.
const SAME_PLACE_MM: f64 = 1e-3;
/// Orientations may differ by this much, degrees (dicom2nifti: 0.001 in a cosine).
const MAX_TURN_DEGREES: f64 = 0.06;
/// Deviation of a slice from even spacing without a warning, as a fraction of the spacing.
const SILENT_DEVIATION: f64 = 0.002;
/// Largest angle between stack and slice normal: tan 0.05, dicom2nifti's tolerance.
const MAX_TILT_DEGREES: f64 = 2.862;
/// Shear without a warning.
const SILENT_TILT_DEGREES: f64 = 0.1;

/// Slices in order, on a grid.
#[derive(Debug)]
pub(super) struct Stack<'a> {
    pub(super) slices: Vec<&'a SliceHeader>,
    pub(super) grid: Grid,
    pub(super) warnings: Vec<SeriesWarning>,
    /// Slices dropped as duplicates by UID and geometry. Their pixels have not been compared yet.
    pub(super) copies: Vec<Twin<'a>>,
}

/// Two images with one UID.
#[derive(Debug)]
pub(super) struct Twin<'a> {
    pub(super) kept: &'a SliceHeader,
    pub(super) copy: &'a SliceHeader,
}

type Vector = [f64; 3];

fn dot(a: Vector, b: Vector) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn length(a: Vector) -> f64 {
    dot(a, a).sqrt()
}

fn cross(a: Vector, b: Vector) -> Vector {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn subtract(a: Vector, b: Vector) -> Vector {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

/// Angle in degrees, accurate for small angles.
fn degrees_between(a: Vector, b: Vector) -> f64 {
    length(cross(a, b)).atan2(dot(a, b)).to_degrees()
}

/// A slice with complete geometry.
struct Placed<'a> {
    slice: &'a SliceHeader,
    position: Vector,
    /// Position along the normal, mm.
    height: f64,
}

/// Orders the slices of a series by position and checks that they form a volume. Slices must be evenly spaced
/// within `tolerance` (a fraction of the spacing).
pub(super) fn stack<'a>(
    folder: &Path,
    slices: &'a [SliceHeader],
    tolerance: f64,
) -> Result<Stack<'a>, SeriesError> {
    let series = || folder.to_owned();
    let (slices, copies) = without_copies(folder, slices)?;
    let Some(&first) = slices.first().filter(|_| slices.len() >= MIN_SLICES) else {
        return Err(SeriesError::TooFewSlices { series: series(), got: slices.len(), expected: MIN_SLICES });
    };
    let frame = Frame::of(first)?;
    let mut warnings = Vec::new();
    let mut placed = frame.place(folder, &slices)?;
    check_format(folder, first, &slices)?;
    placed.sort_by(|a, b| {
        let same_place = || (&a.slice.path, a.slice.frame).cmp(&(&b.slice.path, b.slice.frame));
        a.height.total_cmp(&b.height).then_with(same_place)
    });
    let extent_mm = placed.last().map_or(0.0, |last| last.height) - placed[0].height;
    if extent_mm < SAME_PLACE_MM {
        return Err(SeriesError::NotAVolume { series: series(), n_slices: slices.len(), extent_mm });
    }
    refuse_doubles(folder, &placed)?;
    check_increments(folder, &placed, tolerance, &mut warnings)?;
    let step = step_between(&placed);
    check_tilt(folder, frame.normal, step, &mut warnings)?;
    let grid = frame.grid(folder, placed[0].position, step, placed.len(), first)?;
    Ok(Stack { slices: placed.into_iter().map(|placed| placed.slice).collect(), grid, warnings, copies })
}

fn check_format(folder: &Path, first: &SliceHeader, slices: &[&SliceHeader]) -> Result<(), SeriesError> {
    let describe = |slice: &SliceHeader| {
        let format = &slice.format;
        let [between_rows, between_columns] = slice.spacing.unwrap_or_default();
        format!("{}x{} pixels of {between_columns:.4}x{between_rows:.4} mm", format.columns, format.rows)
    };
    let same_spacing = |slice: &SliceHeader| match (slice.spacing, first.spacing) {
        (Some(a), Some(b)) => a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-3 * b),
        _ => true, // Reported as missing geometry.
    };
    let size = |slice: &SliceHeader| (slice.format.columns, slice.format.rows);
    match slices.iter().find(|slice| size(slice) != size(first) || !same_spacing(slice)) {
        None => Ok(()),
        Some(other) => Err(SeriesError::MixedFormat {
            series: folder.to_owned(),
            path: other.path.clone(),
            found: describe(other),
            expected: describe(first),
        }),
    }
}

/// The largest angle between the normal of the first slice and another one, ignoring their signs.
pub(super) fn largest_turn_degrees(slices: &[SliceHeader]) -> Option<f64> {
    let normal = |slice: &SliceHeader| axes(slice).map(|[row, column]| cross(row, column)).ok();
    let first = normal(slices.first()?)?;
    slices.iter().try_fold(0.0, |largest: f64, slice| {
        let degrees = degrees_between(first, normal(slice)?);
        Some(largest.max(degrees.min(180.0 - degrees)))
    })
}

/// The plane of the slices, LPS+.
struct Frame {
    along_row: Vector,
    along_column: Vector,
    normal: Vector,
    between_rows: f64,
    between_columns: f64,
}

fn axes(slice: &SliceHeader) -> Result<[Vector; 2], SeriesError> {
    let unusable = || SeriesError::MissingGeometry {
        path: slice.path.clone(),
        missing: "usable ImageOrientationPatient",
    };
    let [a, b, c, d, e, f] = slice.orientation.ok_or_else(unusable)?;
    let (row, column) = ([a, b, c], [d, e, f]);
    let lengths = [length(row), length(column)];
    let orthogonal = (degrees_between(row, column) - 90.0).abs() < 1.0;
    if lengths.iter().any(|norm| (norm - 1.0).abs() > 0.01) || !orthogonal {
        return Err(unusable());
    }
    Ok([row.map(|v| v / lengths[0]), column.map(|v| v / lengths[1])])
}

impl Frame {
    fn of(first: &SliceHeader) -> Result<Self, SeriesError> {
        let [along_row, along_column] = axes(first)?;
        let normal = cross(along_row, along_column);
        let norm = length(normal);
        let spacing = first.spacing.filter(|spacing| spacing.iter().all(|&s| s > 0.0));
        let [between_rows, between_columns] = spacing.ok_or_else(|| SeriesError::MissingGeometry {
            path: first.path.clone(),
            missing: "usable PixelSpacing",
        })?;
        let normal = normal.map(|v| v / norm);
        Ok(Self { along_row, along_column, normal, between_rows, between_columns })
    }

    fn place<'a>(&self, folder: &Path, slices: &[&'a SliceHeader]) -> Result<Vec<Placed<'a>>, SeriesError> {
        let place = |slice: &'a SliceHeader| {
            let [row, column] = axes(slice)?;
            let turns = [degrees_between(row, self.along_row), degrees_between(column, self.along_column)];
            let degrees = turns[0].max(turns[1]);
            if degrees > MAX_TURN_DEGREES {
                let (series, path) = (folder.to_owned(), slice.path.clone());
                return Err(SeriesError::MixedOrientation { series, path, degrees });
            }
            let position = slice.position.ok_or_else(|| SeriesError::MissingGeometry {
                path: slice.path.clone(),
                missing: "usable ImagePositionPatient",
            })?;
            Ok(Placed { slice, position, height: dot(position, self.normal) })
        };
        slices.iter().copied().map(place).collect()
    }

    fn grid(
        &self,
        folder: &Path,
        origin: Vector,
        step: Vector,
        n_slices: usize,
        first: &SliceHeader,
    ) -> Result<Grid, SeriesError> {
        let columns = [
            self.along_row.map(|v| v * self.between_columns),
            self.along_column.map(|v| v * self.between_rows),
            step,
            origin,
        ];
        // LPS+ to RAS+.
        let row = |axis: usize, sign: f64| columns.map(|column| sign * column[axis]);
        let affine =
            Affine::new([row(0, -1.0), row(1, -1.0), row(2, 1.0), [0.0, 0.0, 0.0, 1.0]]).map_err(|_| {
                SeriesError::MissingGeometry { path: first.path.clone(), missing: "usable slice geometry" }
            })?;
        let dims = [first.format.columns.into(), first.format.rows.into(), n_slices];
        Grid::new(dims, affine).map_err(|_| SeriesError::TooLarge { series: folder.to_owned(), dims })
    }
}

/// Keeps the first image of each SOP Instance UID. Images with one UID at different positions or in different
/// formats are an error.
fn without_copies<'a>(
    folder: &Path,
    slices: &'a [SliceHeader],
) -> Result<(Vec<&'a SliceHeader>, Vec<Twin<'a>>), SeriesError> {
    let mut seen: BTreeMap<(&str, Option<u32>), &'a SliceHeader> = BTreeMap::new();
    let (mut distinct, mut copies) = (Vec::with_capacity(slices.len()), Vec::new());
    for slice in slices {
        let name = (slice.sop_uid.as_str(), slice.frame.map(|(idx, _)| idx));
        let kept = *seen.entry(name).or_insert(slice);
        if std::ptr::eq(kept, slice) || !slice.is_copy_of(kept) {
            distinct.push(slice);
            continue;
        }
        if let Some(differ) = difference(kept, slice) {
            return Err(SeriesError::ConflictingCopies {
                series: folder.to_owned(),
                first: kept.path.clone(),
                second: slice.path.clone(),
                differ,
            });
        }
        copies.push(Twin { kept, copy: slice });
    }
    Ok((distinct, copies))
}

/// The attribute in which two headers with one UID differ.
fn difference(a: &SliceHeader, b: &SliceHeader) -> Option<&'static str> {
    let format = |slice: &SliceHeader| {
        let SliceFormat { columns, rows, samples, bits_allocated, bits_stored, high_bit, signed, .. } =
            &slice.format;
        ([*columns, *rows, *samples, *bits_allocated, *bits_stored, *high_bit], *signed)
    };
    if (a.position, a.orientation, a.spacing) != (b.position, b.orientation, b.spacing) {
        Some("place")
    } else if format(a) != format(b) || a.pixels.kind != b.pixels.kind {
        Some("format")
    } else if a.rescale != b.rescale {
        Some("rescaling")
    } else {
        None
    }
}

/// Returns an error for different slices at one position.
fn refuse_doubles(folder: &Path, placed: &[Placed<'_>]) -> Result<(), SeriesError> {
    let double = placed.windows(2).find(|pair| pair[1].height - pair[0].height < SAME_PLACE_MM);
    let Some([first, second]) = double.map(|pair| [pair[0].slice, pair[1].slice]) else { return Ok(()) };
    let times: BTreeSet<i64> = placed.iter().filter_map(|placed| placed.slice.temporal_position).collect();
    if times.len() > 1 && first.temporal_position != second.temporal_position {
        return Err(SeriesError::TimePoints { series: folder.to_owned(), n_times: times.len() });
    }
    Err(SeriesError::Duplicate {
        series: folder.to_owned(),
        first: slice_name(first),
        second: slice_name(second),
    })
}

/// The file, and the one-based frame of a multi-frame file.
fn slice_name(slice: &SliceHeader) -> SliceName {
    SliceName { path: slice.path.clone(), frame: slice.frame.map(|(idx, _)| idx + 1) }
}

fn check_increments(
    folder: &Path,
    placed: &[Placed<'_>],
    tolerance: f64,
    warnings: &mut Vec<SeriesWarning>,
) -> Result<(), SeriesError> {
    let gaps: Vec<f64> = placed.windows(2).map(|pair| pair[1].height - pair[0].height).collect();
    let mut sorted = gaps.clone();
    sorted.sort_by(f64::total_cmp);
    let expected_mm = sorted[sorted.len() / 2];
    let (worst, deviation_mm) = largest(gaps.iter().map(|gap| (gap - expected_mm).abs()));
    let allowed_mm = tolerance * expected_mm;
    if deviation_mm > allowed_mm {
        return Err(SeriesError::UnequalIncrement {
            series: folder.to_owned(),
            slice: slice_name(placed[worst + 1].slice),
            found_mm: gaps[worst],
            expected_mm,
            allowed_mm,
        });
    }
    // Gaps can each be within tolerance and still add up to a bent or compressed stack.
    let (origin, step) = (placed[0].position, step_between(placed));
    let (farthest, off_mm) = largest(placed.iter().enumerate().map(|(k, slice)| {
        let even = [0, 1, 2].map(|axis| origin[axis] + k as f64 * step[axis]);
        length(subtract(slice.position, even))
    }));
    if off_mm > allowed_mm {
        return Err(SeriesError::UnevenPosition {
            series: folder.to_owned(),
            slice: slice_name(placed[farthest].slice),
            off_mm,
            spacing_mm: expected_mm,
            allowed_mm,
        });
    }
    let deviation_mm = deviation_mm.max(off_mm);
    if deviation_mm > SILENT_DEVIATION * expected_mm {
        warnings.push(SeriesWarning::UnevenIncrement { deviation_mm, spacing_mm: expected_mm });
    }
    Ok(())
}

/// Index and value of the largest number. Ties go to the first.
fn largest(values: impl Iterator<Item = f64>) -> (usize, f64) {
    values.enumerate().fold((0, 0.0), |best, (idx, value)| if value > best.1 { (idx, value) } else { best })
}

/// The mean step between slices.
fn step_between(placed: &[Placed<'_>]) -> Vector {
    let (first, last) = (&placed[0], &placed[placed.len() - 1]);
    subtract(last.position, first.position).map(|v| v / (placed.len() - 1) as f64)
}

fn check_tilt(
    folder: &Path,
    normal: Vector,
    step: Vector,
    warnings: &mut Vec<SeriesWarning>,
) -> Result<(), SeriesError> {
    let degrees = degrees_between(step, normal);
    if degrees > MAX_TILT_DEGREES {
        let series = folder.to_owned();
        return Err(SeriesError::GantryTilt { series, degrees, limit: MAX_TILT_DEGREES });
    }
    if degrees > SILENT_TILT_DEGREES {
        warnings.push(SeriesWarning::SlightTilt { degrees });
    }
    Ok(())
}
