//! Video classification networks on Burn, split into a frozen trunk and a trained head.
//!
//! ```
//! use brainreel_models::{Architecture, DeviceKind, FreezePolicy, Network, NetworkWeights};
//! # fn main() -> Result<(), brainreel_models::ModelError> {
//! let device = DeviceKind::Cpu.open()?;
//! let weights = NetworkWeights::random(Architecture::default(), 7);
//! let network = Network::new(&weights, FreezePolicy::LastStage, &device);
//! assert_eq!(network.n_parameters().total, 33_148_482);
//! assert_eq!(network.n_parameters().trainable, 24_909_826);
//! # Ok(())
//! # }
//! ```
//!
//! Layer and tensor names are torchvision's, one to one. It knows tensors, not patients: no scan
//! tables, no training loop.

mod axes;
mod backbone;
mod convnet;
mod cost;
mod device;
mod import;
mod math;
mod mvit;
mod native;
mod network;
mod networks;
mod norm;
mod parameters;
mod residual;
mod weights;

pub use axes::{network_order, volume_tensor};
pub use brainreel_artifact::Random;
pub use brainreel_checkpoint::{HostTensor, Role, StemConversion, TensorSpec};
pub use brainreel_engine::InstructionSet;
pub use cost::{MemoryUse, NetworkCost, Speed, Work};
pub use device::{DeviceKind, EngineKind};
pub use import::{ImportOptions, read_weights};
pub use math::Precision;
pub use native::whole_network;
pub use network::{FreezePolicy, Head, Network, TrainingPass, Trunk};
pub use networks::{Architecture, NetworkConfig};
pub use norm::{FrozenNorm, NormStatistics, NormTally};
pub use parameters::{Gradients, ParameterVisitor};
pub use weights::NetworkWeights;

use brainreel_checkpoint::CheckpointError;
use serde::{Deserialize, Serialize};

/// Number of parameters (buffers not counted).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterCounts {
    /// All parameters.
    pub total: usize,
    /// Those the optimizer changes.
    pub trainable: usize,
    /// Those it does not.
    pub frozen: usize,
}

/// What can go wrong with a network's weights or device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The weights cannot be read, or do not fit the network.
    #[error(transparent)]
    Weights(#[from] CheckpointError),
    /// The tensors are of no network that brainreel knows.
    #[error("the tensors in {origin} are of none of the networks: {}", known())]
    Unrecognised {
        /// The file.
        origin: String,
    },
    /// The tensors are of another network than the one asked for.
    #[error("the tensors in {origin} are of {got}, expected {expected}")]
    OtherArchitecture {
        /// The file.
        origin: String,
        /// The network they are of.
        got: Architecture,
        /// The network asked for.
        expected: Architecture,
    },
    /// The network does not take inputs of this size.
    #[error("{architecture} does not take inputs of {dims:?} voxels, expected {expected}")]
    InputSize {
        /// The network.
        architecture: Architecture,
        /// Size of the input, `[D, H, W]`.
        dims: [usize; 3],
        /// What it takes.
        expected: &'static str,
    },
    /// This build has no such device.
    #[error("this build has no {kind} device, expected one of: {available}")]
    NoDevice {
        /// The device asked for.
        kind: DeviceKind,
        /// What there is.
        available: String,
    },
}

/// The names of all networks, for messages.
fn known() -> String {
    Architecture::names().collect::<Vec<_>>().join(", ")
}
