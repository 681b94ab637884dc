//! SynthStrip's weights, from the published checkpoint or from safetensors.

use std::path::Path;

use brainreel_artifact::{ContentHash, hash_bytes};
use brainreel_checkpoint::{CheckpointError, Digest, Published, Role, StateDict, TensorSpec, read_bytes};
use brainreel_engine::{Network, Node};

use super::{synthstrip_convs, synthstrip_network};

/// The weights that the authors publish.
pub const PUBLISHED: Published = Published {
    name: "synthstrip",
    title: "SynthStrip, version 1: brain extraction",
    file_name: "synthstrip.1.pt",
    url: "https://surfer.nmr.mgh.harvard.edu/docs/synthstrip/requirements/synthstrip.1.pt",
    licence: "MIT or CC BY 4.0 at your choice, as far as we know; what its authors say at \
              https://surfer.nmr.mgh.harvard.edu/docs/synthstrip/ decides",
    citation: "Hoopes, Mora, Dalca, Fischl, Hoffmann 2022, SynthStrip: skull-stripping for any brain image, \
               NeuroImage 260, 119474",
    // The key of the file in the annex of FreeSurfer's repository.
    digest: Digest::Sha256("37417f802196186441aae3e7f385d94f8a98c64a88acaeaa2723af995c653e33"),
    max_bytes: 64 << 20,
    network: "SynthStrip",
    // Other contents of a checkpoint, such as optimizer state, are ignored.
    prefixes: &["encoder.", "decoder.", "remaining."],
    tensors: synthstrip_tensors,
};

/// The weights of SynthStrip. All tensors exist, have the right shape and are finite.
#[derive(Debug, Clone)]
pub struct SynthStripWeights {
    state: StateDict,
    sha256: ContentHash,
}

impl SynthStripWeights {
    /// Reads the published checkpoint, another one with the same layout, or a safetensors file with the same
    /// names.
    ///
    /// # Errors
    /// [`CheckpointError`] names the file, the tensor, the found and the expected value.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        Self::decode(&read_bytes(path)?, path)
    }

    /// As [`SynthStripWeights::read`], for a file in memory. `path` is for messages.
    ///
    /// # Errors
    /// As [`SynthStripWeights::read`].
    pub fn decode(bytes: &[u8], path: &Path) -> Result<Self, CheckpointError> {
        let state = PUBLISHED.decode(bytes, path, &synthstrip_tensors())?;
        Ok(Self { state, sha256: hash_bytes(bytes) })
    }

    /// SHA-256 of the file.
    #[must_use]
    pub const fn sha256(&self) -> &ContentHash {
        &self.sha256
    }

    /// Total number of elements.
    #[must_use]
    pub fn n_parameters(&self) -> usize {
        self.state.iter().map(|(_, tensor)| tensor.values.len()).sum()
    }

    /// The network with these weights, for the engine.
    #[must_use]
    pub fn network(&self) -> (Network, Node) {
        synthstrip_network(|name| self.state.tensor(name).values.clone())
    }
}

/// All tensors of the network.
#[must_use]
pub fn synthstrip_tensors() -> Vec<TensorSpec> {
    let of_conv = |conv: super::SynthStripConv| {
        let (name, shape) = (conv.name, conv.shape);
        let fan_in = shape.channels_in * shape.n_taps();
        let kernel = [shape.channels_out, shape.channels_in, 3, 3, 3];
        [
            TensorSpec::new(format!("{name}.conv.weight"), &kernel, Role::PatchKernel),
            TensorSpec::new(format!("{name}.conv.bias"), &[shape.channels_out], Role::PatchBias { fan_in }),
        ]
    };
    synthstrip_convs().into_iter().flat_map(of_conv).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use safetensors::tensor::{Dtype, TensorView};

    use super::*;

    /// A safetensors file with the network's tensors, after `change`.
    fn file(change: impl Fn(&mut Vec<(String, Vec<usize>)>), value: f32) -> Vec<u8> {
        let mut tensors: Vec<_> =
            synthstrip_tensors().into_iter().map(|spec| (spec.name, spec.shape)).collect();
        change(&mut tensors);
        let bytes: Vec<Vec<u8>> =
            tensors.iter().map(|(_, shape)| value.to_le_bytes().repeat(shape.iter().product())).collect();
        let views = tensors.iter().zip(&bytes).map(|((name, shape), bytes)| {
            (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
        });
        safetensors::serialize(views, None::<HashMap<String, String>>).unwrap()
    }

    fn read(bytes: &[u8]) -> Result<SynthStripWeights, CheckpointError> {
        SynthStripWeights::decode(bytes, Path::new("w.safetensors"))
    }

    #[test]
    fn the_whole_network_and_nothing_else_is_taken() {
        let weights = read(&file(|_| {}, 0.5)).unwrap();
        assert_eq!(weights.n_parameters(), 2_566_561);
        read(&file(|tensors| tensors.push(("optimizer.step".into(), vec![1])), 0.5)).unwrap();
        for (bytes, words) in [
            (file(|tensors| drop(tensors.remove(3)), 0.5), ["encoder.0.1.conv.bias", "no tensor"]),
            (file(|tensors| tensors[0].1[0] = 8, 0.5), ["encoder.0.0.conv.weight", "[8, 1, 3, 3, 3]"]),
            (file(|_| {}, f32::NAN), ["encoder.0.0.conv.weight", "NaN"]),
            (
                file(|tensors| tensors.push(("remaining.3.conv.bias".into(), vec![1])), 0.5),
                ["remaining.3.conv.bias", "SynthStrip"],
            ),
        ] {
            let message = read(&bytes).unwrap_err().to_string();
            assert!(words.iter().all(|word| message.contains(word)), "{message}");
            assert!(message.contains("w.safetensors"), "{message}");
        }
    }
}
