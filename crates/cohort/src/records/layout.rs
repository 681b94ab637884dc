//! The kinds of table that are known, told apart by their columns.

use std::fmt;
use std::io::BufRead;

use serde::{Deserialize, Serialize};

use crate::CohortError;
use crate::error::shorten;
use crate::table::TableReader;

/// A kind of table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    /// Image collection of the Image and Data Archive (IDA), as CSV.
    IdaCollection,
    /// Result of IDA's advanced search (`idaSearch_*.csv`), with the columns that were ticked.
    IdaSearch,
    /// `*_All_Images_*` of LONI's interface since October 2024.
    LoniAllImages,
    /// `*_Manifest_*` of the same interface: which series an image belongs to.
    LoniManifest,
    /// `*_Structural_MRI_Images_*` of the same interface.
    LoniStructuralMri,
    /// ADNI's `MPRAGEMETA.csv`.
    MprageMeta,
    /// ADNI's `ADNIMERGE.csv`: one row a visit.
    AdniMerge,
    /// ADNI's `DXSUM*.csv`: the diagnosis of each visit.
    Dxsum,
    /// `oasis_cross-sectional.csv`.
    Oasis1,
    /// `oasis_longitudinal.csv`.
    Oasis2,
    /// OASIS-3's clinical visits with CDR, in days since entry.
    Oasis3Clinical,
    /// OASIS-3's demographics.
    Oasis3Demographics,
    /// AIBL's `aibl_pdxconv_*.csv`: the diagnosis of each visit.
    AiblDiagnosis,
    /// AIBL's `aibl_ptdemog_*.csv`.
    AiblDemographics,
    /// AIBL's tables with the date of a visit (`aibl_mrimeta_*.csv`, `aibl_mri3meta_*.csv`).
    AiblVisits,
    /// BIDS `participants.tsv`.
    BidsParticipants,
    /// BIDS `sub-*_sessions.tsv`, or all of them in one with `participant_id`.
    BidsSessions,
    /// A table of your own: `path` or `image_id`, `subject`, `diagnosis`, and perhaps more.
    Plain,
}

/// What a row of a table is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowsAre {
    Images,
    Visits,
    People,
}

/// Something that a column may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    ImageId,
    SeriesId,
    Path,
    Subject,
    Rid,
    Visit,
    Date,
    Group,
    Diagnosis,
    /// 1 CN, 2 MCI, 3 dementia.
    DiagnosisCode,
    /// ADNI's ten kinds of change.
    DiagnosisChange,
    Cdr,
    Sex,
    AgeYears,
    /// Age at the first visit, whatever the row's.
    BaselineAge,
    YearsSinceBaseline,
    DaysSinceEntry,
    Site,
    Phase,
    /// Field strength of the scanner.
    Tesla,
    Manufacturer,
    Model,
    Modality,
    Description,
    ImageType,
}

/// A kind of table by its columns.
pub(super) struct Layout {
    pub(super) kind: TableKind,
    pub(super) rows: RowsAre,
    /// Columns without which it is not this kind; of each group one.
    pub(super) marks: &'static [&'static [&'static str]],
    /// Columns that are read if they are there.
    pub(super) columns: &'static [(Field, &'static [&'static str])],
    /// Where to get a good one.
    pub(super) remedy: &'static str,
}

impl TableKind {
    /// What people call it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IdaCollection => "IDA image collection",
            Self::IdaSearch => "IDA search result",
            Self::LoniAllImages => "LONI All Images",
            Self::LoniManifest => "LONI Manifest",
            Self::LoniStructuralMri => "LONI Structural MRI Images",
            Self::MprageMeta => "MPRAGEMETA",
            Self::AdniMerge => "ADNIMERGE",
            Self::Dxsum => "DXSUM",
            Self::Oasis1 => "OASIS-1 cross-sectional",
            Self::Oasis2 => "OASIS-2 longitudinal",
            Self::Oasis3Clinical => "OASIS-3 clinical visits",
            Self::Oasis3Demographics => "OASIS-3 demographics",
            Self::AiblDiagnosis => "AIBL pdxconv",
            Self::AiblDemographics => "AIBL ptdemog",
            Self::AiblVisits => "AIBL visits",
            Self::BidsParticipants => "BIDS participants.tsv",
            Self::BidsSessions => "BIDS sessions.tsv",
            Self::Plain => "plain table",
        }
    }
}

impl fmt::Display for TableKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

const IDA: &str = "download the collection table again (IDA: Advanced Search > your collection > CSV)";
const SEARCH: &str =
    "search again with these boxes ticked in the display options (IDA: Advanced Search > CSV Download)";
