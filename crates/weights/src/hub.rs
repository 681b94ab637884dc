//! Weights that PyTorch has already downloaded.

use std::env;
use std::path::PathBuf;

use brainreel_artifact::hash_file;
use brainreel_checkpoint::Published;

/// The folders in which `torch.hub` keeps checkpoints: below `$TORCH_HOME`, below `torch` in
/// `$XDG_CACHE_HOME`, below `~/.cache/torch`. They need not exist.
#[must_use]
pub fn torch_hub_folders() -> Vec<PathBuf> {
    folders(|name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
}

fn folders(variable: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let homes = [
        variable("TORCH_HOME"),
        variable("XDG_CACHE_HOME").map(|cache| cache.join("torch")),
        variable("HOME").or_else(|| variable("USERPROFILE")).map(|home| home.join(".cache/torch")),
    ];
    let mut folders: Vec<PathBuf> =
        homes.into_iter().flatten().map(|home| home.join("hub/checkpoints")).collect();
    folders.dedup();
    folders
}

/// The file of a model in one of PyTorch's folders, if it is the published one.
pub(crate) fn published_file_in(folders: &[PathBuf], model: &Published) -> Option<PathBuf> {
    let is_published = |path: &PathBuf| {
        let is_possible = path.metadata().is_ok_and(|file| file.is_file() && file.len() <= model.max_bytes);
        is_possible && hash_file(path).is_ok_and(|sha256| model.digest.agrees(sha256.as_str()) == Some(true))
    };
    folders.iter().map(|folder| folder.join(model.file_name)).find(is_published)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_follow_the_variables() {
        let with = |set: &[(&str, &str)]| {
            folders(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value)))
        };
        let all = [("TORCH_HOME", "/t"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
        let expected = ["/t/hub/checkpoints", "/x/torch/hub/checkpoints", "/h/.cache/torch/hub/checkpoints"];
        assert_eq!(with(&all), expected.map(PathBuf::from));
        assert_eq!(with(&all[2..]), [PathBuf::from(expected[2])]);
        let same = [("XDG_CACHE_HOME", "/h/.cache"), ("HOME", "/h")];
        assert_eq!(with(&same).len(), 1);
        assert_eq!(with(&[]), [""; 0].map(PathBuf::from));
    }
}
