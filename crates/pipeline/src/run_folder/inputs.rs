//! `inputs.json`: what a run was made from, so that it is tested on the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use brainreel_artifact::{ContentHash, hash_file, write_atomic, write_json};
use brainreel_cohort::{LeakPolicy, Split};
use brainreel_models::InstructionSet;
use brainreel_training::{CacheConfig, TrainConfig, TrainingScan};
use serde::{Deserialize, Serialize};

use super::{DESCRIPTION, InstructionSetChange, RunFolder};
use crate::network_input::NetworkInputOrigin;
use crate::{IoContext, Remedy, StageError, notice};

/// What a run was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunInputs {
    /// The derivatives, relative to the run folder.
    pub derivatives: PathBuf,
    /// Content hash of the split.
    pub split_sha256: String,
    /// Whether the split was changed by hand since brainreel wrote it.
    pub split_edited_by_hand: bool,
    /// Whether the split is leaky on purpose, and with it every result of the run.
    #[serde(default, skip_serializing_if = "notice::is_not_leaky")]
    pub leaky: bool,
    /// Hash of the settings that all network inputs were preprocessed with; nothing if brainreel did not make them.
    #[serde(default)]
    pub preprocess_parameters: Option<ContentHash>,
    /// The brain extractors of the network inputs; empty if there was none or brainreel did not make the inputs.
    #[serde(default)]
    pub brain_extractors: BTreeSet<String>,
    /// Hash of the pretrained weights; nothing if the network started from random numbers.
    #[serde(default)]
    pub weights_sha256: Option<ContentHash>,
    /// Where trunk features are cached; the default in runs of earlier versions.
    #[serde(default)]
    pub cache: CacheRecord,
    /// The instruction sets that the run was trained with so far; empty in runs of earlier versions.
    #[serde(default)]
    pub instruction_sets: BTreeSet<String>,
    /// SHA-256 of the network input of every scan of the split, the test partition included.
    #[serde(default)]
    pub images: BTreeMap<String, String>,
}

/// Where a run caches trunk features, and how many bytes of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheRecord {
    /// An absolute path; nothing for the folder inside the run folder.
    pub directory: Option<PathBuf>,
    /// Most bytes that the folder may hold.
    pub max_bytes: u64,
}

impl Default for CacheRecord {
    fn default() -> Self {
        Self::from(&CacheConfig::default())
    }
}

impl From<&CacheConfig> for CacheRecord {
    fn from(config: &CacheConfig) -> Self {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        Self { directory: config.directory.as_ref().map(absolute), max_bytes: config.max_bytes }
    }
}

impl CacheRecord {
    /// The same cache for prediction.
    #[must_use]
    pub fn to_config(&self) -> CacheConfig {
        CacheConfig { directory: self.directory.clone(), max_bytes: self.max_bytes, ..CacheConfig::default() }
    }
}

impl RunInputs {
    /// Records what a run is about to start from; the run folder must exist.
    ///
    /// # Errors
    /// [`StageError::Input`] if the network inputs were made with different settings, or an error of reading a file.
    pub fn new(
        derivatives: &Path,
        run: &RunFolder,
        config: &TrainConfig,
        split: &Split,
        scans: &[TrainingScan],
    ) -> Result<Self, StageError> {
        let origins: Vec<NetworkInputOrigin> =
            scans.iter().filter_map(|scan| NetworkInputOrigin::read(&scan.image)).collect();
        let settings: BTreeSet<&ContentHash> = origins.iter().map(|origin| &origin.parameters).collect();
        if settings.len() > 1 {
            let found = format!("holds network inputs made with {} different settings", settings.len());
            return Err(StageError::input(derivatives, found, "one setting for all: preprocess again"));
        }
        Ok(Self {
            derivatives: relative_to(derivatives, run.path())?,
            split_sha256: split.content_hash(),
            split_edited_by_hand: split.edited_by_hand(),
            leaky: split.is_leaky(),
            preprocess_parameters: settings.into_iter().next().cloned(),
            brain_extractors: origins.iter().filter_map(NetworkInputOrigin::extractor_kind).collect(),
            weights_sha256: config.weights.as_deref().map(hash_file).transpose()?,
            cache: CacheRecord::from(&config.cache),
            instruction_sets: BTreeSet::from([InstructionSet::detect().to_string()]),
            images: hash_images(scans)?,
        })
    }

