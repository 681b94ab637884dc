//! Errors of weight files.

use std::path::PathBuf;

use crate::TorchError;

/// Errors of weight files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file cannot be read.
    #[error("cannot read weights {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The file is larger than any supported network.
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
        /// The parser's message.
        detail: String,
    },
    /// The file is a PyTorch checkpoint that brainreel does not read.
    #[error("{} is a checkpoint of PyTorch that brainreel does not read", path.display())]
    Torch {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: TorchError,
    },
    /// A tensor of the network is not in the file.
    #[error("no tensor {name} in {origin}, expected shape {expected:?}")]
    MissingTensor {
        /// The tensor.
        name: String,
        /// The file or other source of the weights.
        origin: String,
        /// Its shape in the network.
        expected: Vec<usize>,
    },
    /// The file has a tensor that the network does not have.
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
        /// The tensor.
        name: String,
        /// The file or other source of the weights.
        origin: String,
        /// Shape found.
        got: Vec<usize>,
        /// Shape of the network.
        expected: Vec<usize>,
    },
    /// A tensor does not hold floating-point numbers.
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
        /// Its position in C order.
        index: usize,
        /// The allowed values.
        expected: &'static str,
    },
}
