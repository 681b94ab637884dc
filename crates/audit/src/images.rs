//! Duplicate images and acquisitions.

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageCopy {
    /// Position of one scan among the scans of the split.
    pub first: usize,
    /// Position of the other scan.
    pub second: usize,
    /// How they are copies.
    pub kind: CopyKind,
}

impl ImageCopy {
    fn is_across_partitions(&self, scans: &[ClaimedScan]) -> bool {
        scans[self.first].partition != scans[self.second].partition
    }

    fn has_two_subjects(&self, scans: &[ClaimedScan]) -> bool {
        scans[self.first].subject.person_key() != scans[self.second].subject.person_key()
    }

    /// `002_S_0413 m06 (train) and sub-07 (test)`.
    fn describe(&self, scans: &[ClaimedScan]) -> String {
        let (first, second) = (&scans[self.first], &scans[self.second]);
        format!("{} ({}) and {} ({})", first.describe(), first.partition, second.describe(), second.partition)
    }
}

/// Finds copies in two partitions, copies within a partition, and copies under the names of two subjects.
pub(crate) fn findings(scans: &[ClaimedScan], copies: Option<&[ImageCopy]>) -> Vec<Finding> {
    let copies = merge_copies(scans, copies.unwrap_or_default());
    let describe =
        |copies: &[ImageCopy]| copies.iter().map(|copy| copy.describe(scans)).collect::<Vec<String>>();
    let (across, within): (Vec<ImageCopy>, Vec<ImageCopy>) =
        copies.into_iter().partition(|copy| copy.is_across_partitions(scans));
    let mut findings = Vec::new();
    for (kind, check, what) in [
        (CopyKind::Identical, Check::IdenticalImages, "of identical images"),
        (CopyKind::NearDuplicate, Check::NearDuplicates, "of images of one acquisition"),
    ] {
        let found: Vec<ImageCopy> = across.iter().filter(|copy| copy.kind == kind).copied().collect();
        if !found.is_empty() {
            let message = format!("{} {what} in different partitions", count(found.len(), "pair"));
            findings.push(
                Finding::new(Level::Leak, check, message, describe(&found))
                    .in_category(Category::WrongSplit)
                    .with_remedy("drop one of each pair, or put both into one partition"),
            );
        }
    }
    let (shared, repeated): (Vec<ImageCopy>, Vec<ImageCopy>) =
        within.into_iter().partition(|copy| copy.has_two_subjects(scans));
    if !shared.is_empty() {
        let message = format!("{} of copies under the names of two subjects", count(shared.len(), "pair"));
        findings.push(
            Finding::new(Level::Conflict, Check::SharedImage, message, describe(&shared))
                .with_remedy("find out whose image it is; names may have been mixed up elsewhere too"),
        );
    }
    if !repeated.is_empty() {
        let message = format!("{} of copies within a partition", count(repeated.len(), "pair"));
        findings.push(
            Finding::new(Level::Warning, Check::RepeatedImages, message, describe(&repeated))
                .with_remedy("drop one of each pair: it counts more than other images"),
        );
    }
    findings
}

/// Reports images that could not be read.
pub(crate) fn unread(reasons: &[String]) -> Option<Finding> {
    (!reasons.is_empty()).then(|| {
        let message = format!("{} could not be compared with the others", count(reasons.len(), "image"));
        Finding::new(Level::Warning, Check::UnreadImages, message, reasons.to_vec())
            .in_category(Category::WrongSplit)
            .with_remedy("put the files right and audit again")
    })
}

/// Reports images that differ from those that the table lists.
pub(crate) fn changed(cases: &[String]) -> Option<Finding> {
    (!cases.is_empty()).then(|| {
        let message =
            format!("{} with another SHA-256 digest than the table lists", count(cases.len(), "image"));
        Finding::new(Level::Conflict, Check::ChangedImages, message, cases.to_vec())
            .with_remedy("restore the files that the table lists, or correct its column `sha256`")
    })
}

/// Copies found in the images and copies found by name, each pair once, identical before near-duplicate, by position.
fn merge_copies(scans: &[ClaimedScan], found: &[ImageCopy]) -> Vec<ImageCopy> {
    let mut copies: BTreeMap<(usize, usize), ImageCopy> = BTreeMap::new();
    for copy in same_name(scans).into_iter().chain(found.iter().copied()) {
        let (first, second) = (copy.first.min(copy.second), copy.first.max(copy.second));
        if second < scans.len() {
            let known = copies.entry((first, second)).or_insert(ImageCopy { first, second, kind: copy.kind });
            known.kind = known.kind.min(copy.kind);
        }
    }
    let mut copies: Vec<ImageCopy> = copies.into_values().collect();
    copies.sort_by_key(|copy| copy.kind); // stable: positions stay in order
    copies
}

/// Pairs of scans with the same digest, archive image id or file.
fn same_name(scans: &[ClaimedScan]) -> Vec<ImageCopy> {
    let mut by_digest: BTreeMap<&str, usize> = BTreeMap::new();
    let mut by_number: BTreeMap<&ImageId, usize> = BTreeMap::new();
    let mut by_path: BTreeMap<&str, usize> = BTreeMap::new();
    let mut copies = Vec::new();
    for (second, scan) in scans.iter().enumerate() {
        let digest = scan.sha256.as_deref().map(|digest| *by_digest.entry(digest).or_insert(second));
        let number = scan.image_id.as_ref().map(|number| *by_number.entry(number).or_insert(second));
        let path = scan.image.as_deref().map(|path| *by_path.entry(path).or_insert(second));
        for first in digest.into_iter().chain(number).chain(path).filter(|&first| first != second) {
            copies.push(ImageCopy { first, second, kind: CopyKind::Identical });
        }
    }
    copies
}
