//! Network inputs, as the stage `preprocess` writes them and the later stages read them.

use std::path::{Path, PathBuf};

use brainreel_artifact::{ContentHash, Provenance};
use serde::Deserialize;

/// How a network input was made, from the JSON file beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkInputOrigin {
    /// Hash of the settings of preprocessing.
    pub parameters: ContentHash,
    /// What found the brain; nothing if there was no brain extraction.
    pub brain_extractor: Option<String>,
}

impl NetworkInputOrigin {
    /// Reads the JSON file beside an image; nothing if there is none that brainreel wrote.
    #[must_use]
    pub fn read(image: &Path) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Record {
            provenance: Provenance,
            brain_extractor: Option<String>,
        }
        let text = image.to_string_lossy();
        let stem = text.strip_suffix(".gz").unwrap_or(&text);
        let bytes = std::fs::read(PathBuf::from(stem).with_extension("json")).ok()?;
        let record: Record = serde_json::from_slice(&bytes).ok()?;
        Some(Self { parameters: record.provenance.parameters, brain_extractor: record.brain_extractor })
    }

    /// The brain extractor without the hash of its mask, which differs from scan to scan.
    #[must_use]
    pub fn extractor_kind(&self) -> Option<String> {
        let name = self.brain_extractor.as_deref()?;
        Some(name.split_once(" (sha256").map_or(name, |(kind, _)| kind).to_owned())
    }
}
