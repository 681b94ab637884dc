//! What torchvision's weights, trained on Kinetics-400, have in common.

use brainreel_checkpoint::{Digest, Published, TensorSpec};

use crate::backbone::Backbone;

/// Classes of Kinetics-400.
const N_ACTIONS: usize = 400;
/// Channels of a colour video.
const N_COLOURS: usize = 3;

/// What to cite for the residual networks.
pub(super) const TRAN: &str = "Tran, Wang, Torresani, Ray, LeCun, Paluri 2018, A Closer Look at Spatiotemporal \
                               Convolutions for Action Recognition, arXiv:1711.11248; Kay et al. 2017, The \
                               Kinetics Human Action Video Dataset, arXiv:1705.06950";

/// Fields that every entry has; name, title, file, digest and citation are the network's.
pub(super) const COMMON: Published = Published {
    name: "",
    title: "",
    file_name: "",
    url: "",
    licence: "torchvision, which publishes them, is under BSD-3-Clause; it names no licence of the weights \
              themselves, and their training films, Kinetics-400, have terms of their own",
    citation: "",
    digest: Digest::FirstUse,
    // The largest has 147 MB.
    max_bytes: 192 << 20,
    network: "",
    prefixes: &[],
    tensors: Vec::new,
};

/// The tensors of torchvision's network for colour videos and the classes of Kinetics-400.
pub(super) fn kinetics_tensors(backbone: &dyn Backbone) -> Vec<TensorSpec> {
    let layers = backbone.layers(backbone.native_dims(), N_ACTIONS);
    let mut specs: Vec<TensorSpec> = layers.iter().flat_map(|layer| layer.tensors()).collect();
    if let Some(stem) = specs.first_mut() {
        stem.shape[1] = N_COLOURS;
    }
    specs
}
