//! Weight files of networks: which network they hold, and how they are fitted to ours.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use brainreel_checkpoint::{CheckpointError, HostTensor, ImportRules, StemConversion, read_tensors};

use crate::ModelError;
use crate::architecture::{Architecture, PATCH};
use crate::weights::NetworkWeights;

/// How foreign weights are fitted to the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportOptions {
    /// For a stem with three channels.
    pub stem: StemConversion,
    /// Seed of the tensors that are drawn afresh (the final layer, a random stem).
    pub seed: u64,
    /// The network that the weights have to be of; `None` takes whichever they are of.
    pub architecture: Option<Architecture>,
}

/// Reads weights in torchvision's naming, from safetensors or from a checkpoint of PyTorch: either our own
/// export or, say, the Kinetics-400 weights, whose stem is converted and whose final layer is replaced by a
/// fresh one. Which network they are of, and for which size of input a transformer's positions are laid out,
/// shows in names and shapes.
///
/// # Errors
/// [`ModelError`] names the file, the tensor, what was found and what was expected;
/// [`ModelError::OtherArchitecture`] if the weights are of another network than the one asked for.
pub fn read_weights(path: &Path, options: ImportOptions) -> Result<NetworkWeights, ModelError> {
    let tensors = Architecture::ALL.map(|architecture| architecture.tensors(architecture.native_dims()));
    let names: BTreeSet<String> = tensors.into_iter().flatten().map(|spec| spec.name).collect();
    let found = read_tensors(path, |name| names.contains(name))?;
    fit(found, &path.display().to_string(), options)
}

/// Converts stem and final layer where they are the pretrained network's.
fn fit(
    mut found: BTreeMap<String, HostTensor>,
    origin: &str,
    options: ImportOptions,
) -> Result<NetworkWeights, ModelError> {
    let architecture =
        recognise(&found).ok_or_else(|| ModelError::Unrecognised { origin: origin.to_owned() })?;
    if let Some(expected) = options.architecture.filter(|expected| *expected != architecture) {
        return Err(ModelError::OtherArchitecture { origin: origin.to_owned(), got: architecture, expected });
    }
    let dims = if architecture.is_transformer() {
        input_of(architecture, &found, origin)?
    } else {
        architecture.native_dims()
    };
    let specs = architecture.tensors(dims);
    ImportRules { stem: options.stem, seed: options.seed }.apply(&mut found, &specs, origin)?;
    NetworkWeights::for_input(architecture, dims, found, origin)
}

/// The network that the tensors are of, by tensors that only it has.
fn recognise(found: &BTreeMap<String, HostTensor>) -> Option<Architecture> {
    let has = |name: &str| found.contains_key(name);
    // The first three differ in one kernel alone.
    let kernel = found.get("layer2.0.conv1.0.weight").map(|tensor| tensor.shape.get(2).copied());
    if has("pos_encoding.class_token") || has("conv_proj.weight") {
        let relative = has("blocks.0.attn.rel_pos_h") || !has("pos_encoding.spatial_pos");
        Some(if relative { Architecture::MvitV2S } else { Architecture::MvitV1B })
    } else if has("layer2.0.conv1.0.0.weight") {
        Some(Architecture::R2plus1d18)
    } else if kernel == Some(Some(1)) {
        Some(Architecture::Mc318)
    } else if kernel.is_some() || has("stem.0.weight") {
        Some(Architecture::R3d18)
    } else {
        None
    }
}

/// Input of a transformer whose positional tensors are `found`, its height and width being equal.
fn input_of(
    architecture: Architecture,
    found: &BTreeMap<String, HostTensor>,
    origin: &str,
) -> Result<[usize; 3], ModelError> {
    let rows = |name: &str| {
        let spec =
            || architecture.tensors(architecture.native_dims()).into_iter().find(|spec| spec.name == name);
        match found.get(name) {
            Some(tensor) => Ok(tensor.shape.first().copied().unwrap_or(0)),
            None => Err(CheckpointError::MissingTensor {
                name: name.to_owned(),
                origin: origin.to_owned(),
                expected: spec().expect("the network has it").shape,
            }),
        }
    };
    let (depth, edge) = if architecture == Architecture::MvitV1B {
        (rows("pos_encoding.temporal_pos")?, rows("pos_encoding.spatial_pos")?.isqrt())
    } else {
        let middle = |rows: usize| rows / 2 + rows % 2;
        (middle(rows("blocks.0.attn.rel_pos_t")?), middle(rows("blocks.0.attn.rel_pos_h")?))
    };
    let [_, stride, _] = PATCH;
    let dims = [depth, edge, edge];
    let dims = [0, 1, 2].map(|axis| dims[axis].saturating_mul(stride[axis]));
    architecture.check_dims(dims)?;
    Ok(dims)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinetics_like() -> BTreeMap<String, HostTensor> {
        let own = NetworkWeights::random(Architecture::R3d18, 1);
        let mut tensors: BTreeMap<_, _> = own.iter().map(|(n, t)| (n.to_owned(), t.clone())).collect();
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
            NetworkWeights::random(Architecture::R3d18, 9).tensor("fc.weight")
        );
        assert_eq!(weights.tensor("fc.bias").shape, [2]);
    }

    #[test]
    fn export_and_import_give_the_same_weights() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        let weights = NetworkWeights::random(Architecture::R3d18, 2);
        weights.write_safetensors(&path).unwrap();
        assert_eq!(read_weights(&path, ImportOptions::default()).unwrap(), weights);
    }
}
