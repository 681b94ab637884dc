//! The weights of a network in host memory, by name.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use brainreel_artifact::{ArtifactError, ContentHash, HashBuilder, Random, derive_seed, write_atomic};
use safetensors::tensor::{Dtype, TensorView};

use crate::ModelError;
use crate::architecture::{Architecture, N_FEATURES, PATCH, Role, TensorSpec};
use crate::positions;

/// A tensor in host memory, C order.
#[derive(Debug, Clone, PartialEq)]
pub struct HostTensor {
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// The values, last axis fastest.
    pub values: Vec<f32>,
}

/// All tensors of a network by torchvision's names, each checked to be there and in shape.
#[derive(Debug, Clone, PartialEq)]
pub struct StateDict {
    pub(crate) architecture: Architecture,
    /// Input that positional tensors are laid out for; `None` if the network has none.
    pub(crate) dims: Option<[usize; 3]>,
    pub(crate) tensors: BTreeMap<String, HostTensor>,
}

impl StateDict {
    /// [`StateDict::of`] an R3D-18.
    ///
    /// # Errors
    /// As [`StateDict::of`].
    pub fn new(found: BTreeMap<String, HostTensor>, origin: &str) -> Result<Self, ModelError> {
        Self::of(Architecture::R3d18, found, origin)
    }

    /// As [`StateDict::of_input`], for inputs of the published weights' size.
    ///
    /// # Errors
    /// As [`StateDict::of_input`].
    pub fn of(
        architecture: Architecture,
        found: BTreeMap<String, HostTensor>,
        origin: &str,
    ) -> Result<Self, ModelError> {
        Self::of_input(architecture, architecture.native_dims(), found, origin)
    }

    /// Checks that every tensor of the network is there, has its shape for inputs of `dims` voxels and holds
    /// finite numbers (variances not negative). Tensors that the network does not have are dropped.
    ///
    /// # Errors
    /// [`ModelError::InputSize`], [`ModelError::MissingTensor`], [`ModelError::Shape`] or
    /// [`ModelError::Value`], with `origin` saying where the tensors came from.
    pub fn of_input(
        architecture: Architecture,
        dims: [usize; 3],
        mut found: BTreeMap<String, HostTensor>,
        origin: &str,
    ) -> Result<Self, ModelError> {
        architecture.check_dims(dims)?;
        let mut tensors = BTreeMap::new();
        for spec in architecture.tensors(dims) {
            let Some(tensor) = found.remove(&spec.name) else {
                return Err(missing(&spec, origin));
            };
            check_shape(&spec, &tensor, origin)?;
            check_values(&spec, &tensor, origin)?;
            tensors.insert(spec.name, tensor);
        }
        Ok(Self { architecture, dims: positions_of(architecture, dims), tensors })
    }

    /// The same weights for inputs of `dims` voxels: positional tensors of a transformer are interpolated
    /// linearly between token centres, as PyTorch's `interpolate` does; residual networks stay as they are.
    ///
    /// # Errors
    /// [`ModelError::InputSize`] if such inputs do not suit the network.
    pub fn fitted_to(mut self, dims: [usize; 3]) -> Result<Self, ModelError> {
        self.architecture.check_dims(dims)?;
        if let Some(from) = self.dims {
            positions::stretch(self.architecture, &mut self.tensors, from, dims);
            self.dims = Some(dims);
        }
        Ok(self)
    }

    /// Input `[D, H, W]` that the positional tensors are laid out for; `None` for residual networks, which
    /// take any.
    #[must_use]
    pub const fn dims(&self) -> Option<[usize; 3]> {
        self.dims
    }

    /// What kind of network the tensors are of.
    #[must_use]
    pub const fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// [`StateDict::random_of`] an R3D-18.
    #[must_use]
    pub fn random(seed: u64) -> Self {
        Self::random_of(Architecture::R3d18, seed)
    }

