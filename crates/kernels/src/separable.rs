//! Separable resampling: one plan per axis, applied in two passes over the volume.
//!
//! The interpolation is separable, so each axis is prefiltered and evaluated before the next: a
//! volume that shrinks gets smaller with every axis. Lines are handled [`LANES`] at a time. The last
//! axis comes first; its result is kept in tiles, so that then each output plane can be finished
//! (second axis, first axis) in cache. Every line is computed alone, whatever the thread.

use rayon::prelude::*;

use crate::bspline::{Lanes, Outside, Taps, prefilter_lanes, taps, to_coordinate};
use crate::{prefilter, sample_reference};

/// Number of lines processed together: one cache line of `f32`.
const LANES: usize = 16;

/// Resampling plan of one axis.
#[derive(Debug, Clone)]
pub struct AxisPlan {
    n_in: usize,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Keep,
    Coefficients,
    Sample { taps: Vec<Taps>, coordinates: Vec<f64>, outside: Outside },
}

impl AxisPlan {
    /// An axis of `n` voxels that is not resampled.
    #[must_use]
    pub const fn keep(n: usize) -> Self {
        Self { n_in: n, kind: Kind::Keep }
    }

    /// Samples of an axis of `n` voxels at `coordinates`, in voxels from the centre of the first.
    ///
    /// # Panics
    /// If `n` is zero.
    #[must_use]
    pub fn sample(n: usize, coordinates: Vec<f64>, outside: Outside) -> Self {
        assert!(n > 0, "an axis without voxels");
        let taps = coordinates.iter().map(|&coordinate| taps(coordinate, n, outside)).collect();
        Self { n_in: n, kind: Kind::Sample { taps, coordinates, outside } }
    }

    /// An axis of `n` voxels stretched to `n_out`, end voxels onto end voxels: output `i` is the
    /// sample at `i * (n - 1) / (n_out - 1)`; at 0 if `n_out` is one.
    ///
    /// # Panics
    /// If `n` is zero.
    #[must_use]
    pub fn stretch(n: usize, n_out: usize) -> Self {
        if n == n_out {
            return Self::keep(n);
        }
        let step = to_coordinate(n - 1) / to_coordinate(n_out.saturating_sub(1).max(1));
        let last = to_coordinate(n - 1);
        let coordinates = (0..n_out).map(|i| (to_coordinate(i) * step).min(last)).collect();
        Self::sample(n, coordinates, Outside::Zero)
    }

    const fn coefficients(n: usize) -> Self {
        Self { n_in: n, kind: Kind::Coefficients }
    }

    /// Number of output voxels along the axis.
    #[must_use]
    pub const fn n_out(&self) -> usize {
        match &self.kind {
            Kind::Keep | Kind::Coefficients => self.n_in,
            Kind::Sample { taps, .. } => taps.len(),
        }
    }

    /// Filters `panel` in place and hands each output row to `write`.
    fn apply(&self, panel: &mut [Lanes<LANES>], mut write: impl FnMut(usize, &[f32; LANES])) {
        if !matches!(self.kind, Kind::Keep) {
            prefilter_lanes(panel);
        }
        match &self.kind {
            Kind::Keep | Kind::Coefficients => {
                for (i, row) in panel.iter().enumerate() {
                    write(i, &row.map(narrow));
                }
            }
            Kind::Sample { taps, .. } => {
                for (i, taps) in taps.iter().enumerate() {
                    write(i, &combine(panel, taps));
                }
            }
        }
    }
}

fn combine(panel: &[Lanes<LANES>], taps: &Taps) -> [f32; LANES] {
    let [a, b, c, d] = taps.index.map(|i| &panel[i]);
    let w = taps.weight;
    let mut out = [0.0; LANES];
    for lane in 0..LANES {
        out[lane] = narrow(0.0 + w[0] * a[lane] + w[1] * b[lane] + w[2] * c[lane] + w[3] * d[lane]);
    }
    out
}

#[expect(clippy::cast_possible_truncation, reason = "volumes are stored as f32, filtered as f64")]
const fn narrow(value: f64) -> f32 {
    value as f32
}

