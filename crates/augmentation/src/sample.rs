//! What is drawn for a training scan in an epoch.

use brainreel_artifact::{Random, derive_seed};

use crate::bias::n_coefficients;
use crate::config::{AugmentationConfig, AugmentationPreset, Axis, TransformName};
use crate::draw::{Draw, Transform};

impl AugmentationConfig {
    /// What is done to `scan_id` in `epoch`.
    ///
    /// # Determinism
    /// Depends on the arguments alone. What is drawn for one transform does not depend on the settings
    /// of the others.
    #[must_use]
    pub fn draw(&self, run_seed: u64, scan_id: &str, epoch: usize) -> Draw {
        if self.preset == AugmentationPreset::None {
            return Draw::default();
        }
        let variant = self.n_variants().map_or(epoch, |n| epoch % n).to_string();
        let seed = derive_seed(run_seed, "augmentation", &[scan_id, &variant]);
        Draw::new(self.order().into_iter().filter_map(|name| self.sample(name, seed)).collect())
    }

    /// A transform of that name, if it is drawn at all.
    fn sample(&self, name: TransformName, seed: u64) -> Option<Transform> {
        let mut random = match name {
            TransformName::Noise => Random::new(seed),
            TransformName::Gamma => after(seed, 3),
            _ => Random::new(derive_seed(seed, name.title(), &[])),
        };
        let random = &mut random;
        match name {
            TransformName::ZNormalization => return Some(Transform::ZNormalization),
            TransformName::Flip => return self.flip(random),
            _ if random.uniform() >= self.probability(name) => return None,
            _ => {}
        }
        Some(match name {
            TransformName::Noise => self.noise(random),
            TransformName::Gamma => Transform::Gamma { gamma: libm::exp(symmetric(random, self.log_gamma)) },
            TransformName::Rotate90 => rotate90(random),
            TransformName::Affine => self.affine(random),
            TransformName::BiasField => self.bias_field(random),
            TransformName::Blur => {
                Transform::Blur { std_mm: [0; 3].map(|_| self.blur_std_mm * random.uniform()) }
            }
            TransformName::Ghosting => self.ghosting(random),
            TransformName::ZNormalization | TransformName::Flip => return None,
        })
    }

    fn noise(&self, random: &mut Random) -> Transform {
        let std = self.noise_std * random.uniform();
        // 53 bits, so that the seed survives any reader of JSON.
        let seed = random.next_u64() >> 11;
        let mut random = Random::new(derive_seed(seed, "mean", &[]));
        Transform::Noise { mean: symmetric(&mut random, self.noise_mean), std, seed }
    }

    /// As TorchIO, a number is drawn for each of the three axes, whether it may be mirrored or not.
    fn flip(&self, random: &mut Random) -> Option<Transform> {
        let drawn = Axis::ALL.map(|axis| (axis, random.uniform() < self.flip_probability));
        let mirrored = |(axis, hit): (Axis, bool)| (hit && self.flip_axes.contains(&axis)).then_some(axis);
        let axes: Vec<Axis> = drawn.into_iter().filter_map(mirrored).collect();
        (!axes.is_empty()).then_some(Transform::Flip { axes })
    }

    fn affine(&self, random: &mut Random) -> Transform {
        let mut scales = [0; 3].map(|_| between(random, self.scale_range));
        if self.scale_isotropic {
            scales = [scales[0]; 3];
        }
        Transform::Affine { scales, degrees: [0; 3].map(|_| symmetric(random, self.rotation_degrees)) }
    }

    fn bias_field(&self, random: &mut Random) -> Transform {
        let order = self.bias_field_order;
        let coefficients =
            (0..n_coefficients(order)).map(|_| symmetric(random, self.bias_field_coefficients));
        Transform::BiasField { order, coefficients: coefficients.collect() }
    }

    fn ghosting(&self, random: &mut Random) -> Transform {
        let [fewest, most] = self.ghosting_number;
        Transform::Ghosting {
            number: fewest + below(random, most - fewest + 1),
            axis: Axis::ALL[below(random, 3)],
            intensity: between(random, self.ghosting_intensity),
            restore: self.ghosting_restore.map(|most| most * random.uniform()),
        }
    }
}

fn rotate90(random: &mut Random) -> Transform {
    let axis = Axis::ALL[below(random, 3)];
    Transform::Rotate90 { axis, quarters: if random.uniform() < 0.5 { 1 } else { 3 } }
}

/// The stream of `seed` after `n` numbers.
fn after(seed: u64, n: usize) -> Random {
    let mut random = Random::new(seed);
    for _ in 0..n {
        random.next_u64();
    }
    random
}

/// Uniform in plus and minus `bound`.
fn symmetric(random: &mut Random, bound: f64) -> f64 {
    bound * (2.0 * random.uniform() - 1.0)
}

fn between(random: &mut Random, [least, most]: [f64; 2]) -> f64 {
    least + (most - least) * random.uniform()
}

