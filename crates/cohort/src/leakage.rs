//! Checks that no model is evaluated on its training subjects.

use std::collections::BTreeMap;

use crate::{CohortError, SubjectId};

/// The subjects on both sides, sorted and unique. Ids that differ only in case are one subject.
#[must_use]
pub fn shared_subjects<'a>(
    trained_on: impl IntoIterator<Item = &'a SubjectId>,
    evaluated: impl IntoIterator<Item = &'a SubjectId>,
) -> Vec<SubjectId> {
    let trained: BTreeMap<String, &SubjectId> =
        trained_on.into_iter().map(|subject| (subject.person_key(), subject)).collect();
    let mut shared: Vec<SubjectId> = evaluated
        .into_iter()
        .filter(|subject| trained.contains_key(&subject.person_key()))
        .cloned()
        .collect();
    shared.sort();
    shared.dedup();
    shared
}

/// Returns an error if an evaluation contains a training subject.
///
/// # Errors
/// [`CohortError::TrainedOn`] with the number of such subjects and the first one.
pub fn check_no_shared_subject<'a>(
    trained_on: impl IntoIterator<Item = &'a SubjectId>,
    evaluated: impl IntoIterator<Item = &'a SubjectId>,
) -> Result<(), CohortError> {
    let shared = shared_subjects(trained_on, evaluated);
    let n_shared = shared.len();
    shared.into_iter().next().map_or(Ok(()), |first| Err(CohortError::TrainedOn { n_shared, first }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_do_not_hide_a_shared_subject() {
        let subject = |raw| SubjectId::parse(raw).unwrap();
        let trained = [subject("002_S_0413"), subject("p1")];
        let evaluated = [subject("sub-ADNI002S0413"), subject("P1"), subject("p2")];
        let error = check_no_shared_subject(&trained, &evaluated).unwrap_err();
        assert!(matches!(error, CohortError::TrainedOn { n_shared: 2, .. }), "{error}");
        assert!(check_no_shared_subject(&trained, &evaluated[2..]).is_ok());
    }
}
