//! The JSON sidecar of a converted series: only what is on the list below, nothing about a person.

use dicom_dictionary_std::tags;
use serde::{Deserialize, Serialize};

use super::header::Attributes;

/// Acquisition parameters under their BIDS names and in their BIDS units.
///
/// This is an allow-list: names, dates, descriptions, comments and institutions have no field here, and
/// the few texts that do are cut down to the characters of a device name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Sidecar {
    /// `MR`, `CT`...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modality: Option<String>,
    /// Tesla.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub magnetic_field_strength: Option<f64>,
    /// Vendor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<String>,
    /// Scanner model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manufacturers_model_name: Option<String>,
    /// `2D` or `3D`.
    #[serde(default, rename = "MRAcquisitionType", skip_serializing_if = "Option::is_none")]
    pub mr_acquisition_type: Option<String>,
    /// Values of ImageType, capitals, digits and underscores only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_type: Vec<String>,
    /// Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repetition_time: Option<f64>,
    /// Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echo_time: Option<f64>,
    /// Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inversion_time: Option<f64>,
    /// Degrees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flip_angle: Option<f64>,
    /// Millimetres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice_thickness: Option<f64>,
    /// `brainreel`.
    #[serde(default)]
    pub conversion_software: String,
    /// Version of brainreel.
    #[serde(default)]
    pub conversion_software_version: String,
}

impl Sidecar {
    pub(super) fn from_attributes(attributes: &Attributes<'_>) -> Self {
        let positive = |tag| attributes.number(tag).filter(|&value| value > 0.0);
        // Milliseconds to seconds, free of binary noise: 0.00298 instead of 0.0029800000000000004.
        let seconds = |tag| positive(tag).map(|ms| (ms * 1e6).round() / 1e9);
        let device = |tag| Some(device_name(&attributes.text(tag))).filter(|name| !name.is_empty());
        let code = |tag| Some(code_string(&attributes.text(tag))).filter(|code| !code.is_empty());
        Self {
            modality: code(tags::MODALITY),
            magnetic_field_strength: positive(tags::MAGNETIC_FIELD_STRENGTH).map(tesla),
            manufacturer: device(tags::MANUFACTURER),
            manufacturers_model_name: device(tags::MANUFACTURER_MODEL_NAME),
            mr_acquisition_type: code(tags::MR_ACQUISITION_TYPE),
            image_type: attributes
                .text(tags::IMAGE_TYPE)
                .split('\\')
                .map(code_string)
                .filter(|code| !code.is_empty())
                .collect(),
            repetition_time: seconds(tags::REPETITION_TIME),
            echo_time: seconds(tags::ECHO_TIME),
            inversion_time: seconds(tags::INVERSION_TIME),
            flip_angle: positive(tags::FLIP_ANGLE),
            slice_thickness: positive(tags::SLICE_THICKNESS),
            conversion_software: "brainreel".to_owned(),
            conversion_software_version: brainreel_artifact::TOOL_VERSION.to_owned(),
        }
    }
}

/// Some scanners write gauss.
fn tesla(strength: f64) -> f64 {
    if strength > 100.0 { strength / 10_000.0 } else { strength }
}

fn device_name(text: &str) -> String {
    let kept = text.chars().filter(|c| c.is_ascii_alphanumeric() || " .-_/()".contains(*c)).take(64);
    kept.collect::<String>().trim().to_owned()
}

fn code_string(text: &str) -> String {
    let capitals = text.trim().to_ascii_uppercase();
    capitals.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(16).collect()
}
