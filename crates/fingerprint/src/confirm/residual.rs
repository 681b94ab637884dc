//! High-frequency residual of an image, and the mask where it is noise.

use brainreel_kernels::percentiles;
use brainreel_volume::Volume;

use crate::smooth::gaussian;

/// Width in voxels of the Gaussian whose residual is the noise, the finest band. Wider bands contain anatomy
/// that two scans of a subject share.
const NOISE_SIGMA: f64 = 0.8;
/// The next wider band, for comparison: its outer width, in voxels.
const NEXT_SIGMA: f64 = 1.6;
/// Variance of white noise in the finest band over that in the next.
const WHITE_RATIO: f64 = 29.4;
/// Scale of the edge gradients, and width of their neighbourhood.
const EDGE_SIGMA: f64 = 1.0;
const NEIGHBOURHOOD_SIGMA: f64 = 1.0;
/// Percentage of the common foreground that counts as flat. In a real head the correlation of two scans at
/// the same position rises from 0.0 at 1 % to 0.3 at 4 %.
const FLATTEST_PERCENT: f64 = 1.0;
/// Regions with less energy than this fraction of the mean are padding or saturated.
const FILLED: f64 = 1e-9;
/// Largest shift that is searched, in voxels.
const REACH: isize = 3;
/// Residuals are clipped at this many standard deviations.
const WINSOR_SD: f64 = 3.0;
/// A patch of an image: its noise, edge strength and foreground.
pub(super) struct Residual {
    dims: [usize; 3],
    noise: Vec<f32>,
    /// The next wider band.
    next: Vec<f32>,
    edges: Vec<f32>,
    foreground: Vec<bool>,
}

impl Residual {
    /// Decomposes a patch. Foreground is above `threshold`.
    pub(super) fn of(piece: &Volume<f32>, threshold: f64) -> Self {
        let dims = piece.dims();
        let largest = piece.as_slice().iter().fold(f32::MIN_POSITIVE, |max, value| max.max(value.abs()));
        let scaled: Vec<f32> =
            piece.as_slice().iter().map(|&v| (f64::from(v) / f64::from(largest)) as f32).collect();
        let threshold = (threshold / f64::from(largest)) as f32;
        let smooth = |data: &[f32], sigma: f64| gaussian(data, dims, [sigma; 3]);
        let fine = smooth(&scaled, NOISE_SIGMA);
        let difference = |a: &[f32], b: &[f32]| -> Vec<f32> { a.iter().zip(b).map(|(a, b)| a - b).collect() };
        let (noise, next) = (difference(&scaled, &fine), difference(&fine, &smooth(&scaled, NEXT_SIGMA)));
        let medium = smooth(&scaled, EDGE_SIGMA);
        let foreground = medium.iter().map(|&value| value > threshold).collect();
        let edges = smooth(&squared_gradient(&medium, dims), NEIGHBOURHOOD_SIGMA);
        Self { dims, noise, next, edges, foreground }
    }
}

/// Squared length of the gradient by central differences, a voxel's distance as unit; 0 on the border.
fn squared_gradient(data: &[f32], dims: [usize; 3]) -> Vec<f32> {
    let steps = [1, dims[0], dims[0] * dims[1]];
    let mut out = vec![0.0; data.len()];
    for at in inner_voxels(dims, 1) {
        out[at] = steps.iter().map(|step| (0.5 * (data[at + step] - data[at - step])).powi(2)).sum();
    }
    out
}

/// Voxels that are foreground and flat in two images on one grid.
pub(super) struct FlatTissue {
    dims: [usize; 3],
    voxels: Vec<usize>,
}

impl FlatTissue {
    pub(super) fn of(a: &Residual, b: &Residual) -> Self {
        let dims = a.dims;
        let both: Vec<usize> = inner_voxels(dims, REACH.unsigned_abs() + 1)
            .filter(|&at| a.foreground[at] && b.foreground[at])
            .collect();
        let mean = |edges: &[f32]| {
            let sum: f64 = both.iter().map(|&at| f64::from(edges[at])).sum();
            (sum / both.len().max(1) as f64).max(f64::MIN_POSITIVE)
        };
        let (mean_a, mean_b) = (mean(&a.edges), mean(&b.edges));
        let (voxels, edges): (Vec<usize>, Vec<f32>) = both
            .iter()
            .map(|&at| (at, f64::from(a.edges[at]) / mean_a, f64::from(b.edges[at]) / mean_b))
            .filter(|(_, a, b)| a.min(*b) > FILLED)
            .map(|(at, a, b)| (at, (a + b) as f32))
            .unzip();
        let limit = percentiles(&mut edges.clone(), &[FLATTEST_PERCENT]).first().copied().unwrap_or(0.0);
        let flat = voxels.into_iter().zip(edges).filter(|(_, edge)| f64::from(*edge) <= limit);
        Self { dims, voxels: flat.map(|(at, _)| at).collect() }
    }