/// Applies one plan per axis: cubic B-spline interpolation with mirrored prefilter.
///
/// # Shapes
/// `data`: the plans' input lengths, first axis fastest; the result: their output lengths.
///
/// # Panics
/// If the length of the data does not match the plans.
///
/// # Determinism
/// Bit-identical for any number of threads.
#[must_use]
pub fn resample_separable(data: &[f32], plans: &[AxisPlan; 3]) -> Vec<f32> {
    let [nx, ny, nz] = [0, 1, 2].map(|axis| plans[axis].n_in);
    let [mx, my, mz] = [0, 1, 2].map(|axis| plans[axis].n_out());
    assert_eq!(data.len(), nx * ny * nz, "data do not fit the plans {nx} x {ny} x {nz}");
    if mx * my * mz == 0 {
        return Vec::new();
    }
    let tiles = last_axis(data, plans);
    let mut out = vec![0.0; mx * my * mz];
    let planes = Planes { tiles: &tiles, plans };
    out.par_chunks_mut(mx * my)
        .enumerate()
        .for_each_init(|| planes.scratch(), |scratch, (z, plane)| planes.finish(z, plane, scratch));
    out
}

/// The coefficients of the cubic B-spline that passes through the voxels of a volume of `dims`.
///
/// # Panics
/// If the length of the data does not match `dims`.
#[must_use]
pub fn spline_coefficients(data: &[f32], dims: [usize; 3]) -> Vec<f32> {
    resample_separable(data, &dims.map(AxisPlan::coefficients))
}

/// Applies the last axis' plan: tiles `[y][x / LANES][z out][x % LANES]`, zero beyond the last x.
fn last_axis(data: &[f32], plans: &[AxisPlan; 3]) -> Vec<f32> {
    let [nx, ny, nz] = [0, 1, 2].map(|axis| plans[axis].n_in);
    let mz = plans[2].n_out();
    let blocks = nx.div_ceil(LANES);
    let mut tiles = vec![0.0; blocks * LANES * ny * mz];
    tiles.par_chunks_mut(LANES * mz).enumerate().for_each_init(
        || vec![[0.0; LANES]; nz],
        |panel, (tile_idx, tile)| {
            let (y, x) = (tile_idx / blocks, tile_idx % blocks * LANES);
            let width = LANES.min(nx - x);
            for (z, row) in panel.iter_mut().enumerate() {
                let start = x + nx * (y + ny * z);
                widen(&data[start..start + width], row);
            }
            let rows = tile.as_chunks_mut::<LANES>().0;
            plans[2].apply(panel, |z, row| rows[z] = *row);
        },
    );
    tiles
}

fn widen(voxels: &[f32], row: &mut Lanes<LANES>) {
    for (lane, &voxel) in row.iter_mut().zip(voxels) {
        *lane = f64::from(voxel);
    }
}

/// The second pass: an output plane from the tiles.
struct Planes<'a> {
    tiles: &'a [f32],
    plans: &'a [AxisPlan; 3],
}

/// Buffers of one worker.
struct Scratch {
    y_panel: Vec<Lanes<LANES>>,
    x_panel: Vec<Lanes<LANES>>,
    rows: Vec<f32>,
}

impl Planes<'_> {
    fn scratch(&self) -> Scratch {
        let [x, y, _] = self.plans;
        let padded = x.n_in.next_multiple_of(LANES);
        Scratch {
            y_panel: vec![[0.0; LANES]; y.n_in],
            x_panel: vec![[0.0; LANES]; x.n_in],
            rows: vec![0.0; padded * y.n_out()],
        }
    }

    fn finish(&self, z: usize, plane: &mut [f32], scratch: &mut Scratch) {
        let [x_plan, y_plan, z_plan] = self.plans;
        let (blocks, mz) = (x_plan.n_in.div_ceil(LANES), z_plan.n_out());
        let padded = blocks * LANES;
        for block in 0..blocks {
            for (y, row) in scratch.y_panel.iter_mut().enumerate() {
                let start = LANES * (z + mz * (block + blocks * y));
                widen(&self.tiles[start..start + LANES], row);
            }
            let rows = &mut scratch.rows;
            y_plan.apply(&mut scratch.y_panel, |y, row| {
                let start = padded * y + LANES * block;
                rows[start..start + LANES].copy_from_slice(row);
            });
        }
        let out_rows = plane.chunks_mut(LANES * x_plan.n_out());
        for (rows, out) in scratch.rows.chunks(LANES * padded).zip(out_rows) {
            first_axis(rows, padded, x_plan, &mut scratch.x_panel, out);
        }
    }
}