const LONI: &str = "download the table again (LONI: ARC Builder > the collection's image tables)";
const STUDY_DATA: &str = "download the table again (IDA: Download > Study Data)";
const OASIS: &str = "download the table again (oasis-brains.org, or the project's files on NITRC-IR)";
const AIBL: &str = "download AIBL's non-imaging tables again (IDA: AIBL > Download > Study Data)";
const BIDS: &str =
    "see the BIDS specification: participants.tsv needs participant_id, sessions.tsv needs session_id";
const OWN: &str = "a table of your own needs the columns subject, diagnosis, and path or image_id (or date)";

const RID: &[&str] = &["RID"];
const VISCODE: &[&str] = &["VISCODE2", "VISCODE"];
const SEX: &[&str] = &["Sex", "Gender", "PTGENDER", "M/F", "subject_sex"];

/// Every kind; a table is the first one whose marks it all has.
pub(super) const LAYOUTS: &[Layout] = &[
    Layout {
        kind: TableKind::IdaCollection,
        rows: RowsAre::Images,
        marks: &[&["Image Data ID"], &["Subject"], &["Group"]],
        columns: &[
            (Field::ImageId, &["Image Data ID"]),
            (Field::Subject, &["Subject"]),
            (Field::Group, &["Group"]),
            (Field::Sex, SEX),
            (Field::AgeYears, &["Age"]),
            (Field::Visit, &["Visit"]),
            (Field::Modality, &["Modality"]),
            (Field::Description, &["Description"]),
            (Field::ImageType, &["Type"]),
            (Field::Date, &["Acq Date"]),
        ],
        remedy: IDA,
    },
    Layout {
        kind: TableKind::Oasis2,
        rows: RowsAre::Visits,
        marks: &[&["Subject ID"], &["MRI ID"], &["CDR"]],
        columns: &[
            (Field::Subject, &["Subject ID"]),
            (Field::ImageId, &["MRI ID"]),
            (Field::Visit, &["MRI ID"]),
            (Field::Cdr, &["CDR"]),
            (Field::Sex, SEX),
            (Field::AgeYears, &["Age"]),
        ],
        remedy: OASIS,
    },
    Layout {
        kind: TableKind::LoniStructuralMri,
        rows: RowsAre::Images,
        marks: &[&["image_id"], &["subject_id"], &["mri_date"]],
        columns: &[
            (Field::ImageId, &["image_id"]),
            (Field::Subject, &["subject_id"]),
            (Field::Visit, &["mri_visit"]),
            (Field::Date, &["mri_date"]),
            (Field::Description, &["mri_description"]),
            (Field::Manufacturer, &["mri_mfr"]),
            (Field::Model, &["mri_mfr_model"]),
            (Field::Tesla, &["mri_field_str"]),
        ],
        remedy: LONI,
    },
    Layout {
        kind: TableKind::LoniAllImages,
        rows: RowsAre::Images,
        marks: &[&["image_id"], &["subject_id"], &["image_date"]],
        columns: &[
            (Field::ImageId, &["image_id"]),
            (Field::Subject, &["subject_id"]),
            (Field::Phase, &["phase"]),
            (Field::ImageType, &["image_type"]),
            (Field::Date, &["image_date"]),
            (Field::Description, &["image_description"]),
        ],
        remedy: LONI,
    },
    Layout {
        kind: TableKind::LoniManifest,
        rows: RowsAre::Images,
        marks: &[&["image_id"], &["series_id"]],
        columns: &[(Field::ImageId, &["image_id"]), (Field::SeriesId, &["series_id"])],
        remedy: LONI,
    },
    Layout {
        kind: TableKind::MprageMeta,
        rows: RowsAre::Images,
        marks: &[&["Orig/Proc"], &["SubjectID"], &["ImageUID"]],
        columns: &[
            (Field::ImageId, &["ImageUID"]),
            (Field::SeriesId, &["SeriesID"]),
            (Field::Subject, &["SubjectID"]),
            (Field::Visit, &["Visit"]),
            (Field::Tesla, &["MagStrength"]),
            (Field::Description, &["Sequence"]),
            (Field::Date, &["ScanDate"]),
            (Field::ImageType, &["Orig/Proc"]),
        ],
        remedy: STUDY_DATA,
    },
    Layout {
        kind: TableKind::IdaSearch,
        rows: RowsAre::Images,
        // Whatever was ticked beside the two ids.
        marks: &[
            &["Subject ID"],
            &["Image ID"],
            &[
                "Study Date",
                "Research Group",
                "Archive Date",
                "Visit",
                "Age",
                "Sex",
                "Weight",
                "Modality",
                "Description",
                "Type",
                "Imaging Protocol",
                "Global CDR",
                "MMSE Total Score",
                "APOE A1",
                "diagnosis",
                "DX",
            ],
        ],
        columns: &[
            (Field::ImageId, &["Image ID"]),
            (Field::Subject, &["Subject ID"]),
            (Field::Phase, &["Phase"]),
            (Field::Sex, SEX),
            (Field::Group, &["Research Group"]),
            (Field::Diagnosis, &["diagnosis", "DX"]),
            (Field::Visit, &["Visit"]),
            (Field::Date, &["Study Date", "date"]),
            (Field::AgeYears, &["Age"]),
            (Field::Modality, &["Modality"]),
            (Field::Description, &["Description"]),
            (Field::ImageType, &["Type"]),
        ],
        remedy: SEARCH,
    },
    Layout {
        kind: TableKind::AdniMerge,
        rows: RowsAre::Visits,
        marks: &[&["RID"], &["PTID"], &["VISCODE"], &["EXAMDATE"], &["DX"]],
        columns: &[
            (Field::Rid, RID),
            (Field::Subject, &["PTID"]),
            (Field::Visit, &["VISCODE"]),
            (Field::Date, &["EXAMDATE"]),
            (Field::Diagnosis, &["DX"]),
            (Field::BaselineAge, &["AGE"]),
            (Field::YearsSinceBaseline, &["Years_bl", "Years.bl"]),
            (Field::Sex, SEX),
            (Field::Site, &["SITE"]),
            (Field::Phase, &["COLPROT"]),
            (Field::Tesla, &["FLDSTRENG"]),
        ],
        remedy: STUDY_DATA,
    },
    Layout {
        kind: TableKind::AiblDiagnosis,
        rows: RowsAre::Visits,
        marks: &[&["RID"], &["SITEID"], &["VISCODE"], &["DXCURREN"]],
        columns: &[
            (Field::Rid, RID),
            (Field::Site, &["SITEID"]),
            (Field::Visit, &["VISCODE"]),
            (Field::DiagnosisCode, &["DXCURREN"]),
        ],
        remedy: AIBL,
    },
    Layout {
        kind: TableKind::Dxsum,
        rows: RowsAre::Visits,
        marks: &[&["RID"], &["VISCODE2", "VISCODE"], &["DIAGNOSIS", "DXCHANGE"]],
        columns: &[
            (Field::Rid, RID),
            (Field::Subject, &["PTID"]),
            (Field::Visit, VISCODE),
            (Field::Date, &["EXAMDATE"]),
            (Field::DiagnosisCode, &["DIAGNOSIS"]),
            (Field::DiagnosisChange, &["DXCHANGE"]),
            (Field::Site, &["SITEID"]),
            (Field::Phase, &["PHASE"]),
        ],
        remedy: STUDY_DATA,
    },
    Layout {
        kind: TableKind::AiblDemographics,
        rows: RowsAre::People,
        marks: &[&["RID"], &["SITEID"], &["PTGENDER"], &["PTDOB"]],
        columns: &[(Field::Rid, RID), (Field::Sex, SEX), (Field::Site, &["SITEID"])],
        remedy: AIBL,
    },
    Layout {
        kind: TableKind::AiblVisits,
        rows: RowsAre::Visits,
        marks: &[&["RID"], &["SITEID"], &["VISCODE"], &["EXAMDATE"]],
        columns: &[
            (Field::Rid, RID),
            (Field::Site, &["SITEID"]),
            (Field::Visit, &["VISCODE"]),
            (Field::Date, &["EXAMDATE"]),
        ],
        remedy: AIBL,
    },
    Layout {
        kind: TableKind::Oasis3Clinical,
        rows: RowsAre::Visits,
        marks: &[&["OASISID", "Subject"], &["days_to_visit", "ADRC_ADRCCLINICALDATA ID"], &["CDRTOT", "cdr"]],
        columns: &[
            (Field::Subject, &["OASISID", "Subject"]),
            (Field::DaysSinceEntry, &["days_to_visit", "ADRC_ADRCCLINICALDATA ID"]),
            (Field::Cdr, &["CDRTOT", "cdr"]),
            (Field::AgeYears, &["age at visit", "Age"]),
            (Field::BaselineAge, &["ageAtEntry"]),
        ],
        remedy: OASIS,
    },
    Layout {
        kind: TableKind::Oasis3Demographics,
        rows: RowsAre::People,
        marks: &[&["OASISID", "Subject"], &["AgeatEntry"]],
        columns: &[
            (Field::Subject, &["OASISID", "Subject"]),
            (Field::BaselineAge, &["AgeatEntry"]),
            (Field::Sex, &["GENDER", "M/F"]),
        ],
        remedy: OASIS,
    },
    Layout {
        kind: TableKind::Oasis1,
        rows: RowsAre::Visits,
        marks: &[&["ID"], &["M/F"], &["CDR"]],
        columns: &[
            (Field::Subject, &["ID"]),
            (Field::ImageId, &["ID"]),
            (Field::Visit, &["ID"]),
            (Field::Cdr, &["CDR"]),
            (Field::Sex, SEX),
            (Field::AgeYears, &["Age"]),
        ],
        remedy: OASIS,
    },
    Layout {
        kind: TableKind::Plain,
        rows: RowsAre::Images,
        marks: &[
            &["subject", "participant_id", "PTID", "Subject ID"],
            &["diagnosis", "group", "DX", "Research Group"],
            &["path", "file", "filename", "image_id", "image", "Image UID"],
        ],
        columns: &[
            (Field::Path, &["path", "file", "filename"]),
            (Field::ImageId, &["image_id", "image", "Image UID"]),
            (Field::Subject, &["subject", "participant_id", "PTID", "Subject ID"]),
            (Field::Group, &["diagnosis", "group", "DX", "Research Group"]),
            (Field::Diagnosis, &["diagnosis", "group", "DX", "Research Group"]),
            (Field::Visit, &["session", "session_id", "visit", "VISCODE"]),
            (Field::Date, &["date", "acq_date", "Acq Date"]),
            (Field::AgeYears, &["age", "age_years"]),
            (Field::Sex, SEX),
            (Field::Site, &["site"]),
            (Field::Phase, &["phase"]),
            (Field::Tesla, &["field_strength", "field_strength_t"]),
            (Field::Description, &["description"]),
            (Field::ImageType, &["type"]),
        ],
        remedy: OWN,
    },
    Layout {
        kind: TableKind::BidsSessions,
        rows: RowsAre::Visits,
        marks: &[&["session_id"]],
        columns: &[
            (Field::Subject, &["participant_id"]),
            (Field::Visit, &["session_id"]),
            (Field::Diagnosis, &["diagnosis", "group"]),
            (Field::AgeYears, &["age"]),
            (Field::Sex, SEX),
            (Field::Date, &["acq_date", "acq_time", "date"]),
            (Field::Site, &["site"]),
        ],
        remedy: BIDS,
    },
    Layout {
        kind: TableKind::BidsParticipants,
        rows: RowsAre::People,
        marks: &[&["participant_id"]],
        columns: &[(Field::Subject, &["participant_id"]), (Field::Sex, SEX), (Field::Site, &["site"])],
        remedy: BIDS,
    },
];

