//! What is left of an image in the highest frequencies, and where that is noise.

use brainreel_kernels::percentiles;
use brainreel_volume::Volume;

use crate::smooth::gaussian;

/// The band of the noise, in voxels.
const NOISE_SIGMA: f64 = 0.5;
const DETAIL_SIGMA: f64 = 1.2;
/// The band of the structure that a flat place must not have.
const STRUCTURE_SIGMA: f64 = 1.5;
const WIDE_SIGMA: f64 = 3.0;
/// The energy of the structure is averaged over this width.
const ENERGY_SIGMA: f64 = 2.0;
/// Share of the foreground, in percent, that is flat enough in an image.
const FLATTEST_PERCENT: f64 = 40.0;
/// Largest shift looked for, in voxels.
const REACH: isize = 3;
/// Flat voxels that a shift is judged by.
const MOST_VOXELS: usize = 40_000;
/// Residuals beyond this many standard deviations are brought back to it.
const WINSOR_SD: f64 = 3.0;
/// Edge of the blocks whose correlations the median is taken over, in voxels.
const BLOCK: usize = 22;
/// Fewer voxels do not make a block.
const FEWEST_IN_BLOCK: usize = 150;

/// The bands of a piece of an image.
pub(super) struct Residual {
    dims: [usize; 3],
    noise: Vec<f32>,
    energy: Vec<f32>,
    foreground: Vec<bool>,
}

impl Residual {
    /// Splits a piece into bands; foreground is above `threshold`.
    pub(super) fn of(piece: &Volume<f32>, threshold: f64) -> Self {
        let dims = piece.dims();
        let largest = piece.as_slice().iter().fold(f32::MIN_POSITIVE, |max, value| max.max(value.abs()));
        let scaled: Vec<f32> =
            piece.as_slice().iter().map(|&v| (f64::from(v) / f64::from(largest)) as f32).collect();
        let threshold = (threshold / f64::from(largest)) as f32;
        let smooth = |sigma: f64| gaussian(&scaled, dims, [sigma; 3]);
        let difference = |a: &[f32], b: &[f32]| -> Vec<f32> { a.iter().zip(b).map(|(a, b)| a - b).collect() };
        let noise = difference(&smooth(NOISE_SIGMA), &smooth(DETAIL_SIGMA));
        let medium = smooth(STRUCTURE_SIGMA);
        let mut structure = difference(&medium, &smooth(WIDE_SIGMA));
        structure.iter_mut().for_each(|value| *value *= *value);
        let energy = gaussian(&structure, dims, [ENERGY_SIGMA; 3]);
        let foreground = medium.iter().map(|&value| value > threshold).collect();
        Self { dims, noise, energy, foreground }
    }
}

/// The places where two images on one grid are foreground and flat.
pub(super) struct FlatTissue {
    dims: [usize; 3],
    voxels: Vec<usize>,
}

impl FlatTissue {
    pub(super) fn of(a: &Residual, b: &Residual) -> Self {
        let dims = a.dims;
        let inside = inner_voxels(dims);
        let both: Vec<usize> = inside.filter(|&at| a.foreground[at] && b.foreground[at]).collect();
        let limit = |residual: &Residual| {
            let mut energies: Vec<f32> = both.iter().map(|&at| residual.energy[at]).collect();
            percentiles(&mut energies, &[FLATTEST_PERCENT]).first().map_or(0.0, |&limit| limit as f32)
        };
        let limits = [limit(a), limit(b)];
        let voxels = both
            .iter()
            .copied()
            .filter(|&at| a.energy[at] <= limits[0] && b.energy[at] <= limits[1])
            .collect();
        Self { dims, voxels }
    }

    pub(super) const fn n_voxels(&self) -> usize {
        self.voxels.len()
    }