    /// Random weights as torchvision draws them, for inputs of the published weights' size. Residual
    /// networks: kernels normal with variance `2 / fan_out`, batch norms at identity, the final layer uniform
    /// as a fresh `torch.nn.Linear`. Transformers: linear layers and positions normal with deviation 0.02,
    /// biases zero, convolutions uniform as a fresh `torch.nn.Conv3d`.
    ///
    /// # Determinism
    /// The same seed gives the same bits on every machine; each tensor has a stream of its own.
    #[must_use]
    pub fn random_of(architecture: Architecture, seed: u64) -> Self {
        let dims = architecture.native_dims();
        let tensors = architecture.tensors(dims);
        let drawn = tensors.into_iter().map(|spec| (spec.name.clone(), random_tensor(&spec, seed)));
        Self { architecture, dims: positions_of(architecture, dims), tensors: drawn.collect() }
    }

    /// The tensor called `name`.
    ///
    /// # Panics
    /// If the network has no such tensor.
    #[must_use]
    pub fn tensor(&self, name: &str) -> &HostTensor {
        self.tensors.get(name).unwrap_or_else(|| panic!("the network has no tensor {name}"))
    }

    /// Names and tensors, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &HostTensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Replaces the values of the tensor called `name`.
    ///
    /// # Panics
    /// If the network has no such tensor or the number of values is not its size.
    pub fn set(&mut self, name: &str, values: Vec<f32>) {
        let tensor = self.tensors.get_mut(name).unwrap_or_else(|| panic!("the network has no tensor {name}"));
        assert_eq!(values.len(), tensor.values.len(), "number of values of {name}");
        tensor.values = values;
    }

    /// A digest of the tensors whose names `select` accepts.
    #[must_use]
    pub fn hash(&self, select: impl Fn(&str) -> bool) -> ContentHash {
        let chosen = self.iter().filter(|(name, _)| select(name));
        let parts = chosen.fold(HashBuilder::new(), |builder, (name, tensor)| {
            builder.part(name).part(format!("{:?}", tensor.shape)).part(tensor.to_bytes())
        });
        parts.finish()
    }

    /// Writes a safetensors file that torchvision's network of the same name (one-channel stem, two outputs,
    /// positions laid out for [`StateDict::dims`]) loads with `strict=True`.
    ///
    /// # Errors
    /// [`ArtifactError::Write`] names the path.
    pub fn write_safetensors(&self, path: &Path) -> Result<(), ArtifactError> {
        let counters = self.iter().filter_map(|(name, _)| name.strip_suffix("running_var"));
        let counters: Vec<String> = counters.map(|norm| format!("{norm}num_batches_tracked")).collect();
        let mut entries: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = self
            .iter()
            .map(|(name, tensor)| (name.to_owned(), Dtype::F32, tensor.shape.clone(), tensor.to_bytes()))
            .collect();
        entries.extend(counters.into_iter().map(|name| (name, Dtype::I64, Vec::new(), vec![0; 8])));
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        let bytes = encode_safetensors(&entries, metadata);
        write_atomic(path, &bytes)
    }
}

impl HostTensor {
    /// The values as little-endian bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }
}

fn encode_safetensors(
    entries: &[(String, Dtype, Vec<usize>, Vec<u8>)],
    metadata: HashMap<String, String>,
) -> Vec<u8> {
    let views = entries.iter().map(|(name, dtype, shape, bytes)| {
        let view = TensorView::new(*dtype, shape.clone(), bytes).expect("bytes fit the shape");
        (name.as_str(), view)
    });
    safetensors::serialize(views, Some(metadata)).expect("plain tensors serialise")
}

