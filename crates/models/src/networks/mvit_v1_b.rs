//! MViT v1-B: a multiscale transformer with absolute positions.
//!
//! # Reference
//! Fan et al. 2021, Multiscale Vision Transformers, arXiv:2104.11227.

use brainreel_checkpoint::{Digest, Published};

use super::kinetics::{COMMON, kinetics_tensors};
use crate::backbone::{Backbone, LayerSpec, Positions, Step};
use crate::cost::{Ledger, Parts};
use crate::mvit::{self, Version};
use crate::parameters::Found;

/// MViT v1-B.
#[derive(Debug)]
pub(super) struct MvitV1B;

const VERSION: Version = Version::V1;

impl Backbone for MvitV1B {
    fn name(&self) -> &'static str {
        "mvit_v1_b"
    }

    fn doc(&self) -> &'static str {
        "MViT v1-B: a multiscale transformer with absolute positions."
    }

    fn published(&self) -> Published {
        Published {
            name: "kinetics400/mvit_v1_b",
            title: "MViT v1-B, trained on Kinetics-400: a multiscale transformer",
            file_name: "mvit_v1_b-dbeb1030.pth",
            url: "https://download.pytorch.org/models/mvit_v1_b-dbeb1030.pth",
            citation: "Fan, Xiong, Mangalam, Li, Yan, Malik, Feichtenhofer 2021, Multiscale Vision Transformers, \
                       arXiv:2104.11227; Kay et al. 2017, The Kinetics Human Action Video Dataset, arXiv:1705.06950",
            digest: Digest::Prefix("dbeb1030"),
            network: "mvit_v1_b",
            tensors: || kinetics_tensors(&MvitV1B),
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
