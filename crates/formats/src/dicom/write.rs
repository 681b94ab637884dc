//! Writes a classic single-frame MR series, for simulated scans.

use std::path::{Path, PathBuf};

use brainreel_artifact::{ArtifactError, HashBuilder, write_atomic};
use brainreel_volume::Volume;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use rayon::prelude::*;

/// Metadata of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesTags {
    /// PatientID, for ADNI the PTID (`002_S_0413`). Also written as PatientName, as ADNI does.
    pub patient_id: String,
    /// PatientSex: `F`, `M` or `O`; empty if unknown.
    pub patient_sex: String,
    /// PatientAge in whole years; `None` if unknown.
    pub patient_age_years: Option<u32>,
    /// StudyInstanceUID, for instance from [`uid_from`].
    pub study_uid: String,
    /// SeriesInstanceUID, for instance from [`uid_from`].
    pub series_uid: String,
    /// Study, series and acquisition date as `YYYYMMDD`.
    pub date: String,
    /// Study, series and acquisition time as `HHMMSS`.
    pub time: String,
    /// SeriesDescription and ProtocolName, for instance `MPRAGE`.
    pub description: String,
    /// SeriesNumber.
    pub series_number: u32,
    /// Manufacturer, for instance `SIEMENS`.
    pub manufacturer: String,
    /// ManufacturerModelName.
    pub model: String,
    /// MagneticFieldStrength in tesla.
    pub field_strength_t: f64,
    /// RepetitionTime in ms.
    pub repetition_time_ms: f64,
    /// EchoTime in ms.
    pub echo_time_ms: f64,
    /// InversionTime in ms; `None` if the sequence has no inversion.
    pub inversion_time_ms: Option<f64>,
    /// FlipAngle in degrees.
    pub flip_angle_deg: f64,
}

