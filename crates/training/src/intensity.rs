//! Intensity transforms with TorchIO's semantics.

use brainreel_models::Random;
use rayon::prelude::*;

/// Values in a block whose partial sum is formed by one thread.
const BLOCK: usize = 1 << 16;

/// Subtracts the mean and divides by the sample standard deviation (n - 1) over all voxels.
/// Returns `false`, leaving the voxels alone, if they are all equal or not all finite.
///
/// # Determinism
/// Sums in double precision over fixed blocks: the same bits for any number of threads.
#[expect(clippy::cast_possible_truncation, reason = "voxels are single precision")]
pub fn z_normalize(voxels: &mut [f32]) -> bool {
    let n = voxels.len() as f64;
    let mean = blocked_sum(voxels, |value| value) / n;
    let squares = blocked_sum(voxels, |value| (value - mean) * (value - mean));
    let std = (squares / (n - 1.0)).sqrt();
    if !(std.is_finite() && std > 0.0) {
        return false;
    }
    voxels.par_iter_mut().for_each(|value| *value = ((f64::from(*value) - mean) / std) as f32);
    true
}

fn blocked_sum(voxels: &[f32], term: impl Fn(f64) -> f64 + Sync) -> f64 {
    let blocks: Vec<f64> = voxels
        .par_chunks(BLOCK)
        .map(|block| block.iter().map(|&value| term(f64::from(value))).sum())
        .collect();
    blocks.iter().sum()
}

/// Adds normal noise of mean 0.
#[expect(clippy::cast_possible_truncation, reason = "voxels are single precision")]
pub fn add_noise(voxels: &mut [f32], std: f64, seed: u64) {
    let mut random = Random::new(seed);
    for value in voxels {
        *value += (std * random.normal()) as f32;
    }
}

/// Raises voxels to a power, keeping their sign: `sign(x) |x|^gamma`.
#[expect(clippy::cast_possible_truncation, reason = "voxels are single precision")]
pub fn apply_gamma(voxels: &mut [f32], gamma: f64) {
    voxels.par_iter_mut().for_each(|value| {
        *value = (libm::pow(f64::from(value.abs()), gamma) as f32).copysign(*value);
    });
}

#[cfg(test)]
mod tests {
    use brainreel_testkit::{Golden, Tolerance, assert_close};

    use super::*;

    #[test]
    fn normalisation_is_numpys_with_ddof_1() {
        let golden = Golden::load(env!("CARGO_MANIFEST_DIR"), "train_step");
        let mut voxels = golden.array("intensity").to_f32();
        assert!(z_normalize(&mut voxels));
        assert_close(&voxels, &golden.array("z_normalized").data, Tolerance::relative(1e-6));
    }

    #[test]
    fn gamma_is_torchios() {
        let golden = Golden::load(env!("CARGO_MANIFEST_DIR"), "train_step");
        let mut voxels = golden.array("intensity").to_f32();
        apply_gamma(&mut voxels, 0.85);
        assert_close(&voxels, &golden.array("gamma_085").data, Tolerance::relative(1e-6));
    }

    #[test]
    fn flat_and_broken_images_are_refused() {
        assert!(!z_normalize(&mut [3.0; 10]));
        assert!(!z_normalize(&mut [1.0, f32::NAN, 2.0]));
        assert!(!z_normalize(&mut [1.0]));
        assert!(!z_normalize(&mut []));
    }

    #[test]
    fn noise_has_the_asked_size_and_depends_on_the_seed() {
        let mut voxels = vec![0.0_f32; 20_000];
        add_noise(&mut voxels, 0.1, 4);
        let mean_square = voxels.iter().map(|v| f64::from(v * v)).sum::<f64>() / 20_000.0;
        assert!((mean_square.sqrt() - 0.1).abs() < 0.003);
        let mut other = vec![0.0_f32; 20_000];
        add_noise(&mut other, 0.1, 5);
        assert_ne!(voxels, other);
    }
}
