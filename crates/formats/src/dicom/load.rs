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
    let format = &slices[0].format;
    if format.photometric == "MONOCHROME1" {
        warnings.push(SeriesWarning::Monochrome1);
    }
    let rescaled = slices.iter().any(|slice| slice.rescale.is_some());
    let volume = match (format.signed, format.bits_stored) {
        _ if rescaled => StoredVolume::F32(rescale(grid, &slices)?),
        (false, ..=8) => StoredVolume::U8(read(grid, &slices, |_, stored| stored as u8)?),
        (false, ..=15) | (true, ..=16) => StoredVolume::I16(read(grid, &slices, |_, stored| stored as i16)?),
        (false, 16) => StoredVolume::U16(read(grid, &slices, |_, stored| stored as u16)?),
        (false, ..=31) | (true, _) => StoredVolume::I32(read(grid, &slices, |_, stored| stored as i32)?),
        (false, _) => StoredVolume::F32(rescale(grid, &slices)?),
    };
    Ok(LoadedSeries { volume, sidecar: series.sidecar.clone(), warnings })
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
