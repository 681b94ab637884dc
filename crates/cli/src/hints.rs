//! What to do about an error: one table.

use brainreel_artifact::ArtifactError;
use brainreel_preprocess::ConfigError;

/// The advice for an error, found by the kinds of its causes.
pub(crate) fn for_error(error: &anyhow::Error) -> Vec<String> {
    let mut hints: Vec<String> = error.chain().filter_map(for_cause).collect();
    hints.dedup();
    hints
}

fn for_cause(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(io) = cause.downcast_ref::<std::io::Error>() {
        return for_io(io.kind());
    }
    if let Some(ConfigError::BiasWithoutBrain) = cause.downcast_ref() {
        return Some(
            "choose a brain extractor, switch bias correction off, or, if the images are stripped already, set \
             bias_region = \"foreground\" (--bias-region foreground)"
                .to_owned(),
        );
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
