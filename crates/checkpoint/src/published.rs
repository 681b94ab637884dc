//! Weights that their authors publish.

use std::path::Path;

use crate::{CheckpointError, StateDict, TensorSpec, decode_tensors};

/// Counters of PyTorch's batch norms, which no network here uses.
const COUNTER: &str = "num_batches_tracked";

/// How to recognise the published file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// Its SHA-256 is published.
    Sha256(&'static str),
    /// The first digits of its SHA-256 are published, as in the file names of torchvision.
    Prefix(&'static str),
    /// No digest is published. The first file is trusted, and later different files are not.
    FirstUse,
}

impl Digest {
    /// Whether a file with this SHA-256 is the published one; `None` if nothing is known about it.
    #[must_use]
    pub fn agrees(&self, sha256: &str) -> Option<bool> {
        match self {
            Self::Sha256(expected) => Some(sha256 == *expected),
            Self::Prefix(expected) => Some(sha256.starts_with(expected)),
            Self::FirstUse => None,
        }
    }

    /// What is known, for messages.
    #[must_use]
    pub const fn expected(&self) -> &'static str {
        match self {
            Self::Sha256(expected) | Self::Prefix(expected) => expected,
            Self::FirstUse => "any",
        }
    }
}

/// A published weight file and the network whose weights it holds.
#[derive(Debug, Clone, Copy)]
pub struct Published {
    /// Its name on the command line.
    pub name: &'static str,
    /// Description for users.
    pub title: &'static str,
    /// Name of the file in the cache.
    pub file_name: &'static str,
    /// Its URL.
    pub url: &'static str,
    /// The licence of the weights, and where it is stated.
    pub licence: &'static str,
    /// What to cite.
    pub citation: &'static str,
    /// How to recognise the right file.
    pub digest: Digest,
    /// Largest download, in bytes.
    pub max_bytes: u64,
    /// The network, for messages.
    pub network: &'static str,
    /// Prefixes of the network's tensors. Other tensors in the file are ignored. Empty if all tensors belong
    /// to it.
    pub prefixes: &'static [&'static str],
    /// The tensors that the file holds.
    pub tensors: fn() -> Vec<TensorSpec>,
}

impl Published {
    /// Checks that a file holds this network: its tensors and no others, in shape and finite. Returns the
    /// number of parameters. `path` is what messages call the file.
    ///
    /// # Errors
    /// [`CheckpointError`] names the file, the tensor, what was found and what was expected.
    pub fn check(&self, bytes: &[u8], path: &Path) -> Result<usize, CheckpointError> {
        let specs = (self.tensors)();
        self.decode(bytes, path, &specs)?;
        Ok(specs.iter().filter(|spec| spec.is_parameter()).map(TensorSpec::n_elements).sum())
    }

    /// Decodes the network's tensors, which must be all of `specs` and no others.
    ///
    /// # Errors
    /// As [`Published::check`].
    pub fn decode(
        &self,
        bytes: &[u8],
        path: &Path,
        specs: &[TensorSpec],
    ) -> Result<StateDict, CheckpointError> {
        let mut found = decode_tensors(bytes, path, |name| self.has(name))?;
        let origin = path.display().to_string();
        let mut own = std::collections::BTreeMap::new();
        for spec in specs {
            own.extend(found.remove_entry(&spec.name));
        }
        let state = StateDict::from_tensors(own, specs, &origin)?;
        match found.into_keys().next() {
            Some(name) => Err(CheckpointError::ForeignTensor { name, origin, network: self.network }),
            None => Ok(state),
        }
    }

    /// Whether a tensor in the file belongs to the network by its name.
    fn has(&self, name: &str) -> bool {
        let is_prefixed = self.prefixes.is_empty() || self.prefixes.iter().any(|part| name.starts_with(part));
        is_prefixed && !name.ends_with(COUNTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;

    fn specs() -> Vec<TensorSpec> {
        vec![
            TensorSpec::new("net.weight", &[2, 3], Role::DenseWeight),
            TensorSpec::new("net.var", &[2], Role::RunningVar),
        ]
    }

    const MODEL: Published = Published {
        name: "testnet",
        title: "a test",
        file_name: "testnet.pt",
        url: "https://example.org/testnet.pt",
        licence: "MIT",
        citation: "nobody",
        digest: Digest::FirstUse,
        max_bytes: 1 << 20,
        network: "TestNet",
        prefixes: &["net."],
        tensors: specs,
    };

    fn file(more: &[(&str, Role)]) -> Vec<u8> {
        let mut all = specs();
        all.extend(more.iter().map(|(name, role)| TensorSpec::new(*name, &[1], *role)));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        StateDict::random(&all, 1).write_safetensors(&path).unwrap();
        std::fs::read(&path).unwrap()
    }

    #[test]
    fn the_whole_network_and_nothing_else_is_accepted() {
        let check = |bytes: &[u8]| MODEL.check(bytes, Path::new("w.safetensors"));
        assert_eq!(check(&file(&[])).unwrap(), 6);
        let extra = file(&[("optimizer.step", Role::Beta), ("net.num_batches_tracked", Role::Beta)]);
        assert_eq!(check(&extra).unwrap(), 6);
        let foreign = check(&file(&[("net.more", Role::Beta)])).unwrap_err().to_string();
        assert_eq!(foreign, "tensor net.more in w.safetensors is of another network than TestNet");
        assert!(check(b"<html>").is_err());
    }

    #[test]
    fn digests_agree_or_not_or_do_not_know() {
        assert_eq!(Digest::Prefix("b3b3").agrees("b3b3357e"), Some(true));
        assert_eq!(Digest::Prefix("b3b3").agrees("a3b3357e"), Some(false));
        assert_eq!(Digest::Sha256("b3b3").agrees("b3b3357e"), Some(false));
        assert_eq!(Digest::FirstUse.agrees("b3b3357e"), None);
    }
}
