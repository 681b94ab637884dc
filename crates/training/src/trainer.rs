//! A training run: start, resume and outputs.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use brainreel_artifact::{ContentHash, derive_seed, link_atomic, write_json};
use brainreel_augmentation::Draw;
use brainreel_cohort::Partition;
use brainreel_models::{
    Architecture, DeviceKind, EngineKind, FrozenNorm, ImportOptions, Network, NetworkConfig, NetworkWeights,
    NormTally, ParameterCounts, Random, read_weights,
};
use brainreel_named::named;
use brainreel_trackers::JsonLines;
use serde::{Deserialize, Serialize};

use crate::adamw::AdamW;
use crate::cache::CacheUse;
use crate::checkpoint::{Checkpoint, CheckpointKind, CheckpointState, STATE_REVISION};
use crate::dataset::{CheckedScan, TrainingScan, check_scans, data_hash};
use crate::events::TrainEvent;
use crate::features::{FeatureSource, input};
use crate::forecast::{Forecast, Workload, advice};
use crate::loss::class_weights;
use crate::metrics::{EpochMetrics, write_csv};
use crate::paths::RunPaths;
use crate::stopping::{EarlyStopping, Improvement};
use crate::{TrainConfig, TrainError};

named! {
    /// Checkpoint from which an interrupted run resumes.
    #[derive(Default)]
    pub enum ResumeFrom {
        /// The last checkpoint.
        #[default]
        Last = "last",
        /// The checkpoint before it, in case the last one is damaged.
        Previous = "previous",
    }
}

/// Request for a training run: data, run folder and settings.
#[derive(Debug, Clone)]
pub struct TrainRequest<'a> {
    /// Run folder to create or resume.
    pub run_dir: &'a Path,
    /// All scans. Scans of the test partition are ignored.
    pub scans: &'a [TrainingScan],
    /// Settings.
    pub config: &'a TrainConfig,
    /// Classes of the cohort's label set. Labels count from 0; two are CN and AD.
    pub n_classes: usize,
    /// Content hash of the split of these scans. Checkpoints store it.
    pub split_sha256: Option<String>,
    /// Checkpoint from which an interrupted run resumes.
    pub resume_from: ResumeFrom,
    /// Stops with a checkpoint after this total number of steps, as an interruption would.
    pub stop_after_steps: Option<u64>,
    /// Stops with a checkpoint after the step in which this becomes true.
    pub interrupt: Option<&'a AtomicBool>,
    /// Memory limit in bytes. A run whose forecast exceeds it is an error.
    pub memory_limit: Option<u64>,
}

impl<'a> TrainRequest<'a> {
    /// Creates a request that starts a run, or resumes it from its last checkpoint.
    #[must_use]
    pub const fn new(run_dir: &'a Path, scans: &'a [TrainingScan], config: &'a TrainConfig) -> Self {
        Self {
            run_dir,
            scans,
            config,
            n_classes: NetworkConfig::DEFAULT_CLASSES,
            split_sha256: None,
            resume_from: ResumeFrom::Last,
            stop_after_steps: None,
            interrupt: None,
            memory_limit: None,
        }
    }
}

impl TrainRequest<'_> {
    /// Whether a stop was requested.
    fn is_interrupted(&self) -> bool {
        is_set(self.interrupt)
    }
}

fn is_set(interrupt: Option<&AtomicBool>) -> bool {
    interrupt.is_some_and(|interrupt| interrupt.load(Ordering::Relaxed))
}

/// Scans that a run uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanCounts {
    /// Scans of the training partition.
    pub training: usize,
    /// Scans of the validation partition.
    pub validation: usize,
}

/// Summary of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainSummary {
    /// The network.
    pub architecture: Architecture,
    /// Its sizes.
    pub parameters: ParameterCounts,
    /// Number of training and validation scans.
    pub n_scans: ScanCounts,
    /// Weight of each class in the loss: CN, AD.
    pub class_weights: Vec<f64>,
    /// Digest of the settings and the initial weights.
    pub run_hash: ContentHash,
    /// Whether the run is finished. Otherwise it was stopped, and starting it again resumes it.
    pub is_finished: bool,
    /// Number of optimizer steps.
    pub n_steps: u64,
    /// Whether early stopping ended the run.
    pub stopped_early: bool,
    /// Epoch of the best validation accuracy.
    pub best_accuracy_epoch: usize,
    /// Epoch of the lowest validation loss.
    pub best_loss_epoch: usize,
    /// Cache hits and misses of this process.
    pub cache: CacheUse,
    /// Metrics of all epochs.
    pub history: Vec<EpochMetrics>,
}

