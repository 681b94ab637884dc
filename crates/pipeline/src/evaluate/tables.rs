//! `predictions.tsv` and `subjects.tsv`.

use brainreel_statistics::aggregate_by_subject;
use brainreel_training::Prediction;

use crate::StageError;

/// `predictions.tsv`: one row per scan.
pub(crate) fn predictions_table(predictions: &[Prediction], threshold: f64) -> String {
    let mut table =
        String::from("scan_id\tparticipant_id\tdiagnosis\tlogit_cn\tlogit_ad\tprobability_ad\tpredicted\n");
    for p in predictions {
        let predicted = diagnosis(p.probability >= threshold);
        let (cn, ad) = (p.logits[0], p.logits[1]);
        table += &format!(
            "{}\t{}\t{}\t{cn:.6}\t{ad:.6}\t{:.6}\t{predicted}\n",
            p.scan_id,
            p.subject_id,
            diagnosis(p.label == 1),
            p.probability
        );
    }
    table
}

/// `subjects.tsv`: one row per subject, whose scans' probabilities are averaged.
pub(super) fn subjects_table(predictions: &[Prediction], threshold: f64) -> Result<String, StageError> {
    let labels: Vec<bool> = predictions.iter().map(|p| p.label == 1).collect();
    let probabilities: Vec<f64> = predictions.iter().map(|p| p.probability).collect();
    let names: Vec<&str> = predictions.iter().map(|p| p.subject_id.as_str()).collect();
    let mut table = String::from("participant_id\tdiagnosis\tn_scans\tprobability_ad\tpredicted\n");
    for p in aggregate_by_subject(&labels, &probabilities, &names)? {
        let predicted = diagnosis(p.probability >= threshold);
        let truth = diagnosis(p.label);
        table += &format!("{}\t{truth}\t{}\t{:.6}\t{predicted}\n", p.subject, p.n_scans, p.probability);
    }
    Ok(table)
}

const fn diagnosis(is_positive: bool) -> &'static str {
    if is_positive { "AD" } else { "CN" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_per_scan_and_one_per_subject() {
        let prediction = |scan: &str, probability: f64| Prediction {
            scan_id: format!("sub-1_ses-{scan}"),
            subject_id: "sub-1".to_owned(),
            label: 1,
            logits: vec![0.25, 1.0],
            probability,
        };
        let predictions = [prediction("a", 0.75), prediction("b", 0.5)];
        let scans = predictions_table(&predictions, 0.6);
        assert_eq!(scans.lines().nth(2), Some("sub-1_ses-b\tsub-1\tAD\t0.250000\t1.000000\t0.500000\tCN"));
        let subjects = subjects_table(&predictions, 0.6).unwrap();
        assert_eq!(subjects.lines().nth(1), Some("sub-1\tAD\t2\t0.625000\tAD"));
    }
}
