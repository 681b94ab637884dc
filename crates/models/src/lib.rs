//! Video classification networks on Burn, split into a frozen trunk and a trained head.
//!
//! ```
//! use brainreel_models::{DeviceKind, FreezePolicy, Network, StateDict};
//! # fn main() -> Result<(), brainreel_models::ModelError> {
//! let device = DeviceKind::Cpu.open()?;
//! let weights = StateDict::random(7);
//! let network = Network::new(&weights, FreezePolicy::Thesis, &device)?;
//! assert_eq!(network.n_parameters().total, 33_148_482);
//! assert_eq!(network.n_parameters().trainable, 24_909_826);
//! # Ok(())
//! # }
//! ```
//!
//! Layer and tensor names are torchvision's, one to one. It knows tensors, not patients: no scan
//! tables, no training loop.

mod architecture;
mod axes;
mod block;
mod checkpoint;
mod cost;
mod device;
mod import;
mod math;
mod mvit;
mod native;
mod network;
mod norm;
mod positions;
mod state;
mod synthstrip;

pub use architecture::{Architecture, ParameterCounts, Role, TensorSpec, r3d18_tensors};
pub use axes::{network_order, volume_tensor};
pub use brainreel_artifact::Random;
pub use brainreel_engine::InstructionSet;
pub use checkpoint::CheckpointError;
pub use cost::{MemoryUse, NetworkCost, Speed, Work};
pub use device::{DeviceKind, EngineKind};
pub use import::{
    ImportOptions, StemConversion, decode_safetensors, decode_tensors, read_tensors, read_weights,
};
pub use math::Precision;
pub use native::whole_network;
pub use network::{FreezePolicy, Gradients, Head, Network, ParameterVisitor, TrainingPass, Trunk};
pub use norm::{FrozenNorm, NormStatistics, NormTally};
pub use state::{HostTensor, StateDict};
pub use synthstrip::{SynthStripConv, SynthStripWeights, synthstrip_convs, synthstrip_network};

use std::path::PathBuf;

/// Classes told apart: cognitively normal (0) and Alzheimer's disease (1).
pub const N_CLASSES: usize = 2;

/// What can go wrong with a network's weights or device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The weights file cannot be read.
    #[error("cannot read weights {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The weights file is larger than any network of ours.
    #[error("weights {} are {got_bytes} bytes, expected at most {limit_bytes}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        got_bytes: u64,
        /// The largest accepted size.
        limit_bytes: u64,
    },
    /// The file is not in the safetensors format.
    #[error("{} is not a safetensors file: {detail}", path.display())]
    NotSafetensors {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        detail: String,
    },
    /// The file is a checkpoint of PyTorch, but not one that is read.
    #[error("{} is a checkpoint of PyTorch that brainreel does not read", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: CheckpointError,
    },
    /// A tensor of the network is not in the file.
    #[error("no tensor {name} in {origin}, expected shape {expected:?}")]
    MissingTensor {
        /// The tensor, in torchvision's naming.
        name: String,
        /// The file or other source of the weights.
        origin: String,
        /// Its shape in the network.
        expected: Vec<usize>,
    },
    /// A tensor is of a part that the network does not have.
    #[error("tensor {name} in {origin} is of another network than {network}")]
    ForeignTensor {
        /// The tensor.
        name: String,
        /// The file.
        origin: String,
        /// The network.
        network: &'static str,
    },
    /// A tensor has another shape than the network's.
    #[error("tensor {name} in {origin} has shape {got:?}, expected {expected:?}")]
    Shape {
        /// The tensor, in torchvision's naming.
        name: String,
        /// The file or other source of the weights.
        origin: String,
        /// Shape found.
        got: Vec<usize>,
        /// Shape of the network.
        expected: Vec<usize>,
    },
    /// A tensor holds numbers of a type that is not a floating-point one.
    #[error("tensor {name} in {origin} has type {got}, expected F32, F64, F16 or BF16")]
    DataType {
        /// The tensor.
        name: String,
        /// The file.
        origin: String,
        /// The type found.
        got: String,
    },
    /// A tensor holds NaN or infinity, or a negative variance.
    #[error("tensor {name} in {origin} holds {got} at {index}, expected {expected}")]
    Value {
        /// The tensor.
        name: String,
        /// The file.
        origin: String,
        /// The value found.
        got: f32,
        /// Where, counted through the tensor in C order.
        index: usize,
        /// What may stand there.
        expected: &'static str,
    },
    /// No network has this name.
    #[error("unknown architecture {name}, expected one of: {}", Architecture::ALL.map(Architecture::name).join(", "))]
    UnknownArchitecture {
        /// The name.
        name: String,
    },
    /// The tensors are of no network that brainreel knows.
    #[error("the tensors in {origin} are of none of the networks: {}", Architecture::ALL.map(Architecture::name).join(", "))]
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
