//! `cohort.tsv` and `ledger.tsv`.

use super::{Cohort, CohortImage};
use crate::DiagnosisBasis;
use crate::table::{cell, to_tsv};

const COHORT: [&str; 16] = [
    "image_id",
    "participant_id",
    "session_id",
    "acq_date",
    "diagnosis",
    "diagnosis_basis",
    "diagnosis_days",
    "diagnosis_from",
    "age",
    "sex",
    "site",
    "phase",
    "field_strength_t",
    "scanner",
    "description",
    "path",
];

const LEDGER: [&str; 15] = [
    "image_id",
    "participant_id",
    "session_id",
    "acq_date",
    "diagnosis",
    "diagnosis_basis",
    "diagnosis_from",
    "description",
    "image_type",
    "outcome",
    "rule",
    "reason",
    "table",
    "line",
    "path",
];

impl Cohort {
    /// The selected images as TSV.
    #[must_use]
    pub fn to_tsv(&self) -> String {
        let rows = self.kept().map(|image| {
            let days = match image.basis {
                DiagnosisBasis::Visit { days, .. } => Some(days),
                _ => None,
            };
            let mut row = self.who_and_when(image);
            row.extend([
                cell(image.visit.diagnosis),
                basis_word(image.basis).to_owned(),
                cell(days),
                cell(self.basis_place(image)),
                cell(image.visit.age_years.map(|years| (100.0 * years).round() / 100.0)),
                cell(image.sex()),
                cell(image.site()),
                cell(image.visit.phase.as_ref()),
                cell(image.scanner.field_strength),
                cell(image.scanner.name()),
                cell(image.image.description.as_ref()),
                cell(image.image.path.as_ref()),
            ]);
            row
        });
        to_tsv(&COHORT, rows)
    }

    /// Every image and its outcome, as TSV.
    #[must_use]
    pub fn ledger_tsv(&self) -> String {
        let rows = self.images().iter().map(|image| {
            let why = image.dropped.as_ref();
            let mut row = self.who_and_when(image);
            row.extend([
                cell(image.visit.diagnosis),
                basis_word(image.basis).to_owned(),
                cell(self.basis_place(image)),
                cell(image.image.description.as_ref()),
                cell(image.image.image_type.map(|kind| kind.name())),
                if why.is_some() { "dropped" } else { "kept" }.to_owned(),
                why.map_or_else(|| "kept".to_owned(), |why| why.rule.to_string()),
                cell(Some(why.map_or("it breaks no rule", |why| why.reason.as_str()))),
                cell(image.place.and_then(|place| self.table_name(place))),
                cell(image.place.map(|place| place.line)),
                cell(image.image.path.as_ref()),
            ]);
            row
        });
        to_tsv(&LEDGER, rows)
    }

    fn who_and_when(&self, image: &CohortImage) -> Vec<String> {
        vec![
            cell(image.image.id.as_ref()),
            cell(image.subject()),
            cell(image.session()),
            cell(image.visit.date),
        ]
    }

    /// Table and line of the diagnosis.
    fn basis_place(&self, image: &CohortImage) -> Option<String> {
        match image.basis {
            DiagnosisBasis::Visit { place, .. } => Some(self.describe(place)),
            DiagnosisBasis::Conflict { first, second } => {
                Some(format!("{}; {}", self.describe(first), self.describe(second)))
            }
            DiagnosisBasis::Image | DiagnosisBasis::ResearchGroup => image.place.map(|at| self.describe(at)),
            DiagnosisBasis::None => None,
        }
    }
}

const fn basis_word(basis: DiagnosisBasis) -> &'static str {
    match basis {
        DiagnosisBasis::Image => "image",
        DiagnosisBasis::Visit { .. } => "visit",
        DiagnosisBasis::ResearchGroup => "research_group",
        DiagnosisBasis::None => "none",
        DiagnosisBasis::Conflict { .. } => "conflict",
    }
}
