//! Data that a network saw before its test.

use std::collections::{BTreeMap, BTreeSet};

use brainreel_cohort::{ClaimedScan, Partition, SubjectId};
use serde::{Deserialize, Serialize};

use crate::finding::{Category, Check, Finding, Level, count};

/// How a network was trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingRecord {
    /// Subjects of its training and validation partitions.
    pub trained_on: Vec<SubjectId>,
    /// Number of scans outside the training partition that statistics (of batch norms, of classes) were computed from;
    /// `None` if unknown.
    pub crossed_statistics: Option<usize>,
    /// Where its initial weights come from.
    pub weights: WeightsOrigin,
}

/// Origin of the initial weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WeightsOrigin {
    /// Random initialisation.
    Random,
    /// Published weights that were not trained on brain images, by name.
    Published(String),
    /// A network that was trained on these subjects.
    Trained(Vec<SubjectId>),
    /// Unknown.
    Unknown,
}

/// Test subjects that the network, or the network its weights come from, has seen.
pub(crate) fn findings(scans: &[ClaimedScan], record: Option<&TrainingRecord>) -> Vec<Finding> {
    let Some(record) = record else { return Vec::new() };
    let mut tested: BTreeMap<String, &SubjectId> = BTreeMap::new();
    for scan in scans.iter().filter(|scan| scan.partition == Partition::Test) {
        tested.entry(scan.subject.person_key()).or_insert(&scan.subject);
    }
    let seen_by = |subjects: &[SubjectId]| -> Vec<String> {
        let keys: BTreeSet<String> = subjects.iter().map(SubjectId::person_key).collect();
        tested.iter().filter(|(key, _)| keys.contains(*key)).map(|(_, subject)| subject.to_string()).collect()
    };
    let mut findings = Vec::new();
    let seen = seen_by(&record.trained_on);
    if !seen.is_empty() {
        let message =
            format!("the network was trained on {} of the test partition", count(seen.len(), "subject"));
        findings.push(
            Finding::new(Level::Leak, Check::TrainedOn, message, seen)
                .in_category(Category::WrongSplit)
                .with_remedy("test on people that the network has not seen, or train anew without them"),
        );
    }
    if let WeightsOrigin::Trained(subjects) = &record.weights {
        let seen = seen_by(subjects);
        if !seen.is_empty() {
            let message = format!(
                "the initial weights learnt from {} of the test partition",
                count(seen.len(), "subject")
            );
            findings.push(
                Finding::new(Level::Leak, Check::InitialWeights, message, seen)
                    .in_category(Category::BiasedTransfer)
                    .with_remedy("start from weights that have not seen them, such as kinetics400/r3d_18"),
            );
        }
    }
    if let Some(n) = record.crossed_statistics.filter(|&n| n > 0) {
        let message =
            format!("statistics were taken from {} outside the training partition", count(n, "scan"));
        findings.push(
            Finding::new(Level::Leak, Check::CrossedStatistics, message, Vec::new())
                .in_category(Category::LateSplit)
                .with_remedy("take means, norms and weights of classes from training scans alone"),
        );
    }
    findings
}
