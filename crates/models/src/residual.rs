//! What the 18-layer residual networks have in common: a stem and four layers of two blocks.
//!
//! # Reference
//! Tran et al. 2018, A Closer Look at Spatiotemporal Convolutions for Action Recognition, arXiv:1711.11248.

use crate::backbone::LayerSpec;
use crate::convnet::{ConvLayer, ConvNormSpec, Part, PooledClassifierSpec};
use crate::parameters::Found;

/// Input `[D, H, W]` of the published weights.
pub(crate) const NATIVE_DIMS: [usize; 3] = [16, 112, 112];
/// Layers that `last-stage` trains: layer4 and fc.
pub(crate) const N_LAST_STAGE: usize = 2;
/// Factor between the learning rates of neighbouring layers (Howard and Ruder 2018, arXiv:1801.06146).
pub(crate) const LAYER_DECAY: f64 = 1.0 / 2.6;
/// Width of the features that the final linear layer sees.
const N_FEATURES: usize = 512;

/// How the three networks differ.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Residual {
    /// The stem.
    pub(crate) stem: fn() -> Vec<ConvNormSpec>,
    /// The convolutions in the place of one of a block.
    pub(crate) convolution: fn(&Place) -> Vec<ConvNormSpec>,
    /// Whether layers with a stride halve the depth too.
    pub(crate) halves_depth: bool,
}

/// Where in the network a convolution of a block stands.
#[derive(Debug)]
pub(crate) struct Place {
    /// For example `layer2.0.conv1`.
    pub(crate) name: String,
    /// Number of the layer, from 1 to 4.
    pub(crate) layer: usize,
    pub(crate) channels_in: usize,
    /// torchvision's number of channels between the two halves of a factored convolution.
    pub(crate) middle: usize,
    pub(crate) channels_out: usize,
    pub(crate) stride: usize,
}

impl Place {
    /// One convolution with this kernel and stride.
    pub(crate) fn single(&self, kernel: [usize; 3], stride: [usize; 3]) -> Vec<ConvNormSpec> {
        let (conv, norm) = (format!("{}.0", self.name), format!("{}.1", self.name));
        vec![ConvNormSpec::new(conv, norm, [self.channels_in, self.channels_out], kernel, stride)]
    }
}

/// Convolution `stem.{number}` and its norm.
pub(crate) fn stem_conv(
    number: usize,
    channels: [usize; 2],
    kernel: [usize; 3],
    stride: [usize; 3],
) -> ConvNormSpec {
    let (conv, norm) = (format!("stem.{number}"), format!("stem.{}", number + 1));
    ConvNormSpec::new(conv, norm, channels, kernel, stride)
}

impl Residual {
    /// stem, layer1, layer2, layer3, layer4, fc.
    pub(crate) fn layers(&self, n_classes: usize) -> Vec<Box<dyn LayerSpec>> {
        let stem = (self.stem)().into_iter().map(Part::Conv).collect();
        let mut layers: Vec<Box<dyn LayerSpec>> = vec![Box::new(ConvLayer::new(stem))];
        let mut channels_in = 64;
        for (layer, channels_out, stride) in [(1, 64, 1), (2, 128, 2), (3, 256, 2), (4, N_FEATURES, 2)] {
            let block = |number: usize, channels_in, stride| {
                self.block(layer, number, [channels_in, channels_out], stride)
            };
            let blocks = vec![block(0, channels_in, stride), block(1, channels_out, 1)];
            layers.push(Box::new(ConvLayer::new(blocks)));
            channels_in = channels_out;
        }
        layers.push(Box::new(PooledClassifierSpec {
            name: "fc",
            features: N_FEATURES,
            n_classes,
            is_convolution: false,
        }));
        layers
    }

    fn block(&self, layer: usize, number: usize, channels: [usize; 2], stride: usize) -> Part {
        let name = format!("layer{layer}.{number}");
        let [channels_in, channels_out] = channels;
        // torchvision takes the first part's number of middle channels for both.
        let middle = channels_in * channels_out * 27 / (channels_in * 9 + 3 * channels_out);
        let convolution = |part: &str, channels_in: usize, stride: usize| {
            let name = format!("{name}.{part}");
            (self.convolution)(&Place { name, layer, channels_in, middle, channels_out, stride })
        };
        let mut main = convolution("conv1", channels_in, stride);
        main.extend(convolution("conv2", channels_out, 1));
        let depth_stride = if self.halves_depth { stride } else { 1 };
        let shortcut = (stride != 1 || channels_in != channels_out).then(|| {
            let (conv, norm) = (format!("{name}.downsample.0"), format!("{name}.downsample.1"));
            ConvNormSpec::new(conv, norm, channels, [1; 3], [depth_stride, stride, stride])
        });
        Part::Residual { main, shortcut }
    }
}

/// Any size will do.
pub(crate) fn check_dims(dims: [usize; 3]) -> Result<(), &'static str> {
    if dims.iter().all(|n| *n > 0) { Ok(()) } else { Err("at least one voxel along each axis") }
}

/// Depth of the kernel by which R3D-18 and MC3-18 differ.
pub(crate) fn second_layer_depth(found: &Found) -> Option<usize> {
    found.get("layer2.0.conv1.0.weight").and_then(|tensor| tensor.shape.get(2).copied())
}

/// Whether the second layer has factored convolutions.
pub(crate) fn is_factored(found: &Found) -> bool {
    found.contains_key("layer2.0.conv1.0.0.weight")
}

/// Python lines that give torchvision's network one input channel.
pub(crate) fn torchvision_changes() -> String {
    "rgb = model.stem[0]
model.stem[0] = torch.nn.Conv3d(1, rgb.out_channels, rgb.kernel_size, rgb.stride, rgb.padding, bias=False)"
        .to_owned()
}
