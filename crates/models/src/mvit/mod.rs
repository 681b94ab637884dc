//! The multiscale vision transformers.
//!
//! # Reference
//! Fan et al. 2021, Multiscale Vision Transformers, arXiv:2104.11227; Li et al. 2022, MViTv2,
//! arXiv:2112.01526.

mod attention;
mod block;
mod cost;
mod layers;
mod parts;
mod positions;
mod relative;
mod spec;

use crate::parameters::Found;

pub(crate) use cost::walk;
pub(crate) use layers::layers;
pub(crate) use relative::table_rows;
pub(crate) use spec::{NATIVE_DIMS, Version, check_dims};

/// Layers that `last-stage` trains: the last two blocks, with the final norm, and the classifier.
pub(crate) const N_LAST_STAGE: usize = 3;
/// Factor between the learning rates of neighbouring layers, which are many.
pub(crate) const LAYER_DECAY: f64 = 0.75;

/// Which of the two networks a file holds, if any.
pub(crate) fn version_of(found: &Found) -> Option<Version> {
    let has = |name: &str| found.contains_key(name);
    if !has("pos_encoding.class_token") && !has("conv_proj.weight") {
        return None;
    }
    let is_relative = has("blocks.0.attn.rel_pos_h") || !has("pos_encoding.spatial_pos");
    Some(if is_relative { Version::V2 } else { Version::V1 })
}

/// Python lines that give torchvision's network one input channel, the weights' sizes of positions and our
/// number of tokens (patches of 2 x 4 x 4 voxels).
pub(crate) fn torchvision_changes([x, y, z]: [usize; 3]) -> String {
    format!(
        "for name, parameter in model.named_parameters():
    parameter.data = weights[name]
model.conv_proj.in_channels = 1
model.pos_encoding.temporal_size, model.pos_encoding.spatial_size = {x} // 2, ({y} // 4, {z} // 4)"
    )
}
