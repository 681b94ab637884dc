//! What a step of a network costs: memory and work, from the architecture's tables alone.
//!
//! The walk follows what the code of this crate does on the CPU with our own engine: which maps it keeps for the
//! way back, how the kernels lay maps and weights out, what it computes twice.

mod forecast;
mod ledger;
mod speed;
mod work;

pub use forecast::NetworkCost;
pub use ledger::MemoryUse;
pub(crate) use ledger::{Ledger, NUMBER};
pub use speed::Speed;
pub(crate) use work::Parts;
pub use work::Work;
