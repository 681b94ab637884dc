//! Diagnoses permuted among subjects: the classifier must fall to chance level, or something leaks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use brainreel_artifact::{derive_seed, write_atomic};
use brainreel_cohort::{Diagnosis, LabelTable, SubjectId};

use crate::StageError;

/// Permutes diagnoses among subjects. Each subject gets the most severe diagnosis of another.
///
/// # Determinism
/// A function of the diagnoses and the seed.
pub fn permute_diagnoses<'a>(
    diagnoses: impl Iterator<Item = (&'a SubjectId, Diagnosis)>,
    seed: u64,
) -> BTreeMap<&'a SubjectId, Diagnosis> {
    let mut severest: BTreeMap<&SubjectId, Diagnosis> = BTreeMap::new();
    for (subject, diagnosis) in diagnoses {
        let known = severest.entry(subject).or_insert(diagnosis);
        *known = diagnosis.max(*known);
    }
    let mut places: Vec<&SubjectId> = severest.keys().copied().collect();
    places.sort_by_cached_key(|subject| derive_seed(seed, "shuffle labels", &[subject.label()]));
    places.into_iter().zip(severest.values().copied()).collect()
}

/// Reads label tables and writes one plain table in which the subjects' diagnoses are permuted.
///
/// All scans of a subject get the same diagnosis, the most severe one of the subject whose place it
/// takes, so the numbers of subjects by diagnosis stay.
///
/// # Determinism
/// A function of the tables and the seed.
///
/// # Errors
/// [`StageError`] if a table cannot be read or the new one cannot be written.
pub fn shuffle_labels(tables: &[PathBuf], seed: u64, out: &Path) -> Result<(), StageError> {
    let labels = LabelTable::from_files(tables)?;
    let known = labels.rows().iter().filter_map(|row| Some((&row.person.subject, row.diagnosis()?)));
    let shuffled = permute_diagnoses(known, seed);
    let text = |value: Option<String>| value.unwrap_or_default();
    let header = ["image_id", "path", "subject", "session", "diagnosis", "age", "sex", "date"];
    let rows = labels.rows().iter().map(|row| {
        [
            text(row.image.id.as_ref().map(ToString::to_string)),
            text(row.image.path.as_deref().map(str::to_owned)),
            row.person.subject.label().to_owned(),
            text(row.visit.session().map(|session| session.label().to_owned())),
            text(shuffled.get(&row.person.subject).map(ToString::to_string)),
            text(row.visit.age_years.map(|age| age.to_string())),
            text(row.person.sex.map(|sex| sex.name().to_owned())),
            text(row.visit.date.map(|date| date.to_string())),
        ]
    });
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header).expect("text in memory");
    for row in rows {
        writer.write_record(row).expect("as many cells as the header has");
    }
    Ok(write_atomic(out, &writer.into_inner().expect("writing to memory cannot fail"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shuffled(seed: u64) -> LabelTable {
        let dir = tempfile::tempdir().unwrap();
        let (table, out) = (dir.path().join("labels.csv"), dir.path().join("shuffled.csv"));
        let mut text = "image_id,subject,diagnosis,session,date\n".to_owned();
        for subject in 0..40 {
            for visit in 0..2 {
                let diagnosis = if subject < 15 { "AD" } else { "CN" };
                text +=
                    &format!("{subject}{visit},s{subject:02},{diagnosis},m{visit},2006-0{}-01\n", visit + 1);
            }
        }
        std::fs::write(&table, text).unwrap();
        shuffle_labels(&[table], seed, &out).unwrap();
        LabelTable::from_files(&[out]).unwrap()
    }

    #[test]
    fn counts_stay_subjects_keep_one_label_and_the_seed_decides() {
        let table = shuffled(1);
        let n_ad = |table: &LabelTable, below: usize| {
            table.rows()[..below].iter().filter(|row| row.diagnosis() == Some(Diagnosis::Ad)).count()
        };
        assert_eq!(n_ad(&table, 80), 30, "as many as before");
        assert_ne!(n_ad(&table, 30), 30, "but of other subjects");
        assert!(table.rows().chunks(2).all(|visits| visits[0].group == visits[1].group));
        let groups =
            |table: &LabelTable| table.rows().iter().map(|row| row.group.clone()).collect::<Vec<_>>();
        assert!(groups(&table) == groups(&shuffled(1)));
        assert!(groups(&table) != groups(&shuffled(2)));
    }
}
