//! Resolves the user's name or path of weights to a file.

use std::path::{Path, PathBuf};

use brainreel_artifact::hash_file;
use brainreel_checkpoint::Published;

use crate::hub::published_file_in;
use crate::{Cache, Catalogue, WeightsError, torch_hub_folders};

impl Catalogue {
    /// Resolves `given` to a weight file: the path itself if it exists, otherwise the file of this name
    /// (`kinetics400/r3d_18`) in the user's cache, otherwise the published file in PyTorch's cache. A path
    /// that is not a name is returned unchanged, so that the code that opens it reports the error.
    ///
    /// # Errors
    /// [`WeightsError::Missing`] if published weights are not on this machine, [`WeightsError::Unknown`] if
    /// there are none of this name, [`WeightsError::Damaged`] if the file in the cache has changed.
    pub fn resolve(&self, given: &Path) -> Result<PathBuf, WeightsError> {
        match self.published_name(given) {
            Some(name) if !given.exists() => {
                located(self.find(name)?, &Cache::of_user()?, &torch_hub_folders())
            }
            _ => Ok(given.to_owned()),
        }
    }

    /// As [`Catalogue::resolve`], but relative paths are relative to `folder`, as in a settings file in that
    /// folder.
    ///
    /// # Errors
    /// As [`Catalogue::resolve`].
    pub fn resolve_in(&self, folder: &Path, given: &Path) -> Result<PathBuf, WeightsError> {
        let beside = folder.join(given);
        if beside.exists() || self.published_name(given).is_none() { Ok(beside) } else { self.resolve(given) }
    }

    /// The name, if `given` has the form of a published name: a known one, or one in a collection
    /// (`kinetics400/`) with known ones.
    fn published_name<'a>(&self, given: &'a Path) -> Option<&'a str> {
        let name = given.to_str()?;
        let collection = |name: &str| name.split_once('/').map(|(collection, _)| collection.to_owned());
        let wanted = collection(name);
        let is_named = |known: &str| known == name || (wanted.is_some() && collection(known) == wanted);
        self.names().any(is_named).then_some(name)
    }
}

/// The file of a model: in the cache, checked against its record, or in one of PyTorch's folders, checked
/// against the published digest.
fn located(model: &Published, cache: &Cache, hub_folders: &[PathBuf]) -> Result<PathBuf, WeightsError> {
    match cache.find(model) {
        Ok(cached) => {
            Cache::check_digest(model, &cached, hash_file(&cached.path)?.as_str())?;
            Ok(cached.path)
        }
        Err(missing) => published_file_in(hub_folders, model).ok_or(missing),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use brainreel_checkpoint::{Digest, Role, TensorSpec};

    use super::*;

    pub(crate) fn entry(name: &'static str, digits: &'static str) -> Published {
        Published {
            name,
            title: "a test",
            file_name: "testnet.pth",
            url: "https://example.org/testnet.pth",
            licence: "MIT",
            citation: "nobody",
            digest: Digest::Prefix(digits),
            max_bytes: 192 << 20,
            network: "testnet",
            prefixes: &[],
            tensors: || vec![TensorSpec::new("w", &[3], Role::Beta)],
        }
    }

    fn catalogue() -> Catalogue {
        Catalogue::new([entry("kinetics400/r3d_18", "b3b3"), entry("kinetics400/mvit_v2_s", "c4c4")])
    }

    #[test]
    fn paths_win_and_names_are_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kinetics400/r3d_18");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "a file of that name").unwrap();
        assert_eq!(catalogue().resolve_in(dir.path(), Path::new("kinetics400/r3d_18")).unwrap(), path);
        assert_eq!(catalogue().resolve(&path).unwrap(), path);
        for path in ["weights.pth", "kinetics/r3d_18", "/data/kinetics400/r3d_18"] {
            assert_eq!(catalogue().resolve(Path::new(path)).unwrap(), Path::new(path));
            assert_eq!(
                catalogue().resolve_in(Path::new("a"), Path::new(path)).unwrap(),
                Path::new("a").join(path)
            );
        }
        let unknown = catalogue().resolve(Path::new("kinetics400/r4d")).unwrap_err().to_string();
        assert!(
            unknown.contains("kinetics400/r4d") && unknown.contains("kinetics400/mvit_v2_s"),
            "{unknown}"
        );
    }

    #[test]
    fn what_is_missing_or_damaged_in_the_cache_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::in_folder(dir.path());
        let model = &entry("kinetics400/r3d_18", "b3b3");
        let missing = located(model, &cache, &[]).unwrap_err().to_string();
        assert!(missing.contains("brainreel weights fetch kinetics400/r3d_18"), "{missing}");
        let record = crate::Record {
            model: model.name.to_owned(),
            sha256: brainreel_artifact::hash_bytes(b"weights").to_string(),
            n_bytes: 7,
            source: "import".to_owned(),
            published: Some(false),
        };
        cache.put(model, b"weights", record).unwrap();
        assert_eq!(located(model, &cache, &[]).unwrap(), cache.path_of(model));
        std::fs::write(cache.path_of(model), "Weights").unwrap();
        assert!(matches!(located(model, &cache, &[]), Err(WeightsError::Damaged { .. })));
    }
    #[test]
    fn what_pytorch_has_counts_if_it_is_the_published_file() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::in_folder(dir.path().join("cache"));
        let hubs = ["none", "wrong", "right"].map(|name| dir.path().join(name));
        for (hub, content) in [(&hubs[1], "other"), (&hubs[2], "weights")] {
            std::fs::create_dir(hub).unwrap();
            std::fs::write(hub.join("testnet.pth"), content).unwrap();
        }
        let sha256 = brainreel_artifact::hash_bytes(b"weights").to_string();
        let digest = Digest::Prefix(Box::leak(sha256[..8].to_owned().into_boxed_str()));
        let model = Published { digest, ..entry("kinetics400/r3d_18", "") };
        assert_eq!(located(&model, &cache, &hubs).unwrap(), hubs[2].join("testnet.pth"));
        assert!(matches!(located(&model, &cache, &hubs[..2]), Err(WeightsError::Missing { .. })));
        let small = Published { max_bytes: 6, ..model };
        assert!(located(&small, &cache, &hubs).is_err(), "too large to be it");
        let unknown = Published { digest: Digest::FirstUse, ..model };
        assert!(located(&unknown, &cache, &hubs).is_err(), "anything might be there");
    }
}
