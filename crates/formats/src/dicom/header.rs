//! Header data of a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use brainreel_artifact::HashBuilder;
use brainreel_cohort::Date;
use dicom_core::{DataElement, Tag};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_object::mem::InMemElement;

use super::FileFault;
use super::sidecar::Sidecar;
use super::stream::{Elements, PixelKind, PixelSpan, read_elements};

/// GE's code for the component of a complex image: 0 magnitude, 1 phase, 2 real, 3 imaginary.
const GE_IMAGE_PART: Tag = Tag(0x0043, 0x102f);

/// The elements that are read. All others are skipped.
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
    tags::COMPLEX_IMAGE_COMPONENT,
    tags::PATIENT_ID,
    tags::SCANNING_SEQUENCE,
    tags::SEQUENCE_VARIANT,
    tags::SCAN_OPTIONS,
    tags::ECHO_PULSE_SEQUENCE,
    tags::ECHO_PLANAR_PULSE_SEQUENCE,
    tags::MR_ACQUISITION_TYPE,
    tags::SLICE_THICKNESS,
    tags::REPETITION_TIME,
    tags::ECHO_TIME,
    tags::INVERSION_TIME,
    tags::IMAGING_FREQUENCY,
    tags::IMAGED_NUCLEUS,
    tags::ECHO_NUMBERS,
    tags::MAGNETIC_FIELD_STRENGTH,
    tags::SPACING_BETWEEN_SLICES,
    tags::ECHO_TRAIN_LENGTH,
    tags::PERCENT_SAMPLING,
    tags::PERCENT_PHASE_FIELD_OF_VIEW,
    tags::PIXEL_BANDWIDTH,
    tags::SOFTWARE_VERSIONS,
    tags::RECEIVE_COIL_NAME,
    tags::IN_PLANE_PHASE_ENCODING_DIRECTION,
    tags::FLIP_ANGLE,
    tags::SAR,
    tags::PATIENT_POSITION,
    tags::ACQUISITION_DURATION,
    tags::PULSE_SEQUENCE_NAME,
    tags::STUDY_INSTANCE_UID,
    tags::SERIES_INSTANCE_UID,
    tags::SERIES_NUMBER,
    tags::INSTANCE_NUMBER,
    tags::IMAGES_IN_ACQUISITION,
    tags::IMAGE_POSITION_PATIENT,
    tags::IMAGE_ORIENTATION_PATIENT,
    tags::TEMPORAL_POSITION_IDENTIFIER,
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
    GE_IMAGE_PART,
];

/// Largest number of frames per file.
const MAX_FRAMES: f64 = 131_072.0;

/// One slice of a series: a file, or a frame of a file. Takes a few hundred bytes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SliceHeader {
    pub(super) path: PathBuf,
    /// Zero-based frame of a multi-frame file, and the number of frames.
    pub(super) frame: Option<(u32, u32)>,
    pub(super) sop_uid: String,
    pub(super) instance_number: Option<i64>,
    pub(super) images_in_acquisition: Option<i64>,
    /// Echo time in microseconds, because one volume may have it in several spellings.
    pub(super) echo_us: Option<i64>,
    /// Time point, if the series has several.
    pub(super) temporal_position: Option<i64>,
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
    /// Adds everything except the path to a digest.
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
        } = &self.format;
        let integers = [*columns, *rows, *samples, *bits_allocated, *bits_stored, *high_bit];
        let (frame, n_frames) = self.frame.unwrap_or((0, 0));
        let (slope, intercept) = self.rescale.unwrap_or((1.0, 0.0));
        let floats = [slope, intercept].into_iter().chain(self.position.into_iter().flatten());
        let floats = floats.chain(self.orientation.into_iter().flatten());
        let floats = floats.chain(self.spacing.into_iter().flatten());
        hash.part(&self.sop_uid)
            .part([frame, n_frames].map(u32::to_le_bytes).as_flattened())
            .part(self.file_length.to_le_bytes())
            .part(self.pixels.offset.to_le_bytes())
            .part(transfer_syntax)
            .part(photometric)
            .part(integers.map(u16::to_le_bytes).as_flattened())
            .part([u8::from(*signed)])
            .part(floats.flat_map(f64::to_le_bytes).collect::<Vec<u8>>())
    }

    /// Whether two files or frames are the same image according to their headers.
    pub(super) fn is_copy_of(&self, other: &Self) -> bool {
        !self.sop_uid.is_empty()
            && self.sop_uid == other.sop_uid
            && self.frame.map(|(idx, _)| idx) == other.frame.map(|(idx, _)| idx)
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
}

