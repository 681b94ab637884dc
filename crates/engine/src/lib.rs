//! Runs 3-D convolutional networks on the CPU.
//!
//! A [`Network`] is a list of convolutions, poolings, upsamplings and concatenations. A [`Program`] is a
//! network compiled for one input size: layouts with the halos that its convolutions read, an algorithm for
//! each convolution, packed weights, and one arena in which maps reuse the memory of maps that are no longer
//! needed.
//!
//! ```
//! use brainreel_engine::{Activation, Conv, ConvShape, Network, Options, Program};
//!
//! # fn main() -> Result<(), brainreel_engine::EngineError> {
//! let shape = ConvShape::same(1, 16, [3; 3]);
//! let mut network = Network::new(1);
//! let conv = Conv {
//!     shape,
//!     weights: vec![0.1; shape.n_weights()].into(),
//!     bias: vec![],
//!     norm: None,
//!     residual: None,
//!     activation: Activation::Relu,
//! };
//! let map = network.conv(network.input(), conv)?;
//! let mut program = Program::new(&network, map, [8, 9, 10], 1, &Options::default())?;
//! let output = program.run(&vec![1.0; 8 * 9 * 10])?;
//! assert_eq!(output.len(), 16 * 8 * 9 * 10);
//! # Ok(())
//! # }
//! ```
//!
//! This crate is independent of files and subjects, and has no automatic differentiation. Gradients of single
//! convolutions are in `brainreel_kernels`.

mod algorithm;
mod arena;
mod compile;
mod compiler;
mod graph;
mod program;
mod schedule;
mod step;

pub use algorithm::{Algorithm, Policy, WeightFormat};
pub use brainreel_kernels::{Activation, ConvShape, InstructionSet, TileSize};
pub use graph::{Conv, Network, Node, Norm};
pub use program::{Moments, NormMode, Options, Program, Progress};

/// Errors of building, compiling and running a network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The parts of a layer are inconsistent.
    #[error("{got} {what}, expected {expected}")]
    Build {
        /// The part.
        what: &'static str,
        /// The given value.
        got: usize,
        /// The expected value.
        expected: usize,
    },
    /// Two maps that are added or concatenated have different sizes.
    #[error("a map of {got:?} voxels beside one of {expected:?}")]
    Size {
        /// Size of one map.
        got: [usize; 3],
        /// Size of the other map.
        expected: [usize; 3],
    },
    /// The input is too small for the network.
    #[error("an input of {dims:?} voxels is too small for the network")]
    TooSmall {
        /// Its size.
        dims: [usize; 3],
    },
    /// The input has another length than the program was compiled for.
    #[error("{got} numbers of input, expected {expected}")]
    Input {
        /// The given value.
        got: usize,
        /// The expected length.
        expected: usize,
    },
    /// The caller cancelled the run.
    #[error("stopped at layer {layer} of {n_layers}")]
    Cancelled {
        /// The next layer.
        layer: usize,
        /// Total number of layers.
        n_layers: usize,
    },
    /// The maps need more memory than allowed.
    #[error("the network's maps need {need_bytes} bytes, the limit is {limit_bytes}")]
    Memory {
        /// Required bytes.
        need_bytes: usize,
        /// Allowed bytes.
        limit_bytes: usize,
    },
}
