//! What is run, and what came of it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use brainreel_cohort::LeakPolicy;
use serde::Serialize;

use crate::Remedy;
use crate::batch::{self, Limits};
use crate::evaluate::EvaluateSummary;
use crate::experiment::Experiment;
use crate::stamp::StepReport;

/// An experiment, and what is decided anew at each invocation.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// The experiment.
    pub experiment: Experiment,
    /// Series and scans at a time. Default: `limits.jobs` of the experiment, or one for each thread, at most 8.
    pub n_jobs: usize,
    /// Bytes of memory for scans that are preprocessed. Default: `limits.memory_gb` of the experiment, or four fifths of
    /// the free memory.
    pub max_bytes: u64,
    /// Refuses a training that would take more bytes of memory. Default: `limits.training_memory_gb` of the experiment, or
    /// a warning if it is more than is free.
    pub memory_limit: Option<u64>,
    /// Whether the network must not be used. Default: it may be used.
    pub offline: bool,
    /// Whether the split may be leaky on purpose. Default: refused.
    pub leaks: LeakPolicy,
    /// Why a split that does not pass the audit is accepted. Default: it is refused.
    pub override_audit: Option<String>,
}

impl RunRequest {
    /// The usual run of an experiment.
    #[must_use]
    pub fn new(experiment: Experiment) -> Self {
        let limits = experiment.limits;
        Self {
            experiment,
            n_jobs: limits.jobs.unwrap_or_else(batch::default_jobs),
            max_bytes: limits.memory_gb.map_or_else(batch::default_bytes, bytes_of_gb),
            memory_limit: limits.training_memory_gb.map(bytes_of_gb),
            offline: false,
            leaks: LeakPolicy::Refuse,
            override_audit: None,
        }
    }

    pub(super) fn limits(&self) -> Limits {
        Limits { n_jobs: self.n_jobs, max_bytes: self.max_bytes }
    }
}

/// What a run did, and its result.
#[derive(Debug, Serialize)]
pub struct RunSummary {
    /// The folder with everything.
    pub out: PathBuf,
    /// The stages, in order.
    pub stages: Vec<StepReport>,
    /// Why the result is not one to quote, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caveat: Option<String>,
    /// What can be done about scans that could not be preprocessed.
    #[serde(skip)]
    pub remedies: BTreeSet<Remedy>,
    /// The result.
    pub evaluation: EvaluateSummary,
}

impl RunSummary {
    /// Scans that failed in any stage.
    #[must_use]
    pub fn n_failed(&self) -> usize {
        self.stages.iter().map(|stage| stage.n_failed).sum()
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and saturates")]
fn bytes_of_gb(gb: f64) -> u64 {
    (gb * 1e9) as u64
}
