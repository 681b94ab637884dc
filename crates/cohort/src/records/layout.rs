//! The known kinds of table, recognised by their columns.

use std::fmt;
use std::io::BufRead;

use serde::{Deserialize, Serialize};

use crate::CohortError;
use crate::columns::{DIAGNOSIS_OR_GROUP, Field};
use crate::error::shorten;
use crate::table::TableReader;

/// A kind of table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    /// Image collection of the Image and Data Archive (IDA), as CSV.
    IdaCollection,
    /// Result of IDA's advanced search (`idaSearch_*.csv`), with the columns selected there.
    IdaSearch,
    /// `*_All_Images_*` of LONI's interface since October 2024.
    LoniAllImages,
    /// `*_Manifest_*` of the same interface: which series an image belongs to.
    LoniManifest,
    /// `*_Structural_MRI_Images_*` of the same interface.
    LoniStructuralMri,
    /// ADNI's `MPRAGEMETA.csv`.
    MprageMeta,
    /// ADNI's `ADNIMERGE.csv`: one row per visit.
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
    /// BIDS `sub-*_sessions.tsv`, or all of them concatenated with a `participant_id` column.
    BidsSessions,
    /// A user-made table: `path` or `image_id`, `subject`, `diagnosis`, and optional columns.
    Plain,
}

/// The entity that a row describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowsAre {
    Images,
    Visits,
    People,
}