    /// Where in `b` the noise of `a` is found, in voxels, between them by a parabola.
    pub(super) fn best_shift(&self, a: &Residual, b: &Residual) -> [f64; 3] {
        let stride = self.voxels.len().div_ceil(MOST_VOXELS).max(1);
        let sample: Vec<usize> = self.voxels.iter().copied().step_by(stride).collect();
        let at = |shift: [isize; 3]| {
            let offset = self.offset(shift);
            Sums::over(&sample, |at| [a.noise[at], b.noise[at.wrapping_add_signed(offset)]]).correlation()
        };
        let range = -REACH..=REACH;
        let all = range.clone().flat_map(|k| {
            let range = range.clone();
            range.clone().flat_map(move |j| range.clone().map(move |i| [i, j, k]))
        });
        let mut best = ([0; 3], f64::NEG_INFINITY);
        for shift in all {
            let value = at(shift);
            if value > best.1 {
                best = (shift, value);
            }
        }
        let (peak, top) = best;
        [0, 1, 2].map(|axis| {
            let beside = |step: isize| {
                let mut shift = peak;
                shift[axis] += step;
                if shift[axis].abs() > REACH { top } else { at(shift) }
            };
            peak[axis] as f64 + vertex(beside(-1), top, beside(1))
        })
    }

    fn offset(&self, shift: [isize; 3]) -> isize {
        let [nx, ny, _] = self.dims.map(|n| n as isize);
        shift[0] + nx * (shift[1] + ny * shift[2])
    }

    /// Median over blocks of the correlation of the noise, strong outliers brought back.
    pub(super) fn block_correlation(&self, a: &Residual, b: &Residual) -> f64 {
        let limits = [a, b].map(|residual| {
            let power: f64 = self.voxels.iter().map(|&at| f64::from(residual.noise[at]).powi(2)).sum();
            (WINSOR_SD * (power / self.voxels.len().max(1) as f64).sqrt()) as f32
        });
        let [nx, ny, nz] = self.dims;
        let n_blocks = [nx, ny, nz].map(|n| n.div_ceil(BLOCK));
        let mut blocks = vec![Sums::default(); n_blocks.iter().product()];
        for &at in &self.voxels {
            let [i, j, k] = [at % nx, at / nx % ny, at / (nx * ny)].map(|i| i / BLOCK);
            let pair = [a.noise[at].clamp(-limits[0], limits[0]), b.noise[at].clamp(-limits[1], limits[1])];
            blocks[i + n_blocks[0] * (j + n_blocks[1] * k)].add(pair);
        }
        let mut correlations: Vec<f32> = blocks
            .iter()
            .filter(|block| block.n >= FEWEST_IN_BLOCK)
            .map(|block| block.correlation() as f32)
            .collect();
        percentiles(&mut correlations, &[50.0]).first().copied().unwrap_or(0.0)
    }
}

/// Voxels from which every shift stays inside.
fn inner_voxels([nx, ny, nz]: [usize; 3]) -> impl Iterator<Item = usize> {
    let margin = REACH.unsigned_abs() + 1;
    let inner = move |n: usize| margin..n.saturating_sub(margin).max(margin);
    inner(nz).flat_map(move |k| inner(ny).flat_map(move |j| inner(nx).map(move |i| i + nx * (j + ny * k))))
}

/// Where the parabola through three neighbours has its vertex, within half a step.
fn vertex(before: f64, at: f64, after: f64) -> f64 {
    let bend = before - 2.0 * at + after;
    if bend < -1e-12 { (0.5 * (before - after) / bend).clamp(-0.5, 0.5) } else { 0.0 }
}

/// Sums that a correlation is made of.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    n: usize,
    terms: [f64; 5],
}

impl Sums {
    fn over(places: &[usize], pair: impl Fn(usize) -> [f32; 2]) -> Self {
        let mut sums = Self::default();
        for &at in places {
            sums.add(pair(at));
        }
        sums
    }

    fn add(&mut self, pair: [f32; 2]) {
        let [x, y] = pair.map(f64::from);
        self.n += 1;
        for (sum, term) in self.terms.iter_mut().zip([x, y, x * x, y * y, x * y]) {
            *sum += term;
        }
    }

    /// 0 if either side does not vary.
    fn correlation(&self) -> f64 {
        let [x, y, xx, yy, xy] = self.terms.map(|sum| sum / self.n.max(1) as f64);
        let spread = (xx - x * x).max(0.0) * (yy - y * y).max(0.0);
        if spread > 0.0 { (xy - x * y) / spread.sqrt() } else { 0.0 }
    }
}
