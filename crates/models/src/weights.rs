//! The weights of a network in host memory.

use std::collections::BTreeMap;
use std::path::Path;

use brainreel_artifact::{ArtifactError, ContentHash};
use brainreel_checkpoint::{HostTensor, StateDict};

use crate::ModelError;
use crate::architecture::Architecture;
use crate::positions;

/// All tensors of a network by torchvision's names, each checked to be there and in shape.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkWeights {
    architecture: Architecture,
    /// Input that positional tensors are laid out for; `None` if the network has none.
    dims: Option<[usize; 3]>,
    state: StateDict,
}

impl NetworkWeights {
    /// As [`NetworkWeights::for_input`], for inputs of the published weights' size.
    ///
    /// # Errors
    /// As [`NetworkWeights::for_input`].
    pub fn new(
        architecture: Architecture,
        found: BTreeMap<String, HostTensor>,
        origin: &str,
    ) -> Result<Self, ModelError> {
        Self::for_input(architecture, architecture.native_dims(), found, origin)
    }

    /// Checks that every tensor of the network is there, has its shape for inputs of `dims` voxels and holds
    /// finite numbers (variances not negative). Tensors that the network does not have are dropped.
    ///
    /// # Errors
    /// [`ModelError::InputSize`], or [`ModelError::Weights`] with `origin` saying where the tensors came from.
    pub fn for_input(
        architecture: Architecture,
        dims: [usize; 3],
        found: BTreeMap<String, HostTensor>,
        origin: &str,
    ) -> Result<Self, ModelError> {
        architecture.check_dims(dims)?;
        let state = StateDict::from_tensors(found, &architecture.tensors(dims), origin)?;
        Ok(Self { architecture, dims: positions_of(architecture, dims), state })
    }

    /// Tensors that come out of a network and therefore need no check.
    pub(crate) const fn from_network(
        architecture: Architecture,
        dims: Option<[usize; 3]>,
        state: StateDict,
    ) -> Self {
        Self { architecture, dims, state }
    }

    /// The same weights for inputs of `dims` voxels: positional tensors of a transformer are interpolated
    /// linearly between token centres, as PyTorch's `interpolate` does; residual networks stay as they are.
    ///
    /// # Errors
    /// [`ModelError::InputSize`] if such inputs do not suit the network.
    pub fn fitted_to(mut self, dims: [usize; 3]) -> Result<Self, ModelError> {
        self.architecture.check_dims(dims)?;
        if let Some(from) = self.dims {
            let mut tensors = self.state.into_tensors();
            positions::stretch(self.architecture, &mut tensors, from, dims);
            self.state = StateDict::from_network(tensors);
            self.dims = Some(dims);
        }
        Ok(self)
    }

    /// Input `[D, H, W]` that the positional tensors are laid out for; `None` for networks without positions,
    /// which take any.
    #[must_use]
    pub const fn dims(&self) -> Option<[usize; 3]> {
        self.dims
    }

    /// The network.
    #[must_use]
    pub const fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The tensors.
    #[must_use]
    pub const fn state(&self) -> &StateDict {
        &self.state
    }

    /// Random weights as torchvision draws them, for inputs of the published weights' size. Residual
    /// networks: kernels normal with variance `2 / fan_out`, batch norms at identity, the final layer uniform
    /// as a fresh `torch.nn.Linear`. Transformers: linear layers and positions normal with deviation 0.02,
    /// biases zero, convolutions uniform as a fresh `torch.nn.Conv3d`.
    ///
    /// # Determinism
    /// The same seed gives the same bits on every machine; each tensor has a stream of its own.
    #[must_use]
    pub fn random(architecture: Architecture, seed: u64) -> Self {
        let dims = architecture.native_dims();
        let state = StateDict::random(&architecture.tensors(dims), seed);
        Self { architecture, dims: positions_of(architecture, dims), state }
    }

    /// The tensor called `name`.
    ///
    /// # Panics
    /// If the network has no such tensor.
    #[must_use]
    pub fn tensor(&self, name: &str) -> &HostTensor {
        self.state.tensor(name)
    }

    /// Names and tensors, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &HostTensor)> {
        self.state.iter()
    }

    /// Replaces the values of the tensor called `name`.
    ///
    /// # Panics
    /// If the network has no such tensor or the number of values is not its size.
    pub fn set(&mut self, name: &str, values: Vec<f32>) {
        self.state.set(name, values);
    }

    /// A digest of the tensors whose names `select` accepts.
    #[must_use]
    pub fn hash(&self, select: impl Fn(&str) -> bool) -> ContentHash {
        self.state.hash(select)
    }

    /// Writes a safetensors file that torchvision's network of the same name (one-channel stem, own number of
    /// outputs, positions laid out for [`NetworkWeights::dims`]) loads with `strict=True`.
    ///
    /// # Errors
    /// [`ArtifactError::Write`] names the path.
    pub fn write_safetensors(&self, path: &Path) -> Result<(), ArtifactError> {
        self.state.write_safetensors(path)
    }
}

/// `dims` if the network has positional tensors.
const fn positions_of(architecture: Architecture, dims: [usize; 3]) -> Option<[usize; 3]> {
    if architecture.is_transformer() { Some(dims) } else { None }
}
