//! How bright tissue is around a place: coils light up some parts of the head more than others.

use brainreel_volume::{Mask, Volume};

use crate::config::as_f64;

/// Edge of the cells over which intensities are averaged, in mm.
const CELL_MM: f64 = 8.0;

/// Rounds of smoothing between neighbouring cells: a Gaussian of about 11 mm.
const N_ROUNDS: usize = 4;

/// A smooth map of mean intensities.
#[derive(Debug, Clone)]
pub(super) struct Brightness {
    cells: Vec<f64>,
    dims: [usize; 3],
    /// Voxels along the edge of a cell.
    edge: [f64; 3],
}

impl Brightness {
    /// Mean of the voxels of `mask` that are above `threshold`.
    pub(super) fn new(volume: &Volume<f32>, mask: &Mask, threshold: f64) -> Self {
        let spacing = volume.grid().spacing_mm();
        let edge = [0, 1, 2].map(|axis| (CELL_MM / spacing[axis]).round().clamp(1.0, as_f64(volume.dims()[axis])));
        let dims = [0, 1, 2].map(|axis| cell(as_f64(volume.dims()[axis] - 1), edge[axis]) + 1);
        let n = dims.iter().product();
        let (mut sums, mut counts) = (vec![0.0; n], vec![0.0; n]);
        let [ni, nj, _] = volume.dims();
        for (row, (values, inside)) in
            volume.as_slice().chunks(ni).zip(mask.as_slice().chunks(ni)).enumerate()
        {
            let (j, k) = (cell(as_f64(row % nj), edge[1]), cell(as_f64(row / nj), edge[2]));
            for (i, (value, inside)) in values.iter().zip(inside).enumerate() {
                let value = f64::from(*value);
                if *inside && value > threshold {
                    let at = cell(as_f64(i), edge[0]) + dims[0] * (j + dims[1] * k);
                    sums[at] += value;
                    counts[at] += 1.0;
                }
            }
        }
        for _ in 0..N_ROUNDS {
            smooth(&mut sums, dims);
            smooth(&mut counts, dims);
        }
        let cells = sums.iter().zip(&counts).map(|(sum, n)| if *n > 1e-9 { sum / n } else { threshold });
        Self { cells: cells.collect(), dims, edge }
    }

    /// The map at a voxel, between the middles of cells.
    pub(super) fn at(&self, voxel: [usize; 3]) -> f64 {
        let mut low = [0; 3];
        let mut share = [0.0; 3];
        for axis in 0..3 {
            let place = (as_f64(voxel[axis]) + 0.5) / self.edge[axis] - 0.5;
            let place = place.clamp(0.0, as_f64(self.dims[axis] - 1));
            low[axis] = cell(place, 1.0);
            share[axis] = place - as_f64(low[axis]);
        }
        let mut value = 0.0;
        for corner in 0..8_usize {
            let offset = [corner & 1, corner >> 1 & 1, corner >> 2];
            let weight: f64 =
                (0..3).map(|axis| if offset[axis] == 1 { share[axis] } else { 1.0 - share[axis] }).product();
            let [i, j, k] = [0, 1, 2].map(|axis| (low[axis] + offset[axis]).min(self.dims[axis] - 1));
            value += weight * self.cells[i + self.dims[0] * (j + self.dims[1] * k)];
        }
        value
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, below a count of voxels")]
fn cell(voxel: f64, edge: f64) -> usize {
    (voxel / edge) as usize
}

/// A quarter, a half and a quarter of three neighbours along every axis; nothing beyond the ends.
fn smooth(cells: &mut [f64], dims: [usize; 3]) {
    let mut stride = 1;
    for n in dims {
        let old = cells.to_vec();
        for (at, cell) in cells.iter_mut().enumerate() {
            let along = at / stride % n;
            let before = if along > 0 { old[at - stride] } else { 0.0 };
            let after = if along + 1 < n { old[at + stride] } else { 0.0 };
            *cell = 0.25 * before + 0.5 * old[at] + 0.25 * after;
        }
        stride *= n;
    }
}
