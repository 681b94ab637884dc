//! What can go wrong in training and prediction.

use std::path::PathBuf;

use brainreel_artifact::ArtifactError;
use brainreel_formats::nifti::NiftiError;
use brainreel_models::ModelError;

/// What can go wrong in training and prediction.
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
        /// What it may be.
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
        /// What it needs.
        expected: &'static str,
    },
    /// Two scans have one id.
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
    /// An image is not what the scan table says.
    #[error("{} of scan {scan_id} has SHA-256 {got}, expected {expected} from the scan table", path.display())]
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
        /// What it has.
        got: String,
    },
    /// The loss is not a number.
    #[error(
        "loss is {loss} in epoch {}, step {} (scans {}); a smaller learning rate or other weights may help",
        epoch + 1, step + 1, scan_ids.join(", ")
    )]
    NonFiniteLoss {
        /// The value.
        loss: f64,
        /// Epoch, from 0.
        epoch: usize,
        /// Step within the epoch, from 0.
        step: usize,
        /// The scans of the batch.
        scan_ids: Vec<String>,
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
    #[error("{} is not a checkpoint of brainreel: {detail}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
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
    /// Weights or device.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Reading or writing files.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}
