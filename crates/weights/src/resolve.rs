//! From what a person writes as weights to a file.

use std::path::{Path, PathBuf};

use brainreel_artifact::hash_file;

use crate::hub::published_file_in;
use crate::{Cache, Published, WeightsError, all_published, published, torch_hub_folders};

/// The collection that the published video networks are in.
const COLLECTION: &str = "kinetics400";

/// The file of weights that `given` means: itself if it exists, else the file in the user's cache that
/// `brainreel weights fetch` puts there under this name (`kinetics400/r3d_18`), else the published file where
/// PyTorch keeps it. A path that is no name is returned as it is, for whoever opens it to name.
///
/// # Errors
/// [`WeightsError::Missing`] says how to get published weights, [`WeightsError::Unknown`] which there are,
/// [`WeightsError::Damaged`] that the file in the cache is not what it was.
pub fn resolve(given: &Path) -> Result<PathBuf, WeightsError> {
    match published_name(given) {
        Some(name) if !given.exists() => located(published(name)?, &Cache::of_user()?, &torch_hub_folders()),
        _ => Ok(given.to_owned()),
    }
}

/// As [`resolve`], with relative paths meant from `folder`, as in a file of settings that lies there.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_in(folder: &Path, given: &Path) -> Result<PathBuf, WeightsError> {
    let beside = folder.join(given);
    if beside.exists() || published_name(given).is_none() { Ok(beside) } else { resolve(given) }
}

/// The name, if `given` is written like that of published weights.
fn published_name(given: &Path) -> Option<&str> {
    let name = given.to_str()?;
    let in_collection = name.split_once('/').is_some_and(|(collection, _)| collection == COLLECTION);
    (in_collection || all_published().iter().any(|model| model.name == name)).then_some(name)
}

/// The file of a model: in the cache, compared with its record, or in one of PyTorch's folders, compared with
/// the published digest.
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
mod tests {
    use super::*;

    #[test]
    fn paths_win_and_names_are_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kinetics400/r3d_18");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "a file of that name").unwrap();
        assert_eq!(resolve_in(dir.path(), Path::new("kinetics400/r3d_18")).unwrap(), path);
        assert_eq!(resolve(&path).unwrap(), path);
        for path in ["weights.pth", "kinetics/r3d_18", "/data/kinetics400/r3d_18"] {
            assert_eq!(resolve(Path::new(path)).unwrap(), Path::new(path));
            assert_eq!(resolve_in(Path::new("a"), Path::new(path)).unwrap(), Path::new("a").join(path));
        }
        let unknown = resolve(Path::new("kinetics400/r4d")).unwrap_err().to_string();
        assert!(
            unknown.contains("kinetics400/r4d") && unknown.contains("kinetics400/mvit_v2_s"),
            "{unknown}"
        );
    }

    #[test]
    fn what_is_missing_or_damaged_in_the_cache_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::in_folder(dir.path());
        let model = published("kinetics400/r3d_18").unwrap();
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
        let digest = crate::Digest::Prefix(Box::leak(sha256[..8].to_owned().into_boxed_str()));
        let kinetics = *published("kinetics400/r3d_18").unwrap();
        let model = Published { file_name: "testnet.pth", digest, ..kinetics };
        assert_eq!(located(&model, &cache, &hubs).unwrap(), hubs[2].join("testnet.pth"));
        assert!(matches!(located(&model, &cache, &hubs[..2]), Err(WeightsError::Missing { .. })));
        let small = Published { max_bytes: 6, ..model };
        assert!(located(&small, &cache, &hubs).is_err(), "too large to be it");
        let unknown = Published { digest: crate::Digest::FirstUse, ..model };
        assert!(located(&unknown, &cache, &hubs).is_err(), "anything might be there");
    }
}
