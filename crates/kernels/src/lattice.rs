//! Cubic B-splines over a lattice of control points: their values on a grid, and the adjoint sums.
//!
//! An axis of `n` spans has `n + 3` control points; a sample in span `s` is made of the points
//! `s ..= s + 3`. The samples lie on a grid, so that values and sums are worked off axis by axis:
//! a few operations a sample instead of 64.
//!
//! # Reference
//! Lee, Wolberg, Shin, "Scattered data interpolation with multilevel B-splines", 1997,
//! doi:10.1109/2945.620490.

use rayon::prelude::*;

use crate::bspline::{to_coordinate, weights};

/// The samples of one axis among its control points.
#[derive(Debug, Clone)]
pub struct LatticeAxis {
    n_control: usize,
    spans: Vec<usize>,
    weights: Vec<[f64; 4]>,
}

impl LatticeAxis {
    /// Samples at `coordinates`, in spans from the start of the domain.
    ///
    /// # Panics
    /// If a coordinate is outside `0.0..n_spans`.
    #[must_use]
    pub fn new(n_spans: usize, coordinates: &[f64]) -> Self {
        let domain = 0.0..to_coordinate(n_spans);
        assert!(coordinates.iter().all(|x| domain.contains(x)), "a sample outside of {n_spans} spans");
        let spans: Vec<usize> = coordinates.iter().map(|&x| to_span(x)).collect();
        let weights = coordinates.iter().zip(&spans).map(|(x, &span)| weights(x - to_coordinate(span)));
        Self { n_control: n_spans + 3, weights: weights.collect(), spans }
    }

    /// Number of control points.
    #[must_use]
    pub const fn n_control(&self) -> usize {
        self.n_control
    }

    /// Number of samples.
    #[must_use]
    pub const fn n_samples(&self) -> usize {
        self.spans.len()
    }

    fn map_weights(&self, map: impl FnMut(&[f64; 4]) -> [f64; 4]) -> Self {
        Self { weights: self.weights.iter().map(map).collect(), ..self.clone() }
    }

    /// Adds up the four blocks of `control` that sample `i` is made of; a block is as long as `out`.
    fn gather(&self, i: usize, control: &[f64], out: &mut [f64]) {
        let blocks = control.chunks_exact(out.len()).skip(self.spans[i]);
        out.fill(0.0);
        for (weight, block) in self.weights[i].iter().zip(blocks) {
            for (sum, value) in out.iter_mut().zip(block) {
                *sum += weight * value;
            }
        }
    }

    /// The adjoint of [`Self::gather`]: adds `block` to the four blocks of `sums` that belong to sample `i`.
    fn scatter(&self, i: usize, block: &[f64], sums: &mut [f64]) {
        let blocks = sums.chunks_exact_mut(block.len()).skip(self.spans[i]);
        for (weight, sums) in self.weights[i].iter().zip(blocks) {
            for (sum, value) in sums.iter_mut().zip(block) {
                *sum += weight * value;
            }
        }
    }

    /// The values at all samples of a line of control points.
    fn expand(&self, control: &[f64], out: &mut [f32]) {
        for ((value, &span), w) in out.iter_mut().zip(&self.spans).zip(&self.weights) {
            let c = &control[span..span + 4];
            *value = narrow(w[0] * c[0] + w[1] * c[1] + (w[2] * c[2] + w[3] * c[3]));
        }
    }

