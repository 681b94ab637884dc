//! The JSON file beside an image.
//!
//! brainreel writes two kinds: [`RawSidecar`] beside a converted image, and [`DerivativeSidecar`] beside an
//! image computed from it. Both record how the image was made, and the hash of its bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use brainreel_artifact::{ArtifactError, ContentHash, Provenance, write_json};
use brainreel_cohort::{FieldStrength, Scanner};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::dicom;

/// Size limit of a sidecar. Sidecars come from elsewhere, like their images.
const MAX_BYTES: u64 = 1 << 20;

/// The sidecar of a converted image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RawSidecar {
    /// Acquisition parameters under their BIDS names: the fields of [`dicom::Sidecar`].
    #[serde(flatten)]
    pub acquisition: Map<String, Value>,
    /// Warnings about the series.
    #[serde(rename = "BrainreelWarnings", default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Hash of the image file.
    #[serde(rename = "BrainreelImageSha256")]
    pub image_sha256: ContentHash,
    /// How the image was made.
    #[serde(rename = "BrainreelProvenance")]
    pub provenance: Provenance,
}

impl RawSidecar {
    /// The acquisition fields, as stored in the sidecar.
    #[must_use]
    pub fn acquisition_fields(acquisition: &dicom::Sidecar) -> Map<String, Value> {
        match serde_json::to_value(acquisition) {
            Ok(Value::Object(fields)) => fields,
            other => unreachable!("a struct of numbers and texts serialises to an object, not to {other:?}"),
        }
    }
}

/// The sidecar of an image computed from a raw one. `E` contains the additional fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DerivativeSidecar<E> {
    /// Description of the image.
    pub description: String,
    /// The source images, as BIDS URIs.
    pub sources: Vec<String>,
    /// Whether the skull was removed.
    pub skull_stripped: bool,
    /// The tool that extracted the brain.
    pub brain_extractor: Option<String>,
    /// Additional fields.
    #[serde(flatten)]
    pub extra: E,
    /// Hash of the image file.
    pub image_sha256: ContentHash,
    /// Hashes of associated files, by their path in the dataset.
    #[serde(default)]
    pub files_sha256: BTreeMap<String, ContentHash>,
    /// How the image was made.
    pub provenance: Provenance,
}

/// The path of the sidecar of an image: `x.json` beside `x.nii` or `x.nii.gz`.
#[must_use]
pub fn sidecar_path(image: &Path) -> PathBuf {
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".gz").unwrap_or(&name);
    image.with_file_name(format!("{}.json", stem.strip_suffix(".nii").unwrap_or(stem)))
}

/// Reads a sidecar: a [`RawSidecar`], a [`DerivativeSidecar`], or some fields of a foreign one. `None` if the
/// file does not exist or has another kind.
#[must_use]
pub fn read_sidecar<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let mut text = String::new();
    File::open(path).ok()?.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// Writes a sidecar.
///
/// # Errors
/// [`ArtifactError`] if the file cannot be written.
pub fn write_sidecar<T: Serialize>(path: &Path, sidecar: &T) -> Result<(), ArtifactError> {
    write_json(path, sidecar)
}

/// The scanner from the sidecar of an image, from any tool. Empty if there is no sidecar.
#[must_use]
pub fn read_scanner(image: &Path) -> Scanner {
    let fields: Map<String, Value> = read_sidecar(&sidecar_path(image)).unwrap_or_default();
    let text = |key| fields.get(key).and_then(Value::as_str).map(Into::into);
    let field_strength = fields.get("MagneticFieldStrength").and_then(Value::as_f64);
    Scanner {
        manufacturer: text("Manufacturer"),
        model: text("ManufacturersModelName"),
        field_strength: field_strength.and_then(FieldStrength::new),
    }
}

#[cfg(test)]
mod tests {
    use brainreel_artifact::hash_bytes;

    use super::*;

    #[test]
    fn a_sidecar_lies_beside_its_image() {
        for image in ["a/sub-1.2_T1w.nii.gz", "a/sub-1.2_T1w.nii"] {
            assert_eq!(sidecar_path(Path::new(image)), Path::new("a/sub-1.2_T1w.json"));
        }
    }

    /// The bytes must equal those of earlier versions, because a rerun compares them.
    #[test]
    fn sidecars_keep_their_bytes_and_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        let hash = hash_bytes(b"image");
        let provenance = Provenance::new("convert", 3, &(), hash_bytes(b"dicom"));
        let acquisition = dicom::Sidecar {
            manufacturer: Some("SIEMENS".to_owned()),
            magnetic_field_strength: FieldStrength::new(3.0),
            echo_time: Some(0.00298),
            ..dicom::Sidecar::default()
        };
        let raw = RawSidecar {
            acquisition: RawSidecar::acquisition_fields(&acquisition),
            warnings: Vec::new(),
            image_sha256: hash.clone(),
            provenance: provenance.clone(),
        };
        write_sidecar(&path, &raw).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = "{\n  \"ConversionSoftware\": \"\",\n  \"ConversionSoftwareVersion\": \"\",\n  \
                        \"EchoTime\": 0.00298,\n  \"MagneticFieldStrength\": 3.0,\n  \
                        \"Manufacturer\": \"SIEMENS\",\n  \"BrainreelImageSha256\": ";
        assert!(text.starts_with(expected), "{text}");
        assert_eq!(read_sidecar::<RawSidecar>(&path), Some(raw));
        let scanner = read_scanner(&folder.path().join("x.nii.gz"));
        assert_eq!(scanner.name().as_deref(), Some("SIEMENS"));
        assert_eq!(scanner.field_strength, FieldStrength::new(3.0));
        assert!(read_sidecar::<DerivativeSidecar<()>>(&path).is_none());

        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Extra {
            quality: f64,
        }
        let derived = DerivativeSidecar {
            description: "d".to_owned(),
            sources: Vec::new(),
            skull_stripped: true,
            brain_extractor: None,
            extra: Extra { quality: 0.1 },
            image_sha256: hash,
            files_sha256: BTreeMap::new(),
            provenance,
        };
        write_sidecar(&path, &derived).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let order = [
            "\"BrainExtractor\": null,",
            "\"Quality\": 0.1,",
            "\"ImageSha256\"",
            "\"FilesSha256\"",
            "\"Provenance\"",
        ];
        let places: Vec<usize> = order.iter().map(|part| text.find(part).expect(part)).collect();
        assert!(places.is_sorted(), "{text}");
        assert_eq!(read_sidecar::<DerivativeSidecar<Extra>>(&path), Some(derived));
    }

    #[test]
    fn foreign_sidecars_are_read_as_far_as_they_make_sense() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("x.nii");
        assert_eq!(read_scanner(&image), Scanner::default());
        std::fs::write(folder.path().join("x.json"), r#"{"Manufacturer": "GE", "MagneticFieldStrength": 0}"#)
            .unwrap();
        let scanner = read_scanner(&image);
        assert_eq!((scanner.name().as_deref(), scanner.field_strength), (Some("GE"), None));
        std::fs::write(folder.path().join("x.json"), "[1]").unwrap();
        assert_eq!(read_scanner(&image), Scanner::default());
    }
}
