//! Names of the stages.

use brainreel_named::named;

named! {
    /// A stage of the pipeline, or a task beside it.
    #[non_exhaustive]
    pub enum Stage {
        /// Simulate a cohort with known truth.
        Simulate = "simulate",
        /// Select images by the tables of a study.
        Cohort = "cohort",
        /// Convert DICOM files to a BIDS dataset.
        Convert = "convert",
        /// Preprocess a BIDS dataset to network inputs.
        Preprocess = "preprocess",
        /// Extract brains from single images.
        Strip = "strip",
        /// Assign subjects to partitions.
        Split = "split",
        /// Audit a split.
        Audit = "audit",
        /// Train a network.
        Train = "train",
        /// Classify a partition and measure how well it went.
        Evaluate = "evaluate",
        /// Export weights for torchvision.
        Export = "export",
        /// All stages of an experiment.
        Run = "run",
    }
}
