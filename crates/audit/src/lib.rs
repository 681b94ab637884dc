//! Audits a split from any source: the same subject or image in two partitions, contradicting labels, sites
//! and scanners associated with the label, too few test subjects for the claimed precision.
//!
//! ```
//! use brainreel_audit::{Evidence, Level, audit};
//! use brainreel_cohort::ClaimedSplit;
//!
//! let table = "subject,diagnosis,partition\n002_S_0413,AD,train\n003_S_0907,CN,train\n\
//!              sub-ADNI002S0413,AD,test\n005_S_0223,CN,test\n";
//! let split = ClaimedSplit::from_reader(table.as_bytes(), "theirs.csv".as_ref(), None)?;
//! let report = audit(&Evidence::of(&split.scans));
//! assert!(!report.passes());
//! assert!(report.findings.iter().any(|finding| finding.level == Level::Leak));
//! # Ok::<(), brainreel_cohort::CohortError>(())
//! ```
//!
//! This crate works on tables and on pairs of duplicate images. It reads and writes no files. Leakage is
//! reported in the categories of Wen et al. 2020, doi:10.1016/j.media.2020.101694: a wrong split, a late
//! split, a biased transfer of weights, no independent test.

mod confound;
mod finding;
mod images;
mod labels;
mod people;
mod precision;
mod training;
mod verdict;

pub use confound::{Against, Attribute, Confound, describe};
pub use finding::{Category, Check, Finding, Level};
pub use images::{CopyKind, ImageCopy};
pub use precision::{DEFAULT_HALF_WIDTH, Precision};
pub use training::{TrainingRecord, WeightsOrigin};
pub use verdict::{AuditReport, CategoryVerdict, Opinion, Sizes};

use brainreel_cohort::ClaimedScan;

/// Evidence about a split.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// Its scans.
    pub scans: &'a [ClaimedScan],
    /// Images that are copies of each other; `None` if no image was compared.
    pub copies: Option<&'a [ImageCopy]>,
    /// Images that could not be read, and why.
    pub unread: &'a [String],
    /// Images whose SHA-256 digest differs from the one that the table lists.
    pub changed: &'a [String],
    /// Diagnoses that differ between the split and the scan table.
    pub contradictions: &'a [String],
    /// How a network was trained with the split.
    pub training: Option<&'a TrainingRecord>,
    /// Half of the width that the 95 % interval of a rate may have.
    pub half_width: f64,
}

impl<'a> Evidence<'a> {
    /// The table alone.
    #[must_use]
    pub const fn of(scans: &'a [ClaimedScan]) -> Self {
        Self {
            scans,
            copies: None,
            unread: &[],
            changed: &[],
            contradictions: &[],
            training: None,
            half_width: DEFAULT_HALF_WIDTH,
        }
    }
}

/// Audits a split for everything that inflates a result.
///
/// # Determinism
/// The report depends only on the evidence. Findings have a fixed order, the worst first.
#[must_use]
pub fn audit(evidence: &Evidence<'_>) -> AuditReport {
    let scans = evidence.scans;
    let mut findings = people::findings(scans);
    findings.extend(images::findings(scans, evidence.copies));
    findings.extend(labels::findings(scans, evidence.copies.unwrap_or_default()));
    findings.extend(images::unread(evidence.unread));
    findings.extend(images::changed(evidence.changed));
    findings.extend(labels::contradictions(evidence.contradictions));
    findings.extend(training::findings(scans, evidence.training));
    let confounds = confound::confounds(scans);
    findings.extend(confound::findings(&confounds));
    let sizes = Sizes::of(scans);
    let precision = Precision::of(&sizes, evidence.half_width);
    findings.extend(precision.finding());
    findings.extend(sizes.findings(evidence.training));
    findings.sort_by_key(|finding| finding.level);
    let verdicts = verdict::by_category(&findings, evidence);
    AuditReport { sizes, verdicts, findings, confounds, precision }
}
