//! Forecast of a run's memory, work and time, and advice on which setting to change.

use brainreel_models::{
    Architecture, FreezePolicy, FrozenNorm, MemoryUse, ModelError, NetworkConfig, NetworkCost, Speed, Work,
};
use serde::{Deserialize, Serialize};

use crate::features::HEAD_BATCH;
use crate::loader::{self, AHEAD};
use crate::{TrainConfig, TrainError};

/// Bytes of a single-precision number.
const NUMBER: u64 = 4;
/// Bytes of the program itself, the thread stacks and memory that the allocator retains.
const PROCESS: u64 = 40 << 20;
/// Copies of an image while a thread reads and augments it.
const COPIES_WHILE_LOADING: u64 = 4;
/// Input edge lengths that the advice tries.
const EDGES: [usize; 3] = [96, 64, 32];

/// Network and data sizes of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// The network.
    pub architecture: Architecture,
    /// Size of its input `[D, H, W]`, in voxels.
    pub dims: [usize; 3],
    /// Scans of the training partition.
    pub n_training: usize,
    /// Scans of the validation partition.
    pub n_validation: usize,
}

impl Workload {
    const fn network(&self) -> NetworkConfig {
        let n_classes = NetworkConfig::DEFAULT_CLASSES; // a class more costs next to nothing
        NetworkConfig { architecture: self.architecture, dims: self.dims, n_classes }
    }
}

/// Peak memory in bytes, by purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunMemory {
    /// Weights, gradients, maps and workspace of the network, see [`MemoryUse`].
    pub network: MemoryUse,
    /// Optimizer moments, and gradients accumulated over several batches.
    pub optimizer: u64,
    /// Prefetched scans.
    pub loader: u64,
    /// Copies for writing a checkpoint, if the peak occurs then.
    pub checkpoint: u64,
    /// The program itself.
    pub process: u64,
}

impl RunMemory {
    /// The sum.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.network.total() + self.optimizer + self.loader + self.checkpoint + self.process
    }
}

/// Forecast of a run on the CPU with the native engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Cost of the network.
    pub network: NetworkCost,
    /// Peak memory.
    pub memory: RunMemory,
    /// Optimizer steps per epoch.
    pub steps_per_epoch: usize,
    /// Work before the first epoch: calibration and cached trunk features.
    pub preparation: Work,
    /// Work of one optimizer step.
    pub step: Work,
    /// Work of one epoch, including validation.
    pub epoch: Work,
}

/// Estimated time of a run, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ForecastSeconds {
    /// Before the first epoch.
    pub preparation: f64,
    /// One optimizer step.
    pub step: f64,
    /// One epoch, including validation.
    pub epoch: f64,
}

impl Forecast {
    /// Forecasts a run with these settings. Memory is within about a quarter of the measured value. For
    /// devices other than the CPU and for other engines the forecast says little.
    ///
    /// # Errors
    /// [`TrainError::Model`] if the network does not take inputs of this size.
    pub fn new(config: &TrainConfig, workload: &Workload) -> Result<Self, TrainError> {
        Ok(Self::of(config, workload)?)
    }

    fn of(config: &TrainConfig, workload: &Workload) -> Result<Self, ModelError> {
        let Workload { architecture, dims, n_training, n_validation } = *workload;
        let batch_size = config.batch_size.min(n_training.max(1));
        let network = NetworkCost::new(workload.network(), config.freeze, config.frozen_norm, batch_size)?;
        let frozen = network.trunk.flops() > 0.0;
        let moves = frozen && config.frozen_norm == FrozenNorm::Batch && architecture.has_batch_norm();
        let keeps = frozen && !moves && config.cache.max_bytes > 0;
        let n_variants = config.augmentation.n_variants().filter(|_| keeps);
        let batches = n_training.div_ceil(batch_size) as f64;
        let trunk_in_training = if n_variants.is_some() { Work::default() } else { network.trunk };
        let step = (trunk_in_training * batch_size as f64 + network.head) * config.accumulate as f64;
        let in_validation = if keeps { Work::default() } else { network.trunk };
        let evaluation = in_validation + network.head_forward * (1.0 / batch_size as f64);
        let calibrated = match config.frozen_norm {
            FrozenNorm::Calibrated if architecture.has_batch_norm() => {
                config.calibration_scans.min(n_training)
            }
            _ => 0,
        };
        let n_kept = if keeps {
            n_variants.unwrap_or(0).min(config.max_epochs) * n_training + n_validation
        } else {
            0
        };
        Ok(Self {
            memory: memory(config, &network, dims, batch_size),
            steps_per_epoch: n_training.div_ceil(batch_size * config.accumulate),
            preparation: network.trunk * (calibrated + n_kept) as f64,
            step,
            epoch: trunk_in_training * n_training as f64
                + network.head * batches
                + evaluation * n_validation as f64,
            network,
        })
    }

