//! Rules that choose among the images of one series, visit or subject.

use std::collections::BTreeMap;

use super::{CohortImage, Rule, SelectionConfig, number};
use crate::{FieldStrength, VisitCode};

/// Scans of a subject with the same visit code, or without one, belong to one visit if each is at most this
/// many days after the previous scan. A code alone is not enough: month 12 of ADNI1 is not month 12 of ADNI2.
const SAME_VISIT_DAYS: i64 = 60;

/// Drops all but the preferred image of each series.
pub(super) fn drop_other_copies(images: &mut [CohortImage], config: &SelectionConfig) {
    let mut series: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
    for (idx, image) in kept(images) {
        let id = image.image.series_id.as_ref().filter(|_| config.images.preferred().is_some());
        if let Some((person, id)) = image.person_key().zip(id) {
            series.entry((person, id.as_str().to_owned())).or_default().push(idx);
        }
    }
    for copies in series.into_values() {
        keep_best(images, copies, config, Rule::OtherCopy, "of the same series");
    }
}

/// Drops all but the preferred scan of each visit.
pub(super) fn keep_one_per_visit(images: &mut [CohortImage], config: &SelectionConfig) {
    if !config.one_per_visit {
        return;
    }
    let mut visits: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
    for (idx, image) in kept(images) {
        // Without code and day the visit of a scan is unknown.
        let is_known = image.visit.code.is_some() || image.visit.date.is_some();
        if let Some(person) = image.person_key().filter(|_| is_known) {
            visits.entry((person, visit_key(image.visit.code.as_ref()))).or_default().push(idx);
        }
    }
    for scans in visits.into_values() {
        for visit in apart_in_time(images, scans) {
            keep_best(images, visit, config, Rule::OnePerVisit, "of the same visit");
        }
    }
}

/// Drops the later scans of subjects with more than the allowed number.
pub(super) fn keep_earliest(images: &mut [CohortImage], config: &SelectionConfig) {
    let Some(most) = config.max_scans_per_subject else { return };
    let mut people: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (idx, image) in kept(images) {
        if let Some(person) = image.person_key() {
            people.entry(person).or_default().push(idx);
        }
    }
    // Images are in order of time.
    for (place, idx) in people.into_values().flat_map(|scans| scans.into_iter().enumerate().skip(most)) {
        let reason = format!("scan {} of the subject, at most {most} are kept", place + 1);
        images[idx].drop_by(Rule::MaxScans, reason);
    }
}

fn kept(images: &[CohortImage]) -> impl Iterator<Item = (usize, &CohortImage)> {
    images.iter().enumerate().filter(|(_, image)| image.is_kept())
}

/// Screening and baseline are the same visit.
pub(super) fn visit_key(visit: Option<&VisitCode>) -> String {
    match visit {
        None => String::new(),
        Some(visit) => {
            visit.months().map_or_else(|| visit.label().to_owned(), |months| format!("month {months}"))
        }
    }
}

/// Splits scans with one code where too many days lie between two of them. Scans without a day join the first
/// group.
fn apart_in_time(images: &[CohortImage], mut scans: Vec<usize>) -> Vec<Vec<usize>> {
    scans.sort_by_key(|&idx| images[idx].visit.date);
    let mut visits: Vec<Vec<usize>> = Vec::new();
    let mut last = None;
    for idx in scans {
        let date = images[idx].visit.date;
        let is_near = match (last, date) {
            (Some(last), Some(date)) => date.days_since(last) <= SAME_VISIT_DAYS,
            _ => true,
        };
        match visits.last_mut().filter(|_| is_near) {
            Some(visit) => visit.push(idx),
            None => visits.push(vec![idx]),
        }
        last = date.or(last);
    }
    visits
}

/// Drops all but the best scan: of the preferred kind, then of the field strength listed first, then with the
/// lowest series number, the lowest image id, and the first path.
fn keep_best(
    images: &mut [CohortImage],
    mut among: Vec<usize>,
    config: &SelectionConfig,
    rule: Rule,
    what: &str,
) {
    among.sort_by_cached_key(|&idx| {
        let image = &images[idx];
        let preferred = config.images.preferred();
        (
            preferred.is_some() && image.image.image_type != preferred,
            config.field_rank(image.scanner.field_strength).unwrap_or(usize::MAX),
            number(image.image.series_id.as_ref()),
            number(image.image.id.as_ref()),
            image.image.path.clone(),
        )
    });
    let Some((&best, others)) = among.split_first() else { return };
    let name = name_of(&images[best]);
    for &idx in others {
        let (best, other) = (&images[best], &images[idx]);
        let rank = |image: &CohortImage| config.field_rank(image.scanner.field_strength);
        let why = if config.images.preferred().is_some() && best.image.image_type != other.image.image_type {
            format!("it is {}", best.image.image_type.map_or("of unknown kind", |kind| kind.name()))
        } else if rank(best) != rank(other) {
            format!("it is of {} T", best.scanner.field_strength.map_or(0.0, FieldStrength::tesla))
        } else {
            "it has the lower number".to_owned()
        };
        images[idx].drop_by(rule, format!("{name} {what} is preferred: {why}"));
    }
}

fn name_of(image: &CohortImage) -> String {
    let id = image.image.id.as_ref().map(ToString::to_string);
    id.or_else(|| image.image.path.as_deref().map(str::to_owned))
        .unwrap_or_else(|| "another image".to_owned())
}
