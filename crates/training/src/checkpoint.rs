//! Checkpoints: weights, optimizer moments and the state of the loop in one safetensors file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use brainreel_artifact::{
    ArtifactError, ContentHash, HashBuilder, hash_bytes, link_atomic, write_durable_with,
};
use brainreel_checkpoint::{HostTensor, decode_safetensors};
use brainreel_models::{Architecture, FrozenNorm, NetworkWeights};
use brainreel_named::named;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::adamw::Moments;
use crate::config::is_transformer;
use crate::metrics::EpochMetrics;
use crate::paths::RunPaths;
use crate::stopping::EarlyStopping;
use crate::{TrainConfig, TrainError};

/// Largest file that is opened as a checkpoint; one of MViT has at most 0.5 GB.
const MAX_FILE_BYTES: u64 = 1 << 30;
const FIRST: &str = "optimizer.first.";
const SECOND: &str = "optimizer.second.";
const STATE_KEY: &str = "brainreel";
const DIGEST_KEY: &str = "data_sha256";
const STATE_DIGEST_KEY: &str = "brainreel_sha256";
/// Layout of the state; raised when it changes.
pub(crate) const STATE_REVISION: u32 = 3;

named! {
    /// Which checkpoint of a run.
    #[derive(Default)]
    pub enum CheckpointKind {
        /// The latest, after an epoch or within one.
        Last = "last",
        /// The one before the latest, in case that one is damaged. Deleted when the run is finished.
        Previous = "previous",
        /// Best validation accuracy.
        BestAccuracy = "best_accuracy",
        /// Lowest validation loss.
        #[default]
        BestLoss = "best_loss",
    }
}

impl CheckpointKind {
    /// Its file in a run folder.
    #[must_use]
    pub fn path(self, run_dir: &Path) -> PathBuf {
        RunPaths::new(run_dir).checkpoints().join(format!("{}.safetensors", self.name()))
    }
}

/// How far a run is within an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochProgress {
    /// Steps of the optimizer done in this epoch: the position in the epoch's order of scans.
    pub step: usize,
    /// Sum over the scans so far of the loss that their batch had.
    pub loss_sum: f64,
    /// Scans so far that were classified right.
    pub n_right: usize,
}

/// The state of the loop between two steps. The schedule's state is epoch and step. So is the state of all
/// random draws: each has a seed derived from the run's, its purpose, scan and epoch, and none carries over
/// from one to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointState {
    /// Layout of this record.
    pub revision: u32,
    /// Settings of the run, without paths.
    pub config: TrainConfig,
    /// Digest of the settings and the initial weights.
    pub run_hash: ContentHash,
    /// Digest of training and validation scans, their labels and images.
    pub data_hash: ContentHash,
    /// Content hash of the split, if the caller gave it.
    pub split_sha256: Option<String>,
    /// The network.
    pub architecture: Architecture,
    /// Shape of the images, `[x, y, z]`.
    pub dims: [usize; 3],
    /// Whole epochs done.
    pub n_epochs: usize,
    /// Where in the next epoch; nothing between epochs.
    pub progress: Option<EpochProgress>,
    /// Steps the optimizer made in all.
    pub n_steps: u64,
    /// Early-stopping counters.
    pub stopping: EarlyStopping,
    /// Metrics of the epochs done.
    pub history: Vec<EpochMetrics>,
}

impl CheckpointState {
    /// The epoch done whose checkpoint this is: the first with the best value, the last for the other kinds.
    #[must_use]
    pub fn best(&self, kind: CheckpointKind) -> Option<&EpochMetrics> {
        let better = |new: &EpochMetrics, old: &EpochMetrics| match kind {
            CheckpointKind::Last | CheckpointKind::Previous => true,
            CheckpointKind::BestAccuracy => new.validation_accuracy > old.validation_accuracy,
            CheckpointKind::BestLoss => new.validation_loss < old.validation_loss,
        };
        self.history.iter().reduce(|best, row| if better(row, best) { row } else { best })
    }