    /// Time in seconds on a machine of this speed, without reading and augmenting scans.
    #[must_use]
    pub fn seconds(&self, speed: &Speed) -> ForecastSeconds {
        let update = self.network.parameters.trainable as f64 * 7.0 * NUMBER as f64 / speed.bytes;
        ForecastSeconds {
            preparation: speed.seconds(&self.preparation),
            step: speed.seconds(&self.step) + update,
            epoch: speed.seconds(&self.epoch) + update * self.steps_per_epoch as f64,
        }
    }
}

/// Largest memory of three phases: an optimizer step, writing a checkpoint, and validation.
fn memory(config: &TrainConfig, cost: &NetworkCost, dims: [usize; 3], batch_size: usize) -> RunMemory {
    let trained = cost.parameters.trainable as u64 * NUMBER;
    let all = cost.parameters.total as u64 * NUMBER;
    let image = dims.iter().product::<usize>() as u64 * NUMBER;
    let n_threads = loader::n_threads(config.loader_threads) as u64;
    let sums = if config.accumulate > 1 { trained } else { 0 };
    let parts = cost.features * batch_size as u64;
    let step = RunMemory {
        network: cost.memory,
        optimizer: 2 * trained + sums,
        loader: n_threads * (AHEAD as u64 + COPIES_WHILE_LOADING) * image + parts,
        checkpoint: 0,
        process: PROCESS,
    };
    let resting = MemoryUse { weights: all, workspace: cost.kept, ..MemoryUse::default() };
    let writing = RunMemory { network: resting, checkpoint: all + 2 * trained, ..step };
    let together = if cost.trunk.flops() > 0.0 { HEAD_BATCH as u64 } else { 1 };
    let activations = 4 * together * cost.features;
    let validating = RunMemory {
        network: MemoryUse { activations, ..resting },
        optimizer: 2 * trained,
        loader: 0,
        ..step
    };
    [writing, validating]
        .into_iter()
        .fold(step, |most, one| if one.total() > most.total() { one } else { most })
}

/// Advice in one sentence on which setting to change if the run would exceed `limit_bytes`; `None` if it
/// fits.
///
/// Tries the cheapest change first: a smaller batch with more accumulated batches per step (same scans per
/// step), fixed statistics of the frozen norms, fewer trained layers, smaller inputs, a smaller network.
#[must_use]
pub fn advice(config: &TrainConfig, workload: &Workload, limit_bytes: u64) -> Option<String> {
    let need = total(config, workload)?;
    if need <= limit_bytes {
        return None;
    }
    let start = format!("the run would take {} of memory, the limit is {}", gib(need), gib(limit_bytes));
    let found = alternatives(config, workload).into_iter().find_map(|(what, config, workload)| {
        let bytes = total(&config, &workload)?;
        (bytes <= limit_bytes).then(|| format!("{start}: {what} ({})", gib(bytes)))
    });
    Some(found.unwrap_or_else(|| {
        let least = alternatives(config, workload).into_iter().filter_map(|(_, c, w)| total(&c, &w)).min();
        format!("{start}: no other setting takes less than {}", gib(least.unwrap_or(need)))
    }))
}

fn total(config: &TrainConfig, workload: &Workload) -> Option<u64> {
    Forecast::of(config, workload).ok().map(|forecast| forecast.memory.total())
}