    /// Reads what a run was made from.
    ///
    /// # Errors
    /// [`StageError::Input`] if the folder is not a run folder, [`StageError::Damaged`] or [`StageError::Io`].
    pub fn read(run: &RunFolder) -> Result<Self, StageError> {
        let path = run.inputs();
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let found = format!("is not a run folder: it has no {}", file_name(&path));
                return Err(StageError::input(run.path(), found, DESCRIPTION));
            }
            read => read.io_context("read", &path)?,
        };
        serde_json::from_slice(&bytes).map_err(|error| StageError::damaged(path, error))
    }

    /// Reads the split that the run was trained on; a leaky one only where it is allowed.
    ///
    /// # Errors
    /// [`StageError::Refused`] if the split was changed after training, or an error of reading it.
    pub fn read_split(&self, run: &RunFolder, leaks: LeakPolicy) -> Result<Split, StageError> {
        let split = Split::read_with(&run.split(), leaks)?;
        if split.content_hash() == self.split_sha256 && split.is_leaky() == self.leaky {
            return Ok(split);
        }
        let reason = format!(
            "{} was changed after training, so the model may have seen what it would be tested on; restore it",
            split.source().display()
        );
        Err(StageError::refused(reason, None))
    }

    /// Writes `inputs.json` and the split.
    ///
    /// # Errors
    /// [`StageError::Artifact`].
    pub fn write(&self, run: &RunFolder, split: &Split) -> Result<(), StageError> {
        write_atomic(&run.split(), split.to_tsv().as_bytes())?;
        Ok(write_json(&run.inputs(), self)?)
    }

    /// Takes over the instruction sets that a run was trained with before it is resumed. Returns the change if the
    /// present one is not among them.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn merge_instruction_sets(
        &mut self,
        run: &RunFolder,
    ) -> Result<Option<InstructionSetChange>, StageError> {
        if !run.has_checkpoint() {
            return Ok(None);
        }
        let earlier = Self::read(run)?.instruction_sets;
        let change = InstructionSetChange::detect(&earlier, InstructionSet::detect());
        self.instruction_sets.extend(earlier);
        Ok(change)
    }

    /// Refuses to resume a run that was started from another split or from other images.
    ///
    /// # Errors
    /// [`StageError::Output`] says what differs.
    pub fn check_same_run(&self, run: &RunFolder) -> Result<(), StageError> {
        if !run.has_checkpoint() {
            return Ok(());
        }
        let earlier = Self::read(run)?;
        let found = if earlier.split_sha256 != self.split_sha256 {
            "holds a run with another split".to_owned()
        } else if let Some(difference) =
            earlier.describe_difference(&self.images, self.preprocess_parameters.iter().cloned().collect())
        {
            format!("holds another run: {difference}")
        } else {
            return Ok(());
        };
        Err(StageError::output(run.path(), found, "move it away, or choose another folder"))
    }

    /// Refuses scans whose images are not those that were there when training started: a model must not be tested on
    /// scans that were preprocessed differently from those it was trained on.
    ///
    /// # Errors
    /// [`StageError::Refused`] says what differs.
    pub fn check_images(
        &self,
        derivatives: &Path,
        run: &RunFolder,
        scans: &[TrainingScan],
    ) -> Result<(), StageError> {
        let origins = scans.iter().filter_map(|scan| NetworkInputOrigin::read(&scan.image));
        let settings = origins.map(|origin| origin.parameters).collect();
        let Some(difference) = self.describe_difference(&hash_images(scans)?, settings) else {
            return Ok(());
        };
        let reason = format!(
            "the network inputs in {} are not those that {} was trained with: {difference}; preprocess again as before \
             training, restore the old network inputs, or train anew",
            derivatives.display(),
            run.path().display()
        );
        Err(StageError::refused(reason, Remedy::NameDerivatives))
    }

    /// How the images of now differ from the recorded ones, for people.
    fn describe_difference(
        &self,
        now: &BTreeMap<String, String>,
        settings: BTreeSet<ContentHash>,
    ) -> Option<String> {
        let changed: Vec<&String> = now.keys().filter(|id| self.images.get(*id) != now.get(*id)).collect();
        let first = changed.first()?;
        let images =
            format!("{} of {} scans are other images now (first: {first})", changed.len(), now.len());
        let then = self.preprocess_parameters.as_ref();
        Some(match settings.iter().find(|settings| Some(*settings) != then) {
            Some(settings) => format!(
                "{images}, preprocessed with other settings (hash {} then, {} now)",
                then.map_or("unknown", ContentHash::short),
                settings.short()
            ),
            None => images,
        })
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn hash_images(scans: &[TrainingScan]) -> Result<BTreeMap<String, String>, StageError> {
    let image = |scan: &TrainingScan| {
        let sha256 = match &scan.sha256 {
            Some(sha256) => sha256.clone(),
            None => hash_file(&scan.image)?.to_string(),
        };
        Ok((scan.scan_id.clone(), sha256))
    };
    scans.iter().map(image).collect()
}

/// `target` as seen from `folder`, so that both can be moved together.
fn relative_to(target: &Path, folder: &Path) -> Result<PathBuf, StageError> {
    let canonical = |path: &Path| std::fs::canonicalize(path).io_context("read", path);
    let (target, folder) = (canonical(target)?, canonical(folder)?);
    let n_common =
        target.components().zip(folder.components()).take_while(|(one, other)| one == other).count();
    let up = folder.components().skip(n_common).map(|_| Component::ParentDir);
    Ok(up.chain(target.components().skip(n_common)).collect())
}