/// Applies the first axis' plan to up to [`LANES`] rows, each `padded` long.
fn first_axis(rows: &[f32], padded: usize, plan: &AxisPlan, panel: &mut [Lanes<LANES>], out: &mut [f32]) {
    let (n_rows, mx) = (rows.len() / padded, plan.n_out());
    for (lane, row) in rows.chunks_exact(padded).enumerate() {
        for (lanes, &voxel) in panel.iter_mut().zip(row) {
            lanes[lane] = f64::from(voxel);
        }
    }
    plan.apply(panel, |x, values| {
        for (row, &value) in values[..n_rows].iter().enumerate() {
            out[row * mx + x] = value;
        }
    });
}

/// Reference implementation of [`resample_separable`], one line at a time.
///
/// # Panics
/// If the length of the data does not match the plans.
#[must_use]
pub fn resample_separable_reference(data: &[f32], plans: &[AxisPlan; 3]) -> Vec<f32> {
    let mut dims = [0, 1, 2].map(|axis| plans[axis].n_in);
    assert_eq!(data.len(), dims.iter().product::<usize>(), "data do not fit the plans {dims:?}");
    let mut data = data.to_vec();
    for axis in [2, 1, 0] {
        let plan = &plans[axis];
        let (stride, n, m) = (dims[..axis].iter().product::<usize>(), dims[axis], plan.n_out());
        let outer: usize = dims[axis + 1..].iter().product();
        let mut out = vec![0.0; stride * m * outer];
        for line in 0..stride * outer {
            let (inner, slab) = (line % stride, line / stride);
            let samples: Vec<f64> =
                (0..n).map(|i| f64::from(data[inner + stride * (i + n * slab)])).collect();
            for (i, value) in reference_line(samples, plan).into_iter().enumerate() {
                out[inner + stride * (i + m * slab)] = narrow(value);
            }
        }
        dims[axis] = m;
        data = out;
    }
    data
}

fn reference_line(mut samples: Vec<f64>, plan: &AxisPlan) -> Vec<f64> {
    if matches!(plan.kind, Kind::Keep) {
        return samples;
    }
    prefilter(&mut samples);
    match &plan.kind {
        Kind::Keep | Kind::Coefficients => samples,
        Kind::Sample { coordinates, outside, .. } => {
            coordinates.iter().map(|&x| sample_reference(&samples, x, *outside)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use brainreel_testkit::{Tolerance, assert_close};

    fn noise(n: usize) -> Vec<f32> {
        (0..n).map(|i| narrow(to_coordinate((i * 7919 + i * i % 31) % 1009))).collect()
    }

    fn check(n: [usize; 3], m: [usize; 3]) {
        let plans = [0, 1, 2].map(|axis| AxisPlan::stretch(n[axis], m[axis]));
        let data = noise(n.iter().product());
        let expected: Vec<f64> =
            resample_separable_reference(&data, &plans).iter().map(|&v| f64::from(v)).collect();
        // One rounding to f32 per axis may fall the other way: 3 x 6e-8, doubled.
        assert_close(&resample_separable(&data, &plans), &expected, Tolerance::relative(4e-7));
    }

    #[test]
    fn fast_path_equals_reference_at_edge_sizes() {
        for n in [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 63, 64, 65] {
            check([n, 3, 2], [n + 3, 2, 5]);
            check([4, n, 1], [3, 2 * n, 1]);
            check([2, 5, n], [17, 5, n.div_ceil(2)]);
        }
        check([33, 17, 20], [16, 18, 40]);
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let data = noise(37 * 29 * 23);
        let plans = [AxisPlan::stretch(37, 40), AxisPlan::stretch(29, 15), AxisPlan::stretch(23, 64)];
        let run = |n_threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            pool.install(|| resample_separable(&data, &plans)).iter().map(|v| v.to_bits()).collect()
        };
        let one: Vec<u32> = run(1);
        for n_threads in [2, 3, 8] {
            assert_eq!(run(n_threads), one, "{n_threads} threads");
        }
    }

    #[test]
    fn kept_axes_are_untouched_and_empty_outputs_are_empty() {
        let data = noise(5 * 3 * 2);
        assert_eq!(
            resample_separable(&data, &[AxisPlan::keep(5), AxisPlan::keep(3), AxisPlan::keep(2)]),
            data
        );
        let none = [AxisPlan::stretch(5, 0), AxisPlan::keep(3), AxisPlan::keep(2)];
        assert!(resample_separable(&data, &none).is_empty());
    }
}
