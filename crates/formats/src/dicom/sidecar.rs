//! The JSON sidecar of a converted series: only the fields listed here, nothing about a person.

use brainreel_cohort::{FieldStrength, Scanner};
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use serde::{Deserialize, Serialize};

use super::header::Attributes;

/// Acquisition parameters with their BIDS names, which are also dcm2niix's, and in BIDS units.
///
/// This is an allow-list. Names, dates, descriptions, comments and institutions have no field here, and the
/// few strings are reduced to the characters of a device name. Implausible numbers are omitted.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Sidecar {
    /// `MR`, `CT`...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modality: Option<String>,
    /// Tesla.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub magnetic_field_strength: Option<FieldStrength>,
    /// Megahertz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imaging_frequency: Option<f64>,
    /// Vendor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<String>,
    /// Scanner model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manufacturers_model_name: Option<String>,
    /// Software version of the scanner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software_versions: Option<String>,
    /// Receive coil.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receive_coil_name: Option<String>,
    /// `HFS`: head first, supine...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient_position: Option<String>,
    /// `2D` or `3D`.
    #[serde(default, rename = "MRAcquisitionType", skip_serializing_if = "Option::is_none")]
    pub mr_acquisition_type: Option<String>,
    /// `GR`, `SE`, `IR`, `EP`..., separated by backslashes as in dcm2niix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scanning_sequence: Option<String>,
    /// `SP`, `MP`..., separated by backslashes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence_variant: Option<String>,
    /// Values of ScanOptions, separated by backslashes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scan_options: Option<String>,
    /// Millimetres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice_thickness: Option<f64>,
    /// Millimetres, centre to centre, from the header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spacing_between_slices: Option<f64>,
    /// Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repetition_time: Option<f64>,
    /// Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echo_time: Option<f64>,
    /// Echo number, if there are several echoes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echo_number: Option<u32>,
    /// Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inversion_time: Option<f64>,
    /// Degrees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flip_angle: Option<f64>,
    /// Echo train length: echoes per excitation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echo_train_length: Option<u32>,
    /// Acquired lines of k-space, percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent_sampling: Option<f64>,
    /// Field of view in phase-encoding direction, percent of that in frequency-encoding direction.
    #[serde(default, rename = "PercentPhaseFOV", skip_serializing_if = "Option::is_none")]
    pub percent_phase_fov: Option<f64>,
    /// Hertz per pixel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pixel_bandwidth: Option<f64>,
    /// Specific absorption rate, watts per kilogram.
    #[serde(default, rename = "SAR", skip_serializing_if = "Option::is_none")]
    pub sar: Option<f64>,
    /// `ROW` or `COL`.
    #[serde(default, rename = "InPlanePhaseEncodingDirectionDICOM", skip_serializing_if = "Option::is_none")]
    pub in_plane_phase_encoding_direction_dicom: Option<String>,
    /// Values of ImageType, capitals, digits and underscores only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_type: Vec<String>,
    /// Direction cosines of the rows and columns of the slices in the files, LPS+.
    #[serde(default, rename = "ImageOrientationPatientDICOM", skip_serializing_if = "Vec::is_empty")]
    pub image_orientation_patient_dicom: Vec<f64>,
    /// `brainreel`.
    #[serde(default)]
    pub conversion_software: String,
    /// Version of brainreel.
    #[serde(default)]
    pub conversion_software_version: String,
}

impl Sidecar {
    /// The scanner.
    #[must_use]
    pub fn scanner(&self) -> Scanner {
        Scanner {
            manufacturer: self.manufacturer.as_deref().map(Into::into),
            model: self.manufacturers_model_name.as_deref().map(Into::into),
            field_strength: self.magnetic_field_strength,
        }
    }

