//! The rules, in the order in which they apply.

use brainreel_named::named;

named! {
    /// A rule of the selection. The order is the order of application.
    pub enum Rule {
        /// According to its own header the file is not a T1-weighted head image.
        NotT1 = "not_t1",
        /// The same archive image was already found at another path.
        Repeated = "repeated",
        /// Tables and download name different subjects.
        SubjectConflict = "subject_conflict",
        /// It was found, but no table lists it.
        NoRow = "no_row",
        /// A table lists it, but it was not found.
        NoImage = "no_image",
        /// Another modality.
        Modality = "modality",
        /// The description matches no included pattern, or matches an excluded one.
        Description = "description",
        /// Another phase of the study.
        Phase = "phase",
        /// Another field strength.
        FieldStrength = "field_strength",
        /// Processed although originals were requested, or vice versa.
        ImageType = "image_type",
        /// Too young or too old.
        Age = "age",
        /// Equally near visits disagree.
        DiagnosisConflict = "diagnosis_conflict",
        /// No visit with a diagnosis is near enough.
        NoDiagnosis = "no_diagnosis",
        /// A diagnosis that was not requested.
        Diagnosis = "diagnosis",
        /// Another image of the same series is preferred.
        OtherCopy = "other_copy",
        /// Another scan of the same visit is preferred.
        OnePerVisit = "one_per_visit",
        /// Earlier scans of the subject suffice.
        MaxScans = "max_scans",
        /// There are more scans of cognitively normal subjects than of subjects with AD.
        Balance = "balance",
    }
}

impl Rule {
    /// Description of the excluded images, for a flow diagram.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_listed_in_order_under_their_own_names() {
        assert!(Rule::ALL.is_sorted());
        let names: std::collections::BTreeSet<&str> = Rule::ALL.iter().map(|rule| rule.name()).collect();
        assert_eq!(names.len(), Rule::ALL.len());
        assert_eq!(Rule::ALL.last(), Some(&Rule::Balance));
    }
}