/// Settings that may need less memory, in order of increasing change.
fn alternatives(config: &TrainConfig, workload: &Workload) -> Vec<(String, TrainConfig, Workload)> {
    let mut all = Vec::new();
    let with_batches = |all: &mut Vec<_>, what: &str, config: &TrainConfig, workload: &Workload| {
        for (setting, smaller) in batches(config) {
            let words: Vec<&str> =
                [what, setting.as_str()].into_iter().filter(|word| !word.is_empty()).collect();
            if !words.is_empty() {
                all.push((format!("set {}", words.join(" and ")), smaller, *workload));
            }
        }
    };
    with_batches(&mut all, "", config, workload);
    if config.frozen_norm == FrozenNorm::Batch && workload.architecture.has_batch_norm() {
        let fixed = TrainConfig { frozen_norm: FrozenNorm::Calibrated, ..config.clone() };
        with_batches(&mut all, "frozen_norm = \"calibrated\"", &fixed, workload);
    }
    let policies = [(FreezePolicy::LastStage, "last-stage"), (FreezePolicy::FcOnly, "fc-only")];
    let fewer = |policy| trained(policy, workload) < trained(config.freeze, workload);
    for (policy, name) in policies.into_iter().filter(|(policy, _)| fewer(*policy)) {
        let frozen = TrainConfig { freeze: policy, ..config.clone() };
        with_batches(&mut all, &format!("freeze = \"{name}\""), &frozen, workload);
    }
    let one =
        TrainConfig { batch_size: 1, accumulate: config.accumulate * config.batch_size, ..config.clone() };
    let most = workload.dims.iter().copied().max().unwrap_or(0);
    for edge in EDGES.into_iter().filter(|edge| *edge < most) {
        let smaller = Workload { dims: [edge; 3], ..*workload };
        let what = format!("use a smaller shape of the input, {edge}x{edge}x{edge}");
        all.push((what.clone(), config.clone(), smaller));
        all.push((format!("{what}, with batch_size = 1"), one.clone(), smaller));
    }
    for architecture in Architecture::all().filter(|one| *one != workload.architecture) {
        let smaller = Workload { architecture, ..*workload };
        all.push((format!("use a smaller network, {architecture}"), config.clone(), smaller));
        all.push((
            format!("use a smaller network, {architecture}, with batch_size = 1"),
            one.clone(),
            smaller,
        ));
    }
    all
}

fn trained(policy: FreezePolicy, workload: &Workload) -> usize {
    NetworkCost::new(workload.network(), policy, FrozenNorm::Calibrated, 1)
        .map_or(0, |cost| cost.parameters.trainable)
}

/// The same settings, and variants with smaller batches that divide the number of scans per step.
fn batches(config: &TrainConfig) -> Vec<(String, TrainConfig)> {
    let scans = config.batch_size * config.accumulate;
    let sizes = (1..=config.batch_size).rev().filter(|size| scans.is_multiple_of(*size));
    let with = |batch_size: usize| {
        let setting = match (batch_size == config.batch_size, scans / batch_size) {
            (true, _) => String::new(),
            (false, 1) => format!("batch_size = {batch_size}"),
            (false, accumulate) => format!("batch_size = {batch_size} and accumulate = {accumulate}"),
        };
        (setting, TrainConfig { batch_size, accumulate: scans / batch_size, ..config.clone() })
    };
    sizes.map(with).collect()
}

/// Formats bytes for people.
fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload() -> Workload {
        let architecture = Architecture::default();
        Workload { architecture, dims: [128; 3], n_training: 100, n_validation: 20 }
    }

    fn forecast(config: &TrainConfig) -> Forecast {
        Forecast::new(config, &workload()).unwrap()
    }

    fn with(change: impl Fn(&mut TrainConfig)) -> TrainConfig {
        let mut config = TrainConfig::default();
        change(&mut config);
        config
    }

    #[test]
    fn more_of_anything_takes_more_memory() {
        let base = forecast(&TrainConfig::default()).memory.total();
        for change in [
            with(|c| c.batch_size = 4),
            with(|c| c.accumulate = 2),
            with(|c| c.freeze = FreezePolicy::None),
            with(|c| c.frozen_norm = FrozenNorm::Batch),
            with(|c| c.loader_threads = 8),
        ] {
            assert!(forecast(&change).memory.total() > base, "{change:?}");
        }
    }

    #[test]
    fn kept_features_spare_the_trunk_in_the_epochs() {
        let kept = forecast(&TrainConfig::default());
        let anew = forecast(&with(|c| c.cache.max_bytes = 0));
        assert!(kept.step.engine_flops == 0.0 && anew.step.engine_flops > 0.0);
        assert!(kept.preparation.flops() > anew.preparation.flops());
        assert_eq!(kept.steps_per_epoch, 50);
    }

    #[test]
    fn advice_is_silent_where_nothing_is_wrong() {
        assert_eq!(advice(&TrainConfig::default(), &workload(), 64 << 30), None);
    }

    #[test]
    fn advice_fits_and_changes_the_least() {
        let all = with(|c| c.freeze = FreezePolicy::None);
        let limit = total(
            &with(|c| (c.freeze, c.batch_size, c.accumulate) = (FreezePolicy::None, 1, 2)),
            &workload(),
        );
        let said = advice(&all, &workload(), limit.unwrap()).unwrap();
        assert!(said.contains("set batch_size = 1 and accumulate = 2 ("), "{said}");
        let said = advice(&all, &workload(), limit.unwrap() - 1).unwrap();
        assert!(said.contains("set freeze = \"last-stage\""), "{said}");
        let said = advice(&all, &workload(), 1 << 20).unwrap();
        assert!(said.contains("no other setting takes less than"), "{said}");
    }
}
