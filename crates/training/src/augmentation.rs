//! What is drawn for a training scan in an epoch.

use brainreel_artifact::derive_seed;
use brainreel_models::Random;
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::intensity::{add_noise, apply_gamma, z_normalize};

/// Which transforms training scans go through, and in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AugmentationPreset {
    /// Z-normalisation alone.
    None,
    /// Gamma on raw intensities, z-normalisation, then noise, whose standard deviation thus is in
    /// units of the image's own.
    #[default]
    Default,
    /// The thesis's order: noise and gamma on raw intensities, then z-normalisation. Noise of 0.1 on
    /// intensities in the thousands does next to nothing.
    Thesis,
}

/// Augmentation of the training partition. Validation and test scans are only z-normalised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentationConfig {
    /// Which transforms, in which order.
    pub preset: AugmentationPreset,
    /// Variants of a scan that are drawn once and then reused in turn, so that their trunk features
    /// can be kept; 0 draws afresh each epoch (the thesis's behaviour) and keeps nothing.
    pub pool: usize,
    /// Upper end of the noise's standard deviation, which is uniform from 0.
    pub noise_std: f64,
    /// Probability of noise.
    pub noise_probability: f64,
    /// The logarithm of gamma is uniform in plus and minus this.
    pub log_gamma: f64,
    /// Probability of gamma.
    pub gamma_probability: f64,
}

impl Default for AugmentationConfig {
    /// The thesis's sizes and probabilities. With a pool of 4 about half the variants are the plain
    /// image, so that a scan has about three different ones.
    fn default() -> Self {
        Self {
            preset: AugmentationPreset::Default,
            pool: 4,
            noise_std: 0.1,
            noise_probability: 0.3,
            log_gamma: 0.2,
            gamma_probability: 0.3,
        }
    }
}

/// One draw: what is done to a scan.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Draw {
    noise: Option<Noise>,
    gamma: Option<f64>,
    noise_first: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Noise {
    std: f64,
    seed: u64,
}

impl AugmentationConfig {
    /// No augmentation.
    #[must_use]
    pub fn none() -> Self {
        Self { preset: AugmentationPreset::None, ..Self::default() }
    }

    pub(crate) fn validate(&self) -> Result<(), TrainError> {
        let probability = |field, value: f64| in_range(field, value, 0.0..=1.0, "a probability");
        probability("augmentation.noise_probability", self.noise_probability)?;
        probability("augmentation.gamma_probability", self.gamma_probability)?;
        in_range("augmentation.noise_std", self.noise_std, 0.0..=1e6, "a number from 0 to 1e6")?;
        in_range("augmentation.log_gamma", self.log_gamma, 0.0..=3.0, "a number from 0 to 3")
    }

    /// How many different epochs there are as far as draws go; `None` if each is new.
    pub(crate) fn n_variants(&self) -> Option<usize> {
        match (self.preset, self.pool) {
            (AugmentationPreset::None, _) => Some(1),
            (_, 0) => None,
            (_, pool) => Some(pool),
        }
    }

    /// What is done to `scan_id` in `epoch`.
    ///
    /// # Determinism
    /// Depends on the arguments alone.
    #[must_use]
    pub fn draw(&self, run_seed: u64, scan_id: &str, epoch: usize) -> Draw {
        if self.preset == AugmentationPreset::None {
            return Draw::default();
        }
        let variant = self.n_variants().map_or(epoch, |n| epoch % n).to_string();
        let mut random = Random::new(derive_seed(run_seed, "augmentation", &[scan_id, &variant]));
        let with_noise = random.uniform() < self.noise_probability;
        let std = self.noise_std * random.uniform();
        let seed = random.next_u64();
        let with_gamma = random.uniform() < self.gamma_probability;
        let gamma = libm::exp(self.log_gamma * (2.0 * random.uniform() - 1.0));
        Draw {
            noise: with_noise.then_some(Noise { std, seed }),
            gamma: with_gamma.then_some(gamma),
            // Without noise the two orders are the same draw, and share their features.
            noise_first: with_noise && self.preset == AugmentationPreset::Thesis,
        }
    }
}

fn in_range(
    field: &'static str,
    value: f64,
    range: std::ops::RangeInclusive<f64>,
    expected: &'static str,
) -> Result<(), TrainError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(TrainError::Config { field, got: value.to_string(), expected })
}

impl Draw {
    /// Whether the scan is only z-normalised.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Applies the draw, z-normalisation included. Returns `false` if the image cannot be normalised.
    pub fn apply(&self, voxels: &mut [f32]) -> bool {
        let noise = |voxels: &mut [f32]| {
            if let Some(Noise { std, seed }) = self.noise {
                add_noise(voxels, std, seed);
            }
        };
        if self.noise_first {
            noise(voxels);
        }
        if let Some(gamma) = self.gamma {
            apply_gamma(voxels, gamma);
        }
        let normalised = z_normalize(voxels);
        if !self.noise_first {
            noise(voxels);
        }
        normalised
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_and_ranges_are_the_thesiss() {
        let config = AugmentationConfig { pool: 0, ..AugmentationConfig::default() };
        let draws: Vec<Draw> = (0..4000).map(|epoch| config.draw(1, "sub-1_ses-1", epoch)).collect();
        let share = |n: usize| n as f64 / 4000.0;
        let with_noise = share(draws.iter().filter(|d| d.noise.is_some()).count());
        let with_gamma = share(draws.iter().filter(|d| d.gamma.is_some()).count());
        let plain = share(draws.iter().filter(|d| d.is_plain()).count());
        // Four standard errors of a proportion of 0.3 in 4000 draws: 0.029.
        assert!((with_noise - 0.3).abs() < 0.03 && (with_gamma - 0.3).abs() < 0.03);
        assert!((plain - 0.49).abs() < 0.035, "{plain}");
        assert!(draws.iter().filter_map(|d| d.noise).all(|n| (0.0..0.1).contains(&n.std)));
        let bound = 0.2_f64.exp();
        assert!(draws.iter().filter_map(|d| d.gamma).all(|g| g <= bound && g >= 1.0 / bound));
    }

    #[test]
    fn a_pool_repeats_and_fresh_draws_do_not() {
        let pooled = AugmentationConfig { pool: 3, noise_probability: 1.0, ..AugmentationConfig::default() };
        assert_eq!(pooled.draw(1, "a", 0), pooled.draw(1, "a", 3));
        assert_ne!(pooled.draw(1, "a", 0), pooled.draw(1, "a", 1));
        assert_ne!(pooled.draw(1, "a", 0), pooled.draw(1, "b", 0));
        assert_ne!(pooled.draw(1, "a", 0), pooled.draw(2, "a", 0));
        let fresh = AugmentationConfig { pool: 0, ..pooled };
        assert_ne!(fresh.draw(1, "a", 0), fresh.draw(1, "a", 3));
    }

    #[test]
    fn the_order_decides_whether_noise_is_seen() {
        let noise_that_shows = |preset| {
            let config = AugmentationConfig {
                preset,
                noise_probability: 1.0,
                gamma_probability: 0.0,
                ..AugmentationConfig::default()
            };
            let mut plain: Vec<f32> = (0..1000_u16).map(|i| f32::from(i % 100) * 20.0).collect();
            let mut noisy = plain.clone();
            assert!(z_normalize(&mut plain));
            assert!(config.draw(1, "scan", 0).apply(&mut noisy));
            plain.iter().zip(&noisy).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        };
        assert!(noise_that_shows(AugmentationPreset::Thesis) < 1e-3);
        assert!(noise_that_shows(AugmentationPreset::Default) > 1e-2);
    }
}
