//! R(2+1)D-18: each convolution split into 1x3x3 and 3x1x1.

use brainreel_checkpoint::{Digest, Published};

use super::kinetics::{COMMON, TRAN, kinetics_tensors};
use crate::backbone::{Backbone, LayerSpec, Step};
use crate::convnet::{self, ConvNormSpec};
use crate::cost::{Ledger, Parts};
use crate::parameters::Found;
use crate::residual::{self, Place, Residual, stem_conv};

/// R(2+1)D-18.
#[derive(Debug)]
pub(super) struct R2plus1d18;

const RESIDUAL: Residual = Residual {
    stem: || vec![stem_conv(0, [1, 45], [1, 7, 7], [1, 2, 2]), stem_conv(3, [45, 64], [3, 1, 1], [1; 3])],
    convolution: factored,
    halves_depth: true,
};

/// A convolution in the planes, then one along the third axis.
fn factored(place: &Place) -> Vec<ConvNormSpec> {
    let inner = |number: usize| format!("{}.0.{number}", place.name);
    let stride = place.stride;
    let planes = [place.channels_in, place.middle];
    let norm = format!("{}.1", place.name);
    vec![
        ConvNormSpec::new(inner(0), inner(1), planes, [1, 3, 3], [1, stride, stride]),
        ConvNormSpec::new(inner(3), norm, [place.middle, place.channels_out], [3, 1, 1], [stride, 1, 1]),
    ]
}

impl Backbone for R2plus1d18 {
    fn name(&self) -> &'static str {
        "r2plus1d_18"
    }

    fn doc(&self) -> &'static str {
        "R(2+1)D-18: each convolution split into 1x3x3 and 3x1x1."
    }

    fn published(&self) -> Published {
        Published {
            name: "kinetics400/r2plus1d_18",
            title: "R(2+1)D-18, trained on Kinetics-400: convolutions in planes and along the third axis",
            file_name: "r2plus1d_18-91a641e6.pth",
            url: "https://download.pytorch.org/models/r2plus1d_18-91a641e6.pth",
            citation: TRAN,
            digest: Digest::Prefix("91a641e6"),
            network: "r2plus1d_18",
            tensors: || kinetics_tensors(&R2plus1d18),
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
        residual::is_factored(found)
    }

    fn cost(&self, step: &Step, ledger: &mut Ledger) -> Parts {
        convnet::walk(&RESIDUAL.layers(step.n_classes), step, ledger)
    }

    fn torchvision_changes(&self, _dims: [usize; 3]) -> String {
        residual::torchvision_changes()
    }
}