    /// Whether the statistics of frozen batch norms change while training.
    pub(crate) fn moves_frozen_norms(&self) -> bool {
        self.config.frozen_norm == FrozenNorm::Batch && !is_transformer(self.architecture)
    }

    /// For people: `after epoch 3`, `after epoch 3 and 40 steps of the next`.
    #[must_use]
    pub fn position(&self) -> String {
        match &self.progress {
            None => format!("after epoch {}", self.n_epochs),
            Some(progress) => {
                format!("after epoch {} and {} steps of the next", self.n_epochs, progress.step)
            }
        }
    }
}

/// A whole checkpoint.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The state of the loop.
    pub state: CheckpointState,
    /// All weights of the network.
    pub weights: NetworkWeights,
    /// The optimizer's moments by parameter.
    pub moments: BTreeMap<String, Moments>,
}

impl Checkpoint {
    /// Writes the file atomically as the last checkpoint of a run, and waits until it is on the disk. The one
    /// that was last becomes [`CheckpointKind::Previous`]; the one before that goes.
    ///
    /// # Errors
    /// [`ArtifactError::Write`] names the path.
    pub fn write_last(&self, run_dir: &Path) -> Result<(), ArtifactError> {
        let last = CheckpointKind::Last.path(run_dir);
        if last.exists() {
            link_atomic(&last, &CheckpointKind::Previous.path(run_dir))?;
        }
        self.write(&last)
    }

    /// Writes the file atomically, and waits until it is on the disk.
    ///
    /// # Errors
    /// [`ArtifactError::Write`] names the path.
    pub fn write(&self, path: &Path) -> Result<(), ArtifactError> {
        let shape = |name: &str| self.weights.tensor(name).shape.clone();
        let weights = self.weights.iter().map(|(name, t)| (name.to_owned(), t.shape.clone(), &t.values));
        let first = self.moments.iter().map(|(name, m)| (format!("{FIRST}{name}"), shape(name), &m.first));
        let second = self.moments.iter().map(|(name, m)| (format!("{SECOND}{name}"), shape(name), &m.second));
        let tensors: Vec<(String, Vec<usize>, &Vec<f32>)> = weights.chain(first).chain(second).collect();
        let mut digest = HashBuilder::new();
        let hashed = tensors.iter().try_for_each(|(_, _, values)| write_values(&mut digest, values));
        hashed.map_err(|source| ArtifactError::Write { path: path.to_owned(), source })?;
        let header = header(&self.state, &tensors, &digest.finish());
        write_durable_with(path, |file| {
            file.write_all(&(header.len() as u64).to_le_bytes())?;
            file.write_all(&header)?;
            tensors.iter().try_for_each(|(_, _, values)| write_values(file, values))
        })
    }

    /// Reads a checkpoint whole.
    ///
    /// # Errors
    /// [`TrainError`] names the file and what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let (bytes, state) = read_state(path)?;
        let mut tensors = decode_safetensors(&bytes, path, |_| true)?;
        drop(bytes);
        let moments = take_moments(&state, &mut tensors, path)?;
        let weights = weights_of(&state, tensors, path)?;
        Ok(Self { state, weights, moments })
    }

    /// Reads state and weights, not the optimizer's moments.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub fn read_weights(path: &Path) -> Result<(CheckpointState, NetworkWeights), TrainError> {
        let (bytes, state) = read_state(path)?;
        let tensors = decode_safetensors(&bytes, path, |name| !name.starts_with("optimizer."))?;
        let weights = weights_of(&state, tensors, path)?;
        Ok((state, weights))
    }
}

fn weights_of(
    state: &CheckpointState,
    tensors: BTreeMap<String, HostTensor>,
    path: &Path,
) -> Result<NetworkWeights, TrainError> {
    Ok(NetworkWeights::for_input(state.architecture, state.dims, tensors, &path.display().to_string())?)
}

