//! Rules for single images.

use super::config::phase_key;
use super::{CohortImage, Dropped, Rule, SelectionConfig};
use crate::{DiagnosisBasis, ImageRecord, JoinRule, Place, Records};

/// The first single-image rule that an image violates.
pub(super) fn first_rule(
    image: &CohortImage,
    records: &Records,
    config: &SelectionConfig,
) -> Option<Dropped> {
    let reasons: [(Rule, &dyn Fn() -> Option<String>); 8] = [
        (Rule::Modality, &|| modality(image, config)),
        (Rule::Description, &|| description(image, config)),
        (Rule::Phase, &|| phase(image, config)),
        (Rule::FieldStrength, &|| field_strength(image, config)),
        (Rule::ImageType, &|| image_type(image, config)),
        (Rule::Age, &|| age(image, config)),
        (Rule::DiagnosisConflict, &|| diagnosis_conflict(image, records)),
        (Rule::NoDiagnosis, &|| no_diagnosis(image, records, config)),
    ];
    reasons
        .into_iter()
        .find_map(|(rule, reason)| Some(Dropped { rule, reason: reason()? }))
        .or_else(|| Some(Dropped { rule: Rule::Diagnosis, reason: diagnosis(image, config)? }))
}

fn modality(image: &CohortImage, config: &SelectionConfig) -> Option<String> {
    let key = |text: &str| match text.trim().to_ascii_uppercase().as_str() {
        "MR" => "MRI".to_owned(),
        other => other.to_owned(),
    };
    let (asked, found) = (config.modality.trim(), image.image.modality.as_deref()?);
    (!asked.is_empty() && key(asked) != key(found))
        .then(|| format!("the modality is {found}, asked for {asked}"))
}

fn description(image: &CohortImage, config: &SelectionConfig) -> Option<String> {
    if config.include.is_empty() && config.exclude.is_empty() {
        return None;
    }
    let known = [image.image.description.as_deref(), image.header_description.as_deref()];
    let fits = |pattern: &&super::Pattern| known.into_iter().flatten().any(|text| pattern.matches(text));
    // The description in a header is free text, and is never shown.
    let shown = image.image.description.as_ref().map_or_else(String::new, |text| format!(" `{text}`"));
    if let Some(pattern) = config.exclude.iter().find(fits) {
        return Some(format!("the description{shown} fits `{pattern}`, which is excluded"));
    }
    if config.include.is_empty() || config.include.iter().any(|pattern| fits(&pattern)) {
        return None;
    }
    Some(match known.into_iter().flatten().next() {
        None => "it has no description, and patterns are asked for".to_owned(),
        Some(_) => format!("the description{shown} fits none of the patterns asked for"),
    })
}

fn phase(image: &CohortImage, config: &SelectionConfig) -> Option<String> {
    let asked = || config.phases.join(", ");
    match image.visit.phase.as_deref() {
        _ if config.phases.is_empty() => None,
        None => Some(format!("the phase is not known, asked for {}", asked())),
        Some(phase) => {
            let is_asked = config.phases.iter().any(|asked| phase_key(asked) == phase_key(phase));
            (!is_asked).then(|| format!("the phase is {phase}, asked for {}", asked()))
        }
    }
}

fn field_strength(image: &CohortImage, config: &SelectionConfig) -> Option<String> {
    if config.field_strengths_t.is_empty() || config.field_rank(image.scanner.field_strength).is_some() {
        return None;
    }
    let asked: Vec<String> = config.field_strengths_t.iter().map(|tesla| format!("{tesla} T")).collect();
    let found =
        image.scanner.field_strength.map_or_else(|| "not known".to_owned(), |tesla| format!("{tesla} T"));
    Some(format!("the field strength is {found}, asked for {}", asked.join(", ")))
}

fn image_type(image: &CohortImage, config: &SelectionConfig) -> Option<String> {
    let asked = config.images.required()?;
    let found = image.image.image_type.map_or("not given by any table", |found| found.name());
    (image.image.image_type != Some(asked))
        .then(|| format!("whether it is original or processed: {found}, asked for {}", asked.name()))
}

fn age(image: &CohortImage, config: &SelectionConfig) -> Option<String> {
    let (least, most) = (config.min_age_years, config.max_age_years);
    if least.is_none() && most.is_none() {
        return None;
    }
    let range = match (least, most) {
        (Some(least), Some(most)) => format!("{least} to {most}"),
        (Some(least), None) => format!("at least {least}"),
        (None, most) => format!("at most {}", most.unwrap_or(f64::INFINITY)),
    };
    let Some(years) = image.visit.age_years else {
        return Some(format!("the age is not known, asked for {range}"));
    };
    let inside = least.is_none_or(|least| years >= least) && most.is_none_or(|most| years <= most);
    (!inside).then(|| format!("the age is {years:.1} years, asked for {range}"))
}

fn diagnosis_conflict(image: &CohortImage, records: &Records) -> Option<String> {
    let DiagnosisBasis::Conflict { first, second } = image.basis else { return None };
    let (first, second) = (file_name(records, first), file_name(records, second));
    Some(format!("two visits equally near disagree: {first} and {second}"))
}

fn no_diagnosis(image: &CohortImage, records: &Records, config: &SelectionConfig) -> Option<String> {
    if image.visit.diagnosis.is_some() {
        return None;
    }
    let anywhen = JoinRule { max_days: u32::MAX, accept_research_group: true };
    let subject = image.subject().cloned()?;
    let mut record = ImageRecord::new(subject, image.place.unwrap_or(Place { table: u32::MAX, line: 0 }));
    record.visit.date = image.visit.date;
    record.visit.code.clone_from(&image.visit.code);
    let most = config.max_days;
    Some(match records.join_image(&record, &anywhen).basis {
        DiagnosisBasis::Visit { days, place } => {
            let place = file_name(records, place);
            format!(
                "the nearest visit with a diagnosis is {days} days away ({place}), at most {most} are allowed"
            )
        }
        DiagnosisBasis::Conflict { first, .. } => {
            let place = file_name(records, first);
            format!("the nearest visits with a diagnosis ({place}) are more than {most} days away")
        }
        _ => "no table gives a diagnosis for it: add one with visits (ADNIMERGE, DXSUM), or one with groups"
            .to_owned(),
    })
}

fn diagnosis(image: &CohortImage, config: &SelectionConfig) -> Option<String> {
    let found = image.visit.diagnosis.filter(|diagnosis| !config.diagnoses.contains(diagnosis))?;
    let asked: Vec<String> = config.diagnoses.iter().map(ToString::to_string).collect();
    Some(format!("the diagnosis is {found}, asked for {}", asked.join(", ")))
}

/// `DXSUM.csv, line 7`, without machine-specific folders.
fn file_name(records: &Records, place: Place) -> String {
    let path = records.tables().get(place.table as usize).map(|table| table.path.as_path());
    let name = path.and_then(std::path::Path::file_name).map(|name| name.to_string_lossy().into_owned());
    format!("{}, line {}", name.unwrap_or_else(|| "?".to_owned()), place.line)
}
