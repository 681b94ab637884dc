//! Cohort selection: which images are included, and why the others are excluded.
//!
//! Every listed or found image gets exactly one outcome: included, or excluded by the first [`Rule`] that
//! applies. Rules apply in the order of their definition: rules for single images first, then rules that
//! choose among images of one series, visit, subject and class.
//!
//! # Determinism
//! The selection depends on the set of rows, not on the order of rows or tables.

mod balance;
mod choice;
mod config;
mod flow;
mod found;
mod list;
mod pattern;
mod rule;
mod single;
mod text;

pub use config::{ImageChoice, SelectionConfig};
pub use flow::{Count, Flow, FlowStep};
pub use found::FoundImage;
pub use list::CohortList;
pub use pattern::Pattern;
pub use rule::Rule;

use crate::{
    CohortError, Diagnosis, DiagnosisBasis, ImageId, ImageInfo, JoinedImage, Person, Place, Records, Scanner,
    Sex, SubjectId, Visit,
};

/// Why an image was excluded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The first rule that applied.
    pub rule: Rule,
    /// The reason in words, with found and requested values.
    pub reason: String,
}

/// An image with its metadata and outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct CohortImage {
    /// The image file. Its path is where it was found, or the path in its table.
    pub image: ImageInfo,
    /// The participant. `None` if neither table nor header names one.
    pub person: Option<Person>,
    /// The visit, with the diagnosis at that visit and the age at the scan.
    pub visit: Visit,
    /// Source of the diagnosis.
    pub basis: DiagnosisBasis,
    /// The scanner.
    pub scanner: Scanner,
    /// The row that lists it.
    pub place: Option<Place>,
    /// Why it is excluded. `None` if it is in the cohort.
    pub dropped: Option<Dropped>,
    /// Description from the image's own header. Used for matching, never shown.
    header_description: Option<String>,
}

impl CohortImage {
    /// Whether it is in the cohort.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.dropped.is_none()
    }

    /// The subject.
    #[must_use]
    pub fn subject(&self) -> Option<&SubjectId> {
        self.person.as_ref().map(|person| &person.subject)
    }

    /// Sex of the participant.
    #[must_use]
    pub fn sex(&self) -> Option<Sex> {
        self.person.as_ref()?.sex
    }

    /// Site of the study.
    #[must_use]
    pub fn site(&self) -> Option<&str> {
        self.person.as_ref()?.site.as_deref()
    }

    /// The key that identifies the subject.
    #[must_use]
    pub fn person_key(&self) -> Option<String> {
        self.subject().map(SubjectId::person_key)
    }

    /// The BIDS session: the visit code, or the day.
    #[must_use]
    pub fn session(&self) -> Option<crate::SessionId> {
        let by_day = || crate::SessionId::parse(&self.visit.date?.compact()).ok();
        self.visit.session().or_else(by_day)
    }

    fn of(joined: &JoinedImage<'_>) -> Self {
        Self {
            image: joined.record.image.clone(),
            person: Some(joined.person.clone()),
            visit: joined.visit.clone(),
            basis: joined.basis,
            scanner: joined.scanner.clone(),
            place: Some(joined.record.place),
            dropped: None,
            header_description: None,
        }
    }

    fn drop_by(&mut self, rule: Rule, reason: String) {
        self.dropped.get_or_insert(Dropped { rule, reason });
    }

    /// Order by subject, time and id, which is independent of the tables.
    fn order(&self) -> impl Ord + use<> {
        let Visit { code, date, .. } = &self.visit;
        let months = self.visit.months();
        let code = code.as_ref().map(|code| code.label().to_owned());
        let time = (date.is_none(), *date, months.is_none(), months, code);
        (self.person_key(), time, number(self.image.id.as_ref()), self.image.path.clone())
    }
}

/// Numeric order of image ids: I999 before I1000, words last.
fn number(id: Option<&ImageId>) -> (u64, Option<String>) {
    let text = id.map(ImageId::as_str);
    let digits = text.and_then(|text| text.trim_start_matches('I').parse().ok());
    (digits.unwrap_or(u64::MAX), text.map(str::to_owned))
}

/// Every image with its outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct Cohort {
    images: Vec<CohortImage>,
    /// File names of the tables that [`Place`]s refer to.
    tables: Vec<String>,
}

/// Joins table rows with found images, and applies the rules.
///
/// If `found` is `None`, only tables are used and the cohort is a download list.
///
/// # Errors
/// [`CohortError::Setting`].
pub fn select(
    records: &Records,
    found: Option<&[FoundImage]>,
    config: &SelectionConfig,
) -> Result<Cohort, CohortError> {
    config.validate()?;
    let mut images = found::gather(records, found, config);
    images.sort_by_cached_key(CohortImage::order);
    found::drop_repeated(&mut images);
    for image in images.iter_mut().filter(|image| image.dropped.is_none()) {
        image.dropped = single::first_rule(image, records, config);
    }
    choice::drop_other_copies(&mut images, config);
    choice::keep_one_per_visit(&mut images, config);
    choice::keep_earliest(&mut images, config);
    if config.balance {
        balance::drop_surplus(&mut images, config.seed);
    }
    let file_name = |path: &std::path::Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let tables = records.tables().iter().map(|table| file_name(&table.path).unwrap_or_default()).collect();
    Ok(Cohort { images, tables })
}

impl Cohort {
    /// Every image, by subject, then by time.
    #[must_use]
    pub fn images(&self) -> &[CohortImage] {
        &self.images
    }

    /// The selected images.
    pub fn kept(&self) -> impl Iterator<Item = &CohortImage> {
        self.images.iter().filter(|image| image.is_kept())
    }

    /// The excluded images.
    pub fn dropped_by(&self, rule: Rule) -> impl Iterator<Item = &CohortImage> {
        self.images.iter().filter(move |image| image.dropped.as_ref().is_some_and(|why| why.rule == rule))
    }

    /// Numbers of selected subjects and scans with a diagnosis.
    #[must_use]
    pub fn count(&self, diagnosis: Diagnosis) -> Count {
        Count::of(self.kept().filter(|image| image.visit.diagnosis == Some(diagnosis)))
    }

    /// Formats the place for messages: `DXSUM.csv, line 7`.
    #[must_use]
    pub fn describe(&self, place: Place) -> String {
        let table = self.tables.get(place.table as usize).map_or("?", String::as_str);
        format!("{table}, line {}", place.line)
    }

    fn table_name(&self, place: Place) -> Option<&str> {
        self.tables.get(place.table as usize).map(String::as_str)
    }
}
