//! Weight files of networks: which network they hold, and how they are fitted to ours.

use std::collections::BTreeSet;
use std::path::Path;

use brainreel_checkpoint::{CheckpointError, ImportRules, StemConversion, read_tensors};

use crate::ModelError;
use crate::backbone::Positions;
use crate::networks::{Architecture, NetworkConfig};
use crate::parameters::Found;
use crate::weights::NetworkWeights;

/// How published weights are fitted to the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportOptions {
    /// Conversion of a stem with three channels.
    pub stem: StemConversion,
    /// Seed of the tensors that are drawn afresh (the classifier, a random stem).
    pub seed: u64,
    /// The network that the weights have to be of; `None` accepts any.
    pub architecture: Option<Architecture>,
    /// Outputs of our network.
    pub n_classes: usize,
}

impl Default for ImportOptions {
    fn default() -> Self {
        let n_classes = NetworkConfig::DEFAULT_CLASSES;
        Self { stem: StemConversion::default(), seed: 0, architecture: None, n_classes }
    }
}

/// Reads weights in torchvision's naming, from safetensors or from a PyTorch checkpoint: either our own
/// export or, say, the Kinetics-400 weights, whose stem is converted and whose classifier is replaced by a
/// fresh one. Names and shapes show which network they are of, and for which size of input a transformer's
/// positions are laid out.
///
/// # Errors
/// [`ModelError`] names the file, the tensor, what was found and what was expected;
/// [`ModelError::OtherArchitecture`] if the weights are of another network than the one asked for.
pub fn read_weights(path: &Path, options: ImportOptions) -> Result<NetworkWeights, ModelError> {
    let configs = Architecture::all().map(NetworkConfig::new);
    let tensors = configs.flat_map(|config| config.architecture.tensors(config.dims, config.n_classes));
    let names: BTreeSet<String> = tensors.map(|spec| spec.name).collect();
    let found = read_tensors(path, |name| names.contains(name))?;
    fit(found, &path.display().to_string(), options)
}

/// Converts stem and classifier where they are the pretrained network's.
fn fit(mut found: Found, origin: &str, options: ImportOptions) -> Result<NetworkWeights, ModelError> {
    let architecture = Architecture::all()
        .find(|architecture| architecture.backbone().recognises(&found))
        .ok_or_else(|| ModelError::Unrecognised { origin: origin.to_owned() })?;
    if let Some(expected) = options.architecture.filter(|expected| *expected != architecture) {
        return Err(ModelError::OtherArchitecture { origin: origin.to_owned(), got: architecture, expected });
    }
    let mut config = NetworkConfig::new(architecture).with_classes(options.n_classes);
    if let Some(positions) = architecture.backbone().positions() {
        config.dims = input_of(positions, config, &found, origin)?;
    }
    let rules = ImportRules { stem: options.stem, seed: options.seed };
    rules.apply(&mut found, &config.tensors()?, origin)?;
    NetworkWeights::from_tensors(config, found, origin)
}

/// The input that the positional tensors in a file are laid out for.
fn input_of(
    positions: &dyn Positions,
    config: NetworkConfig,
    found: &Found,
    origin: &str,
) -> Result<[usize; 3], ModelError> {
    let missing = |name: &'static str| {
        let specs = config.architecture.tensors(config.dims, config.n_classes);
        let expected =
            specs.into_iter().find(|spec| spec.name == name).map_or_else(Vec::new, |spec| spec.shape);
        CheckpointError::MissingTensor { name: name.to_owned(), origin: origin.to_owned(), expected }
    };
    Ok(positions.input_of(found).map_err(missing)?)
}

#[cfg(test)]
mod tests {
    use brainreel_checkpoint::HostTensor;

    use super::*;

    fn kinetics_like() -> Found {
        let own = NetworkWeights::random(Architecture::default(), 1);
        let mut tensors: Found = own.iter().map(|(n, t)| (n.to_owned(), t.clone())).collect();
        let stem = (0..64 * 3 * 147).map(|i| (i % 1000) as f32).collect();
        tensors.insert("stem.0.weight".into(), HostTensor { shape: vec![64, 3, 3, 7, 7], values: stem });
        let fc = HostTensor { shape: vec![400, 512], values: vec![0.5; 400 * 512] };
        tensors.insert("fc.weight".into(), fc);
        tensors.insert("fc.bias".into(), HostTensor { shape: vec![400], values: vec![0.5; 400] });
        tensors
    }

    #[test]
    fn a_colour_stem_and_400_classes_are_converted() {
        let options = ImportOptions { seed: 9, ..ImportOptions::default() };
        let weights = fit(kinetics_like(), "k400", options).unwrap();
        let stem = weights.tensor("stem.0.weight");
        assert_eq!(stem.shape, [64, 1, 3, 7, 7]);
        // Kernel 1, tap 2: elements 443, 590 and 737 of the colour stem.
        assert!((stem.values[149] - (443.0 + 590.0 + 737.0)).abs() < 1e-3);
        let options = ImportOptions { stem: StemConversion::Mean, ..options };
        let mean = fit(kinetics_like(), "k400", options).unwrap();
        assert!((mean.tensor("stem.0.weight").values[149] - 590.0).abs() < 1e-3);
        assert_eq!(
            weights.tensor("fc.weight"),
            NetworkWeights::random(Architecture::default(), 9).tensor("fc.weight")
        );
        assert_eq!(weights.tensor("fc.bias").shape, [2]);
    }

    #[test]
    fn export_and_import_give_the_same_weights() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        let weights = NetworkWeights::random(Architecture::default(), 2);
        weights.write_safetensors(&path).unwrap();
        assert_eq!(read_weights(&path, ImportOptions::default()).unwrap(), weights);
    }
}
