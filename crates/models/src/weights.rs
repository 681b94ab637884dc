//! The weights of a network in host memory.

use std::path::Path;

use brainreel_artifact::{ArtifactError, ContentHash};
use brainreel_checkpoint::{HostTensor, StateDict};

use crate::ModelError;
use crate::networks::{Architecture, NetworkConfig};
use crate::parameters::Found;

/// All tensors of a network by torchvision's names, each checked to be there and in shape.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkWeights {
    config: NetworkConfig,
    state: StateDict,
}

impl NetworkWeights {
    /// Checks that every tensor of the network is there, has its shape and holds finite numbers (variances not
    /// negative). Tensors that the network does not have are dropped.
    ///
    /// # Errors
    /// [`ModelError::InputSize`], or [`ModelError::Weights`] with `origin` saying where the tensors came from.
    pub fn from_tensors(
        config: impl Into<NetworkConfig>,
        found: std::collections::BTreeMap<String, HostTensor>,
        origin: &str,
    ) -> Result<Self, ModelError> {
        let config = config.into();
        let state = StateDict::from_tensors(found, &config.tensors()?, origin)?;
        Ok(Self { config, state })
    }

    /// Tensors that come out of a network and therefore need no check.
    pub(crate) const fn from_network(config: NetworkConfig, state: StateDict) -> Self {
        Self { config, state }
    }

    /// The same weights for inputs of `dims` voxels: positional tensors of a transformer are interpolated
    /// linearly between token centres, as PyTorch's `interpolate` does; residual networks stay as they are.
    ///
    /// # Errors
    /// [`ModelError::InputSize`] if such inputs do not suit the network.
    pub fn fitted_to(mut self, dims: [usize; 3]) -> Result<Self, ModelError> {
        self.config.architecture.check_dims(dims)?;
        if let Some(positions) = self.config.architecture.backbone().positions() {
            let mut tensors: Found = self.state.into_tensors();
            positions.stretch(&mut tensors, self.config.dims, dims);
            self.state = StateDict::from_network(tensors);
        }
        self.config.dims = dims;
        Ok(self)
    }

    /// The network, its input size and its classes.
    #[must_use]
    pub const fn config(&self) -> NetworkConfig {
        self.config
    }

    /// Input `[D, H, W]` that the positional tensors are laid out for; `None` for networks without positions,
    /// which take any.
    #[must_use]
    pub fn dims(&self) -> Option<[usize; 3]> {
        self.architecture().has_positions().then_some(self.config.dims)
    }

    /// The registered network.
    #[must_use]
    pub const fn architecture(&self) -> Architecture {
        self.config.architecture
    }

    /// The tensors.
    #[must_use]
    pub const fn state(&self) -> &StateDict {
        &self.state
    }

    /// Random weights as torchvision draws them. Residual networks: kernels normal with variance
    /// `2 / fan_out`, batch norms at identity, the final layer uniform as a fresh `torch.nn.Linear`.
    /// Transformers: linear layers and positions normal with deviation 0.02, biases zero, convolutions uniform
    /// as a fresh `torch.nn.Conv3d`. S3D: all layers as PyTorch makes them.
    ///
    /// # Panics
    /// If the network does not take inputs of this size.
    ///
    /// # Determinism
    /// The same seed gives the same bits on every machine; each tensor has a stream of its own.
    #[must_use]
    pub fn random(config: impl Into<NetworkConfig>, seed: u64) -> Self {
        let config = config.into();
        let tensors = config.architecture.tensors(config.dims, config.n_classes);
        Self { config, state: StateDict::random(&tensors, seed) }
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
