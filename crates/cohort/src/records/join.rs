//! Joins images with visits: finds the diagnosis at the time of a scan.

use serde::{Deserialize, Serialize};

use super::{ImageRecord, PersonRecord, Place, Records, VisitRecord};
use crate::merge::fill;
use crate::{Diagnosis, Person, Scanner, Visit};

/// Rule that matches an image with a visit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JoinRule {
    /// Largest number of days between a scan and the visit that gives its diagnosis.
    pub max_days: u32,
    /// Whether the research group in the archive's image tables may serve as the diagnosis of images without
    /// visit tables. It is the subject's group in the study, which can differ from the diagnosis on the day
    /// of the scan.
    pub accept_research_group: bool,
}

impl Default for JoinRule {
    fn default() -> Self {
        Self { max_days: 180, accept_research_group: true }
    }
}

/// Source of an image's diagnosis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiagnosisBasis {
    /// The table gives a diagnosis for the image itself.
    Image,
    /// A visit with a diagnosis. The distance is 0 if the visit codes are equal and the days are unknown.
    Visit {
        /// Days between scan and visit.
        days: u32,
        /// Where the visit is listed.
        place: Place,
    },
    /// The research group of the archive's image table.
    ResearchGroup,
    /// No visit is near enough, and the research group is not a diagnosis.
    None,
    /// Two visits are equally near and have different diagnoses.
    Conflict {
        /// One of them.
        first: Place,
        /// The other.
        second: Place,
    },
}

/// An image with the joined facts of all tables.
#[derive(Debug, Clone)]
pub struct JoinedImage<'a> {
    /// The image's own record.
    pub record: &'a ImageRecord,
    /// The participant. The site comes from the table, or from the first three digits of an ADNI subject id.
    pub person: Person,
    /// The visit, with the diagnosis at that visit and the age at the scan.
    pub visit: Visit,
    /// Source of the diagnosis.
    pub basis: DiagnosisBasis,
    /// The scanner.
    pub scanner: Scanner,
}

/// A visit and its distance from a scan in days.
struct Near<'a> {
    visit: &'a VisitRecord,
    days: u32,
}

impl Near<'_> {
    fn diagnosis(&self) -> Option<Diagnosis> {
        self.visit.visit.diagnosis
    }
}

impl Records {
    /// Joins every image with the visits of its subject, in table order.
    pub fn join<'a>(&'a self, rule: &'a JoinRule) -> impl Iterator<Item = JoinedImage<'a>> {
        self.images.iter().map(move |image| self.join_image(image, rule))
    }

    /// Joins one image with the visits of its subject. The diagnosis is that of the nearest visit that has
    /// one. Distance is measured in days, or by visit code where days are unknown. The diagnosis of another
    /// visit, such as the baseline, is never used.
    #[must_use]
    pub fn join_image<'a>(&'a self, image: &'a ImageRecord, rule: &JoinRule) -> JoinedImage<'a> {
        let known = self.person(&image.person.subject);
        let (diagnosis, basis) = diagnosis_of(image, known, rule);
        let nearest = known.and_then(|known| nearest(image, known, rule, |_| true).into_iter().next());
        let at_visit = nearest.as_ref().map(|near| near.visit);
        let (mut person, mut visit, mut scanner) =
            (image.person.clone(), image.visit.clone(), image.scanner.clone());
        visit.diagnosis = diagnosis;
        if let Some(at_visit) = at_visit {
            fill(&mut visit.phase, at_visit.visit.phase.clone());
            fill(&mut visit.age_years, age_at(image, at_visit));
            fill(&mut person.site, at_visit.site.clone());
            fill(&mut scanner.field_strength, at_visit.scanner.field_strength);
        }
        if let Some(known) = known {
            let age = || Some(known.baseline_age_years? + f64::from(image.visit.months()?) / 12.0);
            fill(&mut visit.age_years, age());
            person.fill_missing(known.person.clone());
        }
        fill(&mut person.site, person.subject.adni_site().map(Into::into));
        JoinedImage { record: image, person, visit, basis, scanner }
    }
}

/// Age on the day of the scan, computed from the age at a visit.
fn age_at(image: &ImageRecord, visit: &VisitRecord) -> Option<f64> {
    let days = image.visit.date.zip(visit.visit.date).map_or(0, |(scan, visit)| scan.days_since(visit));
    Some(visit.visit.age_years? + days as f64 / 365.25)
}

fn diagnosis_of(
    image: &ImageRecord,
    person: Option<&PersonRecord>,
    rule: &JoinRule,
) -> (Option<Diagnosis>, DiagnosisBasis) {
    if image.visit.diagnosis.is_some() {
        return (image.visit.diagnosis, DiagnosisBasis::Image);
    }
    let with_diagnosis = |visit: &VisitRecord| visit.visit.diagnosis.is_some();
    let near = person.map(|person| nearest(image, person, rule, with_diagnosis)).unwrap_or_default();
    if let [first, rest @ ..] = near.as_slice() {
        let other = rest.iter().find(|other| other.diagnosis() != first.diagnosis());
        return match other {
            Some(other) => {
                let (first, second) = (first.visit.place, other.visit.place);
                (None, DiagnosisBasis::Conflict { first, second })
            }
            None => {
                let basis = DiagnosisBasis::Visit { days: first.days, place: first.visit.place };
                (first.diagnosis(), basis)
            }
        };
    }
    // If visits with a diagnosis exist but none is near, the research group is no substitute.
    let has_visits = person.is_some_and(|person| person.visits.iter().any(with_diagnosis));
    match image.group.as_ref().and_then(crate::Group::diagnosis) {
        Some(diagnosis) if rule.accept_research_group && !has_visits => {
            (Some(diagnosis), DiagnosisBasis::ResearchGroup)
        }
        _ => (None, DiagnosisBasis::None),
    }
}

/// The nearest visits that `select` accepts, all at the same distance, in table order.
fn nearest<'a>(
    image: &ImageRecord,
    person: &'a PersonRecord,
    rule: &JoinRule,
    select: impl Fn(&VisitRecord) -> bool,
) -> Vec<Near<'a>> {
    let near = person.visits.iter().filter(|visit| select(visit)).filter_map(|visit| {
        let days = distance_days(image, visit)?;
        (days <= rule.max_days).then_some(Near { visit, days })
    });
    let near: Vec<Near<'a>> = near.collect();
    let least = near.iter().map(|near| near.days).min();
    near.into_iter().filter(|near| Some(near.days) == least).collect()
}

/// Days between a scan and a visit. 0 if the codes are the same and a date is missing.
fn distance_days(image: &ImageRecord, visit: &VisitRecord) -> Option<u32> {
    if let Some((scan, visit)) = image.visit.date.zip(visit.visit.date) {
        return u32::try_from(scan.days_since(visit).unsigned_abs()).ok();
    }
    let code = image.visit.code.as_ref()?;
    if let Some(days) = visit.days_since_entry {
        let scan: i64 = code.label().strip_prefix(['D', 'd'])?.parse().ok()?;
        return u32::try_from((scan - days).unsigned_abs()).ok();
    }
    visit.visit.code.as_ref().is_some_and(|visit| visit.is_same(code)).then_some(0)
}
