//! Provenance stamps: how an output was made, and whether it is up to date.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{ArtifactError, ContentHash, hash_json, write_json};

/// The version recorded in every stamp.
pub const TOOL_VERSION: &str = concat!("brainreel ", env!("CARGO_PKG_VERSION"));

/// Provenance of an output. It contains no time and no path, so that the same work gives the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Name and version of the tool.
    pub tool: String,
    /// The stage that wrote the output.
    pub stage: String,
    /// Revision of that stage's algorithm, raised manually whenever its numbers change.
    pub stage_revision: u32,
    /// Hash of the stage's parameters.
    pub parameters: ContentHash,
    /// Hash of all inputs of the stage.
    pub inputs: ContentHash,
    /// Name of the instruction set that computed the output, if its last digits depend on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instruction_set: Option<String>,
}

impl Provenance {
    /// Creates the stamp of a stage.
    pub fn new<P: Serialize>(stage: &str, stage_revision: u32, parameters: &P, inputs: ContentHash) -> Self {
        Self {
            tool: TOOL_VERSION.to_owned(),
            stage: stage.to_owned(),
            stage_revision,
            parameters: hash_json(parameters),
            inputs,
            instruction_set: None,
        }
    }

    /// Records the instruction set of the computation.
    #[must_use]
    pub fn with_instruction_set(self, name: impl Into<String>) -> Self {
        Self { instruction_set: Some(name.into()), ..self }
    }

    /// Whether two outputs come from the same work: same stage, revision, settings and inputs.
    ///
    /// The program version is recorded but not compared, so a release that changes no numbers invalidates
    /// nothing. The instruction set is not compared either.
    #[must_use]
    pub fn is_same_work(&self, other: &Self) -> bool {
        (&self.stage, self.stage_revision, &self.parameters, &self.inputs)
            == (&other.stage, other.stage_revision, &other.parameters, &other.inputs)
    }

    /// Reads the stamp at `path`. `None` if the file does not exist or is not a stamp, which both mean that
    /// the work must be done.
    #[must_use]
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// Writes the stamp.
    ///
    /// # Errors
    /// [`ArtifactError::Write`] names the path.
    pub fn write(&self, path: &Path) -> Result<(), ArtifactError> {
        write_json(path, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash_bytes;

    /// Another processor invalidates nothing, and stamps of earlier versions can be read.
    #[test]
    fn the_instruction_set_is_recorded_and_not_compared() {
        let plain = Provenance::new("preprocess", 1, &"settings", hash_bytes(b"input"));
        let recorded = plain.clone().with_instruction_set("avx2");
        assert!(recorded.is_same_work(&plain) && plain.is_same_work(&recorded));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stamp.json");
        recorded.write(&path).unwrap();
        assert_eq!(Provenance::read(&path), Some(recorded));
        plain.write(&path).unwrap();
        assert!(
            !fs::read_to_string(&path).unwrap().contains("instruction_set"),
            "only where something depends on it"
        );
        assert_eq!(Provenance::read(&path), Some(plain));
    }
}
