//! The audit before training and evaluation: they refuse a split that does not pass it, unless that is overridden on
//! record.

use std::path::Path;

use brainreel_artifact::{ContentHash, hash_json, write_json};
use brainreel_audit::{AuditReport, Evidence, Finding, TrainingRecord, audit};
use brainreel_cohort::{ClaimedSplit, ScanTable, Split};
use serde::{Deserialize, Serialize};

use crate::audit::copies::compare_images;
use crate::audit::origin::weights_origin;
use crate::run_folder::{RunFolder, RunInputs};
use crate::{Remedy, Reporter, StageError, notice};

/// Findings that a refusal names.
const MAX_NAMED: usize = 3;

/// Why a leaky split passes although its audit fails.
const LEAKY_ON_PURPOSE: &str = "leaky on purpose, and allowed";

/// What results say about the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditOutcome {
    /// Whether there was neither a leak nor a conflict.
    pub passes: bool,
    /// Why a failed audit was overridden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overridden: Option<String>,
}

/// The content of `audit.json` in a run folder.
#[derive(Debug, Serialize, Deserialize)]
struct AuditRecord {
    notice: String,
    /// What was audited: split and images.
    split_sha256: String,
    images_sha256: ContentHash,
    #[serde(flatten)]
    outcome: AuditOutcome,
    report: AuditReport,
}

/// What is to be trained or evaluated.
pub(crate) struct Gate<'a> {
    pub(crate) run: &'a RunFolder,
    pub(crate) derivatives: &'a Path,
    pub(crate) split: &'a Split,
    pub(crate) inputs: &'a RunInputs,
    /// Why a split that does not pass the audit is accepted.
    pub(crate) override_reason: Option<&'a str>,
}

impl Gate<'_> {
    /// Audits the split and its images, or reads the audit of the same that is in the run folder.
    ///
    /// # Errors
    /// [`StageError::Refused`] for a split that does not pass, unless there is a reason to override that.
    pub(crate) fn pass(&self, reporter: &Reporter<'_>) -> Result<AuditOutcome, StageError> {
        let mut record = match self.read_record() {
            Some(record) => record,
            None => self.run_audit(reporter)?,
        };
        let outcome = &mut record.outcome;
        if !outcome.passes && outcome.overridden.is_none() {
            outcome.overridden = self.reason().map(str::to_owned);
            if let Some(reason) = &outcome.overridden {
                reporter.warn(format!("the audit failed and was overridden: {reason}"));
            }
        }
        write_json(&self.run.audit(), &record)?;
        if record.outcome.passes || record.outcome.overridden.is_some() {
            return Ok(record.outcome);
        }
        let failed = record.report.findings.iter().filter(|finding| finding.level.fails());
        let named: Vec<String> = failed.take(MAX_NAMED).map(describe).collect();
        let reason = format!(
            "the split does not pass the audit: {}; the whole audit is in {}",
            named.join("; "),
            self.run.audit().display()
        );
        Err(StageError::refused(reason, Remedy::OverrideAudit))
    }

    fn reason(&self) -> Option<&str> {
        let given = self.override_reason.map(str::trim).filter(|reason| !reason.is_empty());
        given.or_else(|| self.split.is_leaky().then_some(LEAKY_ON_PURPOSE))
    }

    fn run_audit(&self, reporter: &Reporter<'_>) -> Result<AuditRecord, StageError> {
        let table = ScanTable::read(&self.derivatives.join("scans.tsv"))?;
        let mut claimed = ClaimedSplit::of_split(self.split, |id| table.get(id));
        let compared = compare_images(&mut claimed.scans, self.derivatives, reporter);
        let training = TrainingRecord {
            trained_on: Vec::new(), // the same split: no other subjects
            crossed_statistics: Some(0),
            weights: weights_origin(self.inputs.weights_sha256.as_ref()),
        };
        let report = audit(&Evidence {
            copies: Some(&compared.copies),
            unread: &compared.unread,
            changed: &compared.changed,
            training: Some(&training),
            ..Evidence::of(&claimed.scans)
        });
        Ok(AuditRecord {
            notice: notice::NOTICE.to_owned(),
            split_sha256: self.inputs.split_sha256.clone(),
            images_sha256: hash_json(&self.inputs.images),
            outcome: AuditOutcome { passes: report.passes(), overridden: None },
            report,
        })
    }

    /// The audit in the run folder, if it is of this split and these images. A damaged record is made again.
    fn read_record(&self) -> Option<AuditRecord> {
        let record: AuditRecord = serde_json::from_slice(&std::fs::read(self.run.audit()).ok()?).ok()?;
        let is_same = record.split_sha256 == self.inputs.split_sha256
            && record.images_sha256 == hash_json(&self.inputs.images);
        is_same.then_some(record)
    }
}

fn describe(finding: &Finding) -> String {
    match finding.examples.first() {
        None => finding.message.clone(),
        Some(first) => format!("{} (first: {first})", finding.message),
    }
}
