//! SynthStrip's weights, from the published checkpoint or from safetensors.

use std::collections::BTreeMap;
use std::path::Path;

use brainreel_artifact::{ContentHash, hash_bytes};
use brainreel_engine::{Network, Node};

use super::{synthstrip_convs, synthstrip_network};
use crate::ModelError;
use crate::import::{decode_tensors, read_bounded};
use crate::state::HostTensor;

/// Parts of the network; other things in a checkpoint (an optimizer's state, say) are passed over.
const PARTS: [&str; 3] = ["encoder.", "decoder.", "remaining."];

/// The weights of SynthStrip, each tensor known to be there, in shape and finite.
#[derive(Debug, Clone)]
pub struct SynthStripWeights {
    tensors: BTreeMap<String, HostTensor>,
    sha256: ContentHash,
}

impl SynthStripWeights {
    /// Reads the published checkpoint, another one of the same layout, or a safetensors file with the same
    /// names.
    ///
    /// # Errors
    /// [`ModelError`] names the file, the tensor, what was found and what was expected.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        Self::decode(&read_bounded(path)?, path)
    }

    /// As [`SynthStripWeights::read`], of a file that is in memory; `path` is what messages call it.
    ///
    /// # Errors
    /// As [`SynthStripWeights::read`].
    pub fn decode(bytes: &[u8], path: &Path) -> Result<Self, ModelError> {
        let origin = path.display().to_string();
        let of_network = |name: &str| PARTS.iter().any(|part| name.starts_with(part));
        let mut found = decode_tensors(bytes, path, of_network)?;
        let mut tensors = BTreeMap::new();
        for (name, shape) in synthstrip_tensors() {
            let Some(tensor) = found.remove(&name) else {
                return Err(ModelError::MissingTensor { name, origin, expected: shape });
            };
            if tensor.shape != shape {
                return Err(ModelError::Shape { name, origin, got: tensor.shape, expected: shape });
            }
            if let Some(index) = tensor.values.iter().position(|value| !value.is_finite()) {
                let (got, expected) = (tensor.values[index], "a finite number");
                return Err(ModelError::Value { name, origin, got, index, expected });
            }
            tensors.insert(name, tensor);
        }
        match found.into_keys().next() {
            Some(name) => Err(ModelError::ForeignTensor { name, origin, network: "SynthStrip" }),
            None => Ok(Self { tensors, sha256: hash_bytes(bytes) }),
        }
    }

    /// SHA-256 of the file.
    #[must_use]
    pub const fn sha256(&self) -> &ContentHash {
        &self.sha256
    }

    /// Numbers in all tensors.
    #[must_use]
    pub fn n_parameters(&self) -> usize {
        self.tensors.values().map(|tensor| tensor.values.len()).sum()
    }

    /// The network with these weights, for the engine.
    #[must_use]
    pub fn network(&self) -> (Network, Node) {
        synthstrip_network(|name| self.tensors[name].values.clone())
    }
}

/// Names and shapes of all tensors.
fn synthstrip_tensors() -> impl Iterator<Item = (String, Vec<usize>)> {
    synthstrip_convs().into_iter().flat_map(|conv| {
        let (name, shape) = (conv.name, conv.shape);
        [
            (format!("{name}.conv.weight"), vec![shape.channels_out, shape.channels_in, 3, 3, 3]),
            (format!("{name}.conv.bias"), vec![shape.channels_out]),
        ]
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use safetensors::tensor::{Dtype, TensorView};

    use super::*;

    /// A safetensors file with the network's tensors, after `change`.
    fn file(change: impl Fn(&mut Vec<(String, Vec<usize>)>), value: f32) -> Vec<u8> {
        let mut tensors: Vec<_> = synthstrip_tensors().collect();
        change(&mut tensors);
        let bytes: Vec<Vec<u8>> =
            tensors.iter().map(|(_, shape)| value.to_le_bytes().repeat(shape.iter().product())).collect();
        let views = tensors.iter().zip(&bytes).map(|((name, shape), bytes)| {
            (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
        });
        safetensors::serialize(views, None::<HashMap<String, String>>).unwrap()
    }

    fn read(bytes: &[u8]) -> Result<SynthStripWeights, ModelError> {
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
