//! MViT v2-S: a multiscale transformer with relative positions.
//!
//! # Reference
//! Li et al. 2022, MViTv2, arXiv:2112.01526.

use brainreel_checkpoint::{Digest, Published};

use super::kinetics::{COMMON, kinetics_tensors};
use crate::backbone::{Backbone, LayerSpec, Positions, Step};
use crate::cost::{Ledger, Parts};
use crate::mvit::{self, Version};
use crate::parameters::Found;

/// MViT v2-S.
#[derive(Debug)]
pub(super) struct MvitV2S;

const VERSION: Version = Version::V2;

impl Backbone for MvitV2S {
    fn name(&self) -> &'static str {
        "mvit_v2_s"
    }

    fn doc(&self) -> &'static str {
        "MViT v2-S: a multiscale transformer with relative positions."
    }

    fn published(&self) -> Published {
        Published {
            name: "kinetics400/mvit_v2_s",
            title: "MViT v2-S, trained on Kinetics-400: a multiscale transformer with relative positions",
            file_name: "mvit_v2_s-ae3be167.pth",
            url: "https://download.pytorch.org/models/mvit_v2_s-ae3be167.pth",
            citation: "Li, Wu, Fan, Mangalam, Xiong, Malik, Feichtenhofer 2022, MViTv2: Improved Multiscale Vision \
                       Transformers for Classification and Detection, arXiv:2112.01526; Kay et al. 2017, The Kinetics \
                       Human Action Video Dataset, arXiv:1705.06950",
            digest: Digest::Prefix("ae3be167"),
            network: "mvit_v2_s",
            tensors: || kinetics_tensors(&MvitV2S),
            ..COMMON
        }
    }

    fn native_dims(&self) -> [usize; 3] {
        mvit::NATIVE_DIMS
    }

    fn check_dims(&self, dims: [usize; 3]) -> Result<(), &'static str> {
        mvit::check_dims(dims)
    }

    fn layers(&self, dims: [usize; 3], n_classes: usize) -> Vec<Box<dyn LayerSpec>> {
        mvit::layers(VERSION, dims, n_classes)
    }

    fn n_last_stage(&self) -> usize {
        mvit::N_LAST_STAGE
    }

    fn has_batch_norm(&self) -> bool {
        false
    }

    fn positions(&self) -> Option<&dyn Positions> {
        Some(&VERSION)
    }

    fn default_layer_decay(&self) -> f64 {
        mvit::LAYER_DECAY
    }

    fn recognises(&self, found: &Found) -> bool {
        mvit::version_of(found) == Some(VERSION)
    }

    fn cost(&self, step: &Step, ledger: &mut Ledger) -> Parts {
        mvit::walk(VERSION, step, ledger)
    }

    fn torchvision_changes(&self, dims: [usize; 3]) -> String {
        mvit::torchvision_changes(dims)
    }
}