/// One of `0..n`.
fn below(random: &mut Random, n: usize) -> usize {
    (random.next_u64() % n as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> AugmentationConfig {
        AugmentationConfig {
            pool: 0,
            noise_probability: 1.0,
            gamma_probability: 1.0,
            flip_probability: 1.0,
            rotate90_probability: 1.0,
            affine_probability: 1.0,
            bias_field_probability: 1.0,
            blur_probability: 1.0,
            ghosting_probability: 1.0,
            ..AugmentationConfig::default()
        }
    }

    #[test]
    fn frequencies_and_ranges_are_the_thesiss() {
        let config = AugmentationConfig { pool: 0, ..AugmentationConfig::default() };
        let draws: Vec<Draw> = (0..4000).map(|epoch| config.draw(1, "sub-1_ses-1", epoch)).collect();
        let share = |n: usize| n as f64 / 4000.0;
        let transforms = || draws.iter().flat_map(|draw| draw.transforms());
        let stds: Vec<f64> = transforms()
            .filter_map(|t| if let Transform::Noise { std, .. } = t { Some(*std) } else { None })
            .collect();
        let gammas: Vec<f64> = transforms()
            .filter_map(|t| if let Transform::Gamma { gamma } = t { Some(*gamma) } else { None })
            .collect();
        let plain = share(draws.iter().filter(|d| d.is_plain()).count());
        // Four standard errors of a proportion of 0.3 in 4000 draws: 0.029.
        assert!((share(stds.len()) - 0.3).abs() < 0.03 && (share(gammas.len()) - 0.3).abs() < 0.03);
        assert!((plain - 0.49).abs() < 0.035, "{plain}");
        assert!(stds.iter().all(|std| (0.0..0.1).contains(std)));
        let bound = 0.2_f64.exp();
        assert!(gammas.iter().all(|&g| g <= bound && g >= 1.0 / bound));
    }

    #[test]
    fn a_pool_repeats_and_fresh_draws_do_not() {
        let pooled = AugmentationConfig { pool: 3, ..everything() };
        assert_eq!(pooled.draw(1, "a", 0), pooled.draw(1, "a", 3));
        assert_ne!(pooled.draw(1, "a", 0), pooled.draw(1, "a", 1));
        assert_ne!(pooled.draw(1, "a", 0), pooled.draw(1, "b", 0));
        assert_ne!(pooled.draw(1, "a", 0), pooled.draw(2, "a", 0));
        let fresh = AugmentationConfig { pool: 0, ..pooled };
        assert_ne!(fresh.draw(1, "a", 0), fresh.draw(1, "a", 3));
    }

    #[test]
    fn transforms_come_in_order_and_do_not_disturb_each_other() {
        let all = everything();
        let names = |config: &AugmentationConfig| -> Vec<TransformName> {
            config.draw(3, "scan", 5).transforms().iter().map(Transform::name).collect()
        };
        assert_eq!(names(&all), all.order());
        let thesis = AugmentationConfig { preset: AugmentationPreset::Thesis, ..everything() };
        assert_eq!(names(&thesis), thesis.order());
        let without_blur = AugmentationConfig { blur_probability: 0.0, ..everything() };
        let kept: Vec<Transform> = all
            .draw(3, "scan", 5)
            .transforms()
            .iter()
            .filter(|t| t.name() != TransformName::Blur)
            .cloned()
            .collect();
        assert_eq!(without_blur.draw(3, "scan", 5).transforms(), kept);
    }

    #[test]
    fn without_noise_both_presets_draw_the_same() {
        let quiet = AugmentationConfig { noise_probability: 0.0, ..AugmentationConfig::default() };
        let thesis = AugmentationConfig { preset: AugmentationPreset::Thesis, ..quiet.clone() };
        assert!((0..20).all(|epoch| quiet.draw(1, "scan", epoch) == thesis.draw(1, "scan", epoch)));
        assert!(AugmentationConfig::none().draw(1, "scan", 0).is_plain());
    }

    #[test]
    fn sizes_keep_to_their_ranges() {
        let config = AugmentationConfig { noise_mean: 0.5, ghosting_restore: Some(0.2), ..everything() };
        for transform in (0..300).flat_map(|epoch| config.draw(9, "scan", epoch).transforms().to_vec()) {
            let within = match transform {
                Transform::Noise { mean, .. } => mean.abs() <= 0.5,
                Transform::Affine { scales, degrees } => {
                    scales.iter().all(|s| (0.9..1.1).contains(s)) && degrees.iter().all(|d| d.abs() <= 10.0)
                }
                Transform::BiasField { order, coefficients } => {
                    order == 3 && coefficients.len() == 20 && coefficients.iter().all(|c| c.abs() <= 0.5)
                }
                Transform::Blur { std_mm } => std_mm.iter().all(|s| (0.0..2.0).contains(s)),
                Transform::Ghosting { number, intensity, restore, .. } => {
                    (4..=10).contains(&number)
                        && (0.5..1.0).contains(&intensity)
                        && restore.is_some_and(|share| (0.0..0.2).contains(&share))
                }
                Transform::Flip { axes } => axes == [Axis::X],
                _ => true,
            };
            assert!(within);
        }
    }
}
