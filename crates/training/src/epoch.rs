//! One epoch: optimizer steps, validation and checkpoints.

use std::thread;
use std::time::{Duration, Instant};

use brainreel_artifact::{derive_seed, write_atomic};
use brainreel_augmentation::AugmentationPreset;
use brainreel_models::{Gradients, Network, Random, volume_tensor};
use burn::tensor::Tensor;
use serde_json::json;

use crate::TrainError;
use crate::adamw::AdamW;
use crate::checkpoint::{CheckpointKind, EpochProgress};
use crate::dataset::CheckedScan;
use crate::events::{StepMetrics, TrainEvent};
use crate::gradients;
use crate::loader::{self, Loader, Showing};
use crate::loss::{predicted_class, weighted_cross_entropy};
use crate::metrics::{EpochMetrics, measure};
use crate::paths::RunPaths;
use crate::predict::classify;
use crate::timing::EpochTiming;
use crate::trainer::Run;

/// Result of an optimizer step.
#[derive(Debug, Clone, Copy)]
pub struct StepOutcome {
    /// Loss of the batch before the step; the mean over the batches if there are several.
    pub loss: f64,
    /// Scans classified correctly before the step.
    pub n_right: usize,
    /// Norm of the gradients over all parameters, before clipping.
    pub gradient_norm: f64,
}

/// A step of a run. Both numbers count from 0.
#[derive(Clone, Copy)]
struct StepPosition {
    epoch: usize,
    step: usize,
}

