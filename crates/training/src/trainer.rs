//! The training loop.

use std::path::Path;

use brainreel_artifact::{ContentHash, derive_seed, link_atomic, write_json};
use brainreel_models::{
    FrozenNorm, ImportOptions, N_CLASSES, Network, NormTally, ParameterCounts, Random, StateDict,
    read_weights,
};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::adamw::AdamW;
use crate::augmentation::Draw;
use crate::checkpoint::{Checkpoint, CheckpointKind, CheckpointState, STATE_REVISION};
use crate::dataset::{CheckedScan, Partition, TrainingScan, check_scans, data_hash};
use crate::events::TrainEvent;
use crate::features::{FeatureSource, input};
use crate::loss::{class_weights, weighted_cross_entropy};
use crate::metrics::{EpochMetrics, measure, write_csv};
use crate::predict::classify;
use crate::schedule::warm_restart_factor;
use crate::stopping::{EarlyStopping, Improvement};
use crate::{TrainConfig, TrainError};

/// What a finished run came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainSummary {
    /// Sizes of the network.
    pub parameters: ParameterCounts,
    /// Scans in training and validation.
    pub n_scans: [usize; 2],
    /// Weights of the classes CN and AD in the loss.
    pub class_weights: [f64; N_CLASSES],
    /// Digest of the settings and the initial weights.
    pub run_hash: ContentHash,
    /// Whether early stopping ended the run.
    pub stopped_early: bool,
    /// Epoch of the best validation accuracy.
    pub best_accuracy_epoch: usize,
    /// Epoch of the least validation loss.
    pub best_loss_epoch: usize,
    /// Trunk features found in the cache, and computed, by this process.
    pub cache_hits_and_misses: (u64, u64),
    /// All epochs.
    pub history: Vec<EpochMetrics>,
}

/// Trains a network on the training scans and writes the run folder: `config.json`, `metrics.csv`
/// and `checkpoints/{last,best_accuracy,best_loss}.safetensors`. Test scans are not looked at.
///
/// A run that was interrupted goes on from its last checkpoint; one that is finished is left as it is.
///
/// # Errors
/// [`TrainError`]: settings, scans or weights that will not do, a run folder of another run, a loss
/// that is not a number.
///
/// # Determinism
/// The same bytes for any number of threads, interrupted or not.
pub fn train(
    run_dir: &Path,
    scans: &[TrainingScan],
    config: &TrainConfig,
    progress: &mut dyn FnMut(TrainEvent<'_>),
) -> Result<TrainSummary, TrainError> {
    config.validate()?;
    let used: Vec<TrainingScan> =
        scans.iter().filter(|scan| scan.partition != Partition::Test).cloned().collect();
    progress(TrainEvent::Checking { n_scans: used.len() });
    let scans = check_scans(&used, None)?;
    let mut run = Run::start(run_dir, &scans, config, progress)?;
    run.prepare_features(progress)?;
    while !run.is_finished() {
        run.epoch(progress)?;
    }
    Ok(run.summary())
}

/// A run on its way.
struct Run<'a> {
    run_dir: &'a Path,
    config: &'a TrainConfig,
    training: Vec<&'a CheckedScan>,
    validation: Vec<&'a CheckedScan>,
    class_weights: [f64; N_CLASSES],
    network: Network,
    optimizer: AdamW,
    features: FeatureSource,
    state: CheckpointState,
}