/// A fresh tensor, drawn as [`StateDict::random_of`] draws it.
pub(crate) fn random_tensor(spec: &TensorSpec, seed: u64) -> HostTensor {
    let mut random = Random::new(derive_seed(seed, "weights", &[&spec.name]));
    let n_values = spec.n_elements();
    #[expect(clippy::cast_possible_truncation, reason = "weights are single precision")]
    let values = match spec.role {
        Role::Gamma | Role::RunningVar => vec![1.0; n_values],
        Role::Beta | Role::RunningMean | Role::DenseBias => vec![0.0; n_values],
        Role::Kernel => {
            let fan_out = spec.shape[0] * spec.shape[2..].iter().product::<usize>();
            let std = (2.0 / fan_out as f64).sqrt();
            (0..n_values).map(|_| (std * random.normal()) as f32).collect()
        }
        Role::DenseWeight | Role::Position => {
            (0..n_values).map(|_| (0.02 * random.normal()) as f32).collect()
        }
        Role::LinearWeight | Role::LinearBias | Role::PatchKernel | Role::PatchBias => {
            let fan_in = match spec.role {
                Role::PatchKernel => spec.shape[1..].iter().product(),
                Role::PatchBias => PATCH[0].iter().product(),
                _ => N_FEATURES,
            };
            let bound = 1.0 / (fan_in as f64).sqrt();
            (0..n_values).map(|_| (bound * (2.0 * random.uniform() - 1.0)) as f32).collect()
        }
    };
    HostTensor { shape: spec.shape.clone(), values }
}

/// `dims` if the network has positional tensors.
const fn positions_of(architecture: Architecture, dims: [usize; 3]) -> Option<[usize; 3]> {
    if architecture.is_transformer() { Some(dims) } else { None }
}

pub(crate) fn missing(spec: &TensorSpec, origin: &str) -> ModelError {
    ModelError::MissingTensor {
        name: spec.name.clone(),
        origin: origin.to_owned(),
        expected: spec.shape.clone(),
    }
}

fn check_shape(spec: &TensorSpec, tensor: &HostTensor, origin: &str) -> Result<(), ModelError> {
    if tensor.shape == spec.shape && tensor.values.len() == spec.n_elements() {
        return Ok(());
    }
    Err(ModelError::Shape {
        name: spec.name.clone(),
        origin: origin.to_owned(),
        got: tensor.shape.clone(),
        expected: spec.shape.clone(),
    })
}

fn check_values(spec: &TensorSpec, tensor: &HostTensor, origin: &str) -> Result<(), ModelError> {
    let is_variance = spec.role == Role::RunningVar;
    let wrong = |value: &f32| !value.is_finite() || (is_variance && *value < 0.0);
    match tensor.values.iter().position(wrong) {
        None => Ok(()),
        Some(index) => Err(ModelError::Value {
            name: spec.name.clone(),
            origin: origin.to_owned(),
            got: tensor.values[index],
            index,
            expected: if is_variance { "a finite number not below 0" } else { "a finite number" },
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_weights_depend_on_the_seed_and_have_the_right_spread() {
        let weights = StateDict::random(5);
        assert_eq!(weights.hash(|_| true), StateDict::random(5).hash(|_| true));
        assert_ne!(weights.hash(|_| true), StateDict::random(6).hash(|_| true));
        let kernel = &weights.tensor("layer2.1.conv2.0.weight").values;
        let mean_square = kernel.iter().map(|v| f64::from(v * v)).sum::<f64>() / kernel.len() as f64;
        let expected = 2.0 / (128.0 * 27.0);
        assert!((mean_square / expected - 1.0).abs() < 0.02, "{mean_square} {expected}");
        let fc = &weights.tensor("fc.weight").values;
        assert!(fc.iter().all(|v| v.abs() <= 0.0442));
    }

    #[test]
    fn what_is_missing_misshapen_or_not_finite_is_named() {
        let tensors = StateDict::random(0).tensors;
        let mut lacking = tensors.clone();
        lacking.remove("layer3.1.conv2.1.bias");
        let error = StateDict::new(lacking, "w.safetensors").unwrap_err().to_string();
        assert_eq!(error, "no tensor layer3.1.conv2.1.bias in w.safetensors, expected shape [256]");
        let mut bent = tensors.clone();
        bent.insert("fc.bias".to_owned(), HostTensor { shape: vec![3], values: vec![0.0; 3] });
        let error = StateDict::new(bent, "w").unwrap_err().to_string();
        assert_eq!(error, "tensor fc.bias in w has shape [3], expected [2]");
        let mut negative = tensors;
        negative.get_mut("stem.1.running_var").unwrap().values[3] = -1.0;
        let error = StateDict::new(negative, "w").unwrap_err().to_string();
        assert_eq!(
            error,
            "tensor stem.1.running_var in w holds -1 at 3, expected a finite number not below 0"
        );
    }
}
