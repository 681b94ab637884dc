//! One image, or one acquisition, more than once.

use std::collections::BTreeMap;

use brainreel_cohort::{ClaimedScan, ImageId};
use serde::{Deserialize, Serialize};

use crate::finding::{Category, Check, Finding, Level, count};

/// How two images are copies of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CopyKind {
    /// The same voxels.
    Identical,
    /// One acquisition, processed in two ways: rescaled, filtered, shifted, resampled.
    NearDuplicate,
}

/// Two scans whose images are copies of each other.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Copy {
    /// Number of a scan.
    pub one: usize,
    /// Number of the other.
    pub other: usize,
    /// How they are copies.
    pub kind: CopyKind,
}

/// Copies on two sides, copies on one side, and copies under the names of two people.
pub(crate) fn findings(scans: &[ClaimedScan], copies: Option<&[Copy]>) -> Vec<Finding> {
    let mut pairs = named_alike(scans);
    for copy in copies.unwrap_or_default() {
        let pair = (copy.one.min(copy.other), copy.one.max(copy.other));
        if pair.1 < scans.len() {
            let known = pairs.entry(pair).or_insert(copy.kind);
            *known = copy.kind.min(*known);
        }
    }
    let of = |kind: CopyKind, crossed: bool| -> Vec<(usize, usize)> {
        let sides_differ = |&(a, b): &(usize, usize)| scans[a].partition != scans[b].partition;
        pairs
            .iter()
            .filter(|(pair, of)| **of == kind && sides_differ(pair) == crossed)
            .map(|(p, _)| *p)
            .collect()
    };
    let describe = |&(a, b): &(usize, usize)| {
        let (one, other) = (&scans[a], &scans[b]);
        format!("{} ({}) and {} ({})", one.describe(), one.partition, other.describe(), other.partition)
    };
    let told = |pairs: &[(usize, usize)]| pairs.iter().map(describe).collect::<Vec<_>>();
    let mut findings = Vec::new();
    for (kind, check, what) in [
        (CopyKind::Identical, Check::IdenticalImages, "of identical images"),
        (CopyKind::NearDuplicate, Check::NearDuplicates, "of images of one acquisition"),
    ] {
        let crossed = of(kind, true);
        if !crossed.is_empty() {
            let message = format!("{} {what} in different partitions", count(crossed.len(), "pair"));
            findings.push(
                Finding::new(Level::Leak, check, message, told(&crossed))
                    .in_category(Category::WrongSplit)
                    .with_remedy("drop one of each pair, or put both into one partition"),
            );
        }
    }
    let within: Vec<(usize, usize)> =
        [CopyKind::Identical, CopyKind::NearDuplicate].into_iter().flat_map(|kind| of(kind, false)).collect();
    let is_shared = |&(a, b): &(usize, usize)| scans[a].subject.person_key() != scans[b].subject.person_key();
    let (shared, repeated): (Vec<_>, Vec<_>) = within.into_iter().partition(is_shared);
    if !shared.is_empty() {
        let message = format!("{} of copies under the names of two subjects", count(shared.len(), "pair"));
        findings.push(
            Finding::new(Level::Conflict, Check::SharedImage, message, told(&shared))
                .with_remedy("find out whose image it is; names may have been mixed up elsewhere too"),
        );
    }
    if !repeated.is_empty() {
        let message = format!("{} of copies within a partition", count(repeated.len(), "pair"));
        findings.push(
            Finding::new(Level::Warning, Check::RepeatedImages, message, told(&repeated))
                .with_remedy("drop one of each pair: it counts more than other images"),
        );
    }
    findings
}

/// Images that could not be looked at.
pub(crate) fn unread(reasons: &[String]) -> Option<Finding> {
    (!reasons.is_empty()).then(|| {
        let message = format!("{} could not be compared with the others", count(reasons.len(), "image"));
        Finding::new(Level::Warning, Check::UnreadImages, message, reasons.to_vec())
            .in_category(Category::WrongSplit)
            .with_remedy("put the files right and audit again")
    })
}

/// Pairs of scans with one digest, one number of the archive or one file.
fn named_alike(scans: &[ClaimedScan]) -> BTreeMap<(usize, usize), CopyKind> {
    let mut by_digest: BTreeMap<&str, usize> = BTreeMap::new();
    let mut by_number: BTreeMap<&ImageId, usize> = BTreeMap::new();
    let mut by_path: BTreeMap<&str, usize> = BTreeMap::new();
    let mut pairs = BTreeMap::new();
    for (idx, scan) in scans.iter().enumerate() {
        let twin = scan.sha256.as_deref().map(|digest| *by_digest.entry(digest).or_insert(idx));
        let namesake = scan.image_id.as_ref().map(|number| *by_number.entry(number).or_insert(idx));
        let file = scan.image.as_deref().map(|path| *by_path.entry(path).or_insert(idx));
        for earlier in twin.into_iter().chain(namesake).chain(file).filter(|&earlier| earlier != idx) {
            pairs.insert((earlier, idx), CopyKind::Identical);
        }
    }
    pairs
}
