//! The run folder: its files, what the run was made from, and the audit of its split.
//!
//! The names of the files in a run folder are spelled here and in [`RunPaths`] alone.

mod inputs;
mod instruction_sets;

use std::path::{Path, PathBuf};

use brainreel_cohort::Partition;
use brainreel_training::{CheckpointKind, RunPaths};

pub use inputs::{CacheRecord, RunInputs};
pub use instruction_sets::InstructionSetChange;

/// What a run folder is, for messages.
pub const DESCRIPTION: &str = "a run folder, as the stage `train` writes it";

/// A folder that the stage `train` writes and the later stages read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// The run in this folder, which need not exist yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files that training writes.
    #[must_use]
    pub fn training(&self) -> RunPaths<'_> {
        RunPaths::new(&self.path)
    }

    /// What the run was made from.
    #[must_use]
    pub fn inputs(&self) -> PathBuf {
        self.path.join("inputs.json")
    }

    /// The split that the run was trained on.
    #[must_use]
    pub fn split(&self) -> PathBuf {
        self.path.join("split.tsv")
    }

    /// The audit of the split and its images.
    #[must_use]
    pub fn audit(&self) -> PathBuf {
        self.path.join("audit.json")
    }

    /// A checkpoint.
    #[must_use]
    pub fn checkpoint(&self, kind: CheckpointKind) -> PathBuf {
        kind.path(&self.path)
    }

    /// The evaluation of a partition with a checkpoint.
    #[must_use]
    pub fn evaluation(&self, partition: Partition, checkpoint: CheckpointKind) -> EvaluationFolder {
        let partition = match partition {
            Partition::Test => String::new(),
            other => format!("_{other}"),
        };
        let checkpoint = match checkpoint {
            CheckpointKind::BestLoss => String::new(),
            other => format!("_{}", other.name()),
        };
        EvaluationFolder { path: self.path.join(format!("evaluation{partition}{checkpoint}")) }
    }

    /// The usual evaluation: the checkpoint of the least validation loss on the test partition.
    #[must_use]
    pub fn test_evaluation(&self) -> EvaluationFolder {
        self.evaluation(Partition::Test, CheckpointKind::BestLoss)
    }

    /// Whether this is a run folder, as `train` writes it.
    #[must_use]
    pub fn is_run(&self) -> bool {
        self.inputs().is_file()
    }

    /// Whether training has got as far as a checkpoint.
    #[must_use]
    pub fn has_checkpoint(&self) -> bool {
        self.inputs().exists() && self.checkpoint(CheckpointKind::Last).exists()
    }

    /// The files that are the same bytes whenever the same run is trained and evaluated, interrupted or not.
    #[must_use]
    pub fn reproducible_files(&self) -> Vec<PathBuf> {
        vec![
            self.checkpoint(CheckpointKind::Last),
            self.checkpoint(CheckpointKind::BestAccuracy),
            self.checkpoint(CheckpointKind::BestLoss),
            self.training().metrics_table(),
            self.training().metrics_log(),
            self.test_evaluation().predictions(),
        ]
    }
}

/// The folder of one evaluation of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluationFolder {
    path: PathBuf,
}

impl EvaluationFolder {
    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One row per scan.
    #[must_use]
    pub fn predictions(&self) -> PathBuf {
        self.path.join("predictions.tsv")
    }

    /// One row per subject.
    #[must_use]
    pub fn subjects(&self) -> PathBuf {
        self.path.join("subjects.tsv")
    }

    /// Metrics over scans and over subjects.
    #[must_use]
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_evaluation_has_a_folder_of_its_own() {
        let run = RunFolder::new("run");
        let name = |partition, checkpoint| run.evaluation(partition, checkpoint).path().to_owned();
        assert_eq!(run.test_evaluation().path(), Path::new("run/evaluation"));
        assert_eq!(
            name(Partition::Validation, CheckpointKind::BestLoss),
            Path::new("run/evaluation_validation")
        );
        assert_eq!(
            name(Partition::Test, CheckpointKind::BestAccuracy),
            Path::new("run/evaluation_best_accuracy")
        );
        assert_eq!(
            name(Partition::Validation, CheckpointKind::Last),
            Path::new("run/evaluation_validation_last")
        );
    }
}
