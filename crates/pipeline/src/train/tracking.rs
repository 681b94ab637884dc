//! Trackers of a run: TensorBoard and Weights & Biases, fed by the events of training.

use std::path::Path;
use std::process::Stdio;

use brainreel_artifact::{HashBuilder, hash_json};
use brainreel_trackers::{RunInfo, TrackerConfig, TrackerError, Trackers, WandbMode, sync_command};
use brainreel_training::{CheckpointKind, CheckpointState, EpochMetrics, TrainEvent};
use serde_json::json;

use super::TrainRequest;
use crate::run_folder::RunInputs;
use crate::{IoContext, Reporter, StageError, notice};

/// The trackers of one run. A log that cannot be written is reported once, and training goes on: logs are not results.
pub(super) struct Tracking<'r, 'o> {
    run: &'r Path,
    config: TrackerConfig,
    offline: bool,
    info: RunInfo,
    reporter: &'r Reporter<'o>,
    /// Where the run stood when this process resumed it.
    resumed: Option<CheckpointState>,
    trackers: Option<Trackers>,
    has_failed: bool,
    is_leaky: bool,
}

impl<'r, 'o> Tracking<'r, 'o> {
    pub(super) fn new(
        request: &'r TrainRequest,
        inputs: &RunInputs,
        reporter: &'r Reporter<'o>,
    ) -> Result<Self, StageError> {
        let split = &request.split;
        let settings = request.config.portable();
        let weights = inputs.weights_sha256.as_ref().map_or("random", |hash| hash.as_str());
        // The last two names of the path tell apart what settings do not: trials of other lengths, folds.
        let path = std::path::absolute(&request.run).io_context("resolve", &request.run)?;
        let names: Vec<String> =
            path.iter().rev().take(2).map(|name| name.to_string_lossy().into_owned()).collect();
        let run_hash = HashBuilder::new()
            .part(split.content_hash())
            .part(settings.hash(&HashBuilder::new().part(weights).finish()).as_str())
            .part(hash_json(&inputs.images).as_str())
            .part(hash_json(&names).as_str())
            .finish();
        let mut config = request.tracking.clone();
        let mut recorded = json!({
            "train": settings,
            "initial_weights_sha256": inputs.weights_sha256,
            "preprocess_parameters": inputs.preprocess_parameters,
            "split_sha256": split.content_hash(),
        });
        if split.is_leaky() {
            config.tags.push("leaky".to_owned());
            recorded["leaky"] = true.into();
        }
        Ok(Self {
            run: &request.run,
            config,
            offline: request.offline,
            info: RunInfo {
                run_hash: run_hash.to_string(),
                name: names.first().cloned().unwrap_or_else(|| "run".to_owned()),
                config: recorded,
            },
            reporter,
            resumed: None,
            trackers: None,
            has_failed: false,
            is_leaky: split.is_leaky(),
        })
    }

    /// Logs an event.
    pub(super) fn log(&mut self, event: &TrainEvent<'_>) {
        if self.has_failed {
            return;
        }
        if let Err(error) = self.try_to_log(event) {
            self.give_up(error);
        }
    }

    fn try_to_log(&mut self, event: &TrainEvent<'_>) -> Result<(), TrackerError> {
        match *event {
            TrainEvent::Resumed { state } => {
                self.resumed = Some(state.clone());
            }
            TrainEvent::Network { .. } => self.open()?,
            TrainEvent::Step { metrics, .. } => {
                if let Some(trackers) = &mut self.trackers {
                    let named = metrics.named().map(|(name, value)| (format!("step/{name}"), value));
                    let named: Vec<(&str, f64)> = named.iter().map(|(n, v)| (n.as_str(), *v)).collect();
                    trackers.log_step(metrics.n_steps_in_all, &named)?;
                }
            }
            TrainEvent::EpochEnd { metrics, n_steps_in_all, improvement, .. } => {
                self.log_epoch(n_steps_in_all, metrics)?;
                if improvement.accuracy {
                    self.log_model(n_steps_in_all, metrics, CheckpointKind::BestAccuracy)?;
                }
                if improvement.loss {
                    self.log_model(n_steps_in_all, metrics, CheckpointKind::BestLoss)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self) -> Result<(), TrackerError> {
        let resumed = self.resumed.take();
        let n_steps = resumed.as_ref().map(|state| state.n_steps);
        self.trackers = Some(Trackers::open(self.run, &self.config, &self.info, n_steps)?);
        let Some(state) = resumed else { return Ok(()) };
        // Row and models are missing if the process was killed between checkpoint and log, or tracked nothing.
        if let Some(metrics) = state.history.last().filter(|_| state.progress.is_none()) {
            self.log_epoch(state.n_steps, metrics)?;
        }
        for kind in [CheckpointKind::BestAccuracy, CheckpointKind::BestLoss] {
            if let Some(metrics) = state.best(kind) {
                self.log_model(state.n_steps, metrics, kind)?;
            }
        }
        Ok(())
    }

    fn log_epoch(&mut self, n_steps: u64, metrics: &EpochMetrics) -> Result<(), TrackerError> {
        let Some(trackers) = &mut self.trackers else { return Ok(()) };
        let named: Vec<(String, f64)> =
            metrics.named().into_iter().map(|(name, value)| (format!("epoch/{name}"), value)).collect();
        let named: Vec<(&str, f64)> = named.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        trackers.log_epoch(n_steps, metrics.epoch as u64 + 1, &named)
    }

    /// Registers the checkpoint of an epoch as a model.
    fn log_model(
        &mut self,
        n_steps: u64,
        metrics: &EpochMetrics,
        kind: CheckpointKind,
    ) -> Result<(), TrackerError> {
        let Some(trackers) = &mut self.trackers else { return Ok(()) };
        let metadata = json!({
            "epoch": metrics.epoch + 1,
            "validation_accuracy": metrics.validation_accuracy,
            "validation_loss": metrics.validation_loss,
            "notice": notice::for_report(self.is_leaky),
        });
        trackers.log_model(n_steps, &kind.path(self.run), kind.name(), &metadata)
    }

    /// Ends the logs of a finished run, and uploads them if that is wanted and possible.
    pub(super) fn finish(mut self) {
        let Some(trackers) = self.trackers.take().filter(|_| !self.has_failed) else { return };
        match trackers.finish(0) {
            Err(error) => self.give_up(error),
            Ok(None) => {}
            Ok(Some(folder)) if self.config.wandb == WandbMode::Online && !self.offline => {
                self.upload(&folder);
            }
            Ok(Some(folder)) => {
                self.reporter
                    .note(format!("W&B: offline run; upload it with `wandb sync {}`", folder.display()));
            }
        }
    }

    fn upload(&self, folder: &Path) {
        let later = format!("later: `wandb sync {}`", folder.display());
        let mut command = match sync_command(folder) {
            Ok(command) => command,
            Err(reason) => {
                return self.reporter.warn(format!("the W&B run is not uploaded: {reason}; {later}"));
            }
        };
        self.reporter.note(format!("W&B: uploading {}", folder.display()));
        match command.stdout(Stdio::null()).status() {
            Ok(status) if status.success() => self.reporter.note("W&B: uploaded"),
            Ok(status) => self.reporter.warn(format!("`wandb sync` ended with {status}; {later}")),
            Err(error) => self.reporter.warn(format!("cannot start `wandb`: {error}; {later}")),
        }
    }

    fn give_up(&mut self, error: TrackerError) {
        self.has_failed = true;
        let error = StageError::from(error).chain();
        self.reporter.warn(format!("{error}; nothing more is tracked, training goes on"));
    }
}
