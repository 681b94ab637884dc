//! Settings of a training run.

use std::path::PathBuf;

use brainreel_artifact::{ContentHash, HashBuilder, hash_bytes};
use brainreel_augmentation::AugmentationConfig;
use brainreel_models::{
    Architecture, DeviceKind, EngineKind, FreezePolicy, FrozenNorm, Precision, StemConversion,
};
use brainreel_named::named;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::adamw::AdamWConfig;
use crate::cache::CacheConfig;
use crate::schedule::warm_restart_factor;

named! {
    /// When the learning rate moves along its cosine.
    #[derive(Default)]
    pub enum ScheduleUnit {
        /// Once per epoch.
        #[default]
        Epoch = "epoch",
        /// At every optimizer step.
        Step = "step",
    }
}

/// Settings of a training run. The defaults are the thesis's, except where a field says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Seed of the run. All random draws derive from it.
    pub seed: u64,
    /// Where to compute. The run records the device that `auto` stands for in this build.
    pub device: DeviceKind,
    /// What computes convolutions on the CPU.
    pub engine: EngineKind,
    /// Precision of convolutions and matrix products on a GPU, or by Burn. Weights and norms stay in single
    /// precision.
    pub precision: Precision,
    /// The network. Default: that of the weights, or `r3d_18` without weights.
    #[schemars(example = &"r3d_18")]
    pub architecture: Option<Architecture>,
    /// Pretrained weights: torchvision's .pth, safetensors with its tensor names, or the name of published
    /// weights such as `kinetics400/r3d_18`. Without weights the network starts from random numbers.
    #[schemars(example = &"kinetics400/r3d_18")]
    pub weights: Option<PathBuf>,
    /// How a three-channel stem of the weights becomes a one-channel stem.
    pub stem: StemConversion,
    /// Which layers are trained.
    pub freeze: FreezePolicy,
    /// Statistics of the frozen batch norms. The thesis used `batch`; `calibrated` lets features be cached.
    pub frozen_norm: FrozenNorm,
    /// Largest number of training scans that calibrate the batch norms.
    pub calibration_scans: usize,
    /// Scans per batch. The last batch of an epoch may have fewer.
    pub batch_size: usize,
    /// Batches whose gradients are averaged for one optimizer step. Batch norms still see `batch_size` scans at a
    /// time.
    pub accumulate: usize,
    /// Gradients with a larger norm over all parameters are scaled down to this norm. Default: never.
    #[schemars(example = 1.0)]
    pub clip_norm: Option<f64>,
    /// Largest number of epochs. Early stopping usually ends training before.
    pub max_epochs: usize,
    /// Epochs without better validation accuracy and without lower validation loss before training stops.
    pub patience: usize,
    /// Learning rate of the final layer.
    pub learning_rate_fc: f64,
    /// Learning rate of the other trained layers.
    pub learning_rate: f64,
    /// For `freeze = "discriminative"`: factor between the learning rates of a layer and the layer above it.
    /// Default: the network's own, 1/2.6 for residual networks, 0.75 for networks with more layers.
    #[schemars(example = 0.5)]
    pub layer_decay: Option<f64>,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Epochs until the first warm restart of the cosine schedule.
    pub restart_epochs: usize,
    /// Factor between the length of one cosine and the next.
    pub restart_multiplier: usize,
    /// When the learning rate moves along its cosine.
    pub schedule: ScheduleUnit,
    /// Augmentation of the training partition.
    pub augmentation: AugmentationConfig,
    /// Cache of trunk features.
    pub cache: CacheConfig,
    /// Threads that read and augment scans ahead of the network. 0 chooses by the number of cores.
    pub loader_threads: usize,
    /// Minutes between checkpoints within an epoch. Every epoch ends with a checkpoint. 0 writes one after every
    /// step.
    pub checkpoint_minutes: f64,
}