    pub(super) fn from_attributes(attributes: &Attributes<'_>) -> Self {
        let read = Reader(attributes);
        let echo_number = read.count(tags::ECHO_NUMBERS).filter(|&number| number > 1);
        Self {
            modality: read.code(tags::MODALITY),
            magnetic_field_strength: attributes
                .number(tags::MAGNETIC_FIELD_STRENGTH)
                .and_then(FieldStrength::new)
                .and_then(|strength| FieldStrength::new(tidy(strength.tesla()))),
            imaging_frequency: read
                .number(tags::TRANSMITTER_FREQUENCY, 1200.0)
                .or_else(|| read.number(tags::IMAGING_FREQUENCY, 1200.0)),
            manufacturer: read.device(tags::MANUFACTURER),
            manufacturers_model_name: read.device(tags::MANUFACTURER_MODEL_NAME),
            software_versions: read.device(tags::SOFTWARE_VERSIONS),
            receive_coil_name: read.device(tags::RECEIVE_COIL_NAME),
            patient_position: read.code(tags::PATIENT_POSITION),
            mr_acquisition_type: read.code(tags::MR_ACQUISITION_TYPE),
            scanning_sequence: joined(&attributes.scanning_sequence()),
            sequence_variant: read.codes(tags::SEQUENCE_VARIANT),
            scan_options: read.codes(tags::SCAN_OPTIONS),
            slice_thickness: read.number(tags::SLICE_THICKNESS, 100.0),
            spacing_between_slices: read.number(tags::SPACING_BETWEEN_SLICES, 100.0),
            repetition_time: read.seconds(attributes.number(tags::REPETITION_TIME)),
            echo_time: read.seconds(attributes.echo_time_ms()),
            echo_number,
            inversion_time: read.seconds(
                attributes.number(tags::INVERSION_TIMES).or_else(|| attributes.number(tags::INVERSION_TIME)),
            ),
            flip_angle: read.number(tags::FLIP_ANGLE, 360.0),
            echo_train_length: read.count(tags::ECHO_TRAIN_LENGTH),
            percent_sampling: read.number(tags::PERCENT_SAMPLING, 400.0),
            percent_phase_fov: read.number(tags::PERCENT_PHASE_FIELD_OF_VIEW, 400.0),
            pixel_bandwidth: read.number(tags::PIXEL_BANDWIDTH, 1e6),
            sar: read.number(tags::SAR, 100.0),
            in_plane_phase_encoding_direction_dicom: read
                .code(tags::IN_PLANE_PHASE_ENCODING_DIRECTION)
                .filter(|direction| matches!(direction.as_str(), "ROW" | "COL")),
            image_type: codes(&attributes.image_type()).collect(),
            image_orientation_patient_dicom: attributes
                .vector::<6>(tags::IMAGE_ORIENTATION_PATIENT)
                .filter(|cosines| cosines.iter().all(|cosine| cosine.abs() <= 1.001))
                .map(|cosines| cosines.map(tidy).to_vec())
                .unwrap_or_default(),
            conversion_software: "brainreel".to_owned(),
            conversion_software_version: brainreel_artifact::TOOL_VERSION.to_owned(),
        }
    }
}

/// Converts attributes to sidecar values. Implausible values are omitted.
struct Reader<'a, 'b>(&'a Attributes<'b>);

impl Reader<'_, '_> {
    fn number(&self, tag: Tag, largest: f64) -> Option<f64> {
        sane(self.0.number(tag)?, largest)
    }

    fn count(&self, tag: Tag) -> Option<u32> {
        self.number(tag, 100_000.0).filter(|&value| value >= 1.0).map(|value| value as u32)
    }

    /// Milliseconds to seconds, without floating-point noise: 0.00298 instead of 0.0029800000000000004.
    fn seconds(&self, milliseconds: Option<f64>) -> Option<f64> {
        let milliseconds = milliseconds.filter(|ms| (1e-3..=100_000.0).contains(ms))?;
        Some((milliseconds * 1e6).round() / 1e9)
    }

    fn device(&self, tag: Tag) -> Option<String> {
        Some(device_name(&self.0.text(tag))).filter(|name| !name.is_empty())
    }

    fn code(&self, tag: Tag) -> Option<String> {
        Some(code_string(&self.0.text(tag))).filter(|code| !code.is_empty())
    }

    fn codes(&self, tag: Tag) -> Option<String> {
        joined(&self.0.text(tag))
    }
}

/// A positive number up to a plausible maximum.
fn sane(value: f64, largest: f64) -> Option<f64> {
    (value > 0.0 && value <= largest).then(|| tidy(value))
}

/// Removes the noise of numbers that were single precision, and the sign of zero.
fn tidy(value: f64) -> f64 {
    (value * 1e6).round() / 1e6 + 0.0
}

fn device_name(text: &str) -> String {
    let kept = text.chars().filter(|c| c.is_ascii_alphanumeric() || " .-_/()".contains(*c)).take(64);
    kept.collect::<String>().trim().to_owned()
}

fn codes(text: &str) -> impl Iterator<Item = String> {
    text.split('\\').map(code_string).filter(|code| !code.is_empty())
}

fn joined(text: &str) -> Option<String> {
    let codes: Vec<String> = codes(text).collect();
    (!codes.is_empty()).then(|| codes.join("\\"))
}

fn code_string(text: &str) -> String {
    let capitals = text.trim().to_ascii_uppercase();
    capitals.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(16).collect()
}