impl<'a> Run<'a> {
    fn start(
        run_dir: &'a Path,
        scans: &'a [CheckedScan],
        config: &'a TrainConfig,
        progress: &mut dyn FnMut(TrainEvent<'_>),
    ) -> Result<Self, TrainError> {
        let of = |partition| scans.iter().filter(|scan| scan.scan.partition == partition).collect::<Vec<_>>();
        let (training, validation) = (of(Partition::Train), of(Partition::Validation));
        require_scans(&training, &validation)?;
        let initial = initial_weights(config)?;
        let fresh = CheckpointState {
            revision: STATE_REVISION,
            config: config.portable(),
            run_hash: config.hash(&initial.hash(|_| true)),
            data_hash: data_hash(scans),
            dims: training[0].dims,
            n_epochs: 0,
            n_steps: 0,
            stopping: EarlyStopping::new(config.patience),
            history: Vec::new(),
        };
        let last = CheckpointKind::Last.path(run_dir);
        let resumed = last.exists().then(|| Checkpoint::read(&last)).transpose()?;
        let device = config.device.open()?;
        let (state, network, optimizer) = match resumed {
            Some(checkpoint) => {
                let state = continued(checkpoint.state, &fresh, &last)?;
                let network =
                    Network::new(&checkpoint.weights, config.freeze, &device)?.with_engine(config.engine);
                let optimizer = AdamW::restore(config.optimizer(), state.n_steps, checkpoint.moments);
                progress(TrainEvent::Resumed { epoch: state.n_epochs });
                (state, network, optimizer)
            }
            None => {
                let mut network = Network::new(&initial, config.freeze, &device)?.with_engine(config.engine);
                if config.frozen_norm == FrozenNorm::Calibrated {
                    calibrate(&mut network, &training, config, progress)?;
                }
                (fresh, network, AdamW::new(config.optimizer()))
            }
        };
        let labels: Vec<u8> = training.iter().map(|scan| scan.scan.label).collect();
        let fixed = config.frozen_norm != FrozenNorm::Batch;
        let features = FeatureSource::new(&network.trunk, fixed, &config.cache, run_dir)
            .with_repeated_draws(config.augmentation.n_variants().is_some());
        let class_weights = class_weights(&labels);
        let run = Self {
            run_dir,
            config,
            training,
            validation,
            class_weights,
            network,
            optimizer,
            features,
            state,
        };
        progress(TrainEvent::Network { parameters: run.network.n_parameters() });
        run.write_tables()?;
        run.restore_best()?;
        Ok(run)
    }

    fn is_finished(&self) -> bool {
        self.state.n_epochs >= self.config.max_epochs || self.state.stopping.should_stop()
    }

    /// Computes all features that will be needed, so that progress can be told.
    fn prepare_features(&mut self, progress: &mut dyn FnMut(TrainEvent<'_>)) -> Result<(), TrainError> {
        if !self.features.keeps() || self.is_finished() {
            return Ok(());
        }
        let n_variants = self.config.augmentation.n_variants().unwrap_or(0).min(self.config.max_epochs);
        let drawn = (0..n_variants).flat_map(|epoch| self.training.iter().map(move |scan| (*scan, epoch)));
        let drawn = drawn.map(|(scan, epoch)| (scan, self.draw(scan, epoch)));
        let plain = self.validation.iter().map(|scan| (*scan, Draw::default()));
        let wanted: Vec<(&CheckedScan, Draw)> = drawn.chain(plain).collect();
        for (idx, (scan, draw)) in wanted.iter().enumerate() {
            self.features.prepare(&self.network.trunk, scan, draw)?;
            progress(TrainEvent::Features { done: idx + 1, total: wanted.len() });
        }
        Ok(())
    }

    fn draw(&self, scan: &CheckedScan, epoch: usize) -> Draw {
        self.config.augmentation.draw(self.config.seed, &scan.scan.scan_id, epoch)
    }

    /// One epoch: training, validation, checkpoint.
    fn epoch(&mut self, progress: &mut dyn FnMut(TrainEvent<'_>)) -> Result<(), TrainError> {
        let epoch = self.state.n_epochs;
        let rate_factor = warm_restart_factor(epoch, self.config.restart_epochs);
        let mut order = self.training.clone();
        Random::new(derive_seed(self.config.seed, "order", &[&epoch.to_string()])).shuffle(&mut order);
        let batches: Vec<&[&CheckedScan]> = order.chunks(self.config.batch_size).collect();
        let n_steps = batches.len();
        progress(TrainEvent::EpochStart { epoch, max_epochs: self.config.max_epochs, n_steps });
        let (mut loss_sum, mut n_right) = (0.0, 0);
        for (step, batch) in batches.into_iter().enumerate() {
            let outcome = self.step(epoch, step, batch, rate_factor)?;
            loss_sum += outcome.loss * batch.len() as f64;
            n_right += outcome.n_right;
            progress(TrainEvent::Step { epoch, step, n_steps, loss: outcome.loss });
        }
        let logits = classify(&self.network, &mut self.features, &self.validation, progress)?;
        let labels: Vec<u8> = self.validation.iter().map(|scan| scan.scan.label).collect();
        let validation = measure(&logits, &labels, self.class_weights);
        if !validation.loss.is_finite() {
            let scan_ids = self.validation.iter().map(|scan| scan.scan.scan_id.clone()).collect();
            return Err(TrainError::NonFiniteLoss { loss: validation.loss, epoch, step: n_steps, scan_ids });
        }
        let n_training = self.training.len() as f64;
        let metrics = EpochMetrics {
            epoch,
            learning_rate_fc: self.config.learning_rate_fc * rate_factor,
            train_loss: loss_sum / n_training,
            train_accuracy: n_right as f64 / n_training,
            validation_loss: validation.loss,
            validation_accuracy: validation.accuracy,
            validation_balanced_accuracy: validation.balanced_accuracy,
            validation_auc: validation.auc,
        };
        let improvement = self.finish_epoch(metrics.clone())?;
        let Improvement { accuracy: best_accuracy, loss: best_loss } = improvement;
        progress(TrainEvent::EpochEnd { metrics: &metrics, best_accuracy, best_loss });
        Ok(())
    }

    fn step(
        &mut self,
        epoch: usize,
        step: usize,
        batch: &[&CheckedScan],
        rate_factor: f64,
    ) -> Result<StepOutcome, TrainError> {
        let draws: Vec<(&CheckedScan, Draw)> =
            batch.iter().map(|scan| (*scan, self.draw(scan, epoch))).collect();
        let labels: Vec<u8> = batch.iter().map(|scan| scan.scan.label).collect();
        let trunk = &mut self.network.trunk;
        let features = if self.config.frozen_norm == FrozenNorm::Batch {
            let inputs: Result<Vec<_>, _> =
                draws.iter().map(|(scan, draw)| input(trunk, scan, draw)).collect();
            trunk.forward_batch(Tensor::cat(inputs?, 0))
        } else {
            self.features.batch(trunk, &draws)?
        };
        let outcome = training_step(
            &mut self.network,
            &mut self.optimizer,
            features,
            &labels,
            self.class_weights,
            rate_factor,
        );
        if outcome.loss.is_finite() {
            return Ok(outcome);
        }
        let scan_ids = batch.iter().map(|scan| scan.scan.scan_id.clone()).collect();
        Err(TrainError::NonFiniteLoss { loss: outcome.loss, epoch, step, scan_ids })
    }

    /// Takes note of an epoch and writes its checkpoints and the table.
    fn finish_epoch(&mut self, metrics: EpochMetrics) -> Result<Improvement, TrainError> {
        let improvement = self.state.stopping.update(metrics.validation_accuracy, metrics.validation_loss);
        self.state.history.push(metrics);
        self.state.n_epochs += 1;
        self.state.n_steps = self.optimizer.n_steps();
        let checkpoint = Checkpoint {
            state: self.state.clone(),
            weights: self.network.to_state_dict(),
            moments: self.optimizer.moments().clone(),
        };
        checkpoint.write(&CheckpointKind::Last.path(self.run_dir))?;
        self.restore_best()?;
        self.write_tables()?;
        Ok(improvement)
    }

    /// Gives the last checkpoint its second names if its epoch is a best one. Also after an
    /// interruption between writing and naming.
    fn restore_best(&self) -> Result<(), TrainError> {
        let Some(last_epoch) = self.state.n_epochs.checked_sub(1) else { return Ok(()) };
        let last = CheckpointKind::Last.path(self.run_dir);
        for kind in [CheckpointKind::BestAccuracy, CheckpointKind::BestLoss] {
            if best_epoch(&self.state.history, kind) == last_epoch {
                link_atomic(&last, &kind.path(self.run_dir))?;
            }
        }
        Ok(())
    }

    fn write_tables(&self) -> Result<(), TrainError> {
        write_json(&self.run_dir.join("config.json"), &self.config.portable())?;
        write_csv(&self.run_dir.join("metrics.csv"), &self.state.history)?;
        Ok(())
    }

    fn summary(self) -> TrainSummary {
        let best = |kind| best_epoch(&self.state.history, kind);
        TrainSummary {
            parameters: self.network.n_parameters(),
            n_scans: [self.training.len(), self.validation.len()],
            class_weights: self.class_weights,
            run_hash: self.state.run_hash.clone(),
            stopped_early: self.state.stopping.should_stop(),
            best_accuracy_epoch: best(CheckpointKind::BestAccuracy),
            best_loss_epoch: best(CheckpointKind::BestLoss),
            cache_hits_and_misses: self.features.hits_and_misses(),
            history: self.state.history,
        }
    }
}

/// What a step came to.
#[derive(Debug, Clone, Copy)]
pub struct StepOutcome {
    /// Loss of the batch before the step.
    pub loss: f64,
    /// Scans of the batch that were classified right before the step.
    pub n_right: usize,
}

/// One step of the optimizer on trunk features `[N, C, D, H, W]`. Nothing changes but the running
/// statistics if the loss is not finite.
pub fn training_step(
    network: &mut Network,
    optimizer: &mut AdamW,
    features: Tensor<5>,
    labels: &[u8],
    class_weights: [f64; N_CLASSES],
    rate_factor: f64,
) -> StepOutcome {
    let pass =
        network.training_pass(features, &|logits| weighted_cross_entropy(logits, labels, class_weights));
    let right = pass.logits.iter().zip(labels).filter(|(row, label)| u8::from(row[1] >= row[0]) == **label);
    let n_right = right.count();
    if pass.loss.is_finite() {
        optimizer.step(network, &pass.gradients, rate_factor);
    }
    StepOutcome { loss: pass.loss, n_right }
}

fn require_scans(training: &[&CheckedScan], validation: &[&CheckedScan]) -> Result<(), TrainError> {
    let count = |scans: &[&CheckedScan], label| scans.iter().filter(|scan| scan.scan.label == label).count();
    let check = |partition, scans: &[&CheckedScan], enough: bool, expected| {
        let (n_cn, n_ad) = (count(scans, 0), count(scans, 1));
        if enough { Ok(()) } else { Err(TrainError::EmptyClass { partition, n_cn, n_ad, expected }) }
    };
    let both = count(training, 0) > 0 && count(training, 1) > 0;
    check("train", training, both, "at least one of each")?;
    check("validation", validation, !validation.is_empty(), "at least one scan")
}

fn initial_weights(config: &TrainConfig) -> Result<StateDict, TrainError> {
    let seed = config.seed;
    match &config.weights {
        None => Ok(StateDict::random(seed)),
        Some(path) => Ok(read_weights(path, ImportOptions { stem: config.stem, seed, architecture: None })?),
    }
}

/// The state to go on from, if the checkpoint is of this run.
fn continued(
    found: CheckpointState,
    fresh: &CheckpointState,
    path: &Path,
) -> Result<CheckpointState, TrainError> {
    let other = |what| Err(TrainError::OtherRun { path: path.to_owned(), what });
    if found.run_hash != fresh.run_hash {
        return other("configuration or initial weights");
    }
    if found.data_hash != fresh.data_hash || found.dims != fresh.dims {
        return other("set of scans");
    }
    if found.history.len() != found.n_epochs || found.n_epochs == 0 {
        let detail = format!("{} epochs but {} rows of history", found.n_epochs, found.history.len());
        return Err(TrainError::Checkpoint { path: path.to_owned(), detail });
    }
    Ok(CheckpointState { config: fresh.config.clone(), ..found })
}

/// Estimates the statistics of the trunk's batch norms over (some of) the training scans.
fn calibrate(
    network: &mut Network,
    training: &[&CheckedScan],
    config: &TrainConfig,
    progress: &mut dyn FnMut(TrainEvent<'_>),
) -> Result<(), TrainError> {
    if network.trunk.is_empty() {
        return Ok(());
    }
    let mut chosen = training.to_vec();
    Random::new(derive_seed(config.seed, "calibration", &[])).shuffle(&mut chosen);
    chosen.truncate(config.calibration_scans);
    chosen.sort_by(|a, b| a.scan.scan_id.cmp(&b.scan.scan_id));
    let mut tally = NormTally::default();
    for (idx, scan) in chosen.iter().enumerate() {
        network.trunk.observe(input(&network.trunk, scan, &Draw::default())?, &mut tally);
        progress(TrainEvent::Calibrating { done: idx + 1, total: chosen.len() });
    }
    network.trunk.calibrate(&tally);
    Ok(())
}

/// The first epoch with the best value.
fn best_epoch(history: &[EpochMetrics], kind: CheckpointKind) -> usize {
    let better = |new: &EpochMetrics, old: &EpochMetrics| match kind {
        CheckpointKind::Last => true,
        CheckpointKind::BestAccuracy => new.validation_accuracy > old.validation_accuracy,
        CheckpointKind::BestLoss => new.validation_loss < old.validation_loss,
    };
    let best = history.iter().reduce(|best, row| if better(row, best) { row } else { best });
    best.map_or(0, |row| row.epoch)
}