/// Trains a network on the training scans and writes the run folder: `config.json`, `metrics.csv`,
/// `metrics.jsonl`, `timing.jsonl` and `checkpoints/{last,best_accuracy,best_loss}.safetensors`. Test scans
/// are ignored.
///
/// An interrupted run resumes from its last checkpoint. A finished run is left unchanged.
///
/// # Errors
/// [`TrainError`] for invalid settings, scans or weights, a run folder of another run, a damaged checkpoint,
/// and a loss or gradient that is not finite.
///
/// # Determinism
/// All files except `timing.jsonl` are identical for any number of threads, whether or not the run was
/// interrupted.
pub fn train(
    request: &TrainRequest<'_>,
    progress: &mut dyn FnMut(TrainEvent<'_>),
) -> Result<TrainSummary, TrainError> {
    request.config.validate()?;
    let used: Vec<TrainingScan> =
        request.scans.iter().filter(|scan| scan.partition != Partition::Test).cloned().collect();
    progress(TrainEvent::Checking { n_scans: used.len() });
    let scans = check_scans(&used, None, request.n_classes)?;
    let mut run = Run::start(request, &scans, progress)?;
    run.prepare_features(progress)?;
    while !run.is_finished() && !run.is_stopped() {
        run.epoch(progress)?;
    }
    run.tidy()?;
    Ok(run.summary())
}

const NO_FORECAST: &str = "a memory limit needs a forecast, and there is one for device cpu with engine native only; take \
                           the limit away, or choose these";

/// Reports the forecast of a run, and returns an error if it exceeds the memory limit. Only the native engine
/// has a cost model.
fn foresee(
    request: &TrainRequest<'_>,
    workload: &Workload,
    progress: &mut dyn FnMut(TrainEvent<'_>),
) -> Result<(), TrainError> {
    let config = request.config;
    if config.device.resolved() != DeviceKind::Cpu || config.engine != EngineKind::Native {
        return match request.memory_limit {
            None => Ok(()),
            Some(_) => Err(TrainError::Memory { advice: NO_FORECAST.to_owned() }),
        };
    }
    let forecast = Forecast::new(config, workload)?;
    progress(TrainEvent::Forecast { forecast: &forecast, workload });
    match request.memory_limit.and_then(|limit| advice(config, workload, limit)) {
        Some(advice) => Err(TrainError::Memory { advice }),
        None => Ok(()),
    }
}

/// A run in progress.
pub(crate) struct Run<'a> {
    pub(crate) run_dir: &'a Path,
    pub(crate) config: &'a TrainConfig,
    pub(crate) training: Vec<&'a CheckedScan>,
    pub(crate) validation: Vec<&'a CheckedScan>,
    pub(crate) class_weights: Vec<f64>,
    pub(crate) network: Network,
    pub(crate) optimizer: AdamW,
    pub(crate) features: FeatureSource,
    pub(crate) state: CheckpointState,
    pub(crate) log: JsonLines,
    stop_after_steps: Option<u64>,
    interrupt: Option<&'a AtomicBool>,
}

impl<'a> Run<'a> {
    fn start(
        request: &TrainRequest<'a>,
        scans: &'a [CheckedScan],
        progress: &mut dyn FnMut(TrainEvent<'_>),
    ) -> Result<Self, TrainError> {
        let TrainRequest { run_dir, config, .. } = *request;
        let of = |partition| scans.iter().filter(|scan| scan.scan.partition == partition).collect::<Vec<_>>();
        let (training, validation) = (of(Partition::Train), of(Partition::Validation));
        require_scans(&training, &validation, request.n_classes)?;
        let dims = training[0].dims;
        let initial = initial_weights(config, request.n_classes)?.fitted_to(dims)?;
        let architecture = initial.architecture();
        let fresh = CheckpointState {
            revision: STATE_REVISION,
            config: TrainConfig { architecture: Some(architecture), ..config.portable() },
            run_hash: config.hash(&initial.hash(|_| true)),
            data_hash: data_hash(scans),
            split_sha256: request.split_sha256.clone(),
            architecture,
            dims,
            n_classes: request.n_classes,
            n_epochs: 0,
            progress: None,
            n_steps: 0,
            stopping: EarlyStopping::new(config.patience),
            history: Vec::new(),
        };
        let workload =
            Workload { architecture, dims, n_training: training.len(), n_validation: validation.len() };
        foresee(request, &workload, progress)?;
        let device = config.device.open()?;
        let settings = config.optimizer(architecture);
        let (state, network, optimizer) = match checkpoint_to_resume(request, &fresh)? {
            Some(Checkpoint { state, weights, moments }) => {
                let network = Network::new(&weights, config.freeze, &device)
                    .with_engine(config.engine)
                    .with_precision(config.precision);
                let optimizer = AdamW::restore(settings, state.n_steps, moments);
                progress(TrainEvent::Resumed { state: &state });
                (state, network, optimizer)
            }
            None => {
                let mut network = Network::new(&initial, config.freeze, &device)
                    .with_engine(config.engine)
                    .with_precision(config.precision);
                drop(initial);
                if config.frozen_norm == FrozenNorm::Calibrated && architecture.has_batch_norm() {
                    calibrate(&mut network, &training, request, progress)?;
                }
                (fresh, network, AdamW::new(settings))
            }
        };
        let labels: Vec<u8> = training.iter().map(|scan| scan.scan.label).collect();
        let features =
            FeatureSource::new(&network.trunk, !state.moves_frozen_norms(), &config.cache, run_dir)
                .with_repeated_draws(config.augmentation.n_variants().is_some());
        let class_weights = class_weights(&labels, request.n_classes);
        let log =
            JsonLines::open(&RunPaths::new(run_dir).metrics_log(), Some(state.n_steps).filter(|&n| n > 0))?;
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
            log,
            stop_after_steps: request.stop_after_steps,
            interrupt: request.interrupt,
        };
        run.write_tables()?;
        run.restore_best()?;
        progress(TrainEvent::Network { architecture, parameters: run.network.n_parameters() });
        Ok(run)
    }

    fn is_finished(&self) -> bool {
        self.state.n_epochs >= self.config.max_epochs || self.state.stopping.should_stop()
    }

    /// Whether this process has reached its step limit, or a stop was requested.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop_after_steps.is_some_and(|most| self.optimizer.n_steps() >= most) || is_set(self.interrupt)
    }

    /// Computes all required features up front, to report progress.
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
            if self.is_stopped() {
                return Ok(()); // what was computed is kept
            }
            self.features.prepare(&self.network.trunk, scan, draw)?;
            progress(TrainEvent::Features { done: idx + 1, total: wanted.len() });
        }
        Ok(())
    }

    pub(crate) fn draw(&self, scan: &CheckedScan, epoch: usize) -> Draw {
        self.config.augmentation.draw(self.config.seed, &scan.scan.scan_id, epoch)
    }

    /// Records an epoch and writes its checkpoints and the metrics table.
    pub(crate) fn finish_epoch(&mut self, metrics: EpochMetrics) -> Result<Improvement, TrainError> {
        let improvement = self.state.stopping.update(metrics.validation_accuracy, metrics.validation_loss);
        self.state.history.push(metrics);
        self.state.n_epochs += 1;
        self.state.progress = None;
        self.write_checkpoint()?;
        self.restore_best()?;
        self.write_tables()?;
        Ok(improvement)
    }

    pub(crate) fn write_checkpoint(&mut self) -> Result<(), TrainError> {
        self.log.sync()?; // a checkpoint outlives a power cut, and so must the rows before it
        self.state.n_steps = self.optimizer.n_steps();
        let checkpoint = Checkpoint {
            state: self.state.clone(),
            weights: self.network.to_weights(),
            moments: self.optimizer.moments().clone(),
        };
        Ok(checkpoint.write_last(self.run_dir)?)
    }

    /// Links the last checkpoint under its "best" names if its epoch is a best one. Resuming after an
    /// interruption between the write and the link does this too.
    fn restore_best(&self) -> Result<(), TrainError> {
        let Some(last_epoch) = self.state.n_epochs.checked_sub(1) else { return Ok(()) };
        if self.state.progress.is_some() {
            return Ok(()); // named when the epoch ended
        }
        let last = CheckpointKind::Last.path(self.run_dir);
        for kind in [CheckpointKind::BestAccuracy, CheckpointKind::BestLoss] {
            if self.state.best(kind).is_some_and(|best| best.epoch == last_epoch) {
                link_atomic(&last, &kind.path(self.run_dir))?;
            }
        }
        Ok(())
    }

    fn write_tables(&self) -> Result<(), TrainError> {
        write_json(&RunPaths::new(self.run_dir).config(), &self.state.config)?;
        write_csv(&RunPaths::new(self.run_dir).metrics_table(), &self.state.history)?;
        Ok(())
    }

    /// Removes the files that only an unfinished run needs.
    fn tidy(&self) -> Result<(), TrainError> {
        if self.is_finished() {
            remove_if_there(&CheckpointKind::Previous.path(self.run_dir))?;
        }
        Ok(())
    }

    fn summary(self) -> TrainSummary {
        let best = |kind| self.state.best(kind).map_or(0, |row| row.epoch);
        TrainSummary {
            architecture: self.state.architecture,
            parameters: self.network.n_parameters(),
            n_scans: ScanCounts { training: self.training.len(), validation: self.validation.len() },
            class_weights: self.class_weights.clone(),
            run_hash: self.state.run_hash.clone(),
            is_finished: self.is_finished(),
            n_steps: self.optimizer.n_steps(),
            stopped_early: self.state.stopping.should_stop(),
            best_accuracy_epoch: best(CheckpointKind::BestAccuracy),
            best_loss_epoch: best(CheckpointKind::BestLoss),
            cache: self.features.cache_use(),
            history: self.state.history,
        }
    }
}

