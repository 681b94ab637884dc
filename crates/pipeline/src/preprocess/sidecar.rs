//! The JSON files beside network inputs and brain masks.

use brainreel_artifact::{ContentHash, hash_json};
use brainreel_formats::bids::DerivativeSidecar;
use brainreel_preprocess::{NetworkTransform, PreprocessConfig, QcRecord};
use serde::{Deserialize, Serialize};

/// The JSON beside each network input.
pub(super) type Sidecar = DerivativeSidecar<NetworkInputFields>;

/// What the JSON of a network input has beside the fields of every derivative.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NetworkInputFields {
    pub(super) transform: NetworkTransform,
    pub(super) quality: QcRecord,
}

/// The JSON beside a brain mask.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct MaskSidecar<'a> {
    pub(super) description: &'static str,
    pub(super) r#type: &'static str,
    pub(super) sources: &'a [String],
    pub(super) brain_extractor: &'a str,
    pub(super) volume_ml: Option<f64>,
}

/// Hash of settings, as sidecars record it.
#[must_use]
pub fn hash_of_settings(config: &PreprocessConfig) -> ContentHash {
    hash_json(config)
}
