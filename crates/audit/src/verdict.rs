//! Sizes, verdicts and the report.

use std::collections::BTreeMap;
use std::fmt;

use brainreel_cohort::{ClaimedScan, Diagnosis, Partition, PerPartition};
use serde::{Deserialize, Serialize};

use crate::Evidence;
use crate::confound::Confound;
use crate::finding::{Category, Check, Finding, Level};
use crate::people::people;
use crate::precision::Precision;
use crate::training::{TrainingRecord, WeightsOrigin};

/// Numbers of scans and subjects in each partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// Number of scans.
    pub n_scans: PerPartition<usize>,
    /// Number of subjects. A subject in two partitions counts in both.
    pub n_subjects: PerPartition<usize>,
    /// Number of scans of each diagnosis.
    pub n_scans_by_diagnosis: BTreeMap<Diagnosis, PerPartition<usize>>,
}

impl Sizes {
    pub(crate) fn of(scans: &[ClaimedScan]) -> Self {
        let mut sizes = Self::default();
        for scan in scans {
            *sizes.n_scans.get_mut(scan.partition) += 1;
            if let Some(diagnosis) = scan.diagnosis {
                *sizes.n_scans_by_diagnosis.entry(diagnosis).or_default().get_mut(scan.partition) += 1;
            }
        }
        for scans in people(scans).values() {
            for partition in Partition::ALL {
                *sizes.n_subjects.get_mut(partition) +=
                    usize::from(scans.iter().any(|scan| scan.partition == partition));
            }
        }
        sizes
    }

    /// Missing partitions and classes. For a network that was trained already, only the test partition is required.
    pub(crate) fn findings(&self, network: Option<&TrainingRecord>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for partition in Partition::ALL {
            let is_empty = *self.n_scans.get(partition) == 0;
            if is_empty && network.is_some() && partition != Partition::Test {
                continue;
            }
            if is_empty {
                let level = if partition == Partition::Test { Level::Conflict } else { Level::Warning };
                let finding = Finding::new(
                    level,
                    Check::MissingPartition,
                    format!("there is no {partition} partition"),
                    Vec::new(),
                );
                findings.push(match partition {
                    Partition::Train => finding,
                    Partition::Validation => finding.in_category(Category::NoIndependentTest).with_remedy(
                        "use a validation partition for early stopping and model selection, never the test partition",
                    ),
                    Partition::Test => finding
                        .in_category(Category::NoIndependentTest)
                        .with_remedy("set subjects aside that play no part in training and model selection"),
                });
                continue;
            }
            let missing = self.n_scans_by_diagnosis.iter().filter(|(_, n)| *n.get(partition) == 0);
            findings.extend(missing.map(|(diagnosis, _)| {
                let message = format!("the {partition} partition has no {diagnosis} scan");
                Finding::new(Level::Warning, Check::MissingClass, message, Vec::new())
                    .with_remedy("split by subject within each diagnosis: the stage `split` does")
            }));
        }
        findings
    }
}

/// Opinion on one category of leakage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Opinion {
    /// Data leak.
    Clear,
    /// The evidence does not decide it.
    Unclear,
    /// No sign of a leak.
    NoneDetected,
}

impl fmt::Display for Opinion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Clear => "CLEAR LEAK",
            Self::Unclear => "unclear",
            Self::NoneDetected => "none detected",
        })
    }
}

/// Verdict on one category of leakage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CategoryVerdict {
    /// The category.
    pub category: Category,
    /// The opinion.
    pub opinion: Opinion,
    /// Why, in a clause.
    pub reason: String,
}

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditReport {
    /// Numbers of scans and subjects.
    pub sizes: Sizes,
    /// A verdict on every category of leakage.
    pub verdicts: Vec<CategoryVerdict>,
    /// Findings, the worst first.
    pub findings: Vec<Finding>,
    /// Associations of site, scanner, field strength, age and sex with diagnosis and partition.
    pub confounds: Vec<Confound>,
    /// How precise a result can be.
    pub precision: Precision,
}

impl AuditReport {
    /// Whether there is neither a leak nor a conflict.
    #[must_use]
    pub fn passes(&self) -> bool {
        !self.findings.iter().any(|finding| finding.level.fails())
    }
}

/// The verdicts. A found leak is clear; where the evidence cannot show a leak, the verdict is unclear.
pub(crate) fn by_category(findings: &[Finding], evidence: &Evidence<'_>) -> Vec<CategoryVerdict> {
    let verdict = |category: Category| {
        // The worst come first.
        let found = findings.iter().find(|finding| finding.category == Some(category));
        let (opinion, reason) = match found {
            Some(finding) if finding.level.fails() => (Opinion::Clear, finding.message.clone()),
            Some(finding) => (Opinion::Unclear, finding.message.clone()),
            None => without_finding(category, evidence),
        };
        CategoryVerdict { category, opinion, reason }
    };
    Category::ALL.into_iter().map(verdict).collect()
}

/// The opinion on a category without a finding.
fn without_finding(category: Category, evidence: &Evidence<'_>) -> (Opinion, String) {
    let (opinion, reason) = match (category, evidence.training) {
        (Category::WrongSplit, _) if evidence.copies.is_some() => {
            (Opinion::NoneDetected, "subjects and images are on one side each")
        }
        (Category::WrongSplit, _) => {
            (Opinion::NoneDetected, "subjects are on one side each by their names; images were not compared")
        }
        (Category::LateSplit, Some(record)) if record.crossed_statistics == Some(0) => {
            (Opinion::NoneDetected, "scans are preprocessed one by one, statistics come from training scans")
        }
        (Category::LateSplit, _) => {
            (Opinion::Unclear, "a table does not show what was computed before the split")
        }
        (Category::BiasedTransfer, Some(record)) => match &record.weights {
            WeightsOrigin::Random => (Opinion::NoneDetected, "training started from random numbers"),
            WeightsOrigin::Published(name) => {
                return (
                    Opinion::NoneDetected,
                    format!("training started from {name}, which has seen no brain"),
                );
            }
            WeightsOrigin::Trained(_) => {
                (Opinion::NoneDetected, "the initial weights have not seen the test subjects")
            }
            WeightsOrigin::Unknown => (Opinion::Unclear, "nobody knows what the initial weights have seen"),
        },
        (Category::BiasedTransfer, None) => {
            (Opinion::Unclear, "a table does not show what the initial weights have seen")
        }
        (Category::NoIndependentTest, Some(_)) => {
            (Opinion::NoneDetected, "the validation partition decided when to stop and which network to take")
        }
        (Category::NoIndependentTest, None) => (
            Opinion::NoneDetected,
            "there are validation and test partitions; what was chosen by which, a table does not show",
        ),
    };
    (opinion, reason.to_owned())
}