impl Layout {
    /// What a table is.
    ///
    /// # Errors
    /// [`CohortError::MissingColumn`] if it is nearly one of the known kinds, [`CohortError::UnknownTable`] if
    /// it is like none.
    pub(super) fn of<R: BufRead>(table: &TableReader<R>) -> Result<&'static Self, CohortError> {
        if let Some(layout) = LAYOUTS.iter().find(|layout| layout.missing(table).next().is_none()) {
            return Ok(layout);
        }
        // Fewest marks missing, then most of its columns there.
        let likeness = |layout: &&Self| {
            let n_missing = layout.missing(table).count();
            let n_read = layout.columns.iter().filter(|(_, names)| table.find(names).is_some()).count();
            (std::cmp::Reverse(n_missing), n_read)
        };
        let absent = |layout: &&Self| layout.missing(table).filter(|names| !table.has_nearly(names)).count();
        let is_near =
            |layout: &&Self| 2 * absent(layout) <= layout.marks.len() || layout.has_its_own_mark(table);
        // Of equals the first one, which is the more specific.
        let best = LAYOUTS.iter().rev().filter(is_near).max_by_key(likeness);
        match best {
            Some(layout) => {
                let column = layout.missing(table).next().expect("one mark is missing");
                table.require(column, layout.remedy).map(|_| layout)
            }
            None => Err(CohortError::UnknownTable {
                path: table.path().to_owned(),
                found: table.columns().iter().map(|name| shorten(name)).collect(),
            }),
        }
    }

    /// Whether the table has a mark of this kind that no other kind of table has, such as `Image Data ID`.
    fn has_its_own_mark<R: BufRead>(&self, table: &TableReader<R>) -> bool {
        let named_by = |layout: &Self, name: &str| {
            let columns = layout.columns.iter().map(|(_, names)| *names);
            let mut names = layout.marks.iter().copied().chain(columns).flatten();
            names.any(|other| other.eq_ignore_ascii_case(name))
        };
        let is_own =
            |name: &&str| !LAYOUTS.iter().any(|other| other.kind != self.kind && named_by(other, name));
        self.marks.iter().copied().flatten().any(|name| table.find(&[name]).is_some() && is_own(name))
    }

    fn missing<'a, R: BufRead>(
        &'a self,
        table: &'a TableReader<R>,
    ) -> impl Iterator<Item = &'static [&'static str]> + 'a {
        self.marks.iter().copied().filter(|names| table.find(names).is_none())
    }
}
