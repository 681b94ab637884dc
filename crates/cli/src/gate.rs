//! The audit that stands before training and evaluation: they refuse a split that does not pass it, unless that is
//! overridden on record.

use std::path::{Path, PathBuf};

use brainreel_artifact::{ContentHash, hash_json, write_json};
use brainreel_audit::{AuditReport, Evidence, Finding, TrainingRecord, audit};
use brainreel_cohort::{ClaimedSplit, ScanTable, Split};
use serde::{Deserialize, Serialize};

use crate::commands::audit::copies;
use crate::commands::audit::source::origin_of;
use crate::commands::train::NOTICE;
use crate::run_inputs::RunInputs;
use crate::ui::Ui;

/// Findings that a refusal names.
const NAMED: usize = 3;

/// What results say of the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuditOutcome {
    /// Whether there was neither a leak nor a conflict.
    pub(crate) passes: bool,
    /// Why it was gone on all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) overridden: Option<String>,
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
    pub(crate) run: &'a Path,
    pub(crate) derivatives: &'a Path,
    pub(crate) split: &'a Split,
    pub(crate) inputs: &'a RunInputs,
    /// Why a split that does not pass is taken.
    pub(crate) reason: Option<&'a str>,
}

impl Gate<'_> {
    /// Audits the split and its images, or takes the audit of the same that is in the run folder.
    ///
    /// # Errors
    /// A split that does not pass, without a reason to take it.
    pub(crate) fn pass(&self, ui: &Ui) -> anyhow::Result<AuditOutcome> {
        let mut record = match self.kept() {
            Some(record) => record,
            None => self.audited(ui)?,
        };
        let outcome = &mut record.outcome;
        if !outcome.passes && outcome.overridden.is_none() {
            outcome.overridden = self.reason().map(str::to_owned);
            if let Some(reason) = &outcome.overridden {
                ui.warn(format!("the audit failed and was overridden: {reason}"));
            }
        }
        write_json(&self.path(), &record)?;
        if record.outcome.passes || record.outcome.overridden.is_some() {
            return Ok(record.outcome);
        }
        let failed = record.report.findings.iter().filter(|finding| finding.level.fails());
        let told: Vec<String> = failed.take(NAMED).map(told).collect();
        anyhow::bail!(
            "the split does not pass the audit: {}; all of it is in {}; correct the split, or pass \
             --override-audit REASON to go on, on record",
            told.join("; "),
            self.path().display()
        )
    }

    /// Why a failed audit is overridden; a split that is leaky on purpose says so itself.
    fn reason(&self) -> Option<&str> {
        self.reason.or_else(|| self.split.is_leaky().then_some("leaky on purpose (--allow-leaky)"))
    }

    fn audited(&self, ui: &Ui) -> anyhow::Result<AuditRecord> {
        let table = ScanTable::read(&self.derivatives.join("scans.tsv"))?;
        let claimed = ClaimedSplit::of_split(self.split, |id| table.get(id));
        let looked = copies::look(&claimed.scans, self.derivatives, ui);
        let training = TrainingRecord {
            trained_on: Vec::new(), // the same split: nobody beyond it
            crossed_statistics: Some(0),
            weights: origin_of(self.inputs.weights_sha256.as_ref()),
        };
        let report = audit(&Evidence {
            copies: Some(&looked.copies),
            unread: &looked.unread,
            training: Some(&training),
            ..Evidence::of(&claimed.scans)
        });
        Ok(AuditRecord {
            notice: NOTICE.to_owned(),
            split_sha256: self.inputs.split_sha256.clone(),
            images_sha256: hash_json(&self.inputs.images),
            outcome: AuditOutcome { passes: report.passes(), overridden: None },
            report,
        })
    }

    fn path(&self) -> PathBuf {
        self.run.join("audit.json")
    }

    /// The audit in the run folder, if it is of this split and these images. A damaged one is made anew.
    fn kept(&self) -> Option<AuditRecord> {
        let record: AuditRecord = serde_json::from_slice(&std::fs::read(self.path()).ok()?).ok()?;
        let is_same = record.split_sha256 == self.inputs.split_sha256
            && record.images_sha256 == hash_json(&self.inputs.images);
        is_same.then_some(record)
    }
}

fn told(finding: &Finding) -> String {
    match finding.examples.first() {
        None => finding.message.clone(),
        Some(first) => format!("{} (first: {first})", finding.message),
    }
}
