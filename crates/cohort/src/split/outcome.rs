//! What a split was made of, and what it leaves out.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{MatchSummary, ReplaySummary, Split, SplitRow};
use crate::{Scan, SubjectId};

/// A split, and the record of how it came about.
#[derive(Debug, Clone)]
pub struct SplitOutcome {
    /// The split.
    pub split: Split,
    /// Subjects with scans of the classes that are not in the split, by reason, then by id.
    pub left_out: Vec<LeftOut>,
    /// The sites, or the field strength, that are tested and that nobody else was scanned at.
    pub tested: Vec<String>,
    /// Age and sex matching, if it was asked for.
    pub matching: Option<MatchSummary>,
    /// How a list of subjects fitted the scans, if there was one.
    pub replay: Option<ReplaySummary>,
}

/// Scans of a subject that are not in the split, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeftOut {
    /// Why.
    pub why: LeftOutReason,
    /// Who.
    pub subject: SubjectId,
    /// Number of scans.
    pub n_scans: usize,
}

/// Why scans of the classes are not in a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOutReason {
    /// No partner of the same sex and nearly the same age is left.
    NoPartner,
    /// The age is not known, and pairs are wanted.
    UnknownAge,
    /// The sex is not known or not the same in all scans, and pairs are wanted.
    UnknownSex,
    /// The site is not known.
    UnknownSite,
    /// The field strength is not known.
    UnknownFieldStrength,
    /// The subject is tested, and this scan is of another site or field strength.
    TestedElsewhere,
    /// The list of subjects does not name the subject.
    NotListed,
}

impl LeftOutReason {
    /// The reason in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoPartner => "no partner of the same sex and age",
            Self::UnknownAge => "age not known",
            Self::UnknownSex => "sex not known",
            Self::UnknownSite => "site not known",
            Self::UnknownFieldStrength => "field strength not known",
            Self::TestedElsewhere => "scan of a tested subject from another site or field strength",
            Self::NotListed => "not in the list of subjects",
        }
    }
}

impl fmt::Display for LeftOutReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Subjects and scans that are not in the split for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOutCount {
    /// The reason.
    pub why: LeftOutReason,
    /// Number of subjects.
    pub n_subjects: usize,
    /// Number of scans.
    pub n_scans: usize,
}

/// Counts subjects and scans for each reason, in the order of the reasons.
#[must_use]
pub fn count_left_out(left_out: &[LeftOut]) -> Vec<LeftOutCount> {
    let mut counts: BTreeMap<LeftOutReason, LeftOutCount> = BTreeMap::new();
    for LeftOut { why, n_scans, .. } in left_out {
        let count = counts.entry(*why).or_insert(LeftOutCount { why: *why, n_subjects: 0, n_scans: 0 });
        count.n_subjects += 1;
        count.n_scans += n_scans;
    }
    counts.into_values().collect()
}

/// A split in the making.
#[derive(Default)]
pub(super) struct Parts {
    /// The rows so far.
    pub(super) rows: Vec<SplitRow>,
    /// What is tested and nothing else.
    pub(super) tested: Vec<String>,
    /// How a list of subjects fitted.
    pub(super) replay: Option<ReplaySummary>,
    left_out: BTreeMap<(LeftOutReason, String), LeftOut>,
}

impl Parts {
    /// Rows, with nothing left out.
    pub(super) fn of(rows: Vec<SplitRow>) -> Self {
        Self { rows, ..Self::default() }
    }

    /// Puts down that a scan is left out.
    pub(super) fn leave_out(&mut self, scan: &Scan, why: LeftOutReason) {
        let subject = scan.subject();
        let entry = self.left_out.entry((why, subject.person_key()));
        let entry = entry.or_insert_with(|| LeftOut { why, subject: subject.clone(), n_scans: 0 });
        entry.n_scans += 1;
        if *subject < entry.subject {
            entry.subject = subject.clone();
        }
    }

    /// Everybody who is left out, by reason, then by id.
    pub(super) fn left_out(&self) -> Vec<LeftOut> {
        self.left_out.values().cloned().collect()
    }
}