/// Why a series cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteSeriesError {
    /// The in-plane axes are not at right angles, which DICOM cannot express.
    #[error("the in-plane axes of the volume are at {degrees:.3} degrees, DICOM slices need 90")]
    NotOrthogonal {
        /// The actual angle.
        degrees: f64,
    },
    /// A slice is larger than the 16-bit rows and columns of DICOM.
    #[error("slices of {dims:?} pixels are beyond the 65535 rows and columns of DICOM")]
    TooLarge {
        /// Columns and rows.
        dims: [usize; 2],
    },
    /// The slice could not be encoded.
    #[error("cannot encode {}", path.display())]
    Encode {
        /// The target file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file could not be written.
    #[error(transparent)]
    Write(#[from] ArtifactError),
}

mod sealed {
    pub trait Sealed {}
}

/// A number type of stored MR slices: `i16` or `u16`.
pub trait DicomSample: Copy + Send + Sync + sealed::Sealed {
    /// PixelRepresentation: 1 for signed numbers.
    const PIXEL_REPRESENTATION: u16;
    /// The stored 16 bits.
    fn to_bits(self) -> u16;
}

impl sealed::Sealed for i16 {}
impl sealed::Sealed for u16 {}

impl DicomSample for i16 {
    const PIXEL_REPRESENTATION: u16 = 1;
    fn to_bits(self) -> u16 {
        self.cast_unsigned()
    }
}

impl DicomSample for u16 {
    const PIXEL_REPRESENTATION: u16 = 0;
    fn to_bits(self) -> u16 {
        self
    }
}

/// A UID of the form `2.25.<number>` that depends only on `parts`.
#[must_use]
pub fn uid_from(parts: &[&str]) -> String {
    let hash = parts.iter().fold(HashBuilder::new(), |builder, part| builder.part(part)).finish();
    let number = u128::from_str_radix(&hash.as_str()[..32], 16).expect("a digest is hexadecimal");
    format!("2.25.{number}")
}

/// Writes one explicit-VR little-endian file per slice into `folder`, each atomically. Returns the paths in
/// slice order.
///
/// The first axis of the volume is the column index of a slice, the second the row index, the third the slice
/// index. The grid may be oblique and of either handedness. `file_name` returns the name of slice `k`,
/// counted from 0.
///
/// # Determinism
/// The same arguments give the same bytes.
///
/// # Errors
/// [`WriteSeriesError`] if the in-plane axes are not at right angles or a file cannot be written.
pub fn write_series<T: DicomSample>(
    folder: &Path,
    volume: &Volume<T>,
    series: &SeriesTags,
    file_name: &(dyn Fn(usize) -> String + Sync),
) -> Result<Vec<PathBuf>, WriteSeriesError> {
    let geometry = SliceGeometry::of(volume)?;
    let [columns, rows, n_slices] = volume.dims();
    (0..n_slices)
        .into_par_iter()
        .map(|k| {
            let path = folder.join(file_name(k));
            let pixels = &volume.as_slice()[k * columns * rows..(k + 1) * columns * rows];
            let bytes = encode(series, &geometry, k, pixels)
                .map_err(|source| WriteSeriesError::Encode { path: path.clone(), source })?;
            write_atomic(&path, &bytes)?;
            Ok(path)
        })
        .collect()
}

/// The affine in DICOM terms: LPS+ mm, unit vectors, spacing.
struct SliceGeometry {
    columns: u16,
    rows: u16,
    orientation: [f64; 6],
    /// Between rows, between columns, between slices.
    spacing: [f64; 3],
    origin: [f64; 3],
    step: [f64; 3],
}

impl SliceGeometry {
    fn of<T>(volume: &Volume<T>) -> Result<Self, WriteSeriesError> {
        let [n_columns, n_rows, _] = volume.dims();
        let (Ok(columns), Ok(rows)) = (u16::try_from(n_columns), u16::try_from(n_rows)) else {
            return Err(WriteSeriesError::TooLarge { dims: [n_columns, n_rows] });
        };
        let affine = volume.grid().affine();
        let lps = |[x, y, z]: [f64; 3]| [-x, -y, z];
        let [dx, dy, dz] = affine.spacing_mm();
        let along_row = lps(affine.column(0)).map(|v| v / dx);
        let along_column = lps(affine.column(1)).map(|v| v / dy);
        let cosine: f64 = along_row.iter().zip(&along_column).map(|(a, b)| a * b).sum();
        if cosine.abs() > 1e-4 {
            return Err(WriteSeriesError::NotOrthogonal { degrees: cosine.acos().to_degrees() });
        }
        let [r, c] = [along_row, along_column];
        Ok(Self {
            columns,
            rows,
            orientation: [r[0], r[1], r[2], c[0], c[1], c[2]],
            spacing: [dy, dx, dz],
            origin: lps(affine.translation()),
            step: lps(affine.column(2)),
        })
    }

    fn position(&self, k: usize) -> [f64; 3] {
        [0, 1, 2].map(|axis| self.origin[axis] + k as f64 * self.step[axis])
    }
}

/// Formats a number as a decimal string, which DICOM limits to 16 characters.
fn decimal(value: f64) -> String {
    let value = if value == 0.0 { 0.0 } else { value };
    (0..=14)
        .rev()
        .map(|digits| format!("{value:.digits$}"))
        .find(|text| text.len() <= 16)
        .map(|text| match text.split_once('.') {
            Some(_) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            None => text,
        })
        .unwrap_or_else(|| format!("{value:.8e}"))
}

/// An object under construction, one line per element.
struct Builder(InMemDicomObject);

impl Builder {
    fn text(&mut self, tag: Tag, vr: VR, value: &str) {
        self.0.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
    }

    fn decimals(&mut self, tag: Tag, values: &[f64]) {
        let strings = values.iter().map(|&value| decimal(value)).collect();
        self.0.put(DataElement::new(tag, VR::DS, PrimitiveValue::Strs(strings)));
    }

    fn number(&mut self, tag: Tag, value: u16) {
        self.0.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
    }
}

type EncodeError = Box<dyn std::error::Error + Send + Sync>;

fn encode<T: DicomSample>(
    series: &SeriesTags,
    geometry: &SliceGeometry,
    k: usize,
    pixels: &[T],
) -> Result<Vec<u8>, EncodeError> {
    let instance_uid = uid_from(&[&series.series_uid, "slice", &k.to_string()]);
    let mut object = Builder(InMemDicomObject::new_empty());
    identify(&mut object, series, &instance_uid);
    acquire(&mut object, series);
    place(&mut object, series, geometry, k);
    object.number(tags::SAMPLES_PER_PIXEL, 1);
    object.text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2");
    object.number(tags::BITS_ALLOCATED, 16);
    object.number(tags::BITS_STORED, 16);
    object.number(tags::HIGH_BIT, 15);
    object.number(tags::PIXEL_REPRESENTATION, T::PIXEL_REPRESENTATION);
    let words = pixels.iter().map(|&pixel| pixel.to_bits()).collect();
    object.0.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(words)));
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
        .media_storage_sop_class_uid(uids::MR_IMAGE_STORAGE)
        .media_storage_sop_instance_uid(&instance_uid);
    let mut bytes = Vec::with_capacity(2 * pixels.len() + 4096);
    object.0.with_meta(meta)?.write_all(&mut bytes)?;
    Ok(bytes)
}

