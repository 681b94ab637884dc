//! Memory that comes and goes.

use serde::{Deserialize, Serialize};

/// Bytes of a single-precision number.
pub(crate) const NUMBER: u64 = 4;

/// Bytes in use at one moment, by what they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MemoryUse {
    /// Weights of the network.
    pub weights: u64,
    /// Gradients of the trained weights.
    pub gradients: u64,
    /// Maps or tokens: those held for the way back, and those just computed.
    pub activations: u64,
    /// Weights and maps as the kernels lay them out, and their scratch memory.
    pub workspace: u64,
}

impl MemoryUse {
    /// All of it.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.weights + self.gradients + self.activations + self.workspace
    }
}

/// Goes through a step and remembers the moment when most was in use.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) now: MemoryUse,
    peak: MemoryUse,
}

impl Ledger {
    /// Takes memory for maps; they stay until released.
    pub(crate) fn hold(&mut self, bytes: u64) {
        self.now.activations += bytes;
        self.note();
    }

    /// Gives memory of maps back.
    pub(crate) fn release(&mut self, bytes: u64) {
        self.now.activations = self.now.activations.saturating_sub(bytes);
    }

    /// Maps and workspace that are needed for a moment.
    pub(crate) fn pass(&mut self, activations: u64, workspace: u64) {
        let before = self.now;
        self.now.activations += activations;
        self.now.workspace += workspace;
        self.note();
        self.now = before;
    }

    /// Remembers this moment if it is the worst so far.
    pub(crate) fn note(&mut self) {
        if self.now.total() > self.peak.total() {
            self.peak = self.now;
        }
    }

    pub(crate) const fn peak(&self) -> MemoryUse {
        self.peak
    }
}
