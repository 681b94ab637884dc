//! Where the stages of an experiment write.

use std::path::{Path, PathBuf};

/// The files and folders of an experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Output of `simulate`.
    pub download: PathBuf,
    /// Output of `cohort`.
    pub cohort: PathBuf,
    /// Label table with permuted diagnoses.
    pub shuffled_labels: PathBuf,
    /// Output of `convert`.
    pub bids: PathBuf,
    /// Output of `preprocess`.
    pub derivatives: PathBuf,
    /// Output of `split`.
    pub split: PathBuf,
    /// Output of `train` and `evaluate`.
    pub run: PathBuf,
    /// Stamps of finished stages.
    pub stamps: PathBuf,
}

impl Layout {
    /// The layout in the folder `out`.
    #[must_use]
    pub fn new(out: &Path) -> Self {
        Self {
            download: out.join("download"),
            cohort: out.join("cohort"),
            shuffled_labels: out.join("labels_shuffled.csv"),
            bids: out.join("bids"),
            derivatives: out.join("derivatives"),
            split: out.join("split.tsv"),
            run: out.join("run"),
            stamps: out.join(".stages"),
        }
    }

    /// The record of the split.
    #[must_use]
    pub fn split_record(&self) -> PathBuf {
        self.split.with_extension("json")
    }

    /// Everything that stages write.
    #[must_use]
    pub fn outputs(&self) -> Vec<PathBuf> {
        let Self { download, cohort, shuffled_labels, bids, derivatives, split, run, stamps } = self.clone();
        let record = self.split_record();
        vec![download, cohort, shuffled_labels, bids, derivatives, split, record, run, stamps]
    }
}
