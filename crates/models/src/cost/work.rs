//! Work by its kind.

use std::ops::{Add, AddAssign, Mul};

use serde::{Deserialize, Serialize};

/// Work of a kind that takes its own time.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Work {
    /// Floating-point operations of convolutions on the engine (frozen stages).
    pub engine_flops: f64,
    /// Of convolutions that are trained, or embed patches.
    pub conv_flops: f64,
    /// Of linear layers.
    pub matrix_flops: f64,
    /// Of attention.
    pub attention_flops: f64,
    /// Bytes read and written by everything else.
    pub bytes: f64,
    /// What `engine_flops` would be if Winograd's algorithm saved as much everywhere as with cubic kernels.
    pub engine_effort: f64,
    /// The same of `conv_flops`.
    pub conv_effort: f64,
}

impl Work {
    /// Floating-point operations, as plain loops would do them: a product and a sum are two.
    #[must_use]
    pub fn flops(&self) -> f64 {
        self.engine_flops + self.conv_flops + self.matrix_flops + self.attention_flops
    }
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.engine_flops += other.engine_flops;
        self.conv_flops += other.conv_flops;
        self.matrix_flops += other.matrix_flops;
        self.attention_flops += other.attention_flops;
        self.bytes += other.bytes;
        self.engine_effort += other.engine_effort;
        self.conv_effort += other.conv_effort;
    }
}

impl Add for Work {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl Mul<f64> for Work {
    type Output = Self;

    fn mul(self, n: f64) -> Self {
        Self {
            engine_flops: n * self.engine_flops,
            conv_flops: n * self.conv_flops,
            matrix_flops: n * self.matrix_flops,
            attention_flops: n * self.attention_flops,
            bytes: n * self.bytes,
            engine_effort: n * self.engine_effort,
            conv_effort: n * self.conv_effort,
        }
    }
}

/// Trunk and head apart.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// Bytes between trunk and head, of one image.
    pub(crate) features: u64,
    /// One image through the trunk.
    pub(crate) trunk: Work,
    /// A batch through the head, in evaluation.
    pub(crate) head_forward: Work,
    /// A batch through the head and back.
    pub(crate) head: Work,
}
