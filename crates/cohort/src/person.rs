//! Participants and visits, shared by all records.

use std::sync::Arc;

use crate::merge::fill;
use crate::{Date, Diagnosis, SessionId, Sex, SubjectId, VisitCode};

/// Participant-level facts: identical at every visit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Person {
    /// The subject.
    pub subject: SubjectId,
    /// Sex.
    pub sex: Option<Sex>,
    /// Site of the study.
    pub site: Option<Arc<str>>,
}

impl Person {
    /// A participant with no other metadata.
    #[must_use]
    pub fn new(subject: SubjectId) -> Self {
        Self { subject, sex: None, site: None }
    }

    /// Fills in unknown facts. The subject does not change.
    pub fn fill_missing(&mut self, other: Self) {
        fill(&mut self.sex, other.sex);
        fill(&mut self.site, other.site);
    }
}

/// Facts about one visit of a participant.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Visit {
    /// The study's code for the visit.
    pub code: Option<VisitCode>,
    /// Its date.
    pub date: Option<Date>,
    /// Diagnosis at the visit.
    pub diagnosis: Option<Diagnosis>,
    /// Age at the visit, in years.
    pub age_years: Option<f64>,
    /// Phase of the study, for example `ADNI2`.
    pub phase: Option<Arc<str>>,
}

impl Visit {
    /// The BIDS session of the visit code, if the code is a valid label.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        self.code.as_ref().and_then(VisitCode::session)
    }

    /// Months since the first visit, if the code gives them.
    #[must_use]
    pub fn months(&self) -> Option<u16> {
        self.code.as_ref().and_then(VisitCode::months)
    }

    /// Fills in unknown facts.
    pub fn fill_missing(&mut self, other: Self) {
        fill(&mut self.code, other.code);
        fill(&mut self.date, other.date);
        fill(&mut self.diagnosis, other.diagnosis);
        fill(&mut self.age_years, other.age_years);
        fill(&mut self.phase, other.phase);
    }
}
