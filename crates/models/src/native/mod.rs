//! Our own kernels and engine under Burn's tensors, on the CPU.

mod conv;
mod kernel;
mod tokens;
mod trunk;

pub(crate) use conv::{conv3d, is_ours};
pub(crate) use kernel::ConvCase;
pub(crate) use tokens::{TokenOp, operand, token_op};
pub use trunk::whole_network;
pub(crate) use trunk::{Built, NativeTrunk, network};
