//! Aggregates predictions from scans to subjects.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{StatisticsError, check_predictions};

/// The prediction for one subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubjectPrediction {
    /// The subject.
    pub subject: String,
    /// True class of the scans that are averaged.
    pub label: bool,
    /// Mean probability of these scans.
    pub probability: f64,
    /// Number of these scans.
    pub n_scans: usize,
}

/// Averages the probabilities of each subject's scans.
///
/// A converter has scans of both classes, which must not be averaged together, and gives one row per class.
/// Rows are in the order of subject ids, negative class first.
///
/// # Errors
/// Returns an error for different lengths, no scans, or an invalid probability.
#[expect(clippy::cast_precision_loss, reason = "counts of scans are far below 2^52")]
pub fn aggregate_by_subject<S: AsRef<str>>(
    labels: &[bool],
    probabilities: &[f64],
    subjects: &[S],
) -> Result<Vec<SubjectPrediction>, StatisticsError> {
    check_predictions(labels, probabilities, subjects)?;
    let mut sums: BTreeMap<(&str, bool), (Vec<f64>, usize)> = BTreeMap::new();
    for ((&label, &probability), subject) in labels.iter().zip(probabilities).zip(subjects) {
        let (values, n_scans) = sums.entry((subject.as_ref(), label)).or_default();
        values.push(probability);
        *n_scans += 1;
    }
    let rows = sums.into_iter().map(|((subject, label), (mut values, n_scans))| {
        // Sum in ascending order, so that the order of the scans does not change the last bit.
        values.sort_by(f64::total_cmp);
        let probability = (values.iter().sum::<f64>() / n_scans as f64).clamp(0.0, 1.0);
        SubjectPrediction { subject: subject.to_owned(), label, probability, n_scans }
    });
    Ok(rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_converter_gives_two_rows() {
        let rows =
            aggregate_by_subject(&[true, false, false, true], &[0.5, 0.25, 0.75, 1.0], &["b", "b", "a", "b"])
                .unwrap();
        let short: Vec<_> =
            rows.iter().map(|r| (r.subject.as_str(), r.label, r.probability, r.n_scans)).collect();
        assert_eq!(short, [("a", false, 0.75, 1), ("b", false, 0.25, 1), ("b", true, 0.75, 2)]);
    }
}
