//! Result of a split, with its exclusions.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{MatchSummary, ReplaySummary, Split, SplitRow};
use crate::{Scan, SubjectId};

/// A split with a record of its exclusions, matching and list.
#[derive(Debug, Clone)]
pub struct SplitOutcome {
    /// The split.
    pub split: Split,
    /// Excluded subjects with scans of the classes, by reason, then by id.
    pub left_out: Vec<LeftOut>,
    /// Held-out sites or field strength: no training or validation scan comes from them.
    pub tested: Vec<String>,
    /// Age and sex matching, if requested.
    pub matching: Option<MatchSummary>,
    /// How well the list of subjects matched the scans, if one was used.
    pub replay: Option<ReplaySummary>,
}

/// Scans of a subject that are excluded from the split, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeftOut {
    /// The reason.
    pub why: LeftOutReason,
    /// The subject.
    pub subject: SubjectId,
    /// Number of scans.
    pub n_scans: usize,
}

/// Reason for which scans of the classes are excluded from a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOutReason {
    /// No partner of the same sex and nearly the same age is left.
    NoPartner,
    /// Matching is requested and the age is unknown.
    UnknownAge,
    /// Matching is requested and the sex is unknown or differs between scans.
    UnknownSex,
    /// The site is unknown.
    UnknownSite,
    /// The field strength is unknown.
    UnknownFieldStrength,
    /// The subject is in the test partition, and this scan comes from another site or field strength.
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

/// Numbers of subjects and scans excluded for one reason.
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

/// A split under construction.
#[derive(Default)]
pub(super) struct Parts {
    /// The rows so far.
    pub(super) rows: Vec<SplitRow>,
    /// The held-out groups.
    pub(super) tested: Vec<String>,
    /// How well the list of subjects matched.
    pub(super) replay: Option<ReplaySummary>,
    left_out: BTreeMap<(LeftOutReason, String), LeftOut>,
}

impl Parts {
    /// Rows without exclusions.
    pub(super) fn of(rows: Vec<SplitRow>) -> Self {
        Self { rows, ..Self::default() }
    }

    /// Records an excluded scan.
    pub(super) fn leave_out(&mut self, scan: &Scan, why: LeftOutReason) {
        let subject = scan.subject();
        let entry = self.left_out.entry((why, subject.person_key()));
        let entry = entry.or_insert_with(|| LeftOut { why, subject: subject.clone(), n_scans: 0 });
        entry.n_scans += 1;
        if *subject < entry.subject {
            entry.subject = subject.clone();
        }
    }

    /// All exclusions, by reason, then by id.
    pub(super) fn left_out(&self) -> Vec<LeftOut> {
        self.left_out.values().cloned().collect()
    }
}
