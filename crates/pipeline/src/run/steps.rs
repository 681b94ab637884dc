//! From a BIDS dataset to an evaluated network.

use std::collections::BTreeSet;

use brainreel_artifact::{ContentHash, HashBuilder, hash_bytes, hash_file, write_json};
use brainreel_cohort::{ScanTable, Split, SplitConfig};
use brainreel_preprocess::PreprocessConfig;
use serde::Serialize;

use super::dataset::Folder;
use super::request::RunRequest;
use crate::evaluate::{self, EvaluateRequest, EvaluateSummary};
use crate::experiment::{DerivativesConfig, Layout};
use crate::preprocess::{self, PreprocessRequest};
use crate::run_folder::RunFolder;
use crate::split::{self, SplitRequest};
use crate::stamp::{Step, Walk};
use crate::train::{self, TrainRequest};
use crate::{Observer, Remedy, ResultExt, Stage, StageError, fingerprint};

/// What the files of the derivatives depend on.
#[derive(Serialize)]
#[serde(untagged)]
enum PreprocessParameters<'a> {
    /// With the usual files beside the network inputs, as before there was a choice.
    Usual(&'a PreprocessConfig),
    WithFiles {
        preprocess: &'a PreprocessConfig,
        derivatives: &'a DerivativesConfig,
    },
}

/// Network inputs that are ready.
pub(super) struct Derivatives {
    /// Hash of their table.
    pub(super) hash: ContentHash,
    /// What can be done about scans that failed.
    pub(super) remedies: BTreeSet<Remedy>,
}

/// Makes the network inputs.
pub(super) fn preprocess_step(
    request: &RunRequest,
    layout: &Layout,
    dataset: &Folder,
    walk: &mut Walk,
    observer: &mut dyn Observer,
) -> Result<Derivatives, StageError> {
    let experiment = &request.experiment;
    let input = &experiment.input;
    let mut inputs = HashBuilder::new().part(dataset.fingerprint.as_str());
    if let Some(masks) = &input.masks {
        inputs = inputs.part(fingerprint::of_input(masks)?.as_str());
    }
    if let Some(weights) = &input.synthstrip_weights {
        inputs = inputs.part(hash_file(weights)?.as_str());
    }
    let (preprocess, derivatives) = (&experiment.preprocess, &experiment.derivatives);
    let is_usual = *derivatives == DerivativesConfig::default();
    let parameters = if is_usual {
        PreprocessParameters::Usual(preprocess)
    } else {
        PreprocessParameters::WithFiles { preprocess, derivatives }
    };
    let step = Step {
        stage: Stage::Preprocess,
        revision: brainreel_preprocess::REVISION,
        parameters: &parameters,
        inputs: inputs.finish(),
        outputs: &|| fingerprint::of_folder(&layout.derivatives),
    };
    let work = PreprocessRequest {
        config: preprocess.clone(),
        masks: input.masks.clone(),
        weights: input.synthstrip_weights.clone(),
        keep: derivatives.keep.clone(),
        pictures: derivatives.pictures,
        limits: request.limits(),
        ..PreprocessRequest::new(&dataset.path, &layout.derivatives)
    };
    let mut remedies = BTreeSet::new();
    walk.step(&step, observer, |observer| {
        let failures = preprocess::run(&work, observer)?.failures;
        remedies.extend(failures.iter().filter_map(|failure| failure.remedy));
        Ok(failures.len())
    })?;
    Ok(Derivatives { hash: hash_file(&layout.derivatives.join("scans.tsv"))?, remedies })
}

