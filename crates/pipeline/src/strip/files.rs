//! The files of each head.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{StripOutputs, StripRequest};
use crate::{IoContext, Remedy, StageError, folders};

/// The files of one head.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) input: PathBuf,
    pub(super) mask: PathBuf,
    pub(super) brain: Option<PathBuf>,
    pub(super) distance: Option<PathBuf>,
}

impl Job {
    fn outputs(&self) -> impl Iterator<Item = &PathBuf> {
        [Some(&self.mask), self.brain.as_ref(), self.distance.as_ref()].into_iter().flatten()
    }
}

/// The files of all heads.
pub(super) fn plan(request: &StripRequest) -> Result<Vec<Job>, StageError> {
    match &request.outputs {
        StripOutputs::Files { mask, brain, distance } => {
            let [input] = request.inputs.as_slice() else {
                let what = format!("{} images need a folder for their masks", request.inputs.len());
                return Err(StageError::Missing { what, remedy: Remedy::NameMaskFolder });
            };
            let (input, mask) = (input.clone(), mask.clone());
            Ok(vec![Job { input, mask, brain: brain.clone(), distance: distance.clone() }])
        }
        StripOutputs::Folder { folder, with_brain } => {
            folders::check_output(folder)?;
            Ok(request.inputs.iter().map(|input| in_folder(input, folder, *with_brain)).collect())
        }
    }
}

fn in_folder(input: &Path, folder: &Path, with_brain: bool) -> Job {
    let name = input.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = name.strip_suffix(".gz").unwrap_or(&name);
    let stem = stem.strip_suffix(".nii").or(stem.strip_suffix(".hdr")).unwrap_or(stem);
    let output = |what: &str| folder.join(format!("{stem}_{what}.nii.gz"));
    let brain = with_brain.then(|| output("brain"));
    Job { input: input.to_owned(), mask: output("mask"), brain, distance: None }
}

/// Refuses outputs that are inputs, that are named twice, or that exist.
pub(super) fn check(jobs: &[Job], overwrite: bool) -> Result<(), StageError> {
    let resolved = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path));
    let inputs: Vec<PathBuf> = jobs.iter().filter_map(|job| resolved(&job.input).ok()).collect();
    let mut seen = BTreeSet::new();
    let another = "choose another name";
    for output in jobs.iter().flat_map(Job::outputs) {
        let text = output.to_string_lossy();
        if !text.ends_with(".nii.gz") && !text.ends_with(".nii") {
            return Err(StageError::output(output, "is no name of a NIfTI file", "expected .nii.gz or .nii"));
        }
        let path = resolved(output).io_context("resolve", output)?;
        if inputs.contains(&path) {
            return Err(StageError::output(output, "is an input", another));
        }
        if !seen.insert(path) {
            return Err(StageError::output(output, "would be written twice", another));
        }
        if !overwrite && output.exists() {
            return Err(StageError::output(output, "exists", another).with_remedy(Remedy::Overwrite));
        }
    }
    Ok(())
}
