//! Errors of training and prediction.

use std::path::PathBuf;

use brainreel_artifact::ArtifactError;
use brainreel_augmentation::AugmentError;
use brainreel_formats::nifti::NiftiError;
use brainreel_models::ModelError;
use brainreel_trackers::TrackerError;

/// Errors of training and prediction.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A setting is out of range.
    #[error("{field} is {got}, expected {expected}")]
    Config {
        /// The setting.
        field: &'static str,
        /// Its value.
        got: String,
        /// The allowed values.
        expected: &'static str,
    },
    /// A partition lacks scans that training needs.
    #[error("the {partition} partition has {n_cn} CN and {n_ad} AD scans, expected {expected}")]
    EmptyClass {
        /// Name of the partition.
        partition: &'static str,
        /// Scans of cognitively normal subjects.
        n_cn: usize,
        /// Scans of subjects with Alzheimer's disease.
        n_ad: usize,
        /// What training needs.
        expected: &'static str,
    },
    /// Two scans have the same id.
    #[error("scan {scan_id} is listed twice")]
    DuplicateScan {
        /// The id.
        scan_id: String,
    },
    /// An image cannot be read.
    #[error("cannot read the image of scan {scan_id}")]
    Image {
        /// The scan.
        scan_id: String,
        /// The cause, which names the file.
        #[source]
        source: NiftiError,
    },
    /// An image differs in shape from the others.
    #[error("{} of scan {scan_id} has shape {got:?}, expected {expected:?} as the first scan has", path.display())]
    Shape {
        /// The scan.
        scan_id: String,
        /// Its image.
        path: PathBuf,
        /// Shape found.
        got: [usize; 3],
        /// Shape of the first scan or of the checkpoint.
        expected: [usize; 3],
    },
    /// The digest of an image differs from the scan table.
    #[error("{} of scan {scan_id} has SHA-256 {got}, expected {expected} from the scan table; preprocess again",
            path.display())]
    ImageChanged {
        /// The scan.
        scan_id: String,
        /// Its image.
        path: PathBuf,
        /// Digest of the file.
        got: String,
        /// Digest in the table.
        expected: String,
    },
    /// An image has no contrast or holds values that are not finite.
    #[error("{} of scan {scan_id} has {got}, expected finite voxels that are not all equal", path.display())]
    Intensity {
        /// The scan.
        scan_id: String,
        /// Its image.
        path: PathBuf,
        /// Description of its values.
        got: String,
    },
    /// An augmentation draw cannot be applied to an image.
    #[error("cannot augment {} of scan {scan_id}", path.display())]
    Transform {
        /// The scan.
        scan_id: String,
        /// Its image.
        path: PathBuf,
        /// The cause.
        #[source]
        source: AugmentError,
    },
    /// Settings of augmentation that are out of range.
    #[error(transparent)]
    Augmentation(#[from] AugmentError),
    /// A loss or a gradient is not finite. The step was discarded.
    #[error(
        "{what} in epoch {}, step {} (scans {}); {}",
        epoch + 1, step + 1, scan_ids.join(", "), last_good(last_good_checkpoint.as_ref())
    )]
    NonFinite {
        /// What is not finite, and its value.
        what: String,
        /// Epoch, from 0.
        epoch: usize,
        /// Step within the epoch, from 0.
        step: usize,
        /// The scans of the batch.
        scan_ids: Vec<String>,
        /// The last checkpoint before this step.
        last_good_checkpoint: Option<PathBuf>,
    },
    /// The last checkpoint is damaged, and the one before it is intact.
    #[error(
        "the last checkpoint is damaged; the one before it, {} ({position}), is intact, and resuming from it ends in \
         the same bytes",
        previous.display()
    )]
    DamagedLast {
        /// The intact one.
        previous: PathBuf,
        /// Position in the run at which it was written.
        position: String,
        /// What is wrong with the last one.
        #[source]
        source: Box<TrainError>,
    },
    /// There is no checkpoint before the last one.
    #[error(
        "{} does not exist: neither a finished run nor a run interrupted before its second checkpoint has a previous \
         checkpoint", path.display()
    )]
    NoPrevious {
        /// Its expected path.
        path: PathBuf,
    },
    /// A checkpoint was written by another version of brainreel.
    #[error(
        "{} has layout {got}, expected {expected}; finish the run with the version of brainreel that started it, or \
         start over in another folder", path.display()
    )]
    OtherRevision {
        /// The file.
        path: PathBuf,
        /// Its layout.
        got: u32,
        /// The layout that this version reads.
        expected: u32,
    },
    /// The run folder belongs to another run.
    #[error("{} was started with another {what}; choose another folder for this run", path.display())]
    OtherRun {
        /// The checkpoint found there.
        path: PathBuf,
        /// What differs.
        what: &'static str,
    },
    /// A checkpoint is not one that training wrote.
    #[error(
        "{} is damaged or not a checkpoint of brainreel: {detail}; there is no intact checkpoint to resume from, so \
         move the run folder away and train again", path.display()
    )]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The run would exceed the memory limit.
    #[error("{advice}")]
    Memory {
        /// The required memory, and which setting to change.
        advice: String,
    },
    /// A log cannot be written.
    #[error("cannot append to {}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A file that is no longer needed cannot be removed.
    #[error("cannot remove {}", path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Reading a file failed.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The log of metrics.
    #[error(transparent)]
    Tracker(#[from] TrackerError),
    /// Weights or device.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The weights of a checkpoint cannot be decoded.
    #[error(transparent)]
    Weights(#[from] brainreel_checkpoint::CheckpointError),
    /// Reading or writing files.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}

fn last_good(checkpoint: Option<&PathBuf>) -> String {
    match checkpoint {
        None => "no checkpoint was written yet; a smaller learning rate or other weights may help".to_owned(),
        Some(path) => {
            format!(
                "the last good checkpoint is {}; a smaller learning rate or clip_norm may help",
                path.display()
            )
        }
    }
}
