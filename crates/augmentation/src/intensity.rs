//! Noise, gamma and z-normalisation, with TorchIO's semantics.

use brainreel_artifact::Random;
use rayon::prelude::*;

use crate::maths::{exp, ln, sin_cos_of_turns};

/// Block size of a partial sum, computed by one thread.
const BLOCK: usize = 1 << 16;
/// Number of parallel sums (lanes) within a block.
const LANES: usize = 8;
/// Voxel pairs whose noise is drawn together.
const PAIRS: usize = 1 << 9;

/// Subtracts the mean and divides by the sample standard deviation (n - 1) over all voxels.
/// Returns `false` and leaves the voxels unchanged if they are all equal or not all finite.
///
/// # Determinism
/// Sums fixed blocks and lanes in double precision, so the result is bit-identical for any number of threads.
#[expect(clippy::cast_possible_truncation, reason = "voxels are single precision")]
pub fn z_normalize(voxels: &mut [f32]) -> bool {
    let n = voxels.len() as f64;
    let mean = blocked_sum(voxels, |value| value) / n;
    let squares = blocked_sum(voxels, |value| (value - mean) * (value - mean));
    let std = (squares / (n - 1.0)).sqrt();
    if !(std.is_finite() && std > 0.0) {
        return false;
    }
    voxels.par_chunks_mut(BLOCK).for_each(|block| {
        for value in block {
            *value = ((f64::from(*value) - mean) / std) as f32;
        }
    });
    true
}

fn blocked_sum(voxels: &[f32], term: impl Fn(f64) -> f64 + Sync) -> f64 {
    let of_block = |block: &[f32]| {
        let (chunks, rest) = block.as_chunks::<LANES>();
        let mut lanes = [0.0_f64; LANES];
        for chunk in chunks {
            for (lane, &value) in lanes.iter_mut().zip(chunk) {
                *lane += term(f64::from(value));
            }
        }
        let rest: f64 = rest.iter().map(|&value| term(f64::from(value))).sum();
        lanes.iter().sum::<f64>() + rest
    };
    let blocks: Vec<f64> = voxels.par_chunks(BLOCK).map(of_block).collect();
    blocks.iter().sum()
}

/// Adds normal noise.
///
/// Voxels `2 n` and `2 n + 1` get the two branches of Box and Muller's transform of the numbers `2 n`
/// and `2 n + 1` of the stream of `seed`.
///
/// # Determinism
/// The noise of a voxel depends only on the seed and its position.
pub fn add_noise(voxels: &mut [f32], mean: f64, std: f64, seed: u64) {
    voxels.par_chunks_mut(2 * PAIRS).enumerate().for_each(|(idx, block)| {
        let (mut first, mut second) = ([0.0_f64; PAIRS], [0.0_f64; PAIRS]);
        let offset = (2 * PAIRS * idx) as u64;
        let n_pairs = block.len().div_ceil(2);
        for (pair, (a, b)) in first.iter_mut().zip(&mut second).take(n_pairs).enumerate() {
            let n = offset + 2 * pair as u64;
            *a = 1.0 - Random::nth_uniform(seed, n);
            *b = Random::nth_uniform(seed, n + 1);
        }
        for (a, b) in first.iter_mut().zip(&mut second) {
            let radius = std * (-2.0 * ln(*a)).max(0.0).sqrt();
            let (sine, cosine) = sin_cos_of_turns(*b);
            (*a, *b) = (mean + radius * cosine, mean + radius * sine);
        }
        add_pairs(block, &first, &second);
    });
}

#[expect(clippy::cast_possible_truncation, reason = "voxels are single precision")]
fn add_pairs(voxels: &mut [f32], even: &[f64], odd: &[f64]) {
    for ((pair, a), b) in voxels.chunks_mut(2).zip(even).zip(odd) {
        pair[0] += *a as f32;
        if let Some(second) = pair.get_mut(1) {
            *second += *b as f32;
        }
    }
}

/// Raises voxels to a power, keeping their sign: `sign(x) |x|^gamma`.
#[expect(clippy::cast_possible_truncation, reason = "voxels are single precision")]
pub fn apply_gamma(voxels: &mut [f32], gamma: f64) {
    voxels.par_chunks_mut(BLOCK).for_each(|block| {
        for value in block {
            // Zero has no logarithm and is handled separately.
            let size = f64::from(value.abs());
            let is_zero = size == 0.0;
            let power = exp(gamma * ln(if is_zero { 1.0 } else { size })) as f32;
            *value = if is_zero { 0.0 } else { power }.copysign(*value);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_and_broken_images_are_refused() {
        assert!(!z_normalize(&mut [3.0; 10]));
        assert!(!z_normalize(&mut [1.0, f32::NAN, 2.0]));
        assert!(!z_normalize(&mut [1.0]));
        assert!(!z_normalize(&mut []));
    }

    #[test]
    fn powers_of_odd_numbers() {
        let mut voxels = [0.0_f32, -0.0, 1.0, -1.0, 1e-40, 4.0, -4.0, 3e38];
        apply_gamma(&mut voxels, 0.5);
        let expected = [0.0_f32, 0.0, 1.0, -1.0, 1e-20, 2.0, -2.0, 1.732_050_8e19];
        for (got, want) in voxels.iter().zip(expected) {
            assert!((got - want).abs() <= 1e-5 * want.abs(), "{got} {want}");
        }
        let mut large = [1e30_f32];
        apply_gamma(&mut large, 3.0);
        assert!(large[0].is_infinite());
    }

    #[test]
    fn noise_has_the_asked_moments_and_depends_on_the_seed() {
        let noise = |mean, std, seed| {
            let mut voxels = vec![0.0_f32; 100_001];
            add_noise(&mut voxels, mean, std, seed);
            voxels
        };
        let voxels = noise(0.5, 0.1, 4);
        let n = voxels.len() as f64;
        let moment =
            |power| voxels.iter().map(|v| ((f64::from(*v) - 0.5) / 0.1).powi(power)).sum::<f64>() / n;
        // Four standard errors each: sqrt(1, 2, 15, 96) / sqrt(n).
        assert!(moment(1).abs() < 0.013 && (moment(2) - 1.0).abs() < 0.018, "{} {}", moment(1), moment(2));
        assert!(moment(3).abs() < 0.049 && (moment(4) - 3.0).abs() < 0.124, "{} {}", moment(3), moment(4));
        assert_ne!(voxels, noise(0.5, 0.1, 5));
        let neighbours =
            voxels.windows(2).map(|w| f64::from(w[0] - 0.5) * f64::from(w[1] - 0.5)).sum::<f64>();
        assert!((neighbours / n / 0.01).abs() < 0.013, "neighbouring voxels are independent");
    }

    #[test]
    fn noise_is_the_documented_transform_of_the_stream() {
        let mut voxels = vec![0.0_f32; 5000];
        add_noise(&mut voxels, 0.0, 1.0, 77);
        let mut random = Random::new(77);
        for (idx, pair) in voxels.chunks(2).enumerate() {
            let radius = (-2.0 * (1.0 - random.uniform()).ln()).sqrt();
            let angle = 2.0 * std::f64::consts::PI * random.uniform();
            assert!((f64::from(pair[0]) - radius * angle.cos()).abs() < 1e-6, "pair {idx}");
            assert!((f64::from(pair[1]) - radius * angle.sin()).abs() < 1e-6, "pair {idx}");
        }
    }
}
