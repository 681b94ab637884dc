//! R3D-18: 3x3x3 convolutions throughout.

use brainreel_checkpoint::{Digest, Published};

use super::kinetics::{COMMON, TRAN, kinetics_tensors};
use crate::backbone::{Backbone, LayerSpec, Step};
use crate::convnet;
use crate::cost::{Ledger, Parts};
use crate::parameters::Found;
use crate::residual::{self, Place, Residual, stem_conv};

/// R3D-18.
#[derive(Debug)]
pub(super) struct R3d18;

const RESIDUAL: Residual = Residual {
    stem: || vec![stem_conv(0, [1, 64], [3, 7, 7], [1, 2, 2])],
    convolution: |place: &Place| place.single([3; 3], [place.stride; 3]),
    halves_depth: true,
};

impl Backbone for R3d18 {
    fn name(&self) -> &'static str {
        "r3d_18"
    }

    fn doc(&self) -> &'static str {
        "R3D-18: 3x3x3 convolutions throughout."
    }

    fn published(&self) -> Published {
        Published {
            name: "kinetics400/r3d_18",
            title: "R3D-18, trained on Kinetics-400: 3-D convolutions",
            file_name: "r3d_18-b3b3357e.pth",
            url: "https://download.pytorch.org/models/r3d_18-b3b3357e.pth",
            citation: TRAN,
            digest: Digest::Prefix("b3b3357e"),
            network: "r3d_18",
            tensors: || kinetics_tensors(&R3d18),
            ..COMMON
        }
    }

    fn native_dims(&self) -> [usize; 3] {
        residual::NATIVE_DIMS
    }

    fn check_dims(&self, dims: [usize; 3]) -> Result<(), &'static str> {
        residual::check_dims(dims)
    }

    fn layers(&self, _dims: [usize; 3], n_classes: usize) -> Vec<Box<dyn LayerSpec>> {
        RESIDUAL.layers(n_classes)
    }

    fn n_last_stage(&self) -> usize {
        residual::N_LAST_STAGE
    }

    fn has_batch_norm(&self) -> bool {
        true
    }

    fn default_layer_decay(&self) -> f64 {
        residual::LAYER_DECAY
    }

    fn recognises(&self, found: &Found) -> bool {
        let depth = residual::second_layer_depth(found);
        let has_stem = found.contains_key("stem.0.weight");
        !residual::is_factored(found) && depth != Some(1) && (depth.is_some() || has_stem)
    }

    fn cost(&self, step: &Step, ledger: &mut Ledger) -> Parts {
        convnet::walk(&RESIDUAL.layers(step.n_classes), step, ledger)
    }

    fn torchvision_changes(&self, _dims: [usize; 3]) -> String {
        residual::torchvision_changes()
    }
}
