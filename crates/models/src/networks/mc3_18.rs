//! MC3-18: 3x3x3 convolutions in the first layer, 1x3x3 behind it.

use brainreel_checkpoint::{Digest, Published};

use super::kinetics::{COMMON, TRAN, kinetics_tensors};
use crate::backbone::{Backbone, LayerSpec, Step};
use crate::convnet;
use crate::cost::{Ledger, Parts};
use crate::parameters::Found;
use crate::residual::{self, Place, Residual, stem_conv};

/// MC3-18.
#[derive(Debug)]
pub(super) struct Mc318;

const RESIDUAL: Residual = Residual {
    stem: || vec![stem_conv(0, [1, 64], [3, 7, 7], [1, 2, 2])],
    convolution: |place: &Place| {
        if place.layer > 1 {
            place.single([1, 3, 3], [1, place.stride, place.stride])
        } else {
            place.single([3; 3], [place.stride; 3])
        }
    },
    halves_depth: false,
};

impl Backbone for Mc318 {
    fn name(&self) -> &'static str {
        "mc3_18"
    }

    fn doc(&self) -> &'static str {
        "MC3-18: 3x3x3 convolutions in the first layer, 1x3x3 behind it."
    }

    fn published(&self) -> Published {
        Published {
            name: "kinetics400/mc3_18",
            title: "MC3-18, trained on Kinetics-400: 3-D convolutions in the first layer, 2-D behind it",
            file_name: "mc3_18-a90a0ba3.pth",
            url: "https://download.pytorch.org/models/mc3_18-a90a0ba3.pth",
            citation: TRAN,
            digest: Digest::Prefix("a90a0ba3"),
            network: "mc3_18",
            tensors: || kinetics_tensors(&Mc318),
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
        !residual::is_factored(found) && residual::second_layer_depth(found) == Some(1)
    }

    fn cost(&self, step: &Step, ledger: &mut Ledger) -> Parts {
        convnet::walk(&RESIDUAL.layers(step.n_classes), step, ledger)
    }

    fn torchvision_changes(&self, _dims: [usize; 3]) -> String {
        residual::torchvision_changes()
    }
}
