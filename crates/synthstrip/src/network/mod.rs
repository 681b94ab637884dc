//! The U-Net of SynthStrip: maps a head at 1 mm to the distance from the brain surface.
//!
//! Seven levels with two convolutions each, max pooling in the encoder, nearest-neighbour upsampling and skip
//! connections in the decoder; 2,566,561 parameters. This module has only the forward pass and the weights,
//! not the conforming of the image or the threshold.
//!
//! # Reference
//! Hoopes, Mora, Dalca, Fischl, Hoffmann 2022, SynthStrip: skull-stripping for any brain image,
//! NeuroImage 260, 119474.

mod weights;

pub use weights::{PUBLISHED, SynthStripWeights, synthstrip_tensors};

use brainreel_engine::{Activation, Conv, ConvShape, Network, Node};

/// Channels of the first convolutions of each encoder level.
const FEATURES: [usize; 7] = [16, 32, 64, 64, 64, 64, 64];
/// Convolutions per level.
const CONVS: usize = 2;
/// Negative slope of the leaky ReLU.
const SLOPE: f32 = 0.2;

/// A convolution of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SynthStripConv {
    /// Name of the layer in the published checkpoint; `.conv.weight` and `.conv.bias` complete it.
    pub name: String,
    /// Its shape.
    pub shape: ConvShape,
}

/// The convolutions in the order of the published checkpoint.
#[must_use]
pub fn synthstrip_convs() -> Vec<SynthStripConv> {
    let mut convs = Vec::new();
    let mut channels = 1;
    let mut add = |name: String, channels: &mut usize, channels_out: usize| {
        convs.push(SynthStripConv { name, shape: ConvShape::same(*channels, channels_out, [3; 3]) });
        *channels = channels_out;
    };
    let n_levels = FEATURES.len() - 1;
    for (level, &features) in FEATURES[..n_levels].iter().enumerate() {
        for conv in 0..CONVS {
            add(format!("encoder.{level}.{conv}"), &mut channels, features);
        }
    }
    for level in 0..n_levels {
        let features = FEATURES[n_levels - level];
        for conv in 0..CONVS {
            add(format!("decoder.{level}.{conv}"), &mut channels, features);
        }
        channels += FEATURES[n_levels - 1 - level]; // the skip connection
    }
    for (conv, channels_out) in [FEATURES[0], FEATURES[0], 1].into_iter().enumerate() {
        add(format!("remaining.{conv}"), &mut channels, channels_out);
    }
    convs
}

/// Builds the network. `tensor` returns weights and biases by name.
///
/// The input has one channel and axes that are multiples of 64. The output has one channel of the same size.
#[must_use]
pub fn synthstrip_network(tensor: impl Fn(&str) -> Vec<f32>) -> (Network, Node) {
    let convs = synthstrip_convs();
    let mut network = Network::new(1);
    let mut convs = convs.iter();
    let mut add = |network: &mut Network, input: Node| {
        let SynthStripConv { name, shape } = convs.next().expect("the loops below are those of the names");
        let last = shape.channels_out == 1;
        let conv = Conv {
            shape: *shape,
            weights: tensor(&format!("{name}.conv.weight")).into(),
            bias: tensor(&format!("{name}.conv.bias")),
            norm: None,
            residual: None,
            activation: if last { Activation::None } else { Activation::LeakyRelu(SLOPE) },
        };
        network.conv(input, conv).expect("the channels follow each other")
    };
    let n_levels = FEATURES.len() - 1;
    let mut node = network.input();
    let mut skips = Vec::new();
    for _ in 0..n_levels {
        for _ in 0..CONVS {
            node = add(&mut network, node);
        }
        skips.push(node);
        node = network.max_pool(node, [2; 3]);
    }
    while let Some(skip) = skips.pop() {
        for _ in 0..CONVS {
            node = add(&mut network, node);
        }
        let up = network.upsample(node);
        node = network.concat(&[up, skip]).expect("all channels are multiples of sixteen");
    }
    for _ in 0..3 {
        node = add(&mut network, node);
    }
    (network, node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_parameters_as_published() {
        let convs = synthstrip_convs();
        let total: usize = convs.iter().map(|c| c.shape.n_weights() + c.shape.channels_out).sum();
        assert_eq!(total, 2_566_561);
        assert_eq!(convs.last().unwrap().name, "remaining.2");
    }

    #[test]
    fn gives_one_number_a_voxel() {
        let convs = synthstrip_convs();
        let (network, node) = synthstrip_network(|name| {
            let conv = convs.iter().find(|conv| name.starts_with(&conv.name)).unwrap();
            let n = if name.ends_with("bias") { conv.shape.channels_out } else { conv.shape.n_weights() };
            (0..n).map(|i| ((i * 37 % 101) as f32 - 50.0) / 2000.0).collect()
        });
        let options = brainreel_engine::Options::default();
        let mut program = brainreel_engine::Program::new(&network, node, [64; 3], 1, &options).unwrap();
        let output = program.run(&vec![0.5; 64 * 64 * 64]).unwrap();
        assert_eq!(output.len(), 64 * 64 * 64);
        assert!(output.iter().all(|x| x.is_finite()));
    }
}
