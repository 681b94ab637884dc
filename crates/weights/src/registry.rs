//! The models whose weights are known: one table.

use std::path::Path;

use brainreel_models::{Architecture, ModelError, SynthStripWeights};

use crate::{WeightsError, video};

/// How to tell that a file is the published one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// Its SHA-256 is published.
    Sha256(&'static str),
    /// The first digits of its SHA-256 are published, as in the file names of torchvision.
    Prefix(&'static str),
    /// Nothing is published: the first file is trusted, and no other one after it.
    FirstUse,
}

/// Which network the weights are of; decides how they are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkKind {
    /// The U-Net of SynthStrip.
    SynthStrip,
    /// A video network of torchvision, for colour films and the 400 classes of Kinetics-400.
    Video(Architecture),
}

/// A model whose weights its authors publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it is, for people.
    pub title: &'static str,
    /// Name of the file in the cache.
    pub file_name: &'static str,
    /// Where the authors keep it.
    pub url: &'static str,
    /// The licence of the weights, and where it is stated.
    pub licence: &'static str,
    /// What to cite.
    pub citation: &'static str,
    /// Which file is right.
    pub digest: Digest,
    /// Most bytes that are downloaded.
    pub max_bytes: u64,
    /// The network.
    pub network: NetworkKind,
}

/// All models.
const PUBLISHED: [Published; 6] = [
    Published {
        name: "synthstrip",
        title: "SynthStrip, version 1: brain extraction",
        file_name: "synthstrip.1.pt",
        url: "https://surfer.nmr.mgh.harvard.edu/docs/synthstrip/requirements/synthstrip.1.pt",
        licence: "MIT or CC BY 4.0 at your choice, as far as we know; what its authors say at \
                  https://surfer.nmr.mgh.harvard.edu/docs/synthstrip/ decides",
        citation: "Hoopes, Mora, Dalca, Fischl, Hoffmann 2022, SynthStrip: skull-stripping for any brain image, \
                   NeuroImage 260, 119474",
        // The key of the file in the annex of FreeSurfer's repository.
        digest: Digest::Sha256("37417f802196186441aae3e7f385d94f8a98c64a88acaeaa2723af995c653e33"),
        max_bytes: 64 << 20,
        network: NetworkKind::SynthStrip,
    },
    Published {
        name: "kinetics400/r3d_18",
        title: "R3D-18, trained on Kinetics-400: 3-D convolutions",
        file_name: "r3d_18-b3b3357e.pth",
        url: "https://download.pytorch.org/models/r3d_18-b3b3357e.pth",
        digest: Digest::Prefix("b3b3357e"),
        ..video(Architecture::R3d18, TRAN)
    },
    Published {
        name: "kinetics400/mc3_18",
        title: "MC3-18, trained on Kinetics-400: 3-D convolutions in the first layer, 2-D behind it",
        file_name: "mc3_18-a90a0ba3.pth",
        url: "https://download.pytorch.org/models/mc3_18-a90a0ba3.pth",
        digest: Digest::Prefix("a90a0ba3"),
        ..video(Architecture::Mc318, TRAN)
    },
    Published {
        name: "kinetics400/r2plus1d_18",
        title: "R(2+1)D-18, trained on Kinetics-400: convolutions in planes and along the third axis",
        file_name: "r2plus1d_18-91a641e6.pth",
        url: "https://download.pytorch.org/models/r2plus1d_18-91a641e6.pth",
        digest: Digest::Prefix("91a641e6"),
        ..video(Architecture::R2plus1d18, TRAN)
    },
    Published {
        name: "kinetics400/mvit_v1_b",
        title: "MViT v1-B, trained on Kinetics-400: a multiscale transformer",
        file_name: "mvit_v1_b-dbeb1030.pth",
        url: "https://download.pytorch.org/models/mvit_v1_b-dbeb1030.pth",
        digest: Digest::Prefix("dbeb1030"),
        ..video(
            Architecture::MvitV1B,
            "Fan, Xiong, Mangalam, Li, Yan, Malik, Feichtenhofer 2021, Multiscale Vision Transformers, \
             arXiv:2104.11227; Kay et al. 2017, The Kinetics Human Action Video Dataset, arXiv:1705.06950",
        )
    },
    Published {
        name: "kinetics400/mvit_v2_s",
        title: "MViT v2-S, trained on Kinetics-400: a multiscale transformer with relative positions",
        file_name: "mvit_v2_s-ae3be167.pth",
        url: "https://download.pytorch.org/models/mvit_v2_s-ae3be167.pth",
        digest: Digest::Prefix("ae3be167"),
        ..video(
            Architecture::MvitV2S,
            "Li, Wu, Fan, Mangalam, Xiong, Malik, Feichtenhofer 2022, MViTv2: Improved Multiscale Vision \
             Transformers for Classification and Detection, arXiv:2112.01526; Kay et al. 2017, The Kinetics \
             Human Action Video Dataset, arXiv:1705.06950",
        )
    },
];