    pub(super) const fn n_voxels(&self) -> usize {
        self.voxels.len()
    }

    /// Shift of the noise from `a` to `b` in voxels, refined by a parabola, and the correlation at the best
    /// integer shift.
    pub(super) fn best_shift(&self, a: &Residual, b: &Residual) -> ([f64; 3], f64) {
        let at = |shift: [isize; 3]| {
            let offset = self.offset(shift);
            let pair = |at: usize| [a.noise[at], b.noise[at.wrapping_add_signed(offset)]];
            Sums::over(&self.voxels, pair).correlation()
        };
        let n = 2 * REACH + 1;
        let mut best = ([0; 3], f64::NEG_INFINITY);
        for step in 0..n * n * n {
            let shift = [step % n, step / n % n, step / (n * n)].map(|i| i - REACH);
            let value = at(shift);
            if value > best.1 {
                best = (shift, value);
            }
        }
        let (peak, top) = best;
        let vertex = [0, 1, 2].map(|axis| {
            let beside = |step: isize| {
                let mut shift = peak;
                shift[axis] += step;
                if shift[axis].abs() > REACH { top } else { at(shift) }
            };
            peak[axis] as f64 + vertex(beside(-1), top, beside(1))
        });
        (vertex, top)
    }

    /// Whiteness: variance of the finest band over that of the next band. 1 for white noise, near 0 for an
    /// image smoothed until only anatomy remains.
    pub(super) fn whiteness(&self, residual: &Residual) -> f64 {
        let variance = |band: &[f32]| Sums::over(&self.voxels, |at| [band[at]; 2]).variance();
        let next = variance(&residual.next);
        if next > 0.0 { variance(&residual.noise) / next / WHITE_RATIO } else { 0.0 }
    }

    fn offset(&self, shift: [isize; 3]) -> isize {
        let [nx, ny, _] = self.dims.map(|n| n as isize);
        shift[0] + nx * (shift[1] + ny * shift[2])
    }

    /// Correlation of the noise, with clipped outliers.
    pub(super) fn correlation(&self, a: &Residual, b: &Residual) -> f64 {
        let limits = [a, b].map(|residual| {
            let power: f64 = self.voxels.iter().map(|&at| f64::from(residual.noise[at]).powi(2)).sum();
            (WINSOR_SD * (power / self.voxels.len().max(1) as f64).sqrt()) as f32
        });
        let bounded = |value: f32, limit: f32| value.clamp(-limit, limit);
        Sums::over(&self.voxels, |at| [bounded(a.noise[at], limits[0]), bounded(b.noise[at], limits[1])])
            .correlation()
    }
}

/// Voxels at least `margin` away from the border.
fn inner_voxels([nx, ny, nz]: [usize; 3], margin: usize) -> impl Iterator<Item = usize> {
    let inner = move |n: usize| margin..n.saturating_sub(margin).max(margin);
    inner(nz).flat_map(move |k| inner(ny).flat_map(move |j| inner(nx).map(move |i| i + nx * (j + ny * k))))
}

/// Vertex of the parabola through three neighbours, within half a step.
fn vertex(before: f64, at: f64, after: f64) -> f64 {
    let bend = before - 2.0 * at + after;
    if bend < -1e-12 { (0.5 * (before - after) / bend).clamp(-0.5, 0.5) } else { 0.0 }
}

/// Accumulated sums of a correlation.
struct Sums {
    n: usize,
    terms: [f64; 5],
}

impl Sums {
    fn over(places: &[usize], pair: impl Fn(usize) -> [f32; 2]) -> Self {
        let mut terms = [0.0; 5];
        for &at in places {
            let [x, y] = pair(at).map(f64::from);
            for (sum, term) in terms.iter_mut().zip([x, y, x * x, y * y, x * y]) {
                *sum += term;
            }
        }
        Self { n: places.len(), terms }
    }

    /// Variance of the first input.
    fn variance(&self) -> f64 {
        let n = self.n.max(1) as f64;
        (self.terms[2] / n - (self.terms[0] / n).powi(2)).max(0.0)
    }

    /// 0 if either input is constant.
    fn correlation(&self) -> f64 {
        let [x, y, xx, yy, xy] = self.terms.map(|sum| sum / self.n.max(1) as f64);
        let spread = (xx - x * x).max(0.0) * (yy - y * y).max(0.0);
        if spread > 0.0 { (xy - x * y) / spread.sqrt() } else { 0.0 }
    }
}
