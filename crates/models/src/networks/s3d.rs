//! S3D: Inception blocks of convolutions in planes and along the third axis.
//!
//! torchvision averages the last maps over windows of (2, 7, 7) positions, classifies each window and averages the
//! logits. At its own input, 16 x 224 x 224, there is one window: all positions. A cube of 128 voxels gives maps of
//! 16 x 4 x 4 positions, which no such window fits. Here the average is over all positions, whatever their number:
//! the same at the native size, and PyTorch's `AdaptiveAvgPool3d(1)` at any other.
//!
//! # Reference
//! Xie et al. 2018, Rethinking Spatiotemporal Feature Learning, arXiv:1712.04851.

use brainreel_checkpoint::{Digest, Published, Role};

use super::kinetics::{COMMON, kinetics_tensors};
use crate::backbone::{Backbone, LayerSpec, Step};
use crate::convnet::{self, ConvLayer, ConvNormSpec, MaxPoolSpec, Part, PooledClassifierSpec};
use crate::cost::{Ledger, Parts};
use crate::norm::NormConstants;
use crate::parameters::Found;

/// S3D.
#[derive(Debug)]
pub(super) struct S3d;

/// The batch norms of the paper's authors.
const NORM: NormConstants = NormConstants { epsilon: 1e-3, momentum: 1e-3 };
/// Channels that the classifier sees.
const N_FEATURES: usize = 1024;

/// Channels of an Inception block.
struct Inception {
    input: usize,
    single: usize,
    /// Before and after the separable convolution.
    second: [usize; 2],
    third: [usize; 2],
    pooled: usize,
}

/// `features.5` to `features.15` of torchvision, without the pools 7 and 13.
const BLOCKS: [(usize, Inception); 9] = [
    (5, inception(192, 64, [96, 128], [16, 32], 32)),
    (6, inception(256, 128, [128, 192], [32, 96], 64)),
    (8, inception(480, 192, [96, 208], [16, 48], 64)),
    (9, inception(512, 160, [112, 224], [24, 64], 64)),
    (10, inception(512, 128, [128, 256], [24, 64], 64)),
    (11, inception(512, 112, [144, 288], [32, 64], 64)),
    (12, inception(528, 256, [160, 320], [32, 128], 128)),
    (14, inception(832, 256, [160, 320], [32, 128], 128)),
    (15, inception(832, 384, [192, 384], [48, 128], 128)),
];

const fn inception(
    input: usize,
    single: usize,
    second: [usize; 2],
    third: [usize; 2],
    pooled: usize,
) -> Inception {
    Inception { input, single, second, third, pooled }
}

/// Convolution `name.0` and norm `name.1`, as PyTorch initialises them.
fn conv(name: &str, channels: [usize; 2], kernel: [usize; 3], stride: [usize; 3]) -> Part {
    let spec = ConvNormSpec::new(format!("{name}.0"), format!("{name}.1"), channels, kernel, stride);
    Part::Conv(ConvNormSpec { constants: NORM, role: Role::PatchKernel, ..spec })
}

/// A convolution in the planes, then one along the third axis.
fn separable(name: &str, [from, to]: [usize; 2], edge: usize, stride: usize) -> Vec<Part> {
    vec![
        conv(&format!("{name}.0"), [from, to], [1, edge, edge], [1, stride, stride]),
        conv(&format!("{name}.1"), [to, to], [edge, 1, 1], [stride, 1, 1]),
    ]
}

fn pool(kernel: [usize; 3], stride: [usize; 3]) -> Part {
    // torchvision pads all but the pool of 2 x 2 x 2.
    let padding = kernel.map(|n| n / 2).map(|n| if kernel == [2; 3] { 0 } else { n });
    Part::MaxPool(MaxPoolSpec { kernel, stride, padding })
}

