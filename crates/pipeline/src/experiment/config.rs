//! The settings of an experiment.

use std::path::PathBuf;

use brainreel_cohort::{Partition, SelectionConfig, SplitConfig};
use brainreel_preprocess::PreprocessConfig;
use brainreel_simulate::SimulateConfig;
use brainreel_trackers::TrackerConfig;
use brainreel_training::{CheckpointKind, TrainConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::convert::ConvertConfig;
use crate::preprocess::Keep;

/// An experiment: where the scans come from, and the settings of every stage. Every setting may be left out, except
/// `out` and one source in `[input]`. Paths are relative to the folder of this file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Folder for all outputs, one per experiment.
    #[schemars(example = &"results")]
    pub out: PathBuf,
    /// Where the scans come from. Name exactly one of `dicom`, `bids` and `simulate`.
    pub input: Input,
    /// Which images are selected before conversion. Without this section all images are converted.
    pub cohort: Option<SelectionConfig>,
    /// Conversion of DICOM files.
    #[serde(default)]
    pub convert: ConvertConfig,
    /// From a native scan to a network input.
    #[serde(default)]
    pub preprocess: PreprocessConfig,
    /// Files beside the network inputs. They do not change the network inputs.
    #[serde(default)]
    pub derivatives: DerivativesConfig,
    /// Training, validation and test partitions.
    #[serde(default)]
    pub split: SplitConfig,
    /// Training.
    #[serde(default)]
    pub train: TrainConfig,
    /// Logs for TensorBoard and Weights & Biases.
    #[serde(default)]
    pub tracking: TrackerConfig,
    /// Evaluation of the trained network.
    #[serde(default)]
    pub evaluate: EvaluateSettings,
    /// What the run may take of this machine. Limits change no result.
    #[serde(default)]
    pub limits: LimitsConfig,
}

/// Where the scans come from. Name exactly one of `dicom`, `bids` and `simulate`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Input {
    /// A tree of DICOM files, in any layout.
    #[schemars(example = &"ADNI")]
    pub dicom: Option<PathBuf>,
    /// Label tables for `dicom`: IDA collection CSV, or a CSV with image_id, subject and diagnosis. Empty: the CSV files
    /// in the top folder of `dicom`.
    pub labels: Vec<PathBuf>,
    /// A BIDS dataset with diagnoses in its sessions.tsv files.
    #[schemars(example = &"bids")]
    pub bids: Option<PathBuf>,
    /// A simulated cohort.
    pub simulate: Option<SimulateConfig>,
    /// Brain masks for `preprocess.brain_extractor = "mask"`, laid out like the dataset:
    /// sub-*/ses-*/anat/*_desc-brain_mask.nii.gz on the voxels of the scans.
    #[schemars(example = &"masks")]
    pub masks: Option<PathBuf>,
    /// File with the weights of SynthStrip. Default: those in the cache of weights.
    #[schemars(example = &"synthstrip.1.pt")]
    pub synthstrip_weights: Option<PathBuf>,
    /// Seed of a permutation of the diagnoses among the subjects. The result must then fall to chance level.
    #[schemars(example = 1)]
    pub shuffle_labels: Option<u64>,
}

/// Files that preprocessing writes beside the network inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DerivativesConfig {
    /// Images between the steps to write too, at the resampled spacing. The brain mask is always written.
    pub keep: Vec<Keep>,
    /// Whether to draw pictures: `figures/` and `qc.html`.
    pub pictures: bool,
}

impl Default for DerivativesConfig {
    fn default() -> Self {
        Self { keep: Vec::new(), pictures: true }
    }
}

/// Settings of the evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluateSettings {
    /// Checkpoint to evaluate. `previous` does not exist when a run is finished.
    pub checkpoint: CheckpointKind,
    /// Partition to evaluate: `test` or `validation`.
    pub partition: Partition,
}

impl Default for EvaluateSettings {
    fn default() -> Self {
        Self { checkpoint: CheckpointKind::BestLoss, partition: Partition::Test }
    }
}

/// What a run may take of the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Series or scans to convert or preprocess at a time. Default: one for each thread, at most 8.
    #[schemars(example = 4)]
    pub jobs: Option<usize>,
    /// Memory for scans that are preprocessed at the same time, in GB. Default: four fifths of the free memory.
    #[schemars(example = 8.0)]
    pub memory_gb: Option<f64>,
    /// Largest memory of the training, in GB. A training that needs more is refused. Default: a warning if it needs more
    /// than is free.
    #[schemars(example = 12.0)]
    pub training_memory_gb: Option<f64>,
}

impl Experiment {
    /// An experiment with the default settings.
    pub fn new(out: impl Into<PathBuf>, input: Input) -> Self {
        Self {
            out: out.into(),
            input,
            cohort: None,
            convert: ConvertConfig::default(),
            preprocess: PreprocessConfig::default(),
            derivatives: DerivativesConfig::default(),
            split: SplitConfig::default(),
            train: TrainConfig::default(),
            tracking: TrackerConfig::default(),
            evaluate: EvaluateSettings::default(),
            limits: LimitsConfig::default(),
        }
    }
}
