//! Gaussian smoothing and block means on slices, the first axis running fastest.

use brainreel_volume::{Affine, Grid, Volume};
use rayon::prelude::*;

/// The kernel is truncated where it falls to one percent.
const REACH_SIGMAS: f64 = 3.0;
/// Largest half width of the kernel, in voxels. Normal use stays far below it; it bounds the time for a wrong
/// spacing.
const LONGEST_REACH: usize = 64;

/// Smooths with a Gaussian of the given standard deviations (voxels). Edge voxels are repeated outwards.
///
/// # Determinism
/// Bit-identical for any number of threads.
pub(crate) fn gaussian(data: &[f32], dims: [usize; 3], sigma_voxels: [f64; 3]) -> Vec<f32> {
    let mut current = along_rows(data, dims[0], &weights(sigma_voxels[0]));
    for axis in 1..3 {
        let inner = dims[..axis].iter().product();
        current = across_rows(&current, inner, dims[axis], &weights(sigma_voxels[axis]));
    }
    current
}

/// Half of the kernel, from its centre. The full kernel sums to one.
fn weights(sigma: f64) -> Vec<f32> {
    let reach = ((REACH_SIGMAS * sigma).ceil() as usize).clamp(0, LONGEST_REACH);
    if reach == 0 || !sigma.is_finite() {
        return vec![1.0];
    }
    let at = |i: usize| libm::exp(-0.5 * (i as f64 / sigma) * (i as f64 / sigma));
    let sum: f64 = 1.0 + 2.0 * (1..=reach).map(at).sum::<f64>();
    (0..=reach).map(|i| (at(i) / sum) as f32).collect()
}

fn along_rows(data: &[f32], n: usize, weights: &[f32]) -> Vec<f32> {
    let reach = weights.len() - 1;
    let mut out = vec![0.0; data.len()];
    out.par_chunks_mut(n).zip(data.par_chunks(n)).with_min_len(64).for_each_init(
        || vec![0.0; n + 2 * reach],
        |padded, (out, row)| {
            padded[..reach].fill(row[0]);
            padded[reach..reach + n].copy_from_slice(row);
            padded[reach + n..].fill(row[n - 1]);
            for (out, &value) in out.iter_mut().zip(&padded[reach..]) {
                *out = weights[0] * value;
            }
            for (step, &weight) in weights.iter().enumerate().skip(1) {
                let sides = padded[reach - step..].iter().zip(&padded[reach + step..]);
                for (out, (before, after)) in out.iter_mut().zip(sides) {
                    *out += weight * (before + after);
                }
            }
        },
    );
    out
}

/// Smooths along an axis of `n` rows of `inner` values each.
fn across_rows(data: &[f32], inner: usize, n: usize, weights: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; data.len()];
    out.par_chunks_mut(inner).enumerate().with_min_len(16).for_each(|(row, out)| {
        let (slab, i) = (row / n * n, row % n);
        let at = |i: usize| &data[(slab + i) * inner..][..inner];
        for (out, &value) in out.iter_mut().zip(at(i)) {
            *out = weights[0] * value;
        }
        for (step, &weight) in weights.iter().enumerate().skip(1) {
            let sides = at(i.saturating_sub(step)).iter().zip(at((i + step).min(n - 1)));
            for (out, (before, after)) in out.iter_mut().zip(sides) {
                *out += weight * (before + after);
            }
        }
    });
    out
}

