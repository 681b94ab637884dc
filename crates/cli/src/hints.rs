//! What to do about an error: one table.

use std::collections::BTreeSet;

use brainreel_artifact::ArtifactError;
use brainreel_cohort::CohortError;
use brainreel_pipeline::failures::Failure;
use brainreel_pipeline::{Remedy, StageError};

use crate::ui::Ui;

/// The advice for an error, found by the kinds of its causes.
pub(crate) fn for_error(error: &anyhow::Error) -> Vec<String> {
    let remedy = error.downcast_ref::<StageError>().and_then(StageError::remedy).map(for_remedy);
    let mut hints: Vec<String> =
        remedy.map(str::to_owned).into_iter().chain(error.chain().filter_map(for_cause)).collect();
    hints.dedup();
    hints
}

/// Prints what can be done about failed scans, each advice once.
pub(crate) fn show_for_failures(failures: &[Failure], ui: &Ui) {
    show_remedies(&failures.iter().filter_map(|failure| failure.remedy).collect(), ui);
}

/// Shows each piece of advice once.
pub(crate) fn show_remedies(remedies: &BTreeSet<Remedy>, ui: &Ui) {
    for remedy in remedies {
        ui.hint(for_remedy(*remedy));
    }
}

/// What to type. The match names every remedy, so that a new one cannot be forgotten.
const fn for_remedy(remedy: Remedy) -> &'static str {
    match remedy {
        Remedy::ChooseAnotherFolder => "wait for it to end, or write to another folder",
        Remedy::ReplaceDataset => "pass --replace to lose those images, or convert into another folder",
        Remedy::AllowLeaky => {
            "choose another strategy, or pass --allow-leaky for a demonstration, whose every result is marked leaky"
        }
        Remedy::OverrideAudit => "correct the split, or pass --override-audit REASON to go on, on record",
        Remedy::NameDerivatives => "pass the derivatives with --derivatives if they have moved",
        Remedy::ResumeFromPrevious => {
            "pass --resume-from previous to go on from the checkpoint before, or move the run folder away"
        }
        Remedy::ResumeFromLast => "leave --resume-from out, or start over in another folder",
        Remedy::LeaveOutUnknown => {
            "pass --leave-out-unknown (in experiment.toml: leave_out_unknown = true) to exclude these scans, on record"
        }
        Remedy::AddDiagnoses => "pass tables of diagnoses to `brainreel convert --labels`",
        Remedy::NameDerivativesOrSkipImages => {
            "name those derivatives with --derivatives, or pass --no-images to compare no images"
        }
        Remedy::ReplaceFiles => "pass --replace to overwrite it; inside a run folder nothing is overwritten",
        Remedy::ReplaceNetworkInputs => "pass --replace to remove the network inputs of the other dataset",
        Remedy::Overwrite => "pass --overwrite to replace it",
        Remedy::UseAsMask => "to use that mask, pass --extractor mask --masks with a copy of its folder",
        Remedy::NameMasks => "pass --masks DIR; in experiment.toml, set masks = \"DIR\" in [input]",
        Remedy::NameMaskFolder => "pass --out-dir FOLDER instead of --mask",
        Remedy::GetSynthStrip => {
            "get the weights by `brainreel weights fetch synthstrip`, or from a file by `brainreel weights import FILE`; \
             or do without: --extractor bet"
        }
        Remedy::UseForeground => {
            "choose a brain extractor, or pass --bias none, or, if the images are stripped already, \
             --bias-region foreground"
        }
    }
}

fn for_cause(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(io) = cause.downcast_ref::<std::io::Error>() {
        return for_io(io.kind());
    }
    if let Some(CohortError::Split(error)) = cause.downcast_ref::<CohortError>() {
        return Remedy::from_split_error(error).map(|remedy| for_remedy(remedy).to_owned());
    }
    match cause.downcast_ref::<ArtifactError>()? {
        ArtifactError::Locked { .. } => Some("wait for it to end, or write to another folder".to_owned()),
        _ => None,
    }
}

fn for_io(kind: std::io::ErrorKind) -> Option<String> {
    use std::io::ErrorKind;
    let text = match kind {
        ErrorKind::NotFound => "is the path spelt right? Paths are relative to the current folder",
        ErrorKind::PermissionDenied => {
            "you may not read or write there: choose another folder, or ask for access"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "the disk is full: make room and run the same command again, finished work is kept"
        }
        _ => return None,
    };
    Some(text.to_owned())
}