const TRAN: &str = "Tran, Wang, Torresani, Ray, LeCun, Paluri 2018, A Closer Look at Spatiotemporal \
                    Convolutions for Action Recognition, arXiv:1711.11248; Kay et al. 2017, The Kinetics Human \
                    Action Video Dataset, arXiv:1705.06950";

/// What the video networks have in common.
const fn video(architecture: Architecture, citation: &'static str) -> Published {
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
        network: NetworkKind::Video(architecture),
    }
}

/// All models whose weights are known.
#[must_use]
pub const fn all_published() -> &'static [Published] {
    &PUBLISHED
}

/// The model called `name`.
///
/// # Errors
/// [`WeightsError::Unknown`] says which there are.
pub fn published(name: &str) -> Result<&'static Published, WeightsError> {
    PUBLISHED.iter().find(|model| model.name == name).ok_or_else(|| WeightsError::Unknown {
        name: name.to_owned(),
        known: PUBLISHED.map(|model| model.name).join(", "),
    })
}

impl Digest {
    /// Whether a file with this SHA-256 is the published one; none if nothing is known about it.
    #[must_use]
    pub fn agrees(&self, sha256: &str) -> Option<bool> {
        match self {
            Self::Sha256(expected) => Some(sha256 == *expected),
            Self::Prefix(expected) => Some(sha256.starts_with(expected)),
            Self::FirstUse => None,
        }
    }

    /// What is known, for messages.
    pub(crate) const fn expected(&self) -> &'static str {
        match self {
            Self::Sha256(expected) | Self::Prefix(expected) => expected,
            Self::FirstUse => "any",
        }
    }
}

impl NetworkKind {
    /// Checks that a file holds the weights of this network, all of them and in shape; gives the number of
    /// parameters.
    pub(crate) fn check(self, bytes: &[u8], path: &Path) -> Result<usize, ModelError> {
        match self {
            Self::SynthStrip => Ok(SynthStripWeights::decode(bytes, path)?.n_parameters()),
            Self::Video(architecture) => video::check(architecture, bytes, path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_makes_sense() {
        for model in all_published() {
            assert!(model.url.starts_with("https://") && !model.licence.is_empty());
            assert!(!model.file_name.contains(['/', '\\']));
            if let Digest::Sha256(digits) = model.digest {
                assert!(digits.len() == 64 && digits.chars().all(|c| c.is_ascii_hexdigit()));
            }
            if let Digest::Prefix(digits) = model.digest {
                assert!(digits.len() == 8 && model.file_name.contains(digits));
                assert!(model.url.ends_with(model.file_name));
            }
            if let NetworkKind::Video(architecture) = model.network {
                assert_eq!(model.name, format!("kinetics400/{architecture}"));
                assert!(model.file_name.starts_with(&architecture.to_string()));
            }
            assert_ne!(model.digest, Digest::FirstUse);
            assert_eq!(published(model.name).unwrap(), model);
        }
        let unknown = published("betternet").unwrap_err().to_string();
        assert!(unknown.contains("betternet") && unknown.contains("synthstrip"), "{unknown}");
    }

    #[test]
    fn digests_agree_or_not_or_do_not_know() {
        assert_eq!(Digest::Prefix("b3b3").agrees("b3b3357e"), Some(true));
        assert_eq!(Digest::Prefix("b3b3").agrees("a3b3357e"), Some(false));
        assert_eq!(Digest::Sha256("b3b3").agrees("b3b3357e"), Some(false));
        assert_eq!(Digest::FirstUse.agrees("b3b3357e"), None);
    }
}
