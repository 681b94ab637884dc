//! Column names and their aliases. The only list of aliases.
//!
//! Case and punctuation of column names do not matter: `Image Data ID` equals `image_data_id`.

/// A field that a column can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "field strength is the term")]
pub(crate) enum Field {
    ImageId,
    SeriesId,
    Path,
    Subject,
    /// A participant's number within the study, without the site.
    Rid,
    Visit,
    Date,
    /// Research group: a diagnosis, or another word.
    Group,
    Diagnosis,
    /// 1 CN, 2 MCI, 3 dementia.
    DiagnosisCode,
    /// ADNI's ten kinds of change.
    DiagnosisChange,
    Cdr,
    Sex,
    AgeYears,
    /// Age at the first visit, regardless of the row's visit.
    BaselineAge,
    YearsSinceBaseline,
    DaysSinceEntry,
    Site,
    Phase,
    FieldStrength,
    Manufacturer,
    Model,
    Modality,
    Description,
    ImageType,
    /// Manufacturer and model in one column.
    Scanner,
    Sha256,
    Partition,
}

impl Field {
    /// The names of the column, the preferred one first.
    pub(crate) const fn names(self) -> &'static [&'static str] {
        match self {
            Self::ImageId => &["image_id", "Image Data ID", "ImageUID", "LONIUID"],
            Self::SeriesId => &["series_id"],
            Self::Path => &["path", "image_path", "filename", "file", "filepath"],
            Self::Subject => &["participant_id", "subject_id", "subject", "PTID", "patient_id", "OASISID"],
            Self::Rid => &["RID"],
            Self::Visit => {
                &["session_id", "session", "VISCODE2", "VISCODE", "visit", "mri_visit", "timepoint"]
            }
            Self::Date => &[
                "acq_date",
                "acq_time",
                "mri_date",
                "image_date",
                "Study Date",
                "ScanDate",
                "EXAMDATE",
                "date",
            ],
            Self::Group => &["group", "research_group"],
            Self::Diagnosis => &["diagnosis", "DX"],
            Self::DiagnosisCode => &["DIAGNOSIS", "DXCURREN"],
            Self::DiagnosisChange => &["DXCHANGE"],
            Self::Cdr => &["CDRTOT", "CDR"],
            Self::Sex => &["sex", "gender", "PTGENDER", "M/F", "subject_sex"],
            Self::AgeYears => &["age", "age_years", "age_at_visit"],
            Self::BaselineAge => &["AgeAtEntry"],
            Self::YearsSinceBaseline => &["Years_bl"],
            Self::DaysSinceEntry => &["days_to_visit", "ADRC_ADRCCLINICALDATA ID"],
            Self::Site => &["site", "site_id"],
            Self::Phase => &["phase"],
            Self::FieldStrength => &[
                "field_strength_t",
                "field_strength",
                "MagneticFieldStrength",
                "mri_field_str",
                "MagStrength",
                "FLDSTRENG",
            ],
            Self::Manufacturer => &["manufacturer", "mri_mfr"],
            Self::Model => &["model", "mri_mfr_model", "ManufacturersModelName"],
            Self::Modality => &["modality"],
            Self::Description => &["description", "mri_description", "image_description", "Sequence"],
            Self::ImageType => &["image_type", "type", "Orig/Proc"],
            Self::Scanner => &["scanner"],
            Self::Sha256 => &["sha256"],
            Self::Partition => &["partition", "split", "set", "subset", "dataset_split"],
        }
    }
}

/// A diagnosis or a research group, in tables with one column for both.
pub(crate) const DIAGNOSIS_OR_GROUP: &[&str] = &["diagnosis", "group", "DX", "research_group"];