/// The safetensors header, padded to a multiple of 8 bytes. `digest` is that of all values.
fn header(
    state: &CheckpointState,
    tensors: &[(String, Vec<usize>, &Vec<f32>)],
    digest: &ContentHash,
) -> Vec<u8> {
    let state = serde_json::to_string(state).expect("plain data serialises");
    let mut header = serde_json::Map::new();
    let state_digest = hash_bytes(state.as_bytes());
    let metadata =
        json!({ "format": "pt", STATE_KEY: state, STATE_DIGEST_KEY: state_digest, DIGEST_KEY: digest });
    header.insert("__metadata__".to_owned(), metadata);
    let mut offset = 0;
    for (name, shape, values) in tensors {
        let end = offset + 4 * values.len();
        header.insert(name.clone(), json!({ "dtype": "F32", "shape": shape, "data_offsets": [offset, end] }));
        offset = end;
    }
    let mut bytes = serde_json::to_vec(&header).expect("plain data serialises");
    bytes.resize(bytes.len().next_multiple_of(8), b' ');
    bytes
}

fn write_values(file: &mut dyn Write, values: &[f32]) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(1 << 18);
    for chunk in values.chunks(1 << 16) {
        buffer.clear();
        buffer.extend(chunk.iter().flat_map(|value| value.to_le_bytes()));
        file.write_all(&buffer)?;
    }
    Ok(())
}

fn read_state(path: &Path) -> Result<(Vec<u8>, CheckpointState), TrainError> {
    let read = |source| TrainError::Read { path: path.to_owned(), source };
    let broken = |detail: String| TrainError::Checkpoint { path: path.to_owned(), detail };
    let file = File::open(path).map_err(read)?;
    let n_bytes = file.metadata().map_err(read)?.len();
    if n_bytes > MAX_FILE_BYTES {
        return Err(broken(format!("{n_bytes} bytes, expected at most {MAX_FILE_BYTES}")));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(read)?;
    let (header_len, header) =
        SafeTensors::read_metadata(&bytes).map_err(|error| broken(error.to_string()))?;
    let metadata = |key: &str| header.metadata().as_ref().and_then(|metadata| metadata.get(key));
    let state = metadata(STATE_KEY).ok_or_else(|| broken("it holds no training state".to_owned()))?;
    check_revision(state, path)?;
    let values = bytes.get(8 + header_len..).unwrap_or_default();
    for (what, part, key) in
        [("its state has", state.as_bytes(), STATE_DIGEST_KEY), ("its values have", values, DIGEST_KEY)]
    {
        let expected = metadata(key).ok_or_else(|| broken(format!("it holds no {key}")))?;
        let found = hash_bytes(part);
        if found.as_str() != expected {
            let found = found.short();
            return Err(broken(format!(
                "{what} changed since it was written (SHA-256 {found}, expected {expected:.12})"
            )));
        }
    }
    let state: CheckpointState = serde_json::from_str(state).map_err(|error| broken(error.to_string()))?;
    Ok((bytes, state))
}

/// Refuses the layout of another version, whose fields may differ.
fn check_revision(state: &str, path: &Path) -> Result<(), TrainError> {
    #[derive(Deserialize)]
    struct Revision {
        revision: u32,
    }
    match serde_json::from_str::<Revision>(state) {
        Ok(Revision { revision }) if revision != STATE_REVISION => {
            Err(TrainError::OtherRevision { path: path.to_owned(), got: revision, expected: STATE_REVISION })
        }
        _ => Ok(()),
    }
}

/// Moves the moments out of `tensors`; each has to have the shape of its parameter.
fn take_moments(
    state: &CheckpointState,
    tensors: &mut BTreeMap<String, HostTensor>,
    path: &Path,
) -> Result<BTreeMap<String, Moments>, TrainError> {
    let mut moments = BTreeMap::new();
    for spec in state.architecture.tensors(state.dims) {
        let mut take = |prefix: &str| tensors.remove(&format!("{prefix}{}", spec.name));
        match (take(FIRST), take(SECOND)) {
            (None, None) => {}
            (Some(first), Some(second)) if first.shape == spec.shape && second.shape == spec.shape => {
                moments.insert(spec.name, Moments { first: first.values, second: second.values });
            }
            _ => {
                let detail = format!("the optimizer's moments of {} do not fit it", spec.name);
                return Err(TrainError::Checkpoint { path: path.to_owned(), detail });
            }
        }
    }
    Ok(moments)
}