/// Means over blocks of `factors` voxels. Values that are not finite count as zero. The last block of an axis
/// may be smaller. World positions are preserved.
pub(crate) fn block_mean(volume: &Volume<f32>, factors: [usize; 3]) -> Volume<f32> {
    let [nx, ny, nz] = volume.dims();
    let factors = [0, 1, 2].map(|axis| factors[axis].clamp(1, volume.dims()[axis]));
    let dims = [0, 1, 2].map(|axis| volume.dims()[axis].div_ceil(factors[axis]));
    let data = volume.as_slice();
    let plane = dims[0] * dims[1];
    let mut out = vec![0.0_f32; plane * dims[2]];
    out.par_chunks_mut(plane).enumerate().for_each(|(block, out)| {
        let mut sums = vec![0.0_f64; plane];
        let mut counts = vec![0_u32; plane];
        for k in block * factors[2]..((block + 1) * factors[2]).min(nz) {
            for j in 0..ny {
                let row = &data[nx * (j + ny * k)..][..nx];
                let start = dims[0] * (j / factors[1]);
                let cells = sums[start..][..dims[0]].iter_mut().zip(&mut counts[start..][..dims[0]]);
                for ((sum, count), voxels) in cells.zip(row.chunks(factors[0])) {
                    *sum +=
                        voxels.iter().map(|&v| if v.is_finite() { f64::from(v) } else { 0.0 }).sum::<f64>();
                    *count += voxels.len() as u32;
                }
            }
        }
        for (out, (sum, count)) in out.iter_mut().zip(sums.iter().zip(&counts)) {
            *out = (sum / f64::from(*count).max(1.0)) as f32;
        }
    });
    let step = factors.map(|factor| factor as f64);
    let middle = Affine::translation_by(step.map(|step| 0.5 * (step - 1.0)));
    let affine = volume.grid().affine().compose(&middle).compose(&Affine::from_diagonal(step));
    let grid = Grid::new(dims, affine).expect("no more voxels than before");
    Volume::new(grid, out).expect("one value a block")
}

#[cfg(test)]
mod tests {
    use super::*;
    use brainreel_testkit::{Tolerance, assert_close};

    #[test]
    fn an_impulse_becomes_a_gaussian() {
        let dims = [15, 13, 11];
        let mut data = vec![0.0; dims.iter().product()];
        let at = |i: usize, j: usize, k: usize| i + dims[0] * (j + dims[1] * k);
        data[at(7, 6, 5)] = 1.0;
        let out = gaussian(&data, dims, [1.5, 1.0, 0.7]);
        let exponent = |d: f64, sigma: f64| -0.5 * (d / sigma).powi(2);
        for (i, j, k) in [(8, 6, 5), (7, 8, 5), (6, 5, 6)] {
            let [x, y, z] = [(i, 7), (j, 6), (k, 5)].map(|(a, b)| a as f64 - f64::from(b));
            let want = (exponent(x, 1.5) + exponent(y, 1.0) + exponent(z, 0.7)).exp();
            let got = f64::from(out[at(i, j, k)] / out[at(7, 6, 5)]);
            assert!((got - want).abs() < 1e-5, "{got} {want}");
        }
        assert!((out.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }

    #[test]
    fn constants_stay_and_zero_width_changes_nothing() {
        let dims = [5, 1, 3];
        assert_close(&gaussian(&[2.0; 15], dims, [3.0; 3]), &[2.0; 15], Tolerance::relative(1e-6));
        let data: Vec<f32> = (0..15).map(|i| i as f32).collect();
        assert_eq!(gaussian(&data, dims, [0.0; 3]), data);
        assert_eq!(gaussian(&data, dims, [f64::NAN; 3]), data);
    }

    #[test]
    fn block_means_stay_in_place() {
        let grid = Grid::new([5, 4, 2], Affine::from_diagonal([2.0, -1.0, 3.0])).unwrap();
        let volume = Volume::from_fn(grid, |[i, j, k]| (i + 10 * j + 100 * k) as f32);
        let mean = block_mean(&volume, [2, 2, 9]);
        assert_eq!(mean.dims(), [3, 2, 1]);
        assert_close(&[*mean.at([0, 0, 0]), *mean.at([2, 1, 0])], &[55.5, 79.0], Tolerance::relative(1e-6));
        let world = mean.grid().affine().apply([0.0; 3]);
        assert_close(&world, &[1.0, -0.5, 1.5], Tolerance::relative(1e-12));
    }

    #[test]
    fn values_that_are_no_numbers_count_as_zero() {
        let grid = Grid::new([2, 2, 1], Affine::IDENTITY).unwrap();
        let volume = Volume::new(grid, vec![f32::NAN, f32::INFINITY, 4.0, 8.0]).unwrap();
        assert_close(block_mean(&volume, [2, 2, 1]).as_slice(), &[3.0], Tolerance::relative(1e-6));
    }
}
