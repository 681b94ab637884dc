//! Conversion of published weights to a one-channel network for another task.

use std::collections::BTreeMap;

use brainreel_named::named;

use crate::state_dict::{HostTensor, missing, random_tensor};
use crate::{CheckpointError, TensorSpec};

/// Channels of a colour video.
const N_COLOURS: usize = 3;

named! {
    /// How a three-channel stem or patch embedding becomes a one-channel one.
    #[derive(Default)]
    pub enum StemConversion {
        /// Sum of the three kernels, equivalent to feeding the grey volume in all three channels.
        #[default]
        Sum = "sum",
        /// Their mean.
        Mean = "mean",
        /// A fresh random kernel.
        Random = "random",
    }
}

/// Rules that adapt published weights to a network with one input channel and its own classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportRules {
    /// Conversion of an input layer with three channels.
    pub stem: StemConversion,
    /// Seed of newly initialised tensors: the classifier, a random stem.
    pub seed: u64,
}

impl ImportRules {
    /// Converts the input layer if it has three channels, and reinitialises the classifier if it has other
    /// classes. The kernel of the input layer is the first of `specs`; weight and bias of the classifier are
    /// the last two.
    ///
    /// # Errors
    /// [`CheckpointError::MissingTensor`] if one of these tensors is not in `found`; `origin` says where the
    /// tensors came from.
    ///
    /// # Panics
    /// If `specs` has fewer than three tensors.
    pub fn apply(
        self,
        found: &mut BTreeMap<String, HostTensor>,
        specs: &[TensorSpec],
        origin: &str,
    ) -> Result<(), CheckpointError> {
        let [stem_spec, .., weight_spec, bias_spec] = specs else { panic!("a network has many tensors") };
        let stem = found.get_mut(&stem_spec.name).ok_or_else(|| missing(stem_spec, origin))?;
        let mut coloured = stem_spec.shape.clone();
        coloured[1] = N_COLOURS;
        if stem.shape == coloured && stem.values.len() == N_COLOURS * stem_spec.n_elements() {
            *stem = self.convert_stem(stem, stem_spec);
        }
        let weight = found.get(&weight_spec.name).ok_or_else(|| missing(weight_spec, origin))?;
        let is_other_task = weight.shape.len() == weight_spec.shape.len()
            && weight.shape[0] != weight_spec.shape[0]
            && weight.shape[1..] == weight_spec.shape[1..];
        if is_other_task {
            for spec in [weight_spec, bias_spec] {
                found.insert(spec.name.clone(), random_tensor(spec, self.seed));
            }
        }
        Ok(())
    }

    fn convert_stem(self, stem: &HostTensor, spec: &TensorSpec) -> HostTensor {
        let factor = match self.stem {
            StemConversion::Sum => 1.0,
            StemConversion::Mean => 1.0 / 3.0,
            StemConversion::Random => return random_tensor(spec, self.seed),
        };
        let n_taps: usize = spec.shape[2..].iter().product();
        let kernels = stem.values.chunks_exact(N_COLOURS * n_taps);
        let values = kernels
            .flat_map(|rgb| {
                (0..n_taps).map(move |tap| factor * (rgb[tap] + rgb[tap + n_taps] + rgb[tap + 2 * n_taps]))
            })
            .collect();
        HostTensor { shape: spec.shape.clone(), values }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Role, StateDict};

    fn specs(channels: usize, taps: [usize; 3], classes: usize, features: usize) -> Vec<TensorSpec> {
        let [d, h, w] = taps;
        vec![
            TensorSpec::new("stem.weight", &[channels, 1, d, h, w], Role::Kernel),
            TensorSpec::new("norm.weight", &[channels], Role::Gamma),
            TensorSpec::new("fc.weight", &[classes, features], Role::LinearWeight),
            TensorSpec::new("fc.bias", &[classes], Role::LinearBias { fan_in: features }),
        ]
    }

    /// The same network for colour video and other classes.
    fn published(specs: &[TensorSpec], classes: usize) -> Vec<TensorSpec> {
        let mut published = specs.to_vec();
        published[0].shape[1] = N_COLOURS;
        published[2].shape[0] = classes;
        published[3].shape[0] = classes;
        published
    }

    fn tensors(specs: &[TensorSpec], seed: u64) -> BTreeMap<String, HostTensor> {
        StateDict::random(specs, seed).into_tensors()
    }

    proptest! {
        #[test]
        fn any_colour_network_becomes_one_of_one_channel(
            channels in 1_usize..5, taps in prop::array::uniform3(1_usize..4),
            classes in 1_usize..4, features in 1_usize..5, seed in 0_u64..100,
        ) {
            let own = specs(channels, taps, classes, features);
            let foreign = published(&own, classes + 5);
            let mut found = tensors(&foreign, seed);
            let before = found.clone();
            ImportRules { seed, ..ImportRules::default() }.apply(&mut found, &own, "w").unwrap();
            let n_taps: usize = taps.iter().product();
            let (colour, grey) = (&before["stem.weight"].values, &found["stem.weight"].values);
            for (idx, sum) in grey.iter().enumerate() {
                let start = idx / n_taps * N_COLOURS * n_taps + idx % n_taps;
                let expected: f32 = (0..N_COLOURS).map(|colour_idx| colour[start + colour_idx * n_taps]).sum();
                prop_assert!((sum - expected).abs() < 1e-5);
            }
            let fresh = tensors(&own, seed);
            prop_assert_eq!(&found["fc.weight"], &fresh["fc.weight"]);
            prop_assert_eq!(&found["fc.bias"], &fresh["fc.bias"]);
            prop_assert_eq!(&found["norm.weight"], &before["norm.weight"]);
            prop_assert!(StateDict::from_tensors(found, &own, "w").is_ok());
        }

        #[test]
        fn weights_that_fit_are_not_touched(
            channels in 1_usize..5, taps in prop::array::uniform3(1_usize..4), seed in 0_u64..100,
        ) {
            let own = specs(channels, taps, 2, 3);
            let before = tensors(&own, seed);
            let mut found = before.clone();
            ImportRules { seed: seed + 1, stem: StemConversion::Random }.apply(&mut found, &own, "w").unwrap();
            prop_assert_eq!(found, before);
        }
    }

    #[test]
    fn the_mean_is_a_third_of_the_sum_and_random_is_fresh() {
        let own = specs(2, [1, 2, 3], 2, 4);
        let convert = |stem| {
            let mut found = tensors(&published(&own, 7), 3);
            ImportRules { stem, seed: 9 }.apply(&mut found, &own, "w").unwrap();
            found["stem.weight"].values.clone()
        };
        let (sum, mean) = (convert(StemConversion::Sum), convert(StemConversion::Mean));
        assert!(sum.iter().zip(&mean).all(|(sum, mean)| (sum / 3.0 - mean).abs() < 1e-6));
        assert_eq!(convert(StemConversion::Random), tensors(&own, 9)["stem.weight"].values);
    }

    #[test]
    fn a_missing_stem_or_classifier_is_named() {
        let own = specs(2, [1, 1, 1], 2, 4);
        for name in ["stem.weight", "fc.weight"] {
            let mut found = tensors(&own, 3);
            found.remove(name);
            let error = ImportRules::default().apply(&mut found, &own, "w.pth").unwrap_err().to_string();
            assert!(error.starts_with(&format!("no tensor {name} in w.pth")), "{error}");
        }
    }
}
