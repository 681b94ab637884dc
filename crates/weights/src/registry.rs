//! The models whose weights are known: one table.

use std::path::Path;

use brainreel_models::{ModelError, SynthStripWeights};

use crate::WeightsError;

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
const PUBLISHED: [Published; 1] = [Published {
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
}];

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