    /// The adjoint of [`Self::expand`], added to `sums`.
    fn contract(&self, values: &[f64], sums: &mut [f64]) {
        for ((value, &span), weights) in values.iter().zip(&self.spans).zip(&self.weights) {
            for (sum, weight) in sums[span..span + 4].iter_mut().zip(weights) {
                *sum += weight * value;
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the spans of an axis")]
const fn to_span(x: f64) -> usize {
    x as usize
}

#[expect(clippy::cast_possible_truncation, reason = "fields are stored as f32, computed as f64")]
const fn narrow(value: f64) -> f32 {
    value as f32
}

/// The samples of a grid in three axes of control points, the first axis fastest in both.
#[derive(Debug, Clone)]
pub struct LatticeGrid {
    axes: [LatticeAxis; 3],
}

impl LatticeGrid {
    /// The grid of all combinations of the axes' samples.
    #[must_use]
    pub const fn new(axes: [LatticeAxis; 3]) -> Self {
        Self { axes }
    }

    /// Number of control points along each axis.
    #[must_use]
    pub fn n_control(&self) -> [usize; 3] {
        self.axes.each_ref().map(LatticeAxis::n_control)
    }

    /// Number of samples along each axis.
    #[must_use]
    pub fn n_samples(&self) -> [usize; 3] {
        self.axes.each_ref().map(LatticeAxis::n_samples)
    }

    /// The same grid with the square of every weight: the sums of [`Self::contract`] are then the
    /// denominators of the approximation of Lee 1997.
    #[must_use]
    pub fn squared(&self) -> Self {
        Self { axes: self.axes.each_ref().map(|axis| axis.map_weights(|w| w.map(|w| w * w))) }
    }

    /// The same grid with weights `w^3 / sum(w^2)`: the sums of [`Self::contract`] are then the
    /// numerators of that approximation, as the sum over the 64 points is a product over the axes.
    #[must_use]
    pub fn cubed_over_squares(&self) -> Self {
        let cubed = |w: &[f64; 4]| {
            let squares: f64 = w.iter().map(|w| w * w).sum();
            w.map(|w| w * w * w / squares)
        };
        Self { axes: self.axes.each_ref().map(|axis| axis.map_weights(cubed)) }
    }

    /// The spline's values on plane `k` of the grid.
    ///
    /// # Shapes
    /// `control`: [`Self::n_control`]; `plane`: the first two of [`Self::n_samples`].
    ///
    /// # Panics
    /// If the slices do not have these lengths.
    pub fn expand_plane(&self, control: &[f64], k: usize, plane: &mut [f32]) {
        let [x, y, z] = &self.axes;
        assert_eq!(control.len(), self.n_control().iter().product::<usize>(), "control points");
        assert_eq!(plane.len(), x.n_samples() * y.n_samples(), "samples of a plane");
        let mut slab = vec![0.0; x.n_control * y.n_control];
        let mut line = vec![0.0; x.n_control];
        z.gather(k, control, &mut slab);
        for (j, row) in plane.chunks_exact_mut(x.n_samples().max(1)).enumerate() {
            y.gather(j, &slab, &mut line);
            x.expand(&line, row);
        }
    }

    /// For every control point, the sum of all samples times their weights on it: the adjoint of
    /// [`Self::expand_plane`]. `fill(offset, row)` writes the samples from `offset` on into `row`.
    ///
    /// # Determinism
    /// Planes are summed alone and added in order: the same bits for any number of threads.
    #[must_use]
    pub fn contract(&self, fill: impl Fn(usize, &mut [f64]) + Sync) -> Vec<f64> {
        let z = &self.axes[2];
        let slabs: Vec<Vec<f64>> =
            (0..z.n_samples()).into_par_iter().map(|k| self.contract_plane(k, &fill)).collect();
        let mut sums = vec![0.0; self.n_control().iter().product()];
        for (k, slab) in slabs.iter().enumerate() {
            z.scatter(k, slab, &mut sums);
        }
        sums
    }

    fn contract_plane(&self, k: usize, fill: &impl Fn(usize, &mut [f64])) -> Vec<f64> {
        let [x, y, _] = &self.axes;
        let (nx, ny) = (x.n_samples(), y.n_samples());
        let mut row = vec![0.0; nx];
        let mut line = vec![0.0; x.n_control];
        let mut slab = vec![0.0; x.n_control * y.n_control];
        for j in 0..ny {
            fill(nx * (j + ny * k), &mut row);
            line.fill(0.0);
            x.contract(&row, &mut line);
            y.scatter(j, &line, &mut slab);
        }
        slab
    }
}

/// The control points of the same spline with every span cut in two: `2 n - 3` for `n` along an axis.
///
/// # Panics
/// If the points do not fit `n_control`, or an axis has fewer than four.
#[must_use]
pub fn refine_lattice(control: &[f64], n_control: [usize; 3]) -> Vec<f64> {
    assert_eq!(control.len(), n_control.iter().product::<usize>(), "control points");
    assert!(n_control.iter().all(|&n| n >= 4), "{n_control:?} control points, expected at least 4");
    let mut refined = control.to_vec();
    let mut inner = 1;
    for n in n_control {
        refined = refine_axis(&refined, inner, n);
        inner *= 2 * n - 3;
    }
    refined
}

/// Refines the axis of `n` points whose neighbours are `inner` values apart.
fn refine_axis(control: &[f64], inner: usize, n: usize) -> Vec<f64> {
    let mut refined = Vec::with_capacity(control.len() / n * (2 * n - 3));
    for block in control.chunks_exact(inner * n) {
        let points: Vec<&[f64]> = block.chunks_exact(inner).collect();
        for i in 0..2 * n - 3 {
            let [a, b] = [points[i / 2], points[i / 2 + 1]];
            let pairs = a.iter().zip(b);
            if i % 2 == 0 {
                refined.extend(pairs.map(|(a, b)| 0.5 * (a + b)));
            } else {
                refined.extend(pairs.zip(points[i / 2 + 2]).map(|((a, b), c)| 0.125 * (a + 6.0 * b + c)));
            }
        }
    }
    refined
}

#[cfg(test)]
mod tests {
    use super::*;
    use brainreel_testkit::{Tolerance, assert_close};

    fn noise(n: usize) -> Vec<f64> {
        (0..n).map(|i| to_coordinate((i * 7919 + 13) % 101) / 50.0 - 1.0).collect()
    }

    fn grid(n_spans: [usize; 3], n_samples: [usize; 3]) -> LatticeGrid {
        let axis = |axis: usize| {
            let step = to_coordinate(n_spans[axis]) / to_coordinate(n_samples[axis]);
            let at = |i| (to_coordinate(i) + 0.3) * step;
            LatticeAxis::new(n_spans[axis], &(0..n_samples[axis]).map(at).collect::<Vec<f64>>())
        };
        LatticeGrid::new([axis(0), axis(1), axis(2)])
    }

    fn expand(grid: &LatticeGrid, control: &[f64]) -> Vec<f32> {
        let [nx, ny, nz] = grid.n_samples();
        let mut values = vec![0.0; nx * ny * nz];
        for (k, plane) in values.chunks_exact_mut(nx * ny).enumerate() {
            grid.expand_plane(control, k, plane);
        }
        values
    }

    /// The definition: all 64 points of every sample, one by one.
    fn expand_plainly(grid: &LatticeGrid, control: &[f64]) -> Vec<f64> {
        let [nx, ny, nz] = grid.n_samples();
        let [cx, cy, _] = grid.n_control();
        let [x, y, z] = &grid.axes;
        let value = |i: usize, j: usize, k: usize| -> f64 {
            let at = |n: usize| {
                let [a, b, c] = [n % 4, n / 4 % 4, n / 16];
                let weight = x.weights[i][a] * y.weights[j][b] * z.weights[k][c];
                weight * control[x.spans[i] + a + cx * (y.spans[j] + b + cy * (z.spans[k] + c))]
            };
            (0..64).map(at).sum()
        };
        (0..nx * ny * nz).map(|n| value(n % nx, n / nx % ny, n / nx / ny)).collect()
    }

    #[test]
    fn axis_by_axis_equals_the_sum_over_64_points() {
        for (n_spans, n_samples) in [([1, 1, 1], [1, 2, 3]), ([2, 1, 5], [7, 9, 4]), ([4, 3, 1], [3, 5, 1])] {
            let grid = grid(n_spans, n_samples);
            let control = noise(grid.n_control().iter().product());
            // Values are stored as f32.
            assert_close(
                &expand(&grid, &control),
                &expand_plainly(&grid, &control),
                Tolerance::absolute(1e-7),
            );
        }
    }

    #[test]
    fn sums_are_the_adjoint_of_values() {
        let grid = grid([2, 1, 3], [7, 5, 6]).cubed_over_squares();
        let control = noise(grid.n_control().iter().product());
        let samples = noise(7 * 5 * 6);
        let sums = grid.contract(|offset, row| row.copy_from_slice(&samples[offset..offset + row.len()]));
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let (left, right) = (dot(&expand_plainly(&grid, &control), &samples), dot(&control, &sums));
        assert!((left - right).abs() < 1e-12, "{left} != {right}");
    }

    #[test]
    fn refining_changes_no_value() {
        let n_spans = [1, 2, 3];
        let coarse = grid(n_spans, [9, 8, 7]);
        let fine = grid(n_spans.map(|n| 2 * n), [9, 8, 7]);
        let control = noise(coarse.n_control().iter().product());
        let refined = refine_lattice(&control, coarse.n_control());
        assert_close(
            &expand_plainly(&fine, &refined),
            &expand_plainly(&coarse, &control),
            Tolerance::absolute(1e-13),
        );
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let grid = grid([4, 3, 5], [33, 17, 29]).squared();
        let run = |n_threads| -> Vec<u64> {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            let fill = |offset: usize, row: &mut [f64]| {
                row.iter_mut().enumerate().for_each(|(i, v)| *v = to_coordinate((offset + i) * 7919 % 1009));
            };
            pool.install(|| grid.contract(fill)).iter().map(|v| v.to_bits()).collect()
        };
        assert_eq!(run(1), run(3));
    }
}
