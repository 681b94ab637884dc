//! From a series to a volume.

use brainreel_volume::{Grid, Volume};
use rayon::prelude::*;

use super::header::SliceHeader;
use super::scan::SeriesIndex;
use super::sidecar::Sidecar;
use super::{SeriesError, SeriesWarning, geometry, pixels};
use crate::StoredVolume;

/// A series as a volume.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedSeries {
    /// The voxels and where they lie: first axis along the rows of a slice, second along its columns,
    /// third from slice to slice along the normal.
    pub volume: StoredVolume,
    /// De-identified acquisition parameters.
    pub sidecar: Sidecar,
    /// What was odd.
    pub warnings: Vec<SeriesWarning>,
}

/// Checks, orders and reads the slices of a series.
///
/// Slices are ordered by their position along the normal, never by name or number. Integers stay
/// integers (`u8`, `i16`, `u16` or `i32`, whichever the stored bits fit) unless there is a rescale slope
/// or intercept; then the result is `f32`.
///
/// # Errors
/// A [`SeriesError`] that names the series or the file, what was found and what was expected.
pub fn load_series(series: &SeriesIndex) -> Result<LoadedSeries, SeriesError> {
    for slice in &series.slices {
        pixels::check(slice)?;
    }
    let geometry::Stack { slices, grid, mut warnings } = geometry::stack(&series.folder, &series.slices)?;
    if slices.iter().any(|slice| slice.format.photometric == "MONOCHROME1") {
        warnings.push(SeriesWarning::Monochrome1);
    }
    let (lowest, highest) = stored_range(&slices);
    let fits = |low: i64, high: i64| low <= lowest && highest <= high;
    let volume = if slices.iter().any(|slice| slice.rescale.is_some()) {
        StoredVolume::F32(rescale(grid, &slices)?)
    } else if fits(0, u8::MAX.into()) {
        StoredVolume::U8(read(grid, &slices, |_, stored| stored as u8)?)
    } else if fits(i16::MIN.into(), i16::MAX.into()) {
        StoredVolume::I16(read(grid, &slices, |_, stored| stored as i16)?)
    } else if fits(0, u16::MAX.into()) {
        StoredVolume::U16(read(grid, &slices, |_, stored| stored as u16)?)
    } else if fits(i32::MIN.into(), i32::MAX.into()) {
        StoredVolume::I32(read(grid, &slices, |_, stored| stored as i32)?)
    } else {
        StoredVolume::F32(rescale(grid, &slices)?)
    };
    Ok(LoadedSeries { volume, sidecar: series.sidecar.clone(), warnings })
}

/// The lowest and highest numbers that the stored bits can hold.
fn stored_range(slices: &[&SliceHeader]) -> (i64, i64) {
    let range = |slice: &&SliceHeader| {
        let bits = slice.format.bits_stored;
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
    read(grid, slices, |slice, stored| {
        let (slope, intercept) = slice.rescale.unwrap_or((1.0, 0.0));
        (stored as f64 * slope + intercept) as f32
    })
}

fn read<T: Copy + Default + Send>(
    grid: Grid,
    slices: &[&SliceHeader],
    convert: impl Fn(&SliceHeader, i64) -> T + Sync,
) -> Result<Volume<T>, SeriesError> {
    let [columns, rows, _] = grid.dims();
    let mut data = vec![T::default(); grid.n_voxels()];
    let outcomes: Vec<Result<(), SeriesError>> = data
        .par_chunks_mut(columns * rows)
        .zip(slices)
        .map(|(out, slice)| pixels::read_into(slice, out, |stored| convert(slice, stored)))
        .collect();
    // The first failure in slice order, whichever thread met it first.
    outcomes.into_iter().collect::<Result<(), _>>()?;
    Ok(Volume::new(grid, data).expect("as many values as voxels"))
}
