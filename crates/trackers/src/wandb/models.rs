//! The best models of a run, stored beside the record log until the run ends.
//!
//! A model is stored as a hard link, so it takes no space while its checkpoint exists. Only the last model of
//! each alias is stored, and becomes an artifact when the run ends; one version per improvement would need
//! disk space for one network each. `wandb sync` may delete an uploaded model, which is then not offered
//! again.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use brainreel_artifact::{HashBuilder, link_atomic, write_json};
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::proto::{Artifact, Manifest, ManifestEntry, PolicyItem};
use crate::{RunIdentity, TrackerError};

const LIST: &str = "models.json";
/// Size limit of the list. Our lists are far shorter.
const LONGEST_LIST: u64 = 1 << 20;

/// The stored models and their folder.
#[derive(Debug)]
pub(crate) struct Models {
    folder: PathBuf,
    models: Vec<Model>,
}

/// A stored model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    alias: String,
    step: u64,
    metadata: Value,
}

impl Models {
    /// The models of a run that resumes after `last_step`.
    pub(crate) fn open(folder: PathBuf, last_step: u64) -> Result<Self, TrackerError> {
        let path = folder.join(LIST);
        let mut models: Vec<Model> = match read_bounded(&path) {
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(TrackerError::read(&path)(source)),
            Ok(bytes) => parse(&bytes).ok_or_else(|| TrackerError::Foreign {
                path,
                found: "another file".to_owned(),
                expected: "list of models that brainreel writes",
            })?,
        };
        models.retain(|model| model.step <= last_step);
        Ok(Self { folder, models })
    }

    /// Stores a model and deletes the previous one with this alias.
    pub(crate) fn put(
        &mut self,
        step: u64,
        path: &Path,
        alias: &str,
        metadata: &Value,
    ) -> Result<(), TrackerError> {
        link_atomic_in(&self.folder, path, alias)?;
        self.models.retain(|model| model.alias != alias);
        self.models.push(Model { alias: alias.to_owned(), step, metadata: metadata.clone() });
        self.models.sort_by(|a, b| a.alias.cmp(&b.alias));
        Ok(write_json(&self.folder.join(LIST), &self.models)?)
    }

    /// The models as artifacts. Two aliases of one model give one artifact.
    pub(crate) fn artifacts(
        &self,
        run: &RunIdentity,
        project: &str,
        entity: &str,
    ) -> Result<Vec<Artifact>, TrackerError> {
        let mut artifacts: Vec<Artifact> = Vec::new();
        for model in self.models.iter().filter(|model| self.folder.join(file_name(&model.alias)).exists()) {
            let artifact = self.artifact(model, run, (project, entity))?;
            match artifacts.iter_mut().find(|known| known.digest == artifact.digest) {
                Some(known) => known.aliases.push(model.alias.clone()),
                None => artifacts.push(artifact),
            }
        }
        Ok(artifacts)
    }

    fn artifact(
        &self,
        model: &Model,
        run: &RunIdentity,
        (project, entity): (&str, &str),
    ) -> Result<Artifact, TrackerError> {
        let path = self.folder.join(file_name(&model.alias));
        // `wandb sync` may run in any folder.
        let path = std::path::absolute(&path).map_err(TrackerError::read(&path))?;
        let (digest, size) = md5_of(&path)?;
        let entry = ManifestEntry {
            path: "model.safetensors".to_owned(),
            digest: STANDARD.encode(digest),
            size,
            local_path: path.to_string_lossy().into_owned(),
        };
        let name = format!("model-{}", run.id);
        let digest = manifest_digest(&entry);
        Ok(Artifact {
            run_id: run.id.clone(),
            project: project.to_owned(),
            entity: entity.to_owned(),
            kind: "model".to_owned(),
            client_id: client_id(&[&name, &digest]),
            sequence_client_id: client_id(&[&name]),
            name,
            digest,
            metadata: model.metadata.to_string(),
            aliases: vec![model.alias.clone()],
            manifest: Some(manifest_of(entry)),
            finalize: true,
            digest_algorithm: "MANIFEST_MD5".to_owned(),
        })
    }
}

fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(LONGEST_LIST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Parses a list of models. Aliases must be safe, because they become file names.
fn parse(bytes: &[u8]) -> Option<Vec<Model>> {
    let models: Vec<Model> = serde_json::from_slice(bytes).ok()?;
    let is_plain = |alias: &str| {
        !alias.is_empty() && alias.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    models.iter().all(|model| is_plain(&model.alias)).then_some(models)
}

fn file_name(alias: &str) -> String {
    format!("{alias}.safetensors")
}

fn link_atomic_in(folder: &Path, path: &Path, alias: &str) -> Result<(), TrackerError> {
    fs::create_dir_all(folder).map_err(TrackerError::write(folder))?;
    Ok(link_atomic(path, &folder.join(file_name(alias)))?)
}

fn manifest_of(entry: ManifestEntry) -> Manifest {
    let layout = PolicyItem { key: "storageLayout".to_owned(), value_json: "\"V2\"".to_owned() };
    Manifest {
        version: 1,
        storage_policy: "wandb-storage-policy-v1".to_owned(),
        storage_policy_config: vec![layout],
        contents: vec![entry],
    }
}

/// The digest of a manifest with one file.
fn manifest_digest(entry: &ManifestEntry) -> String {
    let text = format!("wandb-artifact-manifest-v1\n{}:{}\n", entry.path, entry.digest);
    Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The MD5 digest of a file, which W&B requires, and its size in bytes.
fn md5_of(path: &Path) -> Result<([u8; 16], i64), TrackerError> {
    let error = TrackerError::read(path);
    let mut file = fs::File::open(path).map_err(error)?;
    let (mut digest, mut size, mut buffer) = (Md5::new(), 0, vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer).map_err(error)? {
            0 => return Ok((digest.finalize().into(), size)),
            n_bytes => {
                digest.update(&buffer[..n_bytes]);
                size += n_bytes as i64;
            }
        }
    }
}

/// An id of 128 letters and digits. The W&B client draws it at random. Here it is derived from the content,
/// so that a model uploaded twice is one artifact.
fn client_id(parts: &[&str]) -> String {
    let half = |which: &str| {
        let start = HashBuilder::new().part("wandb client id").part(which);
        parts.iter().fold(start, |builder, part| builder.part(part)).finish().to_string()
    };
    half("first") + &half("second")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_cannot_leave_the_folder() {
        let list = |alias: &str| format!(r#"[{{"alias": "{alias}", "step": 1, "metadata": null}}]"#);
        assert_eq!(parse(list("best_loss").as_bytes()).unwrap().len(), 1);
        for alias in ["", "../secret", "/etc/secret", "a/b", "A", "a.b"] {
            assert_eq!(parse(list(alias).as_bytes()), None, "{alias}");
        }
    }

    #[test]
    fn digests_are_those_of_the_official_client() {
        // wandb 0.31.0 on a file `model.safetensors` with these 11 bytes.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        fs::write(&path, b"hello model").unwrap();
        let (digest, size) = md5_of(&path).unwrap();
        let entry = ManifestEntry {
            path: "model.safetensors".to_owned(),
            digest: STANDARD.encode(digest),
            size,
            local_path: String::new(),
        };
        assert_eq!((entry.digest.as_str(), size), ("ZaTwN2nzpp20dMYjdTWuow==", 11));
        assert_eq!(manifest_digest(&entry), "1ba9b14b27b4069eba4c38ddd5f70b0a");
        assert_eq!(client_id(&["a"]).len(), 128);
    }
}
