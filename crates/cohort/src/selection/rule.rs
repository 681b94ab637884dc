//! The rules, in the order in which they apply.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A rule of the selection. The order is the order of application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The file's own header says that it is no T1-weighted head.
    NotT1,
    /// The same image of the archive was found before at another place.
    Repeated,
    /// Tables and download name different people.
    SubjectConflict,
    /// It was found, but no table tells of it.
    NoRow,
    /// A table lists it, but it was not found.
    NoImage,
    /// Another modality.
    Modality,
    /// The description fits none of the patterns asked for, or one that is excluded.
    Description,
    /// Another phase of the study.
    Phase,
    /// Another field strength.
    FieldStrength,
    /// Processed where originals were asked for, or the other way round.
    ImageType,
    /// Too young or too old.
    Age,
    /// Visits equally near disagree.
    DiagnosisConflict,
    /// No visit with a diagnosis is near enough.
    NoDiagnosis,
    /// A diagnosis that was not asked for.
    Diagnosis,
    /// Another image of the same series is preferred.
    OtherCopy,
    /// Another scan of the same visit is preferred.
    OnePerVisit,
    /// Earlier scans of the subject suffice.
    MaxScans,
    /// There are more scans of cognitively normal subjects than of subjects with AD.
    Balance,
}

impl Rule {
    /// All, in order.
    pub const ALL: [Self; 18] = [
        Self::NotT1,
        Self::Repeated,
        Self::SubjectConflict,
        Self::NoRow,
        Self::NoImage,
        Self::Modality,
        Self::Description,
        Self::Phase,
        Self::FieldStrength,
        Self::ImageType,
        Self::Age,
        Self::DiagnosisConflict,
        Self::NoDiagnosis,
        Self::Diagnosis,
        Self::OtherCopy,
        Self::OnePerVisit,
        Self::MaxScans,
        Self::Balance,
    ];

    /// Its name in the ledger.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotT1 => "not_t1",
            Self::Repeated => "repeated",
            Self::SubjectConflict => "subject_conflict",
            Self::NoRow => "no_row",
            Self::NoImage => "no_image",
            Self::Modality => "modality",
            Self::Description => "description",
            Self::Phase => "phase",
            Self::FieldStrength => "field_strength",
            Self::ImageType => "image_type",
            Self::Age => "age",
            Self::DiagnosisConflict => "diagnosis_conflict",
            Self::NoDiagnosis => "no_diagnosis",
            Self::Diagnosis => "diagnosis",
            Self::OtherCopy => "other_copy",
            Self::OnePerVisit => "one_per_visit",
            Self::MaxScans => "max_scans",
            Self::Balance => "balance",
        }
    }

    /// For a flow diagram: what the dropped images have in common.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::NotT1 => "not T1-weighted",
            Self::Repeated => "same image found twice",
            Self::SubjectConflict => "tables and download name different subjects",
            Self::NoRow => "in no table",
            Self::NoImage => "listed, not found",
            Self::Modality => "other modality",
            Self::Description => "description excluded",
            Self::Phase => "other phase of the study",
            Self::FieldStrength => "other field strength",
            Self::ImageType => "original or processed, as not asked for",
            Self::Age => "age out of range or unknown",
            Self::DiagnosisConflict => "conflicting diagnoses",
            Self::NoDiagnosis => "no diagnosis near the scan",
            Self::Diagnosis => "other diagnosis",
            Self::OtherCopy => "other copy of the same series",
            Self::OnePerVisit => "other scan of the same visit",
            Self::MaxScans => "beyond the most scans a subject",
            Self::Balance => "surplus of CN over AD",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_listed_in_order_under_their_own_names() {
        assert!(Rule::ALL.is_sorted());
        let names: std::collections::BTreeSet<&str> = Rule::ALL.iter().map(|rule| rule.as_str()).collect();
        assert_eq!(names.len(), Rule::ALL.len());
        assert_eq!(Rule::ALL.last(), Some(&Rule::Balance));
    }
}
