//! Loads a series as a volume.

use std::collections::BTreeMap;
use std::path::Path;

use brainreel_volume::{Grid, Volume};
use rayon::prelude::*;

use super::geometry::{self, Stack, Twin};
use super::header::SliceHeader;
use super::pixels::{self, FilePixels};
use super::scan::SeriesIndex;
use super::sidecar::Sidecar;
use super::stream::PixelKind;
use super::{SeriesError, SeriesWarning};
use crate::StoredVolume;

/// A series loaded as a volume.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedSeries {
    /// Voxels and grid: first axis along the rows of a slice, second along its columns, third from slice to
    /// slice along the normal.
    pub volume: StoredVolume,
    /// De-identified acquisition parameters.
    pub sidecar: Sidecar,
    /// Warnings.
    pub warnings: Vec<SeriesWarning>,
}

/// Tolerances for a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoadOptions {
    /// Largest deviation of slices from even spacing, as a fraction of the spacing. Allows for rounding in
    /// the headers. Default 0.02.
    pub position_tolerance: f64,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { position_tolerance: 0.02 }
    }
}

/// [`load_series_with`] the default options.
///
/// # Errors
/// As [`load_series_with`].
pub fn load_series(series: &SeriesIndex) -> Result<LoadedSeries, SeriesError> {
    load_series_with(series, LoadOptions::default())
}

/// Checks, orders and reads the slices of a series.
///
/// Slices are ordered by their position along the normal, never by name or number. Integers stay integers
/// (`u8`, `i16`, `u16`, `i32` or `u32`, the smallest that holds the stored bits) unless there is a rescale
/// slope or intercept. In that case, and for floating-point pixels, the result is `f32`.
///
/// # Errors
/// [`SeriesError`] names the series or the file, the found and the expected value.
pub fn load_series_with(series: &SeriesIndex, options: LoadOptions) -> Result<LoadedSeries, SeriesError> {
    if let Some(first) = series.slices.first().filter(|_| is_mosaic(series)) {
        return Err(SeriesError::Unsupported {
            path: first.path.clone(),
            found: "a mosaic of slices in one image".to_owned(),
            remedy: "split it into slices first",
        });
    }
    for slice in &series.slices {
        pixels::check(slice)?;
    }
    let Stack { slices, grid, mut warnings, copies } =
        geometry::stack(&series.folder, &series.slices, options.position_tolerance)?;
    check_copies(&series.folder, &copies)?;
    if !copies.is_empty() {
        warnings.push(SeriesWarning::CopiesDropped { n_dropped: copies.len() });
    }
    if slices.iter().any(|slice| slice.format.photometric == "MONOCHROME1") {
        warnings.push(SeriesWarning::Monochrome1);
    }
    let volume = read_volume(grid, &slices)?;
    Ok(LoadedSeries { volume, sidecar: series.sidecar.clone(), warnings })
}

fn is_mosaic(series: &SeriesIndex) -> bool {
    series.image_type.split('\\').any(|value| value == "MOSAIC")
}

/// Returns an error for images with one UID and different content.
fn check_copies(folder: &Path, copies: &[Twin<'_>]) -> Result<(), SeriesError> {
    for Twin { kept, copy } in copies {
        let same = FilePixels::of(kept)?.bytes(kept)? == FilePixels::of(copy)?.bytes(copy)?;
        if !same {
            return Err(SeriesError::ConflictingCopies {
                series: folder.to_owned(),
                first: kept.path.clone(),
                second: copy.path.clone(),
                differ: "pixels",
            });
        }
    }
    Ok(())
}

fn read_volume(grid: Grid, slices: &[&SliceHeader]) -> Result<StoredVolume, SeriesError> {
    let (lowest, highest) = stored_range(slices);
    let fits = |low: i64, high: i64| low <= lowest && highest <= high;
    let has_floats = slices.iter().any(|slice| slice.pixels.kind != PixelKind::Integer);
    let is_rescaled = slices.iter().any(|slice| slice.rescale.is_some());
    Ok(if has_floats || is_rescaled {
        StoredVolume::F32(rescale(grid, slices)?)
    } else if fits(0, u8::MAX.into()) {
        StoredVolume::U8(read_integers(grid, slices, |stored| stored as u8)?)
    } else if fits(i16::MIN.into(), i16::MAX.into()) {
        StoredVolume::I16(read_integers(grid, slices, |stored| stored as i16)?)
    } else if fits(0, u16::MAX.into()) {
        StoredVolume::U16(read_integers(grid, slices, |stored| stored as u16)?)
    } else if fits(i32::MIN.into(), i32::MAX.into()) {
        StoredVolume::I32(read_integers(grid, slices, |stored| stored as i32)?)
    } else if fits(0, u32::MAX.into()) {
        StoredVolume::U32(read_integers(grid, slices, |stored| stored as u32)?)
    } else {
        StoredVolume::F32(rescale(grid, slices)?)
    })
}

/// The smallest and largest number that the stored bits can represent.
fn stored_range(slices: &[&SliceHeader]) -> (i64, i64) {
    let range = |slice: &&SliceHeader| {
        let bits = slice.format.bits_stored.min(62);
        if slice.format.signed {
            (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
        } else {
            (0, (1_i64 << bits) - 1)
        }
    };
    let ranges = slices.iter().map(range);
    ranges.fold((0, 0), |(low, high), (slice_low, slice_high)| (low.min(slice_low), high.max(slice_high)))
}

fn rescale(grid: Grid, slices: &[&SliceHeader]) -> Result<Volume<f32>, SeriesError> {
    read(grid, slices, |file, slice, out| {
        let (slope, intercept) = slice.rescale.unwrap_or((1.0, 0.0));
        let convert = |stored: f64| (stored * slope + intercept) as f32;
        if slice.pixels.kind == PixelKind::Integer {
            file.read_into(slice, out, |stored| convert(stored as f64))
        } else {
            file.read_floats_into(slice, out, convert)
        }
    })
}

fn read_integers<T: Copy + Default + Send>(
    grid: Grid,
    slices: &[&SliceHeader],
    convert: impl Fn(i64) -> T + Sync,
) -> Result<Volume<T>, SeriesError> {
    read(grid, slices, |file, slice, out| file.read_into(slice, out, &convert))
}

fn read<T: Copy + Default + Send>(
    grid: Grid,
    slices: &[&SliceHeader],
    fill: impl Fn(&FilePixels, &SliceHeader, &mut [T]) -> Result<(), SeriesError> + Sync,
) -> Result<Volume<T>, SeriesError> {
    let [columns, rows, _] = grid.dims();
    let mut data = vec![T::default(); grid.n_voxels()];
    // Multi-frame files are prepared once, other files when their slice is read.
    let mut files: BTreeMap<&Path, FilePixels> = BTreeMap::new();
    for slice in slices.iter().filter(|slice| slice.frame.is_some_and(|(_, n_frames)| n_frames > 1)) {
        if !files.contains_key(slice.path.as_path()) {
            files.insert(&slice.path, FilePixels::of(slice)?);
        }
    }
    let outcomes: Vec<Result<(), SeriesError>> = data
        .par_chunks_mut(columns * rows)
        .zip(slices)
        .map(|(out, slice)| match files.get(slice.path.as_path()) {
            Some(file) => fill(file, slice, out),
            None => fill(&FilePixels::of(slice)?, slice, out),
        })
        .collect();
    // Report the first failure in slice order, regardless of thread timing.
    outcomes.into_iter().collect::<Result<(), _>>()?;
    Ok(Volume::new(grid, data).expect("as many values as voxels"))
}