/// Series-level attributes of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SeriesFacts {
    pub(super) series_uid: String,
    pub(super) study_uid: String,
    pub(super) patient_id: String,
    pub(super) study_date: Option<Date>,
    pub(super) acquisition_date: Option<Date>,
    pub(super) modality: String,
    pub(super) description: String,
    pub(super) series_number: Option<i64>,
    pub(super) image_type: String,
    pub(super) scanning_sequence: String,
    /// What distinguishes the volumes of a series besides ImageType: echo, stack, component of a complex
    /// image...
    pub(super) part: String,
    pub(super) sidecar: Sidecar,
}

/// Slices of one volume, with the series-level attributes of their file.
pub(super) struct FileSlices {
    pub(super) facts: SeriesFacts,
    pub(super) slices: Vec<SliceHeader>,
}

/// Reads the header of a file up to the pixels. Groups the frames of a multi-frame file by volume.
pub(super) fn read_header(path: &Path) -> Result<Vec<FileSlices>, FileFault> {
    let elements = read_elements(path, WANTED)?;
    let Some(pixels) = elements.pixels else { return Err(FileFault::NoImage) };
    let whole = Attributes { layers: vec![&elements.object] };
    let is_multi_frame = !elements.frames.is_empty()
        || whole.number(tags::NUMBER_OF_FRAMES).is_some_and(|n| n > 1.0)
        || is_multi_frame_class(&elements.sop_class);
    if !is_multi_frame {
        let slice = whole.slice(path, &elements, pixels, None)?;
        return Ok(vec![FileSlices { facts: whole.series_facts(), slices: vec![slice] }]);
    }
    read_frames(path, &elements, pixels)
}

fn read_frames(path: &Path, elements: &Elements, pixels: PixelSpan) -> Result<Vec<FileSlices>, FileFault> {
    let whole = Attributes { layers: vec![&elements.object] };
    let n_frames = whole.number(tags::NUMBER_OF_FRAMES).unwrap_or(1.0);
    if !(1.0..=MAX_FRAMES).contains(&n_frames) {
        let found = format!("{n_frames} frames");
        return Err(FileFault::Damaged { position: pixels.offset, found });
    }
    let n_frames = n_frames as u32;
    let n_described = elements.frames.len();
    if n_described > 0 && n_described != n_frames as usize {
        let found = format!("{n_frames} frames, of which {n_described} are described");
        return Err(FileFault::Damaged { position: pixels.offset, found });
    }
    let mut volumes: BTreeMap<(String, String), FileSlices> = BTreeMap::new();
    for idx in 0..n_frames {
        let frame = elements.frames.get(idx as usize);
        let layers = frame.into_iter().chain(&elements.shared).chain([&elements.object]).collect();
        let attributes = Attributes { layers };
        let slice = attributes.slice(path, elements, pixels, Some((idx, n_frames)))?;
        let part = if n_described > 0 { attributes.frame_part() } else { attributes.part() };
        volumes
            .entry((attributes.image_type(), part.clone()))
            .or_insert_with(|| FileSlices {
                facts: SeriesFacts { part, ..attributes.series_facts() },
                slices: Vec::new(),
            })
            .slices
            .push(slice);
    }
    Ok(volumes.into_values().flat_map(|volume| by_other_dimensions(volume, elements)).collect())
}

/// Separates frames by dimensions without a known attribute (vendors have their own), if frames would
/// otherwise share a position.
fn by_other_dimensions(volume: FileSlices, elements: &Elements) -> Vec<FileSlices> {
    /// Dimensions that count positions, or that have a known attribute of their own.
    const KNOWN: &[Tag] = &[
        tags::IN_STACK_POSITION_NUMBER,
        tags::IMAGE_POSITION_PATIENT,
        tags::STACK_ID,
        tags::TEMPORAL_POSITION_INDEX,
        tags::TEMPORAL_POSITION_TIME_OFFSET,
        tags::EFFECTIVE_ECHO_TIME,
        tags::DIFFUSION_B_VALUE,
    ];
    let mut places: Vec<[u64; 3]> = volume
        .slices
        .iter()
        .filter_map(|slice| slice.position.map(|position| position.map(f64::to_bits)))
        .collect();
    places.sort_unstable();
    let n_distinct = places.chunk_by(|a, b| a == b).count();
    if n_distinct == places.len() {
        return vec![volume];
    }
    let key = |slice: &SliceHeader| -> Vec<i64> {
        let Some(frame) = slice.frame.and_then(|(idx, _)| elements.frames.get(idx as usize)) else {
            return Vec::new();
        };
        let values = frame.get(tags::DIMENSION_INDEX_VALUES).and_then(|values| values.to_multi_int().ok());
        let others = elements.dimensions.iter().zip(values.unwrap_or_default());
        others.filter(|(dimension, _)| !KNOWN.contains(dimension)).map(|(_, value)| value).collect()
    };
    let FileSlices { facts, slices } = volume;
    let mut volumes: BTreeMap<Vec<i64>, Vec<SliceHeader>> = BTreeMap::new();
    for slice in slices {
        volumes.entry(key(&slice)).or_default().push(slice);
    }
    if volumes.len() == 1 {
        return volumes.into_values().map(|slices| FileSlices { facts: facts.clone(), slices }).collect();
    }
    let with_key = |(key, slices): (Vec<i64>, Vec<SliceHeader>)| {
        let part = format!("{} {key:?}", facts.part);
        FileSlices { facts: SeriesFacts { part, ..facts.clone() }, slices }
    };
    volumes.into_iter().map(with_key).collect()
}

