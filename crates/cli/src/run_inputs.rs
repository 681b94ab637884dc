//! `inputs.json` of a run folder: what a run was made from, so that it is tested on the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context;
use brainreel_artifact::{ContentHash, hash_file, write_atomic, write_json};
use brainreel_cohort::{LeakPolicy, Split};
use brainreel_training::{CheckpointKind, TrainingScan};
use serde::{Deserialize, Serialize};

use crate::commands::{preprocess, train};
use crate::leaks;

/// What a run was made from.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunInputs {
    /// The derivatives, relative to the run folder.
    pub(crate) derivatives: PathBuf,
    /// Content hash of the split.
    pub split_sha256: String,
    /// Whether the split was changed by hand since brainreel wrote it.
    pub(crate) split_edited_by_hand: bool,
    /// Whether the split is leaky on purpose, and with it every result of the run.
    #[serde(default, skip_serializing_if = "leaks::is_not")]
    pub(crate) leaky: bool,
    /// Hash of the settings that all network inputs were preprocessed with; nothing if brainreel did not
    /// make them.
    #[serde(default)]
    pub(crate) preprocess_parameters: Option<ContentHash>,
    /// Who found the brains in the network inputs; empty if nobody did or brainreel did not make them.
    #[serde(default)]
    pub(crate) brain_extractors: BTreeSet<String>,
    /// Hash of the pretrained weights; nothing if the network started from random numbers.
    #[serde(default)]
    pub(crate) weights_sha256: Option<ContentHash>,
    /// SHA-256 of the network input of every scan of the split, the test partition included.
    #[serde(default)]
    pub(crate) images: BTreeMap<String, String>,
}

impl RunInputs {
    /// Looks at the scans that a run is about to start from; the run folder must exist.
    pub(crate) fn of(
        request: &train::Request<'_>,
        split: &Split,
        scans: &[TrainingScan],
    ) -> anyhow::Result<Self> {
        let train::Request { derivatives, run, config, .. } = request;
        let settings = settings_of(scans);
        anyhow::ensure!(
            settings.len() < 2,
            "the network inputs in {} were made with {} different settings; run `brainreel preprocess` again, \
             with one setting for all",
            derivatives.display(),
            settings.len()
        );
        Ok(Self {
            derivatives: relative_to(derivatives, run)?,
            split_sha256: split.content_hash(),
            split_edited_by_hand: split.edited_by_hand(),
            leaky: split.is_leaky(),
            preprocess_parameters: settings.into_iter().next(),
            brain_extractors: scans.iter().filter_map(|scan| preprocess::extractor_of(&scan.image)).collect(),
            weights_sha256: config.weights.as_deref().map(hash_file).transpose()?,
            images: images_of(scans)?,
        })
    }

    /// Reads what a run was made from.
    pub(crate) fn read(run: &Path) -> anyhow::Result<Self> {
        let path = path_in(run);
        let bytes = std::fs::read(&path).with_context(|| {
            format!(
                "{} is not a run folder, as `brainreel train` writes it: cannot read {}",
                run.display(),
                path.display()
            )
        })?;
        serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Reads the split that the run was trained on; a leaky one only where it is allowed.
    pub(crate) fn read_split(&self, run: &Path, leaks: LeakPolicy) -> anyhow::Result<Split> {
        let split = Split::read_with(&run.join("split.tsv"), leaks)?;
        anyhow::ensure!(
            split.content_hash() == self.split_sha256 && split.is_leaky() == self.leaky,
            "{} was changed after training, so the model may have seen what it would be tested on; restore it",
            split.source().display()
        );
        Ok(split)
    }

    /// Writes `inputs.json` and the split.
    pub(crate) fn write(&self, run: &Path, split: &Split) -> anyhow::Result<()> {
        write_atomic(&run.join("split.tsv"), split.to_tsv().as_bytes())?;
        Ok(write_json(&path_in(run), self)?)
    }

    /// Refuses to go on with a run that was started from another split or from other images.
    pub(crate) fn check_same_run(&self, run: &Path) -> anyhow::Result<()> {
        if !is_started(run) {
            return Ok(());
        }
        let earlier = Self::read(run)?;
        anyhow::ensure!(
            earlier.split_sha256 == self.split_sha256,
            "{} holds a run with another split; move it away, or choose another folder",
            run.display()
        );
        let settings = self.preprocess_parameters.iter().cloned().collect();
        if let Some(difference) = earlier.difference(&self.images, &settings) {
            anyhow::bail!(
                "{} holds another run: {difference}; move it away, or choose another folder",
                run.display()
            );
        }
        Ok(())
    }

    /// Refuses scans that are not the images which were there when training started: a model is not to be
    /// tested on scans preprocessed otherwise than those it learnt from.
    pub(crate) fn check_images(
        &self,
        derivatives: &Path,
        run: &Path,
        scans: &[TrainingScan],
    ) -> anyhow::Result<()> {
        let Some(difference) = self.difference(&images_of(scans)?, &settings_of(scans)) else {
            return Ok(());
        };
        anyhow::bail!(
            "the network inputs in {} are not those that {} was trained with: {difference}; preprocess again as \
             before training, name the old network inputs with --derivatives, or train anew",
            derivatives.display(),
            run.display()
        )
    }

    /// In words, how the images of now differ from the recorded ones.
    fn difference(&self, now: &BTreeMap<String, String>, settings: &BTreeSet<ContentHash>) -> Option<String> {
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

/// True if training has got as far as a checkpoint.
pub(crate) fn is_started(run: &Path) -> bool {
    path_in(run).exists() && CheckpointKind::Last.path(run).exists()
}

fn images_of(scans: &[TrainingScan]) -> anyhow::Result<BTreeMap<String, String>> {
    let image = |scan: &TrainingScan| {
        let sha256 = match &scan.sha256 {
            Some(sha256) => sha256.clone(),
            None => hash_file(&scan.image)?.to_string(),
        };
        Ok((scan.scan_id.clone(), sha256))
    };
    scans.iter().map(image).collect()
}

fn settings_of(scans: &[TrainingScan]) -> BTreeSet<ContentHash> {
    scans.iter().filter_map(|scan| preprocess::settings_of(&scan.image)).collect()
}

fn path_in(run: &Path) -> PathBuf {
    run.join("inputs.json")
}

/// `target` as seen from `folder`, so that both can be moved together.
fn relative_to(target: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let canonical =
        |path: &Path| std::fs::canonicalize(path).with_context(|| format!("cannot read {}", path.display()));
    let (target, folder) = (canonical(target)?, canonical(folder)?);
    let n_common =
        target.components().zip(folder.components()).take_while(|(one, other)| one == other).count();
    let up = folder.components().skip(n_common).map(|_| std::path::Component::ParentDir);
    Ok(up.chain(target.components().skip(n_common)).collect())
}