/// Layout of a kind of table: how to recognise it and how to read it.
pub(super) struct Layout {
    pub(super) kind: TableKind,
    pub(super) rows: RowsAre,
    /// Required columns. One column of each group must exist.
    pub(super) marks: &'static [&'static [&'static str]],
    /// Fields read from columns with their usual names ([`Field::names`]).
    pub(super) fields: &'static [Field],
    /// Fields read from columns whose names have this meaning only in this kind of table.
    pub(super) renamed: &'static [(Field, &'static [&'static str])],
    /// Whether its participants are named by number alone. In other tables such a number refers to the
    /// participant that it belongs to.
    pub(super) rid_is_name: bool,
    /// Whether the file may be named after the subject: `sub-01_sessions.tsv`.
    pub(super) subject_in_file_name: bool,
    /// Where to download it.
    pub(super) remedy: &'static str,
}

impl TableKind {
    /// Its usual name.
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

const USUAL: Layout = Layout {
    kind: TableKind::Plain,
    rows: RowsAre::Images,
    marks: &[],
    fields: &[],
    renamed: &[],
    rid_is_name: false,
    subject_in_file_name: false,
    remedy: OWN,
};

/// All layouts. A table has the first layout whose required columns it contains.
pub(super) const LAYOUTS: &[Layout] = &[
    Layout {
        kind: TableKind::IdaCollection,
        rows: RowsAre::Images,
        marks: &[&["Image Data ID"], &["Subject"], &["Group"]],
        fields: &[
            Field::ImageId,
            Field::Subject,
            Field::Group,
            Field::Sex,
            Field::AgeYears,
            Field::Visit,
            Field::Modality,
            Field::Description,
            Field::ImageType,
            Field::Date,
        ],
        remedy: IDA,
        ..USUAL
    },
    Layout {
        kind: TableKind::Oasis2,
        rows: RowsAre::Visits,
        marks: &[&["Subject ID"], &["MRI ID"], &["CDR"]],
        fields: &[Field::Subject, Field::Cdr, Field::Sex, Field::AgeYears],
        renamed: &[(Field::Visit, &["MRI ID"])],
        remedy: OASIS,
        ..USUAL
    },
    Layout {
        kind: TableKind::LoniStructuralMri,
        rows: RowsAre::Images,
        marks: &[&["image_id"], &["subject_id"], &["mri_date"]],
        fields: &[
            Field::ImageId,
            Field::Subject,
            Field::Visit,
            Field::Date,
            Field::Description,
            Field::Manufacturer,
            Field::Model,
            Field::FieldStrength,
        ],
        remedy: LONI,
        ..USUAL
    },
    Layout {
        kind: TableKind::LoniAllImages,
        rows: RowsAre::Images,
        marks: &[&["image_id"], &["subject_id"], &["image_date"]],
        fields: &[
            Field::ImageId,
            Field::Subject,
            Field::Phase,
            Field::ImageType,
            Field::Date,
            Field::Description,
        ],
        remedy: LONI,
        ..USUAL
    },
    Layout {
        kind: TableKind::LoniManifest,
        rows: RowsAre::Images,
        marks: &[&["image_id"], &["series_id"]],
        fields: &[Field::ImageId, Field::SeriesId],
        remedy: LONI,
        ..USUAL
    },
    Layout {
        kind: TableKind::MprageMeta,
        rows: RowsAre::Images,
        marks: &[&["Orig/Proc"], &["SubjectID"], &["ImageUID"]],
        fields: &[
            Field::ImageId,
            Field::SeriesId,
            Field::Subject,
            Field::Visit,
            Field::FieldStrength,
            Field::Description,
            Field::Date,
            Field::ImageType,
        ],
        remedy: STUDY_DATA,
        ..USUAL
    },
    Layout {
        kind: TableKind::IdaSearch,
        rows: RowsAre::Images,
        // Any columns selected besides the two ids.
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
        fields: &[
            Field::ImageId,
            Field::Subject,
            Field::Phase,
            Field::Sex,
            Field::Group,
            Field::Diagnosis,
            Field::Visit,
            Field::Date,
            Field::AgeYears,
            Field::Modality,
            Field::Description,
            Field::ImageType,
        ],
        remedy: SEARCH,
        ..USUAL
    },
    Layout {
        kind: TableKind::AdniMerge,
        rows: RowsAre::Visits,
        marks: &[&["RID"], &["PTID"], &["VISCODE"], &["EXAMDATE"], &["DX"]],
        fields: &[
            Field::Rid,
            Field::Subject,
            Field::Visit,
            Field::Date,
            Field::Diagnosis,
            Field::YearsSinceBaseline,
            Field::Sex,
            Field::Site,
            Field::FieldStrength,
        ],
        renamed: &[(Field::BaselineAge, &["AGE"]), (Field::Phase, &["COLPROT"])],
        remedy: STUDY_DATA,
        ..USUAL
    },
    Layout {
        kind: TableKind::AiblDiagnosis,
        rows: RowsAre::Visits,
        marks: &[&["RID"], &["SITEID"], &["VISCODE"], &["DXCURREN"]],
        fields: &[Field::Rid, Field::Site, Field::Visit, Field::DiagnosisCode],
        rid_is_name: true,
        remedy: AIBL,
        ..USUAL
    },
    Layout {
        kind: TableKind::Dxsum,
        rows: RowsAre::Visits,
        marks: &[&["RID"], &["VISCODE2", "VISCODE"], &["DIAGNOSIS", "DXCHANGE"]],
        fields: &[
            Field::Rid,
            Field::Subject,
            Field::Visit,
            Field::Date,
            Field::DiagnosisCode,
            Field::DiagnosisChange,
            Field::Site,
            Field::Phase,
        ],
        remedy: STUDY_DATA,
        ..USUAL
    },
    Layout {
        kind: TableKind::AiblDemographics,
        rows: RowsAre::People,
        marks: &[&["RID"], &["SITEID"], &["PTGENDER"], &["PTDOB"]],
        fields: &[Field::Rid, Field::Sex, Field::Site],
        rid_is_name: true,
        remedy: AIBL,
        ..USUAL
    },
    Layout {
        kind: TableKind::AiblVisits,
        rows: RowsAre::Visits,
        marks: &[&["RID"], &["SITEID"], &["VISCODE"], &["EXAMDATE"]],
        fields: &[Field::Rid, Field::Site, Field::Visit, Field::Date],
        rid_is_name: true,
        remedy: AIBL,
        ..USUAL
    },
    Layout {
        kind: TableKind::Oasis3Clinical,
        rows: RowsAre::Visits,
        marks: &[&["OASISID", "Subject"], &["days_to_visit", "ADRC_ADRCCLINICALDATA ID"], &["CDRTOT", "cdr"]],
        fields: &[Field::Subject, Field::DaysSinceEntry, Field::Cdr, Field::BaselineAge],
        renamed: &[(Field::AgeYears, &["age at visit", "Age"])],
        remedy: OASIS,
        ..USUAL
    },
    Layout {
        kind: TableKind::Oasis3Demographics,
        rows: RowsAre::People,
        marks: &[&["OASISID", "Subject"], &["AgeatEntry"]],
        fields: &[Field::Subject, Field::BaselineAge, Field::Sex],
        remedy: OASIS,
        ..USUAL
    },
    Layout {
        kind: TableKind::Oasis1,
        rows: RowsAre::Visits,
        marks: &[&["ID"], &["M/F"], &["CDR"]],
        fields: &[Field::Cdr, Field::Sex, Field::AgeYears],
        renamed: &[(Field::Subject, &["ID"]), (Field::Visit, &["ID"])],
        remedy: OASIS,
        ..USUAL
    },
    Layout {
        kind: TableKind::Plain,
        rows: RowsAre::Images,
        marks: &[
            &["subject", "participant_id", "PTID", "Subject ID"],
            DIAGNOSIS_OR_GROUP,
            &["path", "file", "filename", "image_id", "image", "Image UID"],
        ],
        fields: &[
            Field::Path,
            Field::Subject,
            Field::Visit,
            Field::Date,
            Field::AgeYears,
            Field::Sex,
            Field::Site,
            Field::Phase,
            Field::FieldStrength,
            Field::Description,
            Field::ImageType,
        ],
        renamed: &[
            (Field::ImageId, &["image_id", "image", "Image UID"]),
            (Field::Group, DIAGNOSIS_OR_GROUP),
            (Field::Diagnosis, DIAGNOSIS_OR_GROUP),
        ],
        remedy: OWN,
        ..USUAL
    },
    Layout {
        kind: TableKind::BidsSessions,
        rows: RowsAre::Visits,
        marks: &[&["session_id"]],
        fields: &[Field::Subject, Field::Visit, Field::AgeYears, Field::Sex, Field::Date, Field::Site],
        renamed: &[(Field::Diagnosis, &["diagnosis", "group"])],
        subject_in_file_name: true,
        remedy: BIDS,
        ..USUAL
    },
    Layout {
        kind: TableKind::BidsParticipants,
        rows: RowsAre::People,
        marks: &[&["participant_id"]],
        fields: &[Field::Subject, Field::Sex, Field::Site],
        remedy: BIDS,
        ..USUAL
    },
];

impl Layout {
    /// Fields to read, and the accepted names of their columns.
    pub(super) fn columns(&self) -> impl Iterator<Item = (Field, &'static [&'static str])> {
        let usual = self.fields.iter().map(|&field| (field, field.names()));
        self.renamed.iter().copied().chain(usual)
    }

    /// Recognises the kind of a table.
    ///
    /// # Errors
    /// [`CohortError::MissingColumn`] if the table is close to a known kind, [`CohortError::UnknownTable`] if
    /// it resembles none.
    pub(super) fn of<R: BufRead>(table: &TableReader<R>) -> Result<&'static Self, CohortError> {
        if let Some(layout) = LAYOUTS.iter().find(|layout| layout.missing(table).next().is_none()) {
            return Ok(layout);
        }
        // Fewest missing required columns, then most columns present.
        let likeness = |layout: &&Self| {
            let n_missing = layout.missing(table).count();
            let n_read = layout.columns().filter(|(_, names)| table.find(names).is_some()).count();
            (std::cmp::Reverse(n_missing), n_read)
        };
        let absent = |layout: &&Self| layout.missing(table).filter(|names| !table.has_nearly(names)).count();
        let is_near =
            |layout: &&Self| 2 * absent(layout) <= layout.marks.len() || layout.has_its_own_mark(table);
        // Ties go to the first layout, which is the more specific one.
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

    /// Whether the table has a required column that only this kind has, such as `Image Data ID`.
    fn has_its_own_mark<R: BufRead>(&self, table: &TableReader<R>) -> bool {
        let named_by = |layout: &Self, name: &str| {
            let columns = layout.columns().map(|(_, names)| names);
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