fn identify(object: &mut Builder, series: &SeriesTags, instance_uid: &str) {
    object.text(tags::IMAGE_TYPE, VR::CS, r"ORIGINAL\PRIMARY\M\ND");
    object.text(tags::SOP_CLASS_UID, VR::UI, uids::MR_IMAGE_STORAGE);
    object.text(tags::SOP_INSTANCE_UID, VR::UI, instance_uid);
    for tag in [tags::STUDY_DATE, tags::SERIES_DATE, tags::ACQUISITION_DATE] {
        object.text(tag, VR::DA, &series.date);
    }
    for tag in [tags::STUDY_TIME, tags::SERIES_TIME, tags::ACQUISITION_TIME] {
        object.text(tag, VR::TM, &series.time);
    }
    object.text(tags::MODALITY, VR::CS, "MR");
    object.text(tags::MANUFACTURER, VR::LO, &series.manufacturer);
    object.text(tags::MANUFACTURER_MODEL_NAME, VR::LO, &series.model);
    object.text(tags::SERIES_DESCRIPTION, VR::LO, &series.description);
    object.text(tags::PROTOCOL_NAME, VR::LO, &series.description);
    object.text(tags::PATIENT_NAME, VR::PN, &series.patient_id);
    object.text(tags::PATIENT_ID, VR::LO, &series.patient_id);
    object.text(tags::PATIENT_SEX, VR::CS, &series.patient_sex);
    if let Some(years) = series.patient_age_years {
        object.text(tags::PATIENT_AGE, VR::AS, &format!("{:03}Y", years.min(999)));
    }
    object.text(tags::STUDY_INSTANCE_UID, VR::UI, &series.study_uid);
    object.text(tags::SERIES_INSTANCE_UID, VR::UI, &series.series_uid);
    object.text(tags::SERIES_NUMBER, VR::IS, &series.series_number.to_string());
}

fn acquire(object: &mut Builder, series: &SeriesTags) {
    let inversion = series.inversion_time_ms;
    object.text(tags::SCANNING_SEQUENCE, VR::CS, if inversion.is_some() { r"GR\IR" } else { "GR" });
    object.text(tags::SEQUENCE_VARIANT, VR::CS, r"SP\MP");
    object.text(tags::MR_ACQUISITION_TYPE, VR::CS, "3D");
    object.decimals(tags::REPETITION_TIME, &[series.repetition_time_ms]);
    object.decimals(tags::ECHO_TIME, &[series.echo_time_ms]);
    if let Some(milliseconds) = inversion {
        object.decimals(tags::INVERSION_TIME, &[milliseconds]);
    }
    object.decimals(tags::FLIP_ANGLE, &[series.flip_angle_deg]);
    object.decimals(tags::MAGNETIC_FIELD_STRENGTH, &[series.field_strength_t]);
}

fn place(object: &mut Builder, series: &SeriesTags, geometry: &SliceGeometry, k: usize) {
    let [between_rows, between_columns, between_slices] = geometry.spacing;
    object.text(tags::FRAME_OF_REFERENCE_UID, VR::UI, &uid_from(&[&series.study_uid, "frame"]));
    object.text(tags::INSTANCE_NUMBER, VR::IS, &(k + 1).to_string());
    object.decimals(tags::IMAGE_POSITION_PATIENT, &geometry.position(k));
    object.decimals(tags::IMAGE_ORIENTATION_PATIENT, &geometry.orientation);
    object.decimals(tags::PIXEL_SPACING, &[between_rows, between_columns]);
    object.decimals(tags::SLICE_THICKNESS, &[between_slices]);
    object.number(tags::ROWS, geometry.rows);
    object.number(tags::COLUMNS, geometry.columns);
}
