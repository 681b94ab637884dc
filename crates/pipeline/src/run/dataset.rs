//! From the input of an experiment to a BIDS dataset.

use std::path::{Path, PathBuf};

use brainreel_artifact::{ContentHash, HashBuilder, hash_bytes, hash_file};

use super::request::RunRequest;
use crate::cohort::{self, CohortRequest};
use crate::convert::{self, ConvertConfig, ConvertRequest, find_label_tables};
use crate::experiment::{Experiment, Layout};
use crate::simulate::{self, SimulateRequest};
use crate::stamp::{Step, Walk};
use crate::{Observer, Stage, StageError, fingerprint, shuffle};

/// A folder that is ready, and its fingerprint.
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) fingerprint: ContentHash,
}

/// Makes the BIDS dataset of an experiment.
pub(super) fn make_dataset(
    request: &RunRequest,
    layout: &Layout,
    walk: &mut Walk,
    observer: &mut dyn Observer,
) -> Result<Folder, StageError> {
    let experiment = &request.experiment;
    if let Some(bids) = &experiment.input.bids {
        return Ok(Folder { path: bids.clone(), fingerprint: fingerprint::of_input(bids)? });
    }
    let download = make_download(experiment, layout, walk, observer)?;
    let labels = label_tables(experiment, layout, &download.path, observer)?;
    let mut inputs = HashBuilder::new().part(download.fingerprint.as_str());
    for table in &labels {
        inputs = inputs.part(hash_file(table)?.as_str());
    }
    let mut inputs = inputs.finish();
    let mut conversion = ConvertRequest {
        labels: labels.clone(),
        config: experiment.convert.clone(),
        n_jobs: request.n_jobs,
        ..ConvertRequest::new(&download.path, &layout.bids)
    };
    if let Some(config) = &experiment.cohort {
        let list = layout.cohort.join("cohort.tsv");
        let selection = CohortRequest {
            tables: labels,
            images: Some(download.path.clone()),
            config: config.clone(),
            out: layout.cohort.clone(),
        };
        let selected = cohort_step(&selection, &list, inputs.clone(), walk, observer)?;
        inputs = HashBuilder::new().part(inputs.as_str()).part(selected.as_str()).finish();
        conversion.join_rule = config.join_rule();
        conversion.cohort = Some(list);
    }
    // Default settings are hashed as nothing, as before the section [convert] existed.
    let parameters = Some(&experiment.convert).filter(|config| **config != ConvertConfig::default());
    let step = Step {
        stage: Stage::Convert,
        revision: convert::STAGE_REVISION,
        parameters: &parameters,
        inputs,
        outputs: &|| fingerprint::of_folder(&layout.bids),
    };
    let fingerprint =
        walk.step(&step, observer, |observer| Ok(convert::run(&conversion, observer)?.failures.len()))?;
    Ok(Folder { path: layout.bids.clone(), fingerprint })
}

/// The tree of DICOM files, simulated if the experiment says so.
fn make_download(
    experiment: &Experiment,
    layout: &Layout,
    walk: &mut Walk,
    observer: &mut dyn Observer,
) -> Result<Folder, StageError> {
    let Some(config) = &experiment.input.simulate else {
        let dicom = experiment.input.dicom.clone().unwrap_or_default();
        let fingerprint = fingerprint::of_input(&dicom)?;
        return Ok(Folder { path: dicom, fingerprint });
    };
    let step = Step {
        stage: Stage::Simulate,
        revision: simulate::STAGE_REVISION,
        parameters: config,
        inputs: hash_bytes(b""),
        outputs: &|| fingerprint::of_folder(&layout.download),
    };
    let request = SimulateRequest { config: config.clone(), ..SimulateRequest::new(&layout.download) };
    let fingerprint = walk.step(&step, observer, |observer| simulate::run(&request, observer).map(|_| 0))?;
    Ok(Folder { path: layout.download.clone(), fingerprint })
}

/// The label tables of the download, with permuted diagnoses if the experiment says so.
fn label_tables(
    experiment: &Experiment,
    layout: &Layout,
    dicom: &Path,
    observer: &mut dyn Observer,
) -> Result<Vec<PathBuf>, StageError> {
    let input = &experiment.input;
    let labels = if input.labels.is_empty() { find_label_tables(dicom)? } else { input.labels.clone() };
    let Some(seed) = input.shuffle_labels else { return Ok(labels) };
    shuffle::shuffle_labels(&labels, seed, &layout.shuffled_labels)?;
    observer.note(Stage::Run, "diagnoses permuted among subjects: expect chance level");
    Ok(vec![layout.shuffled_labels.clone()])
}

fn cohort_step(
    request: &CohortRequest,
    list: &Path,
    inputs: ContentHash,
    walk: &mut Walk,
    observer: &mut dyn Observer,
) -> Result<ContentHash, StageError> {
    let step = Step {
        stage: Stage::Cohort,
        revision: cohort::STAGE_REVISION,
        parameters: &request.config,
        inputs,
        outputs: &|| Ok(hash_file(list)?),
    };
    walk.step(&step, observer, |observer| cohort::run(request, observer).map(|_| 0))
}