fn block(number: usize, channels: &Inception) -> Part {
    let name = format!("features.{number}");
    let point = |branch: &str, to| conv(&format!("{name}.{branch}"), [channels.input, to], [1; 3], [1; 3]);
    let separated = |branch: usize, channels: [usize; 2]| {
        let mut parts = vec![point(&format!("branch{branch}.0"), channels[0])];
        parts.extend(separable(&format!("{name}.branch{branch}.1"), channels, 3, 1));
        parts
    };
    Part::Branches(vec![
        vec![point("branch0", channels.single)],
        separated(1, channels.second),
        separated(2, channels.third),
        vec![pool([3; 3], [1; 3]), point("branch3.1", channels.pooled)],
    ])
}

impl Backbone for S3d {
    fn name(&self) -> &'static str {
        "s3d"
    }

    fn doc(&self) -> &'static str {
        "S3D: Inception blocks of convolutions split into 1x3x3 and 3x1x1."
    }

    fn published(&self) -> Published {
        Published {
            name: "kinetics400/s3d",
            title: "S3D, trained on Kinetics-400: Inception blocks of separable convolutions",
            file_name: "s3d-d76dad2f.pth",
            url: "https://download.pytorch.org/models/s3d-d76dad2f.pth",
            citation: "Xie, Sun, Huang, Tu, Murphy 2018, Rethinking Spatiotemporal Feature Learning: Speed-Accuracy \
                       Trade-offs in Video Classification, arXiv:1712.04851; Kay et al. 2017, The Kinetics Human \
                       Action Video Dataset, arXiv:1705.06950",
            digest: Digest::Prefix("d76dad2f"),
            network: "s3d",
            tensors: || kinetics_tensors(&S3d),
            ..COMMON
        }
    }

    fn native_dims(&self) -> [usize; 3] {
        [16, 224, 224]
    }

    fn check_dims(&self, [depth, height, width]: [usize; 3]) -> Result<(), &'static str> {
        // The last pool needs two positions along each axis.
        if depth >= 5 && height >= 17 && width >= 17 {
            Ok(())
        } else {
            Err("a depth of at least 5, height and width of at least 17")
        }
    }

    /// A pool belongs to the layer behind it.
    fn layers(&self, _dims: [usize; 3], n_classes: usize) -> Vec<Box<dyn LayerSpec>> {
        let plane_pool = || pool([1, 3, 3], [1, 2, 2]);
        let mut parts = vec![
            separable("features.0", [1, 64], 7, 2),
            vec![plane_pool(), conv("features.2", [64, 64], [1; 3], [1; 3])],
            separable("features.3", [64, 192], 3, 1),
        ];
        for (number, channels) in &BLOCKS {
            let before = match number {
                5 => Some(plane_pool()),
                8 => Some(pool([3; 3], [2; 3])),
                14 => Some(pool([2; 3], [2; 3])),
                _ => None,
            };
            parts.push(before.into_iter().chain([block(*number, channels)]).collect());
        }
        let convolutions =
            parts.into_iter().map(|parts| Box::new(ConvLayer::new(parts)) as Box<dyn LayerSpec>);
        let classifier = PooledClassifierSpec {
            name: "classifier.1",
            features: N_FEATURES,
            n_classes,
            is_convolution: true,
        };
        convolutions.chain([Box::new(classifier) as Box<dyn LayerSpec>]).collect()
    }

    /// The two blocks behind the last pool, and the classifier.
    fn n_last_stage(&self) -> usize {
        3
    }

    fn has_batch_norm(&self) -> bool {
        true
    }

    fn default_layer_decay(&self) -> f64 {
        0.75
    }

    fn recognises(&self, found: &Found) -> bool {
        found.contains_key("features.5.branch0.0.weight") || found.contains_key("features.0.0.0.weight")
    }

    fn cost(&self, step: &Step, ledger: &mut Ledger) -> Parts {
        convnet::walk(&self.layers(step.dims, step.n_classes), step, ledger)
    }

    fn torchvision_changes(&self, _dims: [usize; 3]) -> String {
        "model.features[0][0][0] = torch.nn.Conv3d(1, 64, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False)
model.avgpool = torch.nn.AdaptiveAvgPool3d(1)"
            .to_owned()
    }
}
