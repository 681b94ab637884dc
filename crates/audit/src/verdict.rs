//! What it all comes to.

use std::collections::BTreeMap;
use std::fmt;

use brainreel_cohort::{ClaimedScan, Diagnosis, Partition};
use serde::{Deserialize, Serialize};

use crate::Evidence;
use crate::confound::Confound;
use crate::finding::{Category, Check, Finding, Level};
use crate::people::people;
use crate::precision::Precision;
use crate::training::WeightsOrigin;

/// Scans and people of each partition: training, validation, test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// Scans.
    pub n_scans: [usize; 3],
    /// People, each counted once in every partition they are in.
    pub n_subjects: [usize; 3],
    /// Scans by diagnosis.
    pub by_diagnosis: BTreeMap<Diagnosis, [usize; 3]>,
}

impl Sizes {
    pub(crate) fn of(scans: &[ClaimedScan]) -> Self {
        let place = |partition: Partition| partition as usize;
        let mut sizes = Self { n_scans: [0; 3], n_subjects: [0; 3], by_diagnosis: BTreeMap::new() };
        for scan in scans {
            sizes.n_scans[place(scan.partition)] += 1;
            if let Some(diagnosis) = scan.diagnosis {
                sizes.by_diagnosis.entry(diagnosis).or_default()[place(scan.partition)] += 1;
            }
        }
        for scans in people(scans).values() {
            for partition in Partition::ALL {
                sizes.n_subjects[place(partition)] +=
                    usize::from(scans.iter().any(|scan| scan.partition == partition));
            }
        }
        sizes
    }

    /// Partitions and classes that are missing. A network `has_learnt` elsewhere: only its test counts then.
    pub(crate) fn findings(&self, has_learnt: bool) -> Vec<Finding> {
        let mut findings = Vec::new();
        for partition in Partition::ALL {
            if has_learnt && partition != Partition::Test && self.n_scans[partition as usize] == 0 {
                continue;
            }
            if self.n_scans[partition as usize] == 0 {
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
                        "stop and choose by a validation partition; otherwise the test partition has to serve",
                    ),
                    Partition::Test => finding
                        .in_category(Category::NoIndependentTest)
                        .with_remedy("keep subjects apart that nothing is chosen by"),
                });
                continue;
            }
            let missing = self.by_diagnosis.iter().filter(|(_, n)| n[partition as usize] == 0);
            findings.extend(missing.map(|(diagnosis, _)| {
                let message = format!("the {partition} partition has no {diagnosis} scan");
                Finding::new(Level::Warning, Check::MissingClass, message, Vec::new())
                    .with_remedy("split by subject within each diagnosis: `brainreel split` does")
            }));
        }
        findings
    }
}

/// Whether data leak in one of the ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Opinion {
    /// They do.
    Clear,
    /// What is there does not tell.
    Unclear,
    /// Nothing speaks for it.
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

/// The opinion on one way of leaking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CategoryVerdict {
    /// The way.
    pub category: Category,
    /// The opinion.
    pub opinion: Opinion,
    /// Why, in a clause.
    pub reason: String,
}

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditReport {
    /// Scans and people.
    pub sizes: Sizes,
    /// An opinion on every way of leaking.
    pub verdicts: Vec<CategoryVerdict>,
    /// Findings, the worst first.
    pub findings: Vec<Finding>,
    /// How strongly site, scanner, field strength, age and sex go with diagnosis and partition.
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

/// The opinions: a leak that was found is clear; where the evidence cannot show one, that is said.
pub(crate) fn by_category(findings: &[Finding], evidence: &Evidence<'_>) -> Vec<CategoryVerdict> {
    let verdict = |category: Category| {
        // The worst come first.
        let found = findings.iter().find(|finding| finding.category == Some(category));
        let (opinion, reason) = match found {
            Some(finding) if finding.level.fails() => (Opinion::Clear, finding.message.clone()),
            Some(finding) => (Opinion::Unclear, finding.message.clone()),
            None => unfound(category, evidence),
        };
        CategoryVerdict { category, opinion, reason }
    };
    Category::ALL.into_iter().map(verdict).collect()
}

/// The opinion on a way of leaking of which nothing was found.
fn unfound(category: Category, evidence: &Evidence<'_>) -> (Opinion, String) {
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
