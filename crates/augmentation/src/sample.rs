//! Draws the transforms of a training scan in an epoch.

use brainreel_artifact::{Random, derive_seed};

use crate::bias::n_coefficients;
use crate::config::{AugmentationConfig, AugmentationPreset, Axis, TransformName};
use crate::draw::{Draw, Transform};

impl AugmentationConfig {
    /// Draws the transforms of `scan_id` in `epoch`.
    ///
    /// # Determinism
    /// Depends only on the arguments. The draw of one transform does not depend on the settings of the
    /// others.
    #[must_use]
    pub fn draw(&self, run_seed: u64, scan_id: &str, epoch: usize) -> Draw {
        if self.preset == AugmentationPreset::None {
            return Draw::default();
        }
        let variant = self.n_variants().map_or(epoch, |n| epoch % n).to_string();
        let seed = derive_seed(run_seed, "augmentation", &[scan_id, &variant]);
        Draw::new(self.order().into_iter().filter_map(|name| self.sample(name, seed)).collect())
    }

    /// The transform of this name, if it is drawn.
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

    /// As in TorchIO, a number is drawn for each of the three axes, even if it may not be mirrored.
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

/// Uniform between minus and plus `bound`.
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
