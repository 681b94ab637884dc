//! Steps of a program, map by map or slab by slab.

use std::ops::Range;
use std::sync::Arc;

use brainreel_kernels::{Activation, Layout};

use crate::algorithm::Packed;
use crate::graph::Norm;

/// Location of a map in the arena.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) range: Range<usize>,
    pub(crate) layout: Layout,
}

/// A map that a convolution reads.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) place: Place,
    /// Whether the map is virtually upsampled by 2 on each axis.
    pub(crate) upsampled: bool,
}

/// One map, or a slab of one.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// The input in the blocked layout.
    Load { to: Place },
    /// A convolution with its fused operations.
    Conv(Box<ConvStep>),
    /// Max pooling over `size` voxels.
    MaxPool { from: Place, size: [usize; 3], to: Place },
    /// Nearest-neighbour upsampling by 2 along each axis.
    Upsample { from: Place, to: Place },
}

/// A step with its preparation.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    /// A map whose halo is zeroed first.
    pub(crate) clear: Option<Place>,
    pub(crate) step: Step,
}

/// A convolution, which may run on many slabs.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) packed: Packed,
    pub(crate) bias: Vec<f32>,
    /// Normalisation with batch statistics.
    pub(crate) batch_norm: Option<Norm>,
    pub(crate) activation: Activation,
}

#[derive(Debug, Clone)]
pub(crate) struct ConvStep {
    pub(crate) layer: Arc<Layer>,
    /// `None` for a convolution that reads the planar input.
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
