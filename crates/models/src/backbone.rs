//! What a network provides: its layers, and what training needs to know of it.

use std::fmt::Debug;

use brainreel_checkpoint::{Published, StateDict, TensorSpec};
use burn::tensor::{Device, Tensor};

use crate::convnet::ConvLayer;
use crate::cost::{Ledger, Parts};
use crate::math::Math;
use crate::norm::{BatchNorm, Pass};
use crate::parameters::{ErasedVisitor, Found};

/// A video network with one input channel, as torchvision builds it.
///
/// Every registered network is one implementation, in a file of its own.
pub(crate) trait Backbone: Debug + Send + Sync {
    /// torchvision's name.
    fn name(&self) -> &'static str;

    /// One line for people: what distinguishes it.
    fn doc(&self) -> &'static str;

    /// The published weights.
    fn published(&self) -> Published;

    /// Input `[D, H, W]` of the published weights.
    fn native_dims(&self) -> [usize; 3];

    /// Checks that an input of `dims` voxels suits the network; the error says what would.
    fn check_dims(&self, dims: [usize; 3]) -> Result<(), &'static str>;

    /// The layers from the input to the classifier, which is the last one. The network may be cut between any
    /// two: it is frozen up to the cut and trained behind it.
    fn layers(&self, dims: [usize; 3], n_classes: usize) -> Vec<Box<dyn LayerSpec>>;

    /// Layers that `last-stage` trains, the classifier among them.
    fn n_last_stage(&self) -> usize;

    /// Whether it has batch norms.
    fn has_batch_norm(&self) -> bool;

    /// Its positional tensors, if it has any.
    fn positions(&self) -> Option<&dyn Positions> {
        None
    }

    /// Factor between the learning rates of a layer and the one above it, with discriminative rates.
    fn default_layer_decay(&self) -> f64;

    /// Whether a file holds this network, by tensors that only it has.
    fn recognises(&self, found: &Found) -> bool;

    /// Walks a training step and adds up its memory and work.
    fn cost(&self, step: &Step, ledger: &mut Ledger) -> Parts;

    /// Python lines that give torchvision's network `model` one input channel and our input size.
    fn torchvision_changes(&self, dims: [usize; 3]) -> String;
}

/// Positional tensors, which are laid out for one size of input.
pub(crate) trait Positions {
    /// The input `[D, H, W]` that the tensors in a file are laid out for, unchecked. The error names the tensor
    /// that is missing.
    fn input_of(&self, found: &Found) -> Result<[usize; 3], &'static str>;

    /// Interpolates the positional tensors, laid out for inputs of `from` voxels, to those of `to`.
    fn stretch(&self, tensors: &mut Found, from: [usize; 3], to: [usize; 3]);
}

/// A step of training whose cost is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    /// Layers that are frozen.
    pub(crate) n_frozen: usize,
    /// Size of the input.
    pub(crate) dims: [usize; 3],
    /// Outputs of the classifier.
    pub(crate) n_classes: usize,
    /// Images that pass through the trunk at a time.
    pub(crate) n_trunk: usize,
    /// Images in a batch.
    pub(crate) n_images: usize,
}

/// A layer between whose neighbours the network may be cut: its tensors, and how to build it.
pub(crate) trait LayerSpec: Debug + Send + Sync {
    /// Its tensors in the order of torchvision's state dict.
    fn tensors(&self) -> Vec<TensorSpec>;

    /// Loads it onto a device.
    fn load(&self, weights: &StateDict, device: &Device) -> Box<dyn Layer>;

    /// Its convolutions, if it is a layer of them.
    fn convolutions(&self) -> Option<&ConvLayer> {
        None
    }

    /// Its convolutions, if the CPU engine can compute it.
    fn for_engine(&self) -> Option<&ConvLayer> {
        self.convolutions().filter(|layer| layer.is_for_engine())
    }
}

/// A loaded layer.
///
/// Maps travel as `[N, C, D, H, W]`, tokens as `[N, 1, 1, tokens, channels]`; the classifier returns
/// `[N, 1, 1, 1, classes]`.
pub(crate) trait Layer: Debug + Send + Sync {
    /// Computes the layer; `pass` says how batch norms normalise.
    fn forward(&self, x: Tensor<5>, pass: &mut Pass<'_>, math: Math) -> Tensor<5>;

    /// Shows every parameter to `visitor`, in the order of torchvision's state dict.
    fn visit(&mut self, visitor: &mut dyn ErasedVisitor);

    /// Its batch norms, in the order in which a pass by the batch gathers their statistics.
    fn norms_mut(&mut self) -> Vec<&mut BatchNorm> {
        Vec::new()
    }

    /// Adds its buffers (running statistics) to `into`.
    fn export_buffers(&self, _into: &mut Found) {}

    /// Whether training computes it twice instead of keeping what the way back needs.
    fn is_recomputed(&self) -> bool {
        false
    }

    /// What decides the bits of its output beside the weights.
    fn tag(&self, math: Math) -> String;

    /// A copy that shares the tensors' memory.
    fn boxed_clone(&self) -> Box<dyn Layer>;
}

impl Clone for Box<dyn Layer> {
    fn clone(&self) -> Self {
        self.boxed_clone()
    }
}
