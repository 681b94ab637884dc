//! Small images of blobs. The blob size distinguishes the classes.

use std::path::Path;

use brainreel_formats::nifti;
use brainreel_models::Random;
use brainreel_training::{AugmentationConfig, Partition, TrainConfig, TrainingScan};
use brainreel_volume::{Affine, Grid, Volume};

/// Writes `n` scans, one per subject, alternately CN and AD, into `folder`.
pub(crate) fn write_scans(
    folder: &Path,
    n: usize,
    partition: Partition,
    dims: [usize; 3],
) -> Vec<TrainingScan> {
    (0..n).map(|idx| write_scan(folder, idx, partition, dims)).collect()
}

fn write_scan(folder: &Path, idx: usize, partition: Partition, dims: [usize; 3]) -> TrainingScan {
    let label = (idx % 2) as u8;
    let scan_id = format!("sub-{partition:?}{idx}_ses-1");
    let image = folder.join(format!("{scan_id}.nii.gz"));
    let mut random = Random::new(idx as u64 + 1000 * partition as u64);
    let grid = Grid::new(dims, Affine::IDENTITY).expect("a small grid");
    let width = if label == 1 { 0.25 } else { 0.1 };
    let volume = Volume::from_fn(grid, |voxel| {
        let distance: f64 = (0..3).map(|a| (voxel[a] as f64 / dims[a] as f64 - 0.5).powi(2)).sum();
        (100.0 * (-distance / (2.0 * width * width)).exp() + 5.0 * random.normal() + 200.0) as f32
    });
    nifti::write(&image, &volume).expect("a folder that can be written to");
    TrainingScan {
        subject_id: scan_id.split('_').next().unwrap_or_default().to_owned(),
        scan_id,
        label,
        image,
        sha256: None,
        partition,
    }
}

/// Few epochs, no augmentation.
pub(crate) fn config(max_epochs: usize) -> TrainConfig {
    TrainConfig { max_epochs, augmentation: AugmentationConfig::none(), ..TrainConfig::default() }
}