fn remove_if_there(path: &Path) -> Result<(), TrainError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(TrainError::Remove { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

fn require_scans(
    training: &[&CheckedScan],
    validation: &[&CheckedScan],
    n_classes: usize,
) -> Result<(), TrainError> {
    let count = |scans: &[&CheckedScan], label: usize| {
        scans.iter().filter(|scan| usize::from(scan.scan.label) == label).count()
    };
    let check = |partition, scans: &[&CheckedScan], enough: bool, expected| {
        let (n_cn, n_ad) = (count(scans, 0), count(scans, 1));
        if enough { Ok(()) } else { Err(TrainError::EmptyClass { partition, n_cn, n_ad, expected }) }
    };
    let all = (0..n_classes).all(|label| count(training, label) > 0);
    check("train", training, all, "at least one of each")?;
    check("validation", validation, !validation.is_empty(), "at least one scan")
}

fn initial_weights(config: &TrainConfig, n_classes: usize) -> Result<NetworkWeights, TrainError> {
    let (seed, architecture) = (config.seed, config.architecture);
    match &config.weights {
        None => {
            let network = NetworkConfig::new(architecture.unwrap_or_default()).with_classes(n_classes);
            Ok(NetworkWeights::random(network, seed))
        }
        Some(path) => {
            Ok(read_weights(path, ImportOptions { stem: config.stem, seed, architecture, n_classes })?)
        }
    }
}

/// Loads the checkpoint to resume from, if one exists, and checks that it belongs to this run.
fn checkpoint_to_resume(
    request: &TrainRequest<'_>,
    fresh: &CheckpointState,
) -> Result<Option<Checkpoint>, TrainError> {
    let path_of = |kind: CheckpointKind| Some(kind.path(request.run_dir)).filter(|path| path.exists());
    let (last, previous) = (path_of(CheckpointKind::Last), path_of(CheckpointKind::Previous));
    let chosen = match request.resume_from {
        ResumeFrom::Last => last.clone().or(previous.clone()),
        ResumeFrom::Previous if previous.is_none() => {
            return Err(TrainError::NoPrevious { path: CheckpointKind::Previous.path(request.run_dir) });
        }
        ResumeFrom::Previous => previous.clone(),
    };
    let Some(path) = chosen else { return Ok(None) };
    let mut checkpoint = match (Checkpoint::read(&path), previous) {
        (Err(error @ TrainError::Checkpoint { .. }), Some(previous)) if Some(&path) == last.as_ref() => {
            return Err(match Checkpoint::read(&previous) {
                Err(_) => error,
                Ok(whole) => {
                    let position = whole.state.position();
                    TrainError::DamagedLast { previous, position, source: Box::new(error) }
                }
            });
        }
        (read, _) => read?,
    };
    checkpoint.state = continued(checkpoint.state, fresh, &path)?;
    Ok(Some(checkpoint))
}

/// Returns the state to resume from, if the checkpoint belongs to this run.
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
    if found.history.len() != found.n_epochs || (found.n_epochs == 0 && found.progress.is_none()) {
        let detail = format!("{} epochs but {} rows of history", found.n_epochs, found.history.len());
        return Err(TrainError::Checkpoint { path: path.to_owned(), detail });
    }
    Ok(CheckpointState { config: fresh.config.clone(), ..found })
}

/// Estimates the batch-norm statistics of the trunk from (a subset of) the training scans.
fn calibrate(
    network: &mut Network,
    training: &[&CheckedScan],
    request: &TrainRequest<'_>,
    progress: &mut dyn FnMut(TrainEvent<'_>),
) -> Result<(), TrainError> {
    let config = request.config;
    if network.trunk.is_empty() {
        return Ok(());
    }
    let mut chosen = training.to_vec();
    Random::new(derive_seed(config.seed, "calibration", &[])).shuffle(&mut chosen);
    chosen.truncate(config.calibration_scans);
    chosen.sort_by(|a, b| a.scan.scan_id.cmp(&b.scan.scan_id));
    let mut tally = NormTally::default();
    for (idx, scan) in chosen.iter().enumerate() {
        if request.is_interrupted() {
            return Ok(()); // no step will follow, and nothing is kept
        }
        network.trunk.observe(input(&network.trunk, scan, &Draw::default())?, &mut tally);
        progress(TrainEvent::Calibrating { done: idx + 1, total: chosen.len() });
    }
    network.trunk.calibrate(&tally);
    Ok(())
}
