//! Dataset of preprocessed scans.

use std::path::PathBuf;

use brainreel_artifact::{ContentHash, HashBuilder, hash_file};
use brainreel_augmentation::{AugmentError, Draw};
use brainreel_cohort::Partition;
use brainreel_formats::nifti;
use brainreel_models::network_order;
use rayon::prelude::*;

use crate::TrainError;

/// A preprocessed image with its subject, label and partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainingScan {
    /// Unique among the scans, for example `sub-002S0413_ses-m06`.
    pub scan_id: String,
    /// The subject.
    pub subject_id: String,
    /// 1 for Alzheimer's disease, 0 for cognitively normal.
    pub label: u8,
    /// The preprocessed image (NIfTI), RAS.
    pub image: PathBuf,
    /// SHA-256 of the image file from the scan table. If given, the file is checked against it.
    pub sha256: Option<String>,
    /// Its partition.
    pub partition: Partition,
}

/// A scan whose image was verified: it exists, its digest matches and its shape is right.
#[derive(Debug, Clone)]
pub(crate) struct CheckedScan {
    pub(crate) scan: TrainingScan,
    pub(crate) sha256: String,
    pub(crate) dims: [usize; 3],
}

/// Verifies all scans against their files and each other, and sorts them by id. `dims` is the required shape;
/// without it, the shape of the first scan is required.
pub(crate) fn check_scans(
    scans: &[TrainingScan],
    dims: Option<[usize; 3]>,
    n_classes: usize,
) -> Result<Vec<CheckedScan>, TrainError> {
    let mut sorted: Vec<&TrainingScan> = scans.iter().collect();
    sorted.sort_by(|a, b| a.scan_id.cmp(&b.scan_id));
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0].scan_id == pair[1].scan_id) {
        return Err(TrainError::DuplicateScan { scan_id: pair[0].scan_id.clone() });
    }
    let checked: Vec<Result<CheckedScan, TrainError>> =
        sorted.par_iter().map(|scan| check_scan(scan, n_classes)).collect();
    let checked: Vec<CheckedScan> = checked.into_iter().collect::<Result<_, _>>()?;
    let Some(expected) = dims.or_else(|| checked.first().map(|scan| scan.dims)) else {
        return Ok(checked);
    };
    match checked.iter().find(|scan| scan.dims != expected) {
        None => Ok(checked),
        Some(CheckedScan { scan, dims, .. }) => Err(TrainError::Shape {
            scan_id: scan.scan_id.clone(),
            path: scan.image.clone(),
            got: *dims,
            expected,
        }),
    }
}

fn check_scan(scan: &TrainingScan, n_classes: usize) -> Result<CheckedScan, TrainError> {
    if usize::from(scan.label) >= n_classes {
        let expected = if n_classes == 2 { "0 or 1" } else { "a class of the label set" };
        return Err(TrainError::Config { field: "label", got: scan.label.to_string(), expected });
    }
    let image = |source| TrainError::Image { scan_id: scan.scan_id.clone(), source };
    let dims = nifti::read_header(&scan.image).map_err(image)?.grid.dims();
    let got = hash_file(&scan.image)?.to_string();
    match &scan.sha256 {
        Some(expected) if *expected != got => Err(TrainError::ImageChanged {
            scan_id: scan.scan_id.clone(),
            path: scan.image.clone(),
            got,
            expected: expected.clone(),
        }),
        _ => Ok(CheckedScan { scan: scan.clone(), sha256: got, dims }),
    }
}

impl CheckedScan {
    /// The image, augmented by `draw` and z-normalised, in the network's memory order.
    pub(crate) fn load(&self, draw: &Draw) -> Result<Vec<f32>, TrainError> {
        let scan_id = || self.scan.scan_id.clone();
        let mut volume = nifti::read_f32(&self.scan.image)
            .map_err(|source| TrainError::Image { scan_id: scan_id(), source })?;
        let path = || self.scan.image.clone();
        draw.apply(&mut volume).map_err(|error| match error {
            AugmentError::NotFinite { value, voxel, after: None } => {
                let got = format!("{value} at voxel {voxel:?}");
                TrainError::Intensity { scan_id: scan_id(), path: path(), got }
            }
            AugmentError::Flat { .. } => {
                TrainError::Intensity { scan_id: scan_id(), path: path(), got: "no contrast".to_owned() }
            }
            source => TrainError::Transform { scan_id: scan_id(), path: path(), source },
        })?;
        Ok(network_order(&volume))
    }
}

/// Digest of the dataset: ids, labels, partitions and images.
pub(crate) fn data_hash(scans: &[CheckedScan]) -> ContentHash {
    let used = scans.iter().filter(|scan| scan.scan.partition != Partition::Test);
    let parts = used.fold(HashBuilder::new(), |hash, CheckedScan { scan, sha256, .. }| {
        hash.part(&scan.scan_id)
            .part(&scan.subject_id)
            .part([scan.label])
            .part(scan.partition.name())
            .part(sha256)
    });
    parts.finish()
}
