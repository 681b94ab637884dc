//! Checkpoints: weights, optimizer moments and the state of the loop in one safetensors file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use brainreel_artifact::{
    ArtifactError, ContentHash, HashBuilder, hash_bytes, link_atomic, write_durable_with,
};
use brainreel_checkpoint::{HostTensor, decode_safetensors};
use brainreel_models::{Architecture, FrozenNorm, NetworkConfig, NetworkWeights};
use brainreel_named::named;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::adamw::Moments;
use crate::metrics::EpochMetrics;
use crate::paths::RunPaths;
use crate::stopping::EarlyStopping;
use crate::{TrainConfig, TrainError};

/// Size limit of a checkpoint file. A checkpoint of MViT has at most 0.5 GB.
const MAX_FILE_BYTES: u64 = 1 << 30;
const FIRST: &str = "optimizer.first.";
const SECOND: &str = "optimizer.second.";
const STATE_KEY: &str = "brainreel";
const DIGEST_KEY: &str = "data_sha256";
const STATE_DIGEST_KEY: &str = "brainreel_sha256";
/// Revision of the state's layout. Raise it when the layout changes.
pub(crate) const STATE_REVISION: u32 = 3;

named! {
    /// Which checkpoint of a run.
    #[derive(Default)]
    pub enum CheckpointKind {
        /// The latest, after an epoch or within one.
        Last = "last",
        /// The checkpoint before the latest, in case that one is damaged. Deleted when the run finishes.
        Previous = "previous",
        /// Best validation accuracy.
        BestAccuracy = "best_accuracy",
        /// Lowest validation loss.
        #[default]
        BestLoss = "best_loss",
    }
}

impl CheckpointKind {
    /// Its path in a run folder.
    #[must_use]
    pub fn path(self, run_dir: &Path) -> PathBuf {
        RunPaths::new(run_dir).checkpoints().join(format!("{}.safetensors", self.name()))
    }
}

/// Progress within an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochProgress {
    /// Optimizer steps done in this epoch. They give the position in the epoch's order of scans.
    pub step: usize,
    /// Sum of the batch losses over the scans so far.
    pub loss_sum: f64,
    /// Scans classified correctly so far.
    pub n_right: usize,
}

/// The state of the training loop between two steps. Epoch and step determine the state of the schedule and
/// of all random draws: each draw has a seed derived from the run's seed, its purpose, the scan and the
/// epoch, and no generator carries over from one draw to the next.
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
    /// Content hash of the split, if given.
    pub split_sha256: Option<String>,
    /// The network.
    pub architecture: Architecture,
    /// Shape of the images, `[x, y, z]`.
    pub dims: [usize; 3],
    /// Outputs of the network. Not written where it is two, as in files of before there were more.
    #[serde(default = "default_classes", skip_serializing_if = "is_default_classes")]
    pub n_classes: usize,
    /// Finished epochs.
    pub n_epochs: usize,
    /// Progress within the next epoch; `None` between epochs.
    pub progress: Option<EpochProgress>,
    /// Total number of optimizer steps.
    pub n_steps: u64,
    /// Early-stopping counters.
    pub stopping: EarlyStopping,
    /// Metrics of the finished epochs.
    pub history: Vec<EpochMetrics>,
}

const fn default_classes() -> usize {
    NetworkConfig::DEFAULT_CLASSES
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_default_classes(n_classes: &usize) -> bool {
    *n_classes == NetworkConfig::DEFAULT_CLASSES
}

impl CheckpointState {
    /// The network, its input size and its classes.
    #[must_use]
    pub const fn network(&self) -> NetworkConfig {
        NetworkConfig { architecture: self.architecture, dims: self.dims, n_classes: self.n_classes }
    }

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
        self.config.frozen_norm == FrozenNorm::Batch && self.architecture.has_batch_norm()
    }

    /// Position for messages: `after epoch 3`, `after epoch 3 and 40 steps of the next`.
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

/// A checkpoint with weights, optimizer moments and loop state.
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
    /// Writes the file atomically as the last checkpoint of a run, and syncs it to disk. The former last
    /// checkpoint becomes [`CheckpointKind::Previous`], and the former previous one is deleted.
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

    /// Writes the file atomically and syncs it to disk.
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

    /// Reads a complete checkpoint.
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

    /// Reads state and weights, without the optimizer moments.
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
    Ok(NetworkWeights::from_tensors(state.network(), tensors, &path.display().to_string())?)
}

/// The safetensors header, padded to a multiple of 8 bytes. `digest` covers all values.
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

/// Returns an error for the layout of another version, whose fields may differ.
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

/// Moves the moments out of `tensors`. Each must have the shape of its parameter.
fn take_moments(
    state: &CheckpointState,
    tensors: &mut BTreeMap<String, HostTensor>,
    path: &Path,
) -> Result<BTreeMap<String, Moments>, TrainError> {
    let mut moments = BTreeMap::new();
    for spec in state.network().tensors()? {
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