impl<'a> Run<'a> {
    /// Runs one epoch, or the rest of a resumed one: training, validation, checkpoint.
    pub(crate) fn epoch(&mut self, progress: &mut dyn FnMut(TrainEvent<'_>)) -> Result<(), TrainError> {
        let epoch = self.state.n_epochs;
        let start = Instant::now();
        let scans_a_step = self.config.batch_size * self.config.accumulate;
        let showings = self.showings(epoch);
        self.write_draws(epoch, &showings)?;
        let n_steps = showings.len().div_ceil(scans_a_step);
        let done = self.state.progress.unwrap_or_default();
        let left = showings.get(done.step * scans_a_step..).unwrap_or_default();
        progress(TrainEvent::EpochStart {
            epoch,
            max_epochs: self.config.max_epochs,
            first_step: done.step,
            n_steps,
        });
        let n_threads = loader::n_threads(self.config.loader_threads);
        let mut waited = Duration::ZERO;
        let sums = thread::scope(|scope| -> Result<EpochProgress, TrainError> {
            let mut loader = Loader::start(scope, left, n_threads);
            let mut sums = done;
            let mut written = Instant::now();
            for group in left.chunks(scans_a_step) {
                let factor = self.config.rate_factor(epoch, sums.step, n_steps);
                let outcome =
                    self.step(StepPosition { epoch, step: sums.step }, group, &mut loader, factor)?;
                sums.loss_sum += outcome.loss * group.len() as f64;
                sums.n_right += outcome.n_right;
                sums.step += 1;
                waited = loader.waited();
                let metrics = self.step_metrics(epoch, &sums, n_steps, factor, &outcome);
                let n_done = metrics.n_steps_in_all;
                self.log.log_step(n_done, epoch as u64 + 1, &metrics.named())?;
                let share_waiting = waited.as_secs_f64() / start.elapsed().as_secs_f64().max(1e-9);
                progress(TrainEvent::Step { metrics: &metrics, share_waiting });
                let due = written.elapsed().as_secs_f64() >= 60.0 * self.config.checkpoint_minutes;
                if sums.step < n_steps && (due || self.is_stopped()) {
                    self.state.progress = Some(sums);
                    self.write_checkpoint()?;
                    written = Instant::now();
                    progress(TrainEvent::Checkpoint { metrics: &metrics });
                }
                if self.is_stopped() {
                    break;
                }
            }
            Ok(sums)
        })?;
        if sums.step < n_steps {
            return Ok(());
        }
        let seconds_train = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let metrics = self.validate(epoch, &sums, progress)?;
        let timing = EpochTiming {
            epoch: epoch + 1,
            n_steps: n_steps - done.step,
            seconds_train,
            seconds_waiting: waited.as_secs_f64(),
            seconds_validate: start.elapsed().as_secs_f64(),
        };
        timing.append(self.run_dir)?;
        // Write the row before the checkpoint, so that a run that resumes from the checkpoint finds it.
        self.log.log_epoch(self.optimizer.n_steps(), epoch as u64 + 1, &metrics.named())?;
        let improvement = self.finish_epoch(metrics.clone())?;
        let n_steps_in_all = self.optimizer.n_steps();
        progress(TrainEvent::EpochEnd { metrics: &metrics, n_steps_in_all, improvement, timing: &timing });
        Ok(())
    }

    /// The scans of an epoch in their order.
    fn showings(&self, epoch: usize) -> Vec<Showing<'a>> {
        let mut order = self.training.clone();
        Random::new(derive_seed(self.config.seed, "order", &[&epoch.to_string()])).shuffle(&mut order);
        let showing = |scan: &'a CheckedScan| {
            let draw = self.draw(scan, epoch);
            Showing { scan, kept: self.features.has(scan, &draw), draw }
        };
        order.into_iter().map(showing).collect()
    }

    /// Writes the augmentation draws of an epoch, one JSON object per line, in the order of the scans. Each
    /// line deserialises to a [`Draw`].
    fn write_draws(&self, epoch: usize, showings: &[Showing<'_>]) -> Result<(), TrainError> {
        if self.config.augmentation.preset == AugmentationPreset::None {
            return Ok(());
        }
        let line = |showing: &Showing<'_>| {
            let draw = serde_json::to_value(&showing.draw).expect("plain data serialises");
            json!({ "scan_id": showing.scan.scan.scan_id, "draw": draw }).to_string() + "\n"
        };
        let text: String = showings.iter().map(line).collect();
        let path = RunPaths::new(self.run_dir).draws(epoch);
        Ok(write_atomic(&path, text.as_bytes())?)
    }

    fn step_metrics(
        &self,
        epoch: usize,
        sums: &EpochProgress,
        n_steps: usize,
        factor: f64,
        outcome: &StepOutcome,
    ) -> StepMetrics {
        StepMetrics {
            epoch,
            step: sums.step - 1,
            n_steps,
            n_steps_in_all: self.optimizer.n_steps(),
            loss: outcome.loss,
            learning_rate: self.config.learning_rate * factor,
            learning_rate_fc: self.config.learning_rate_fc * factor,
            gradient_norm: outcome.gradient_norm,
        }
    }

    /// Performs one optimizer step on the scans of one or several batches.
    fn step(
        &mut self,
        position: StepPosition,
        group: &[Showing<'_>],
        loader: &mut Loader,
        rate_factor: f64,
    ) -> Result<StepOutcome, TrainError> {
        let mut sum = StepSum::default();
        for batch in group.chunks(self.config.batch_size) {
            let features = self.features_of(batch, loader)?;
            let labels: Vec<u8> = batch.iter().map(|showing| showing.scan.scan.label).collect();
            let loss = sum.add(&mut self.network, features, &labels, &self.class_weights);
            if !loss.is_finite() {
                return Err(self.non_finite(format!("loss is {loss}"), position, batch));
            }
        }
        let (mut gradients, outcome) = sum.mean();
        if !outcome.gradient_norm.is_finite() {
            let name = gradients::first_broken(&gradients).unwrap_or("of the whole network");
            return Err(self.non_finite(format!("the gradient {name} is not finite"), position, group));
        }
        if let Some(most) = self.config.clip_norm {
            gradients::clip(&mut gradients, outcome.gradient_norm, most);
        }
        self.optimizer.step(&mut self.network, &gradients, rate_factor);
        Ok(outcome)
    }

    /// Trunk features of a batch, along the first axis.
    fn features_of(&mut self, batch: &[Showing<'_>], loader: &mut Loader) -> Result<Tensor<5>, TrainError> {
        let moving = self.state.moves_frozen_norms();
        let trunk = &mut self.network.trunk;
        let mut parts = Vec::with_capacity(batch.len());
        for Showing { scan, draw, .. } in batch {
            let loaded = loader.next()?;
            parts.push(if moving {
                let input = loaded.map_or_else(|| scan.load(draw), Ok)?;
                volume_tensor(input, scan.dims, trunk.device())
            } else {
                self.features.get(trunk, scan, draw, loaded)?
            });
        }
        let batch = Tensor::cat(parts, 0);
        Ok(if moving { trunk.forward_batch(batch) } else { batch })
    }

    fn validate(
        &mut self,
        epoch: usize,
        sums: &EpochProgress,
        progress: &mut dyn FnMut(TrainEvent<'_>),
    ) -> Result<EpochMetrics, TrainError> {
        let logits = classify(&self.network, &mut self.features, &self.validation, progress)?;
        let labels: Vec<u8> = self.validation.iter().map(|scan| scan.scan.label).collect();
        let validation = measure(&logits, &labels, &self.class_weights);
        if !validation.loss.is_finite() {
            let scan_ids = self.validation.iter().map(|scan| scan.scan.scan_id.clone()).collect();
            let what = format!("validation loss is {}", validation.loss);
            return Err(self.stop_at(what, StepPosition { epoch, step: sums.step }, scan_ids));
        }
        let n_training = self.training.len() as f64;
        Ok(EpochMetrics {
            epoch,
            learning_rate_fc: self.config.learning_rate_fc * self.config.rate_factor(epoch, 0, sums.step),
            train_loss: sums.loss_sum / n_training,
            train_accuracy: sums.n_right as f64 / n_training,
            validation_loss: validation.loss,
            validation_accuracy: validation.accuracy,
            validation_balanced_accuracy: validation.balanced_accuracy,
            validation_auc: validation.auc,
        })
    }

    fn non_finite(&self, what: String, position: StepPosition, batch: &[Showing<'_>]) -> TrainError {
        let scan_ids = batch.iter().map(|showing| showing.scan.scan.scan_id.clone()).collect();
        self.stop_at(what, position, scan_ids)
    }

    fn stop_at(&self, what: String, position: StepPosition, scan_ids: Vec<String>) -> TrainError {
        let StepPosition { epoch, step } = position;
        let last = CheckpointKind::Last.path(self.run_dir);
        let last_good_checkpoint = Some(last).filter(|path| path.exists());
        TrainError::NonFinite { what, epoch, step, scan_ids, last_good_checkpoint }
    }
}

/// Gradients and losses of the batches of one step.
#[derive(Default)]
struct StepSum {
    gradients: Option<Gradients>,
    loss: f64,
    n_right: usize,
    n_batches: usize,
}

impl StepSum {
    /// Adds a batch and returns its loss.
    fn add(
        &mut self,
        network: &mut Network,
        features: Tensor<5>,
        labels: &[u8],
        class_weights: &[f64],
    ) -> f64 {
        let pass =
            network.training_pass(features, &|logits| weighted_cross_entropy(logits, labels, class_weights));
        let right = |(row, label): &(&Vec<f32>, &u8)| predicted_class(row) == usize::from(**label);
        self.n_right += pass.logits.iter().zip(labels).filter(right).count();
        self.loss += pass.loss;
        self.n_batches += 1;
        match &mut self.gradients {
            None => self.gradients = Some(pass.gradients),
            Some(sum) => gradients::add(sum, &pass.gradients),
        }
        pass.loss
    }

    /// Mean gradients and losses.
    fn mean(self) -> (Gradients, StepOutcome) {
        let mut gradients = self.gradients.unwrap_or_default();
        if self.n_batches > 1 {
            gradients::scale(&mut gradients, 1.0 / self.n_batches as f64);
        }
        let gradient_norm = gradients::norm(&gradients);
        let loss = self.loss / self.n_batches as f64;
        (gradients, StepOutcome { loss, n_right: self.n_right, gradient_norm })
    }
}

/// Performs one optimizer step on trunk features `[N, C, D, H, W]`. If the loss or a gradient is not finite,
/// only the running statistics change.
pub fn training_step(
    network: &mut Network,
    optimizer: &mut AdamW,
    features: Tensor<5>,
    labels: &[u8],
    class_weights: &[f64],
    rate_factor: f64,
) -> StepOutcome {
    let mut sum = StepSum::default();
    sum.add(network, features, labels, class_weights);
    let (gradients, outcome) = sum.mean();
    if outcome.loss.is_finite() && outcome.gradient_norm.is_finite() {
        optimizer.step(network, &gradients, rate_factor);
    }
    outcome
}
