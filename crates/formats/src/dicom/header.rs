//! What is kept of a file's header.

use std::path::{Path, PathBuf};

use brainreel_artifact::HashBuilder;
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::FileFault;
use super::sidecar::Sidecar;
use super::stream::{Elements, PixelSpan, read_elements};

/// The elements that are read, everything else is skipped.
const WANTED: &[Tag] = &[
    tags::SPECIFIC_CHARACTER_SET,
    tags::IMAGE_TYPE,
    tags::SOP_CLASS_UID,
    tags::SOP_INSTANCE_UID,
    tags::STUDY_DATE,
    tags::SERIES_DATE,
    tags::ACQUISITION_DATE,
    tags::MODALITY,
    tags::MANUFACTURER,
    tags::MANUFACTURER_MODEL_NAME,
    tags::SERIES_DESCRIPTION,
    tags::PATIENT_ID,
    tags::SLICE_THICKNESS,
    tags::REPETITION_TIME,
    tags::ECHO_TIME,
    tags::ECHO_NUMBERS,
    tags::INVERSION_TIME,
    tags::MAGNETIC_FIELD_STRENGTH,
    tags::MR_ACQUISITION_TYPE,
    tags::SCANNING_SEQUENCE,
    tags::FLIP_ANGLE,
    tags::STUDY_INSTANCE_UID,
    tags::SERIES_INSTANCE_UID,
    tags::SERIES_NUMBER,
    tags::INSTANCE_NUMBER,
    tags::IMAGES_IN_ACQUISITION,
    tags::IMAGE_POSITION_PATIENT,
    tags::IMAGE_ORIENTATION_PATIENT,
    tags::SAMPLES_PER_PIXEL,
    tags::PHOTOMETRIC_INTERPRETATION,
    tags::NUMBER_OF_FRAMES,
    tags::ROWS,
    tags::COLUMNS,
    tags::PIXEL_SPACING,
    tags::BITS_ALLOCATED,
    tags::BITS_STORED,
    tags::HIGH_BIT,
    tags::PIXEL_REPRESENTATION,
    tags::RESCALE_INTERCEPT,
    tags::RESCALE_SLOPE,
];

/// One file of a series: a few hundred bytes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SliceHeader {
    pub(super) path: PathBuf,
    pub(super) sop_uid: String,
    pub(super) instance_number: Option<i64>,
    pub(super) images_in_acquisition: Option<i64>,
    pub(super) file_length: u64,
    pub(super) format: SliceFormat,
    pub(super) rescale: Option<(f64, f64)>,
    /// ImagePositionPatient, LPS+ mm.
    pub(super) position: Option<[f64; 3]>,
    /// ImageOrientationPatient: unit vectors along a row and along a column, LPS+.
    pub(super) orientation: Option<[f64; 6]>,
    /// Between rows and between columns, mm.
    pub(super) spacing: Option<[f64; 2]>,
    pub(super) pixels: PixelSpan,
}

impl SliceHeader {
    /// Adds everything but the path to a digest.
    pub(super) fn add_to(&self, hash: HashBuilder) -> HashBuilder {
        let SliceFormat {
            transfer_syntax,
            columns,
            rows,
            samples,
            bits_allocated,
            bits_stored,
            high_bit,
            signed,
            photometric,
            multi_frame,
        } = &self.format;
        let integers = [*columns, *rows, *samples, *bits_allocated, *bits_stored, *high_bit];
        let flags = [u8::from(*signed), u8::from(*multi_frame)];
        let (slope, intercept) = self.rescale.unwrap_or((1.0, 0.0));
        let floats = [slope, intercept].into_iter().chain(self.position.into_iter().flatten());
        let floats = floats.chain(self.orientation.into_iter().flatten());
        let floats = floats.chain(self.spacing.into_iter().flatten());
        hash.part(&self.sop_uid)
            .part(self.file_length.to_le_bytes())
            .part(self.pixels.offset.to_le_bytes())
            .part(transfer_syntax)
            .part(photometric)
            .part(integers.map(u16::to_le_bytes).as_flattened())
            .part(flags)
            .part(floats.flat_map(f64::to_le_bytes).collect::<Vec<u8>>())
    }
}

/// How the pixels of a slice are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SliceFormat {
    pub(super) transfer_syntax: String,
    pub(super) columns: u16,
    pub(super) rows: u16,
    pub(super) samples: u16,
    pub(super) bits_allocated: u16,
    pub(super) bits_stored: u16,
    pub(super) high_bit: u16,
    pub(super) signed: bool,
    pub(super) photometric: String,
    pub(super) multi_frame: bool,
}

/// What a file says about its series.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SeriesFacts {
    pub(super) series_uid: String,
    pub(super) study_uid: String,
    pub(super) patient_id: String,
    pub(super) study_date: String,
    pub(super) acquisition_date: String,
    pub(super) modality: String,
    pub(super) description: String,
    pub(super) series_number: Option<i64>,
    pub(super) image_type: String,
    pub(super) scanning_sequence: String,
    /// EchoNumbers, which tells the echoes of a series apart.
    pub(super) echo: String,
    pub(super) sidecar: Sidecar,
}

/// Reads the header of a file, as far as the pixels.
pub(super) fn read_header(path: &Path) -> Result<(SliceHeader, SeriesFacts), FileFault> {
    let elements = read_elements(path, WANTED)?;
    let Some(pixels) = elements.pixels else { return Err(FileFault::NoImage) };
    let attributes = Attributes(&elements.object);
    let facts = attributes.series_facts();
    let slice = attributes.slice(path, &elements, pixels)?;
    Ok((slice, facts))
}

