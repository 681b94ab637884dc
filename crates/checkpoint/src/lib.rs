//! Weight files as named tensors in host memory.
//!
//! It reads safetensors files and PyTorch checkpoints (`.pt`, `.pth`, the zip format and the older one)
//! without executing anything in them. [`read_tensors`] returns the tensors unchanged;
//! [`StateDict::from_tensors`] checks them against the [`TensorSpec`]s of a network; [`ImportRules`] converts
//! a colour input layer and replaces the classifier of another task.
//!
//! ```
//! use brainreel_checkpoint::{Role, StateDict, TensorSpec};
//!
//! let specs = [TensorSpec::new("fc.weight", &[2, 512], Role::LinearWeight)];
//! let weights = StateDict::random(&specs, 7);
//! assert_eq!(weights.tensor("fc.weight").values.len(), 1024);
//! ```
//!
//! This crate is independent of networks, Burn and devices.

mod error;
mod import;
mod published;
mod read;
mod spec;
mod state_dict;
mod torch;

pub use error::CheckpointError;
pub use import::{ImportRules, StemConversion};
pub use published::{Digest, Published};
pub use read::{MAX_FILE_BYTES, decode_safetensors, decode_tensors, read_bytes, read_tensors};
pub use spec::{Role, TensorSpec};
pub use state_dict::{HostTensor, StateDict};
pub use torch::TorchError;
