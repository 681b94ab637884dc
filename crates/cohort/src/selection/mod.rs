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
    CohortError, Date, Diagnosis, DiagnosisBasis, ImageId, ImageType, JoinedImage, Place, Records, Sex,
    SubjectId, Visit,
};

/// Why an image was dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The first rule that hit.
    pub rule: Rule,
    /// In words, with what was found and what was asked for.
    pub reason: String,
}

/// An image with all that is known of it, and its outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct CohortImage {
    /// The archive's number.
    pub image_id: Option<ImageId>,
    /// The series it belongs to.
    pub series_id: Option<ImageId>,
    /// Where it was found, or the path that its table gives.
    pub path: Option<String>,
    /// Who it shows; `None` if nobody could tell.
    pub subject: Option<SubjectId>,
    /// At which visit.
    pub visit: Option<Visit>,
    /// Day of the scan.
    pub date: Option<Date>,
    /// Diagnosis at the visit.
    pub diagnosis: Option<Diagnosis>,
    /// Where it comes from.
    pub basis: DiagnosisBasis,
    /// Age at the scan, in years.
    pub age_years: Option<f64>,
    /// Sex.
    pub sex: Option<Sex>,
    /// Site of the study.
    pub site: Option<String>,
    /// Phase of the study.
    pub phase: Option<String>,
    /// Field strength, in tesla.
    pub field_strength_t: Option<f64>,
    /// Manufacturer and model of the scanner.
    pub scanner: Option<String>,
    /// For example `MRI`.
    pub modality: Option<String>,
    /// Description of the series as a table has it.
    pub description: Option<String>,
    /// As acquired, or processed.
    pub image_type: Option<ImageType>,
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

    /// The key by which people are told apart.
    #[must_use]
    pub fn person_key(&self) -> Option<String> {
        self.subject.as_ref().map(SubjectId::person_key)
    }

    /// The session in the words of BIDS: the visit's code, or the day.
    #[must_use]
    pub fn session(&self) -> Option<crate::SessionId> {
        let by_day = || crate::SessionId::parse(&self.date?.compact()).ok();
        self.visit.as_ref().and_then(Visit::session).or_else(by_day)
    }

    fn of(joined: &JoinedImage<'_>) -> Self {
        let image = joined.image;
        let own = |word: &Option<std::sync::Arc<str>>| word.as_deref().map(str::to_owned);
        Self {
            image_id: image.image_id.clone(),
            series_id: image.series_id.clone(),
            path: own(&image.path),
            subject: Some(image.subject.clone()),
            visit: image.visit.clone(),
            date: image.date,
            diagnosis: joined.diagnosis,
            basis: joined.basis,
            age_years: joined.age_years,
            sex: joined.sex,
            site: joined.site.clone(),
            phase: joined.phase.map(str::to_owned),
            field_strength_t: joined.field_strength_t,
            scanner: scanner(image.manufacturer.as_deref(), image.model.as_deref()),
            modality: own(&image.modality),
            description: own(&image.description),
            image_type: image.image_type,
            place: Some(image.place),
            dropped: None,
            header_description: None,
        }
    }

    fn drop_by(&mut self, rule: Rule, reason: String) {
        self.dropped.get_or_insert(Dropped { rule, reason });
    }

    /// By person, then by time, then by number: an order that no table has a say in.
    fn order(&self) -> impl Ord + use<> {
        let months = self.visit.as_ref().and_then(Visit::months);
        let code = self.visit.as_ref().map(|visit| visit.label().to_owned());
        let time = (self.date.is_none(), self.date, months.is_none(), months, code);
        (self.person_key(), time, number(self.image_id.as_ref()), self.path.clone())
    }
}

/// Numeric order of image ids: I999 before I1000, words behind.
fn number(id: Option<&ImageId>) -> (u64, Option<String>) {
    let text = id.map(ImageId::as_str);
    let digits = text.and_then(|text| text.trim_start_matches('I').parse().ok());
    (digits.unwrap_or(u64::MAX), text.map(str::to_owned))
}

fn scanner(manufacturer: Option<&str>, model: Option<&str>) -> Option<String> {
    let words: Vec<&str> =
        [manufacturer, model].into_iter().flatten().map(str::trim).filter(|word| !word.is_empty()).collect();
    (!words.is_empty()).then(|| words.join(" "))
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
        Count::of(self.kept().filter(|image| image.diagnosis == Some(diagnosis)))
    }

    /// For people: `DXSUM.csv, line 7`.
    #[must_use]
    pub fn describe(&self, place: Place) -> String {
        let table = self.tables.get(place.table as usize).map_or("?", String::as_str);
        format!("{table}, line {}", place.line)
    }

    fn table_name(&self, place: Place) -> Option<&str> {
        self.tables.get(place.table as usize).map(String::as_str)
    }
}
