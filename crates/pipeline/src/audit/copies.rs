//! Images that are copies of each other, found by looking at them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use brainreel_audit::{Copy, CopyKind};
use brainreel_cohort::ClaimedScan;
use brainreel_fingerprint::{CANDIDATE, Fingerprint, Verdict, candidates, confirm};
use brainreel_formats::nifti;
use rayon::prelude::*;

use crate::{Reporter, StageError};

/// Images that were looked at.
#[derive(Debug, Default)]
pub struct Looked {
    /// Copies among them.
    pub copies: Vec<Copy>,
    /// Images that could not be read, and why.
    pub unread: Vec<String>,
    /// How many were.
    pub n_images: usize,
    /// Pairs that look alike, but have too little flat tissue or are too smooth to be told.
    pub n_undecided: usize,
}

/// Looks at the images of all scans that have one; paths are relative to `folder`. First all pairs of fingerprints,
/// then, voxel by voxel, those that are alike. An image that cannot be read is told, and the others go on.
pub fn look(scans: &[ClaimedScan], folder: &Path, reporter: &Reporter<'_>) -> Looked {
    let images: Vec<(usize, PathBuf)> = scans
        .iter()
        .enumerate()
        .filter_map(|(idx, scan)| Some((idx, folder.join(scan.image.as_ref()?))))
        .collect();
    let bar = reporter.progress("images", images.len());
    let read: Vec<Result<Fingerprint, StageError>> = images
        .par_iter()
        .map(|(idx, path)| {
            let fingerprint = fingerprint_of(&scans[*idx], path);
            bar.inc();
            fingerprint
        })
        .collect();
    bar.finish();
    let mut looked = Looked::default();
    let (mut places, mut fingerprints) = (Vec::new(), Vec::new());
    for (place, fingerprint) in images.iter().zip(read) {
        match fingerprint {
            Ok(fingerprint) => {
                places.push(place);
                fingerprints.push(fingerprint);
            }
            Err(error) => looked.unread.push(error.chain()),
        }
    }
    looked.n_images = places.len();
    let pairs = candidates(&fingerprints, CANDIDATE);
    let bar = reporter.progress("copies", pairs.len());
    let found: Vec<(Verdict, Copy)> = pairs
        .par_iter()
        .map(|pair| {
            let ((one, first), (other, second)) = (places[pair.first], places[pair.second]);
            let (verdict, kind) = if pair.similarity.identical {
                (Verdict::SameAcquisition, CopyKind::Identical)
            } else {
                (compare(first, second), CopyKind::NearDuplicate)
            };
            bar.inc();
            (verdict, Copy { one: *one, other: *other, kind })
        })
        .collect();
    bar.finish();
    looked.n_undecided = found.iter().filter(|(verdict, _)| *verdict == Verdict::Undecided).count();
    let same = found.into_iter().filter(|(verdict, _)| *verdict == Verdict::SameAcquisition);
    looked.copies = same.map(|(_, copy)| copy).collect();
    looked.copies.sort_by_key(|copy| (copy.one, copy.other));
    looked
}

/// The fingerprint of an image; that of one with a known digest is worked out once.
fn fingerprint_of(scan: &ClaimedScan, path: &Path) -> Result<Fingerprint, StageError> {
    static KNOWN: Mutex<BTreeMap<String, Fingerprint>> = Mutex::new(BTreeMap::new());
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(fingerprint) = scan.sha256.as_ref().and_then(|digest| known().get(digest).cloned()) {
        return Ok(fingerprint);
    }
    let volume = nifti::read_f32(path)?;
    let fingerprint = Fingerprint::of(&volume);
    if let Some(digest) = &scan.sha256 {
        known().insert(digest.clone(), fingerprint.clone());
    }
    Ok(fingerprint)
}

/// Whether two images, which were read before, share their noise.
fn compare(one: &Path, other: &Path) -> Verdict {
    let (Ok(one), Ok(other)) = (nifti::read_f32(one), nifti::read_f32(other)) else {
        return Verdict::Undecided;
    };
    confirm(&one, &other).verdict
}
