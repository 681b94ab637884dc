//! The tensors of the video networks with a one-channel stem and two outputs, in torchvision's naming.

mod mvit;
mod residual;

use brainreel_checkpoint::TensorSpec;
use brainreel_named::named;
use serde::{Deserialize, Serialize};

use crate::ModelError;

pub(crate) use mvit::{HEAD_CHANNELS, LAYER_NORM_EPSILON, N_BLOCKS, PATCH, TokenBlockSpec, token_grid};
pub(crate) use residual::{BlockSpec, ConvNormSpec, StageSpec};

/// Number of parameters (buffers not counted).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterCounts {
    /// All parameters.
    pub total: usize,
    /// Those the optimizer changes.
    pub trainable: usize,
    /// Those it does not.
    pub frozen: usize,
}

/// Width of the features that the final linear layer of a residual network sees.
pub(crate) const N_FEATURES: usize = 512;

/// Longest edge that a transformer takes, in voxels.
const MAX_EDGE: usize = 1024;

named! {
    /// A video network with one input channel and two outputs, as torchvision builds it.
    ///
    /// # Reference
    /// Tran et al. 2018, A Closer Look at Spatiotemporal Convolutions for Action Recognition, arXiv:1711.11248;
    /// Fan et al. 2021, Multiscale Vision Transformers, arXiv:2104.11227; Li et al. 2022, MViTv2,
    /// arXiv:2112.01526.
    #[derive(Default)]
    pub enum Architecture {
        /// R3D-18: 3x3x3 convolutions throughout.
        #[default]
        R3d18 = "r3d_18",
        /// MC3-18: 3x3x3 convolutions in the first layer, 1x3x3 behind it.
        Mc318 = "mc3_18",
        /// R(2+1)D-18: each convolution split into 1x3x3 and 3x1x1.
        R2plus1d18 = "r2plus1d_18",
        /// MViT v1-B: a multiscale transformer with absolute positions.
        MvitV1B = "mvit_v1_b",
        /// MViT v2-S: a multiscale transformer with relative positions.
        MvitV2S = "mvit_v2_s",
    }
}

impl Architecture {
    /// Whether it is a transformer, whose positional tensors depend on the size of the input.
    #[must_use]
    pub const fn is_transformer(self) -> bool {
        matches!(self, Self::MvitV1B | Self::MvitV2S)
    }

    /// Input `[D, H, W]` of the published weights.
    #[must_use]
    pub const fn native_dims(self) -> [usize; 3] {
        if self.is_transformer() { [16, 224, 224] } else { [16, 112, 112] }
    }

    /// Whether an input of `dims` voxels suits the network.
    ///
    /// Residual networks take any. Transformers want an even depth and a square of a multiple of 32: then
    /// every stage halves evenly, as torchvision's own constructor assumes.
    ///
    /// # Errors
    /// [`ModelError::InputSize`] says what would suit.
    pub fn check_dims(self, dims: [usize; 3]) -> Result<(), ModelError> {
        let [depth, height, width] = dims;
        let suits = if self.is_transformer() {
            let fits = |n: usize, step: usize| (1..=MAX_EDGE).contains(&n) && n.is_multiple_of(step);
            fits(depth, 2) && fits(height, 32) && height == width
        } else {
            dims.iter().all(|n| *n > 0)
        };
        let expected = if self.is_transformer() {
            "an even depth, height and width the same multiple of 32, at most 1024"
        } else {
            "at least one voxel along each axis"
        };
        if suits { Ok(()) } else { Err(ModelError::InputSize { architecture: self, dims, expected }) }
    }

    /// Every tensor of the network for inputs of `dims` voxels, in the order of torchvision's state dict
    /// (without the `num_batches_tracked` counters). Those of residual networks do not depend on `dims`.
    ///
    /// # Panics
    /// If a transformer is asked for an input that [`Architecture::check_dims`] refuses.
    #[must_use]
    pub fn tensors(self, dims: [usize; 3]) -> Vec<TensorSpec> {
        if self.is_transformer() {
            assert!(self.check_dims(dims).is_ok(), "{self} does not take inputs of {dims:?} voxels");
            self.token_tensors(dims)
        } else {
            self.residual_tensors()
        }
    }

    /// How far the layer of a tensor is from the output: 0 is the final linear layer, 1 is layer4 or the
    /// last block with the final norm, and so on down to the stem or the patch embedding with its positions.
    #[must_use]
    pub fn layer_depth(self, tensor_name: &str) -> usize {
        let mut parts = tensor_name.split('.');
        let layer = parts.next().unwrap_or_default();
        if !self.is_transformer() {
            let number = layer.strip_prefix("layer").and_then(|number| number.parse::<usize>().ok());
            return match (layer, number) {
                ("fc", _) => 0,
                (_, Some(number)) => 5_usize.saturating_sub(number),
                _ => 5,
            };
        }
        match layer {
            "head" => 0,
            "norm" => 1,
            "blocks" => {
                let number = parts.next().and_then(|number| number.parse::<usize>().ok()).unwrap_or(0);
                N_BLOCKS.saturating_sub(number)
            }
            _ => N_BLOCKS + 1,
        }
    }
}

/// Every tensor of R3D-18 ([`Architecture::tensors`]).
#[must_use]
pub fn r3d18_tensors() -> Vec<TensorSpec> {
    Architecture::R3d18.tensors(Architecture::R3d18.native_dims())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_the_whole_network() {
        let total: usize =
            r3d18_tensors().iter().filter(|t| t.is_parameter()).map(TensorSpec::n_elements).sum();
        assert_eq!(total, 33_148_482);
    }

    /// Counts of torchvision's networks with the same changes.
    #[test]
    fn parameters_of_the_other_architectures() {
        for (architecture, expected) in [
            (Architecture::Mc318, 11_472_450),
            (Architecture::R2plus1d18, 31_296_741),
            (Architecture::MvitV1B, 36_276_386),
            (Architecture::MvitV2S, 34_203_458),
        ] {
            let tensors = architecture.tensors(architecture.native_dims());
            let total: usize = tensors.iter().filter(|t| t.is_parameter()).map(TensorSpec::n_elements).sum();
            assert_eq!(total, expected, "{architecture}");
        }
    }

    #[test]
    fn depth_counts_from_the_output() {
        let r3d = |name| Architecture::R3d18.layer_depth(name);
        assert_eq!(
            [r3d("fc.bias"), r3d("layer4.0.conv1.0.weight"), r3d("layer1.1.x"), r3d("stem.0.weight")],
            [0, 1, 4, 5]
        );
        let mvit = |name| Architecture::MvitV2S.layer_depth(name);
        assert_eq!(
            [mvit("head.1.bias"), mvit("norm.bias"), mvit("blocks.15.x"), mvit("blocks.0.x")],
            [0, 1, 1, 16]
        );
        assert_eq!([mvit("conv_proj.weight"), mvit("pos_encoding.class_token")], [17, 17]);
    }

    #[test]
    fn names_are_torchvisions() {
        let names: Vec<String> = r3d18_tensors().into_iter().map(|t| t.name).collect();
        for name in
            ["stem.0.weight", "layer1.0.conv1.0.weight", "layer2.0.downsample.1.running_var", "fc.bias"]
        {
            assert!(names.iter().any(|n| n == name), "{name}");
        }
        assert!(!names.iter().any(|name| name.starts_with("layer1.0.downsample")));
    }
}