/// Lenient access: a missing or unreadable attribute is empty, and the caller decides whether that matters.
/// Lookup order: the frame, then the shared functional groups, then the file.
pub(super) struct Attributes<'a> {
    layers: Vec<&'a InMemDicomObject>,
}

impl Attributes<'_> {
    fn get(&self, tag: Tag) -> Option<&InMemElement> {
        self.layers.iter().find_map(|layer| layer.get(tag))
    }

    pub(super) fn text(&self, tag: Tag) -> String {
        let value = self.get(tag).and_then(|element| element.to_str().ok());
        value.map(|text| text.trim_matches([' ', '\0']).to_owned()).unwrap_or_default()
    }

    pub(super) fn numbers(&self, tag: Tag) -> Vec<f64> {
        let values = self.get(tag).and_then(|element| element.to_multi_float64().ok());
        values.unwrap_or_default()
    }

    pub(super) fn number(&self, tag: Tag) -> Option<f64> {
        self.numbers(tag).first().copied().filter(|value| value.is_finite())
    }

    fn whole(&self, tag: Tag) -> Option<i64> {
        self.get(tag).and_then(|element| element.to_int().ok())
    }

    fn integer(&self, tag: Tag) -> Option<u16> {
        self.get(tag).and_then(|element| element.to_int::<u16>().ok())
    }

    /// Exactly `N` finite numbers.
    pub(super) fn vector<const N: usize>(&self, tag: Tag) -> Option<[f64; N]> {
        let values: [f64; N] = self.numbers(tag).try_into().ok()?;
        values.iter().all(|value| value.is_finite()).then_some(values)
    }

    /// FrameType of a frame, else ImageType.
    pub(super) fn image_type(&self) -> String {
        Some(self.text(tags::FRAME_TYPE))
            .filter(|text| !text.is_empty())
            .unwrap_or(self.text(tags::IMAGE_TYPE))
    }

    /// EffectiveEchoTime of a frame, else EchoTime, in ms.
    pub(super) fn echo_time_ms(&self) -> Option<f64> {
        self.number(tags::EFFECTIVE_ECHO_TIME).or_else(|| self.number(tags::ECHO_TIME))
    }

    /// ScanningSequence, composed from the attributes of enhanced images.
    pub(super) fn scanning_sequence(&self) -> String {
        let classic = self.text(tags::SCANNING_SEQUENCE);
        if !classic.is_empty() {
            return classic;
        }
        let says_yes = |tag| self.text(tag) == "YES";
        let pulses: &[&str] = match self.text(tags::ECHO_PULSE_SEQUENCE).as_str() {
            "GRADIENT" => &["GR"],
            "SPIN" => &["SE"],
            "BOTH" => &["GR", "SE"],
            _ => &[],
        };
        let planar = says_yes(tags::ECHO_PLANAR_PULSE_SEQUENCE).then_some("EP");
        let inversion = says_yes(tags::INVERSION_RECOVERY).then_some("IR");
        pulses.iter().copied().chain(planar).chain(inversion).collect::<Vec<_>>().join("\\")
    }

    fn echo_us(&self) -> Option<i64> {
        self.echo_time_ms().map(|ms| (ms * 1000.0).round() as i64)
    }

    /// What distinguishes the volumes of a classic series.
    fn part(&self) -> String {
        let b_value = self.number(tags::DIFFUSION_B_VALUE).map(|b| b.round() as i64);
        let ge_part = self.get(GE_IMAGE_PART).and_then(little_endian_or_number);
        let [echo, complex] = [tags::ECHO_NUMBERS, tags::COMPLEX_IMAGE_COMPONENT].map(|tag| self.text(tag));
        format!("{echo} {complex} {b_value:?} {ge_part:?}")
    }

    /// What distinguishes the volumes of a multi-frame file, besides its own dimensions.
    fn frame_part(&self) -> String {
        format!("{} {} {:?}", self.part(), self.text(tags::STACK_ID), self.echo_us())
    }

    fn series_facts(&self) -> SeriesFacts {
        let ge_part = self.get(GE_IMAGE_PART).and_then(little_endian_or_number);
        let complex = match ge_part {
            Some(1) => "PHASE".to_owned(),
            Some(2) => "REAL".to_owned(),
            Some(3) => "IMAGINARY".to_owned(),
            _ => self.text(tags::COMPLEX_IMAGE_COMPONENT),
        };
        let mut image_type = self.image_type();
        if !matches!(complex.as_str(), "" | "MAGNITUDE" | "MIXED") {
            image_type = format!(r"{image_type}\{complex}");
        }
        SeriesFacts {
            series_uid: self.text(tags::SERIES_INSTANCE_UID),
            study_uid: self.text(tags::STUDY_INSTANCE_UID),
            patient_id: self.text(tags::PATIENT_ID),
            study_date: Date::parse(&self.text(tags::STUDY_DATE)),
            acquisition_date: [tags::ACQUISITION_DATE, tags::SERIES_DATE]
                .into_iter()
                .find_map(|tag| Date::parse(&self.text(tag))),
            modality: self.text(tags::MODALITY),
            description: self.text(tags::SERIES_DESCRIPTION),
            series_number: self.whole(tags::SERIES_NUMBER),
            image_type,
            scanning_sequence: self.scanning_sequence(),
            part: self.part(),
            sidecar: Sidecar::from_attributes(self),
        }
    }

    fn slice(
        &self,
        path: &Path,
        elements: &Elements,
        pixels: PixelSpan,
        frame: Option<(u32, u32)>,
    ) -> Result<SliceHeader, FileFault> {
        let slope = self.number(tags::RESCALE_SLOPE).filter(|slope| slope.abs() > 0.0).unwrap_or(1.0);
        let intercept = self.number(tags::RESCALE_INTERCEPT).unwrap_or(0.0);
        let identity = slope.total_cmp(&1.0).is_eq() && intercept.abs() == 0.0;
        let number_tag = if frame.is_some() { tags::IN_STACK_POSITION_NUMBER } else { tags::INSTANCE_NUMBER };
        Ok(SliceHeader {
            path: path.to_owned(),
            frame,
            sop_uid: self.text(tags::SOP_INSTANCE_UID),
            instance_number: self.whole(number_tag),
            images_in_acquisition: self.whole(tags::IMAGES_IN_ACQUISITION),
            echo_us: self.echo_us(),
            temporal_position: self
                .whole(tags::TEMPORAL_POSITION_INDEX)
                .or_else(|| self.whole(tags::TEMPORAL_POSITION_IDENTIFIER)),
            file_length: elements.file_length,
            format: self.format(elements, pixels)?,
            rescale: (!identity).then_some((slope, intercept)),
            position: self.vector(tags::IMAGE_POSITION_PATIENT),
            orientation: self.vector(tags::IMAGE_ORIENTATION_PATIENT),
            spacing: self.vector(tags::PIXEL_SPACING),
            pixels,
        })
    }

    fn format(&self, elements: &Elements, pixels: PixelSpan) -> Result<SliceFormat, FileFault> {
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
        let bits_allocated = match pixels.kind {
            PixelKind::Integer => need(tags::BITS_ALLOCATED, "BitsAllocated")?,
            PixelKind::Float => 32,
            PixelKind::Double => 64,
        };
        let is_integer = pixels.kind == PixelKind::Integer;
        let stored = self.integer(tags::BITS_STORED).filter(|_| is_integer);
        let bits_stored = stored.unwrap_or(bits_allocated);
        let high_bit = self.integer(tags::HIGH_BIT).filter(|_| is_integer);
        let high_bit = high_bit.unwrap_or(bits_stored.saturating_sub(1));
        if bits_stored == 0 || high_bit >= bits_allocated || bits_stored > high_bit + 1 {
            return Err(missing("BitsStored and HighBit"));
        }
        Ok(SliceFormat {
            transfer_syntax: elements.transfer_syntax.clone(),
            columns,
            rows,
            samples: self.integer(tags::SAMPLES_PER_PIXEL).unwrap_or(1),
            bits_allocated,
            bits_stored,
            high_bit,
            signed: self.integer(tags::PIXEL_REPRESENTATION) == Some(1),
            photometric: self.text(tags::PHOTOMETRIC_INTERPRETATION),
        })
    }
}

/// A private numeric element, whose type is unknown in implicit encoding.
fn little_endian_or_number(element: &DataElement<InMemDicomObject>) -> Option<i64> {
    if element.vr() != dicom_core::VR::UN {
        return element.to_int().ok();
    }
    let bytes = element.to_bytes().ok()?;
    Some(i64::from(i16::from_le_bytes([*bytes.first()?, *bytes.get(1)?])))
}

/// Enhanced CT, MR and PET, and legacy converted ones.
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
