//! What a program does, map by map.

use std::ops::Range;

use brainreel_kernels::{Activation, Layout};

use crate::algorithm::Packed;
use crate::graph::Norm;

/// A map's place in the arena.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) range: Range<usize>,
    pub(crate) layout: Layout,
}

/// A map that a convolution reads.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) place: Place,
    /// Whether every voxel stands for two on each axis.
    pub(crate) upsampled: bool,
}

/// One map.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// The input in the blocked layout.
    Load { to: Place },
    /// A convolution with all that is done at its store.
    Conv(Box<ConvStep>),
    /// The largest of each `size` of voxels.
    MaxPool { from: Place, size: [usize; 3], to: Place },
    /// Every voxel twice along each axis.
    Upsample { from: Place, to: Place },
}

#[derive(Debug, Clone)]
pub(crate) struct ConvStep {
    pub(crate) packed: Packed,
    /// None for a convolution that reads the planar input.
    pub(crate) sources: Vec<Source>,
    pub(crate) to: Target,
    pub(crate) bias: Vec<f32>,
    /// Normalisation by the batch's own statistics.
    pub(crate) batch_norm: Option<Norm>,
    pub(crate) residual: Option<Place>,
    pub(crate) activation: Activation,
}

/// Where a convolution writes.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Blocked(Place),
    /// The program's planar output.
    Output,
}
