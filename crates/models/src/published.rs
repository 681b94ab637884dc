//! The weights of torchvision's video networks, trained on Kinetics-400.

use brainreel_checkpoint::{Digest, Published, TensorSpec};

use crate::architecture::Architecture;

/// Classes of Kinetics-400.
const N_ACTIONS: usize = 400;
/// Channels of a colour video.
const N_COLOURS: usize = 3;

const PUBLISHED: [Published; 5] = [
    Published {
        name: "kinetics400/r3d_18",
        title: "R3D-18, trained on Kinetics-400: 3-D convolutions",
        file_name: "r3d_18-b3b3357e.pth",
        url: "https://download.pytorch.org/models/r3d_18-b3b3357e.pth",
        digest: Digest::Prefix("b3b3357e"),
        ..kinetics(Architecture::R3d18.name(), TRAN, || kinetics_tensors(Architecture::R3d18))
    },
    Published {
        name: "kinetics400/mc3_18",
        title: "MC3-18, trained on Kinetics-400: 3-D convolutions in the first layer, 2-D behind it",
        file_name: "mc3_18-a90a0ba3.pth",
        url: "https://download.pytorch.org/models/mc3_18-a90a0ba3.pth",
        digest: Digest::Prefix("a90a0ba3"),
        ..kinetics(Architecture::Mc318.name(), TRAN, || kinetics_tensors(Architecture::Mc318))
    },
    Published {
        name: "kinetics400/r2plus1d_18",
        title: "R(2+1)D-18, trained on Kinetics-400: convolutions in planes and along the third axis",
        file_name: "r2plus1d_18-91a641e6.pth",
        url: "https://download.pytorch.org/models/r2plus1d_18-91a641e6.pth",
        digest: Digest::Prefix("91a641e6"),
        ..kinetics(Architecture::R2plus1d18.name(), TRAN, || kinetics_tensors(Architecture::R2plus1d18))
    },
    Published {
        name: "kinetics400/mvit_v1_b",
        title: "MViT v1-B, trained on Kinetics-400: a multiscale transformer",
        file_name: "mvit_v1_b-dbeb1030.pth",
        url: "https://download.pytorch.org/models/mvit_v1_b-dbeb1030.pth",
        digest: Digest::Prefix("dbeb1030"),
        ..kinetics(
            Architecture::MvitV1B.name(),
            "Fan, Xiong, Mangalam, Li, Yan, Malik, Feichtenhofer 2021, Multiscale Vision Transformers, \
             arXiv:2104.11227; Kay et al. 2017, The Kinetics Human Action Video Dataset, arXiv:1705.06950",
            || kinetics_tensors(Architecture::MvitV1B),
        )
    },
    Published {
        name: "kinetics400/mvit_v2_s",
        title: "MViT v2-S, trained on Kinetics-400: a multiscale transformer with relative positions",
        file_name: "mvit_v2_s-ae3be167.pth",
        url: "https://download.pytorch.org/models/mvit_v2_s-ae3be167.pth",
        digest: Digest::Prefix("ae3be167"),
        ..kinetics(
            Architecture::MvitV2S.name(),
            "Li, Wu, Fan, Mangalam, Xiong, Malik, Feichtenhofer 2022, MViTv2: Improved Multiscale Vision \
             Transformers for Classification and Detection, arXiv:2112.01526; Kay et al. 2017, The Kinetics \
             Human Action Video Dataset, arXiv:1705.06950",
            || kinetics_tensors(Architecture::MvitV2S),
        )
    },
];

const TRAN: &str = "Tran, Wang, Torresani, Ray, LeCun, Paluri 2018, A Closer Look at Spatiotemporal \
                    Convolutions for Action Recognition, arXiv:1711.11248; Kay et al. 2017, The Kinetics Human \
                    Action Video Dataset, arXiv:1705.06950";

/// What the entries have in common.
const fn kinetics(
    network: &'static str,
    citation: &'static str,
    tensors: fn() -> Vec<TensorSpec>,
) -> Published {
    Published {
        name: "",
        title: "",
        file_name: "",
        url: "",
        licence: "torchvision, which publishes them, is under BSD-3-Clause; it names no licence of the weights \
                  themselves, and their training films, Kinetics-400, have terms of their own",
        citation,
        digest: Digest::FirstUse,
        // The largest has 147 MB.
        max_bytes: 192 << 20,
        network,
        prefixes: &[],
        tensors,
    }
}

/// The tensors of torchvision's network for colour videos and the classes of Kinetics-400.
fn kinetics_tensors(architecture: Architecture) -> Vec<TensorSpec> {
    let mut specs = architecture.tensors(architecture.native_dims());
    if let [stem, .., weight, bias] = specs.as_mut_slice() {
        stem.shape[1] = N_COLOURS;
        weight.shape[0] = N_ACTIONS;
        bias.shape[0] = N_ACTIONS;
    }
    specs
}

/// The published weights of all networks.
#[must_use]
pub const fn published_weights() -> &'static [Published] {
    &PUBLISHED
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of parameters in torchvision's documentation of the weights.
    #[test]
    fn parameters_are_those_of_torchvision() {
        for (architecture, expected) in [
            (Architecture::R3d18, 33_371_472),
            (Architecture::Mc318, 11_695_440),
            (Architecture::R2plus1d18, 31_505_325),
            (Architecture::MvitV1B, 36_610_672),
            (Architecture::MvitV2S, 34_537_744),
        ] {
            let specs = kinetics_tensors(architecture);
            let parameters = specs.iter().filter(|spec| spec.is_parameter());
            assert_eq!(parameters.map(TensorSpec::n_elements).sum::<usize>(), expected, "{architecture}");
        }
    }

    #[test]
    fn the_table_is_consistent() {
        for (model, architecture) in published_weights().iter().zip(Architecture::ALL) {
            assert_eq!(model.name, format!("kinetics400/{architecture}"));
            assert_eq!(model.network, architecture.name());
            assert!(model.file_name.starts_with(architecture.name()));
            let Digest::Prefix(digits) = model.digest else { panic!("{} has a digest", model.name) };
            assert!(digits.len() == 8 && model.file_name.contains(digits));
            assert!(model.url.starts_with("https://") && model.url.ends_with(model.file_name));
        }
    }
}