/// Makes the split. One that was edited by hand stays.
pub(super) fn split_step(
    request: &RunRequest,
    layout: &Layout,
    derivatives: ContentHash,
    walk: &mut Walk,
    observer: &mut dyn Observer,
) -> Result<Split, StageError> {
    let config = &request.experiment.split;
    // A split that was edited by hand stays, so only its existence is asked for here.
    let present = || {
        if !layout.split.exists() {
            return Err(StageError::input(&layout.split, "does not exist", "the split of the experiment"));
        }
        Ok(hash_bytes(b"present"))
    };
    let is_edited = layout.split.exists() && Split::read_with(&layout.split, request.leaks)?.edited_by_hand();
    let mut inputs = HashBuilder::new().part(derivatives.as_str());
    if let Some(list) = &config.subjects {
        inputs = inputs.part(hash_file(list)?.as_str());
    }
    let step = Step {
        stage: Stage::Split,
        revision: split::STAGE_REVISION,
        parameters: &SplitConfig { subjects: None, ..config.clone() },
        inputs: inputs.finish(),
        outputs: &present,
    };
    walk.step(&step, observer, |observer| {
        if is_edited {
            check_edited(request, layout)?;
            observer.note(Stage::Split, &format!("{} was edited by hand and stays", layout.split.display()));
            return Ok(0);
        }
        let work = SplitRequest {
            config: config.clone(),
            overwrite: true,
            ..SplitRequest::new(&layout.derivatives, &layout.split)
        };
        let summary = split::run(&work, observer)?;
        write_json(&layout.split_record(), &summary.record)?;
        Ok(0)
    })?;
    Ok(Split::read_with(&layout.split, request.leaks)?)
}

fn check_edited(request: &RunRequest, layout: &Layout) -> Result<(), StageError> {
    let table = ScanTable::read(&layout.derivatives.join("scans.tsv"))?;
    Split::read_with(&layout.split, request.leaks)?.join(&table).context(
        "the split was edited by hand and no longer fits the scans; correct it, or delete it to have it made anew",
    )?;
    Ok(())
}

/// Trains the network.
pub(super) fn train_step(
    request: &TrainRequest,
    walk: &mut Walk,
    observer: &mut dyn Observer,
) -> Result<(), StageError> {
    let mut inputs = HashBuilder::new()
        .part(hash_file(&request.derivatives.join("scans.tsv"))?.as_str())
        .part(request.split.content_hash());
    if let Some(weights) = &request.config.weights {
        inputs = inputs.part(hash_file(weights)?.as_str());
    }
    let step = Step {
        stage: Stage::Train,
        revision: train::STAGE_REVISION,
        parameters: &request.config.portable(),
        inputs: inputs.finish(),
        outputs: &|| fingerprint::of_folder(&RunFolder::new(&request.run).training().checkpoints()),
    };
    walk.step(&step, observer, |observer| train::run(request, observer).map(|_| 0))?;
    Ok(())
}

/// Evaluates the network.
pub(super) fn evaluate_step(
    request: &RunRequest,
    layout: &Layout,
    derivatives: &ContentHash,
    walk: &mut Walk,
    observer: &mut dyn Observer,
) -> Result<EvaluateSummary, StageError> {
    let run = RunFolder::new(&layout.run);
    let settings = &request.experiment.evaluate;
    let work = EvaluateRequest {
        checkpoint: settings.checkpoint,
        partition: settings.partition,
        leaks: request.leaks,
        override_audit: request.override_audit.clone(),
        ..EvaluateRequest::new(&layout.run)
    };
    let folder = run.evaluation(work.partition, work.checkpoint);
    let inputs = HashBuilder::new()
        .part(hash_file(&run.checkpoint(work.checkpoint))?.as_str())
        .part(derivatives.as_str())
        .part(Split::read_with(&run.split(), request.leaks)?.content_hash());
    let step = Step {
        stage: Stage::Evaluate,
        revision: evaluate::STAGE_REVISION,
        parameters: &work.parameters(),
        inputs: inputs.finish(),
        outputs: &|| fingerprint::of_folder(folder.path()),
    };
    walk.step(&step, observer, |observer| evaluate::run(&work, observer).map(|_| 0))?;
    evaluate::read_summary(&folder)
}
