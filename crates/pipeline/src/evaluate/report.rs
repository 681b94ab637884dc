//! What an evaluation found: the content of `metrics.json`.

use brainreel_artifact::ContentHash;
use brainreel_cohort::Partition;
use brainreel_models::InstructionSet;
use brainreel_statistics::{EvaluateConfig, MetricsReport, aggregate_by_subject};
use brainreel_training::{CheckpointKind, Prediction};
use serde::{Deserialize, Serialize};

use super::EvaluateRequest;
use crate::gate::AuditOutcome;
use crate::run_folder::RunInputs;
use crate::{StageError, notice};

/// The content of `metrics.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluateSummary {
    /// What this is, and what it is not for.
    pub notice: String,
    /// Whether the split is leaky on purpose: the network was trained on scans of people it is tested on.
    #[serde(default, skip_serializing_if = "notice::is_not_leaky")]
    pub leaky: bool,
    /// What the audit of the split found; nothing in results of earlier versions.
    #[serde(default)]
    pub audit: Option<AuditOutcome>,
    /// Hash of the pretrained weights that training started from; nothing if it started from random numbers, and then
    /// this is a trial, not a result.
    pub initial_weights_sha256: Option<ContentHash>,
    /// Which scans were classified.
    pub partition: Partition,
    /// Which checkpoint classified them.
    pub checkpoint: CheckpointKind,
    /// The instruction set of the predictions; nothing in results of earlier versions.
    #[serde(default)]
    pub instruction_set: Option<String>,
    /// Content hash of the split.
    pub split_sha256: String,
    /// Metrics over scans; intervals resample subjects.
    pub scans: MetricsReport,
    /// Metrics over subjects, whose scans' probabilities are averaged.
    pub subjects: MetricsReport,
}

impl EvaluateSummary {
    pub(super) fn new(
        request: &EvaluateRequest,
        inputs: &RunInputs,
        audit: AuditOutcome,
        metrics: Metrics,
    ) -> Self {
        Self {
            notice: notice::for_report(inputs.leaky),
            leaky: inputs.leaky,
            audit: Some(audit),
            initial_weights_sha256: inputs.weights_sha256.clone(),
            partition: request.partition,
            checkpoint: request.checkpoint,
            instruction_set: Some(InstructionSet::detect().to_string()),
            split_sha256: inputs.split_sha256.clone(),
            scans: metrics.scans,
            subjects: metrics.subjects,
        }
    }
}

/// Metrics over scans and over subjects.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// Metrics over scans; intervals resample subjects.
    pub scans: MetricsReport,
    /// Metrics over subjects, whose scans' probabilities are averaged.
    pub subjects: MetricsReport,
}

impl Metrics {
    /// Measures predictions.
    ///
    /// # Errors
    /// [`StageError::Statistics`] if a subject has two labels, or there is nothing to measure.
    pub fn new(predictions: &[Prediction]) -> Result<Self, StageError> {
        let config = EvaluateConfig::default();
        let labels: Vec<bool> = predictions.iter().map(|p| p.label == 1).collect();
        let probabilities: Vec<f64> = predictions.iter().map(|p| p.probability).collect();
        let subjects: Vec<&str> = predictions.iter().map(|p| p.subject_id.as_str()).collect();
        let by_subject = aggregate_by_subject(&labels, &probabilities, &subjects)?;
        let subject_labels: Vec<bool> = by_subject.iter().map(|p| p.label).collect();
        let subject_probabilities: Vec<f64> = by_subject.iter().map(|p| p.probability).collect();
        let subject_names: Vec<&str> = by_subject.iter().map(|p| p.subject.as_str()).collect();
        Ok(Self {
            scans: brainreel_statistics::evaluate(&labels, &probabilities, &subjects, &config)?,
            subjects: brainreel_statistics::evaluate(
                &subject_labels,
                &subject_probabilities,
                &subject_names,
                &config,
            )?,
        })
    }
}