/// Lenient access: a missing or unreadable attribute is empty, and its user decides whether that matters.
pub(super) struct Attributes<'a>(&'a InMemDicomObject);

impl Attributes<'_> {
    pub(super) fn text(&self, tag: Tag) -> String {
        let value = self.0.get(tag).and_then(|element| element.to_str().ok());
        value.map(|text| text.trim_matches([' ', '\0']).to_owned()).unwrap_or_default()
    }

    pub(super) fn numbers(&self, tag: Tag) -> Vec<f64> {
        let values = self.0.get(tag).and_then(|element| element.to_multi_float64().ok());
        values.unwrap_or_default()
    }

    pub(super) fn number(&self, tag: Tag) -> Option<f64> {
        self.numbers(tag).first().copied().filter(|value| value.is_finite())
    }

    fn whole(&self, tag: Tag) -> Option<i64> {
        self.0.get(tag).and_then(|element| element.to_int().ok())
    }

    fn integer(&self, tag: Tag) -> Option<u16> {
        self.0.get(tag).and_then(|element| element.to_int::<u16>().ok())
    }

    /// Exactly `N` finite numbers.
    fn vector<const N: usize>(&self, tag: Tag) -> Option<[f64; N]> {
        let values: [f64; N] = self.numbers(tag).try_into().ok()?;
        values.iter().all(|value| value.is_finite()).then_some(values)
    }

    fn series_facts(&self) -> SeriesFacts {
        SeriesFacts {
            series_uid: self.text(tags::SERIES_INSTANCE_UID),
            study_uid: self.text(tags::STUDY_INSTANCE_UID),
            patient_id: self.text(tags::PATIENT_ID),
            study_date: self.text(tags::STUDY_DATE),
            acquisition_date: [tags::ACQUISITION_DATE, tags::SERIES_DATE]
                .map(|tag| self.text(tag))
                .into_iter()
                .find(|date| !date.is_empty())
                .unwrap_or_default(),
            modality: self.text(tags::MODALITY),
            description: self.text(tags::SERIES_DESCRIPTION),
            series_number: self.whole(tags::SERIES_NUMBER),
            image_type: self.text(tags::IMAGE_TYPE),
            scanning_sequence: self.text(tags::SCANNING_SEQUENCE),
            echo: self.text(tags::ECHO_NUMBERS),
            sidecar: Sidecar::from_attributes(self),
        }
    }

    fn slice(&self, path: &Path, elements: &Elements, pixels: PixelSpan) -> Result<SliceHeader, FileFault> {
        let missing = |name: &str| FileFault::Damaged {
            position: pixels.offset,
            found: format!("an image without a usable {name}"),
        };
        let need = |tag, name| self.integer(tag).ok_or_else(|| missing(name));
        let rows = need(tags::ROWS, "Rows")?;
        let columns = need(tags::COLUMNS, "Columns")?;
        if rows == 0 || columns == 0 {
            return Err(missing("Rows and Columns"));
        }
        let bits_allocated = need(tags::BITS_ALLOCATED, "BitsAllocated")?;
        let bits_stored = self.integer(tags::BITS_STORED).unwrap_or(bits_allocated);
        let high_bit = self.integer(tags::HIGH_BIT).unwrap_or(bits_stored.saturating_sub(1));
        if bits_stored == 0 || high_bit >= bits_allocated || bits_stored > high_bit + 1 {
            return Err(missing("BitsStored and HighBit"));
        }
        let n_frames = self.number(tags::NUMBER_OF_FRAMES).unwrap_or(1.0);
        let format = SliceFormat {
            transfer_syntax: elements.transfer_syntax.clone(),
            columns,
            rows,
            samples: self.integer(tags::SAMPLES_PER_PIXEL).unwrap_or(1),
            bits_allocated,
            bits_stored,
            high_bit,
            signed: self.integer(tags::PIXEL_REPRESENTATION) == Some(1),
            photometric: self.text(tags::PHOTOMETRIC_INTERPRETATION),
            multi_frame: n_frames > 1.0 || is_multi_frame_class(&elements.sop_class),
        };
        let slope = self.number(tags::RESCALE_SLOPE).filter(|slope| slope.abs() > 0.0).unwrap_or(1.0);
        let intercept = self.number(tags::RESCALE_INTERCEPT).unwrap_or(0.0);
        let identity = slope.total_cmp(&1.0).is_eq() && intercept.abs() == 0.0;
        Ok(SliceHeader {
            path: path.to_owned(),
            sop_uid: self.text(tags::SOP_INSTANCE_UID),
            instance_number: self.whole(tags::INSTANCE_NUMBER),
            images_in_acquisition: self.whole(tags::IMAGES_IN_ACQUISITION),
            file_length: elements.file_length,
            format,
            rescale: (!identity).then_some((slope, intercept)),
            position: self.vector(tags::IMAGE_POSITION_PATIENT),
            orientation: self.vector(tags::IMAGE_ORIENTATION_PATIENT),
            spacing: self.vector(tags::PIXEL_SPACING),
            pixels,
        })
    }
}

/// Enhanced CT, MR and PET, legacy converted ones, multi-frame secondary captures.
fn is_multi_frame_class(sop_class: &str) -> bool {
    const CLASSES: &[&str] = &[
        "1.2.840.10008.5.1.4.1.1.2.1",
        "1.2.840.10008.5.1.4.1.1.2.2",
        "1.2.840.10008.5.1.4.1.1.4.1",
        "1.2.840.10008.5.1.4.1.1.4.4",
        "1.2.840.10008.5.1.4.1.1.130",
        "1.2.840.10008.5.1.4.1.1.128.1",
    ];
    CLASSES.contains(&sop_class)
}
