//! What a program does, map by map or slab by slab.

use std::ops::Range;
use std::sync::Arc;

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

/// One map, or a slab of one.
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

/// A step and what is done before it.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    /// A map whose halo is set to zero.
    pub(crate) clear: Option<Place>,
    pub(crate) step: Step,
}

/// A convolution, which may be run on many slabs.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) packed: Packed,
    pub(crate) bias: Vec<f32>,
    /// Normalisation by the batch's own statistics.
    pub(crate) batch_norm: Option<Norm>,
    pub(crate) activation: Activation,
}

#[derive(Debug, Clone)]
pub(crate) struct ConvStep {
    pub(crate) layer: Arc<Layer>,
    /// None for a convolution that reads the planar input.
    pub(crate) sources: Vec<Source>,
    pub(crate) to: Target,
    /// First plane of the output that is computed.
    pub(crate) first: usize,
    pub(crate) residual: Option<Place>,
}

/// Where a convolution writes.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Blocked(Place),
    /// The program's planar output.
    Output,
}