/// The default freeze policy as it is written.
const FREEZE_NOW: &str = "\"freeze\":\"last-stage\"";
/// The same as it is hashed: by its first name, so that runs of before the change can be resumed.
const FREEZE_HASHED: &str = "\"freeze\":\"thesis\"";

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            device: DeviceKind::Auto,
            engine: EngineKind::Native,
            precision: Precision::Float32,
            architecture: None,
            weights: None,
            stem: StemConversion::Sum,
            freeze: FreezePolicy::LastStage,
            frozen_norm: FrozenNorm::Calibrated,
            calibration_scans: 64,
            batch_size: 2,
            accumulate: 1,
            clip_norm: None,
            max_epochs: 50,
            patience: 5,
            learning_rate_fc: 1e-3,
            learning_rate: 1e-4,
            layer_decay: None,
            weight_decay: 0.01,
            restart_epochs: 5,
            restart_multiplier: 1,
            schedule: ScheduleUnit::Epoch,
            augmentation: AugmentationConfig::default(),
            cache: CacheConfig::default(),
            loader_threads: 0,
            checkpoint_minutes: 10.0,
        }
    }
}

impl TrainConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`TrainError::Config`] names the setting, its value and the allowed values.
    pub fn validate(&self) -> Result<(), TrainError> {
        let count = |field, value: usize, most: usize, expected| match value {
            v if (1..=most).contains(&v) => Ok(()),
            v => Err(TrainError::Config { field, got: v.to_string(), expected }),
        };
        count("calibration_scans", self.calibration_scans, 1_000_000, "at least 1")?;
        count("batch_size", self.batch_size, 1024, "a number from 1 to 1024")?;
        count("max_epochs", self.max_epochs, 100_000, "a number from 1 to 100000")?;
        count("patience", self.patience, 100_000, "a number from 1 to 100000")?;
        count("restart_epochs", self.restart_epochs, 100_000, "a number from 1 to 100000")?;
        count("restart_multiplier", self.restart_multiplier, 100, "a number from 1 to 100")?;
        count("accumulate", self.accumulate, 4096, "a number from 1 to 4096")?;
        count("loader_threads", self.loader_threads.max(1), 64, "a number from 0 to 64")?;
        let rate = |field, value: f64| match value {
            v if v > 0.0 && v <= 1.0 => Ok(()),
            v => Err(TrainError::Config { field, got: v.to_string(), expected: "above 0 and at most 1" }),
        };
        rate("learning_rate_fc", self.learning_rate_fc)?;
        rate("learning_rate", self.learning_rate)?;
        rate("layer_decay", self.layer_decay.unwrap_or(1.0))?;
        if self.clip_norm.is_some_and(|norm| !(norm > 0.0 && norm.is_finite())) {
            let got = self.clip_norm.unwrap_or_default().to_string();
            return Err(TrainError::Config { field: "clip_norm", got, expected: "a number above 0" });
        }
        if !(0.0..=1e6).contains(&self.checkpoint_minutes) {
            let got = self.checkpoint_minutes.to_string();
            let expected = "a number of minutes from 0 to 1000000";
            return Err(TrainError::Config { field: "checkpoint_minutes", got, expected });
        }
        let own_engine = self.device.resolved() == DeviceKind::Cpu && self.engine == EngineKind::Native;
        if own_engine && self.precision != Precision::Float32 {
            let got = self.precision.to_string();
            let expected = "float32: brainreel's own engine on the CPU knows no other (a GPU does, or engine = \"burn\")";
            return Err(TrainError::Config { field: "precision", got, expected });
        }
        if !(0.0..=1.0).contains(&self.weight_decay) {
            let got = self.weight_decay.to_string();
            return Err(TrainError::Config { field: "weight_decay", got, expected: "a number from 0 to 1" });
        }
        Ok(self.augmentation.validate()?)
    }

    /// Optimizer settings for a network.
    #[must_use]
    pub fn optimizer(&self, architecture: Architecture) -> AdamWConfig {
        AdamWConfig {
            learning_rate_fc: self.learning_rate_fc,
            learning_rate: self.learning_rate,
            layer_decay: self.layer_decay_of(architecture),
            weight_decay: self.weight_decay,
            ..AdamWConfig::default()
        }
    }

    /// Factor between the learning rates of neighbouring layers: 1 unless rates are discriminative.
    fn layer_decay_of(&self, architecture: Architecture) -> f64 {
        if self.freeze != FreezePolicy::Discriminative {
            return 1.0;
        }
        self.layer_decay.unwrap_or(architecture.default_layer_decay())
    }

    /// Factor on the base learning rates at `step` of the `n_steps` of an epoch.
    ///
    /// # Panics
    /// If `restart_epochs` or `restart_multiplier` is 0, which [`TrainConfig::validate`] rejects.
    #[must_use]
    pub fn rate_factor(&self, epoch: usize, step: usize, n_steps: usize) -> f64 {
        let within = match self.schedule {
            ScheduleUnit::Epoch => 0.0,
            ScheduleUnit::Step => step as f64 / n_steps.max(1) as f64,
        };
        warm_restart_factor(epoch as f64 + within, self.restart_epochs, self.restart_multiplier)
    }

    /// This configuration without machine-specific settings, which do not change results.
    #[must_use]
    pub fn portable(&self) -> Self {
        let cache = CacheConfig { dtype: self.cache.dtype, ..CacheConfig::default() };
        let Self { loader_threads, checkpoint_minutes, .. } = Self::default();
        let device = self.device.resolved();
        Self { device, weights: None, cache, loader_threads, checkpoint_minutes, ..self.clone() }
    }

    /// Digest of everything that determines the course of a run: the settings except the number of epochs,
    /// and the content (not the path) of the weights.
    #[must_use]
    pub fn hash(&self, weights: &ContentHash) -> ContentHash {
        let settings = Self { max_epochs: 0, ..self.portable() };
        let json = serde_json::to_string(&settings).expect("plain data serialises to JSON");
        let json = json.replacen(FREEZE_NOW, FREEZE_HASHED, 1);
        HashBuilder::new().part(hash_bytes(json.as_bytes()).as_str()).part(weights.as_str()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_odd_values_are_named() {
        TrainConfig::default().validate().unwrap();
        let zero = TrainConfig { batch_size: 0, ..TrainConfig::default() };
        let message = zero.validate().unwrap_err().to_string();
        assert_eq!(message, "batch_size is 0, expected a number from 1 to 1024");
        let nan = TrainConfig { learning_rate: f64::NAN, ..TrainConfig::default() };
        assert!(nan.validate().unwrap_err().to_string().starts_with("learning_rate is NaN"));
        let half =
            TrainConfig { device: DeviceKind::Cpu, precision: Precision::Bfloat16, ..TrainConfig::default() };
        assert!(
            half.validate().unwrap_err().to_string().starts_with("precision is bfloat16, expected float32")
        );
        TrainConfig { engine: EngineKind::Burn, ..half }.validate().unwrap();
    }

    /// Hashes are over the old spelling.
    #[test]
    fn runs_of_before_the_policy_was_renamed_can_be_resumed() {
        let old: TrainConfig = serde_json::from_str(r#"{"freeze": "thesis", "device": "cpu"}"#).unwrap();
        let new: TrainConfig = serde_json::from_str(r#"{"freeze": "last-stage", "device": "cpu"}"#).unwrap();
        assert_eq!(old, new);
        let written = serde_json::to_string(&new).unwrap();
        assert!(written.contains(FREEZE_NOW), "{written}");
        let weights = hash_bytes(b"");
        let hashed = serde_json::to_string(&TrainConfig { max_epochs: 0, ..new.portable() }).unwrap();
        let hashed = hashed.replace("last-stage", "thesis");
        let expected = HashBuilder::new().part(hash_bytes(hashed.as_bytes()).as_str()).part(weights.as_str());
        assert_eq!(new.hash(&weights), expected.finish());
        let other = TrainConfig { freeze: FreezePolicy::FcOnly, ..new.clone() };
        assert_ne!(other.hash(&weights), new.hash(&weights));
    }

    #[test]
    fn misspelt_settings_are_refused() {
        assert!(serde_json::from_str::<TrainConfig>(r#"{"batchsize": 2}"#).is_err());
        let partial: TrainConfig = serde_json::from_str(r#"{"augmentation": {"preset": "none"}}"#).unwrap();
        assert_eq!(partial.augmentation, AugmentationConfig::none());
    }
}
