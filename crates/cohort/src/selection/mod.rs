//! The selection of a cohort: which images are kept, and why the others are not.
//!
//! Every image that a table lists or that was found gets exactly one outcome: kept, or dropped by the first
//! [`Rule`] that hits it. Rules apply in the order of their definition; those of single images come first,
//! then those that choose among images of one series, visit, person and class.
//!
//! # Determinism
//! Which images are kept depends on the set of rows, not on the order of rows or tables.

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

/// Why an image was dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The first rule that hit.
    pub rule: Rule,
    /// In words, with what was found and what was asked for.
    pub reason: String,
}

/// An image with all that is known about it, and its outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct CohortImage {
    /// The image file. Its path is where it was found, or the path that its table gives.
    pub image: ImageInfo,
    /// The participant; `None` if no table and no header names one.
    pub person: Option<Person>,
    /// The visit, with the diagnosis at that visit and the age at the scan.
    pub visit: Visit,
    /// Source of the diagnosis.
    pub basis: DiagnosisBasis,
    /// The scanner.
    pub scanner: Scanner,
    /// The row that lists it.
    pub place: Option<Place>,
    /// Why it is not in the cohort; `None` if it is.
    pub dropped: Option<Dropped>,
    /// Description in the image's own header: to be matched, not to be shown.
    header_description: Option<String>,
}

impl CohortImage {
    /// Whether it is in the cohort.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.dropped.is_none()
    }

    /// Who it shows.
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

    /// The key by which people are told apart.
    #[must_use]
    pub fn person_key(&self) -> Option<String> {
        self.subject().map(SubjectId::person_key)
    }

    /// The session in the words of BIDS: the visit's code, or the day.
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

    /// By person, then by time, then by number: an order that no table has a say in.
    fn order(&self) -> impl Ord + use<> {
        let Visit { code, date, .. } = &self.visit;
        let months = self.visit.months();
        let code = code.as_ref().map(|code| code.label().to_owned());
        let time = (date.is_none(), *date, months.is_none(), months, code);
        (self.person_key(), time, number(self.image.id.as_ref()), self.image.path.clone())
    }
}

/// Numeric order of image ids: I999 before I1000, words behind.
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

/// Joins what tables say with what was found, and applies the rules.
///
/// `found` is `None` where there are tables alone: then the cohort is a list of what to download.
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
    /// Every image, by person, then by time.
    #[must_use]
    pub fn images(&self) -> &[CohortImage] {
        &self.images
    }

    /// The images that are kept.
    pub fn kept(&self) -> impl Iterator<Item = &CohortImage> {
        self.images.iter().filter(|image| image.is_kept())
    }

    /// The images that a rule dropped.
    pub fn dropped_by(&self, rule: Rule) -> impl Iterator<Item = &CohortImage> {
        self.images.iter().filter(move |image| image.dropped.as_ref().is_some_and(|why| why.rule == rule))
    }

    /// Subjects and scans kept of a diagnosis.
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
