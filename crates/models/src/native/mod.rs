//! Our own kernels and engine under Burn's tensors, on the CPU.

mod conv;
mod kernel;
mod trunk;

pub(crate) use conv::{conv3d, is_ours};
pub use trunk::whole_network;
pub(crate) use trunk::{Built, NativeTrunk, network};
