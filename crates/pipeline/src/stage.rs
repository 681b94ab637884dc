//! Names of the stages.

use std::fmt;

use serde::Serialize;

/// A stage of the pipeline, or a task beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stage {
    /// Simulate a cohort with known truth.
    Simulate,
    /// Select images by the tables of a study.
    Cohort,
    /// Convert DICOM files to a BIDS dataset.
    Convert,
    /// Preprocess a BIDS dataset to network inputs.
    Preprocess,
    /// Extract brains from single images.
    Strip,
    /// Assign subjects to partitions.
    Split,
    /// Audit a split.
    Audit,
    /// Train a network.
    Train,
    /// Classify a partition and measure how well it went.
    Evaluate,
    /// Export weights for torchvision.
    Export,
    /// All stages of an experiment.
    Run,
}

impl Stage {
    /// The name, as in commands, messages and stamps.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Simulate => "simulate",
            Self::Cohort => "cohort",
            Self::Convert => "convert",
            Self::Preprocess => "preprocess",
            Self::Strip => "strip",
            Self::Split => "split",
            Self::Audit => "audit",
            Self::Train => "train",
            Self::Evaluate => "evaluate",
            Self::Export => "export",
            Self::Run => "run",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
