//! Settings of a training run.

use std::path::PathBuf;

use brainreel_artifact::{ContentHash, HashBuilder, hash_json};
use brainreel_models::{DeviceKind, EngineKind, FreezePolicy, FrozenNorm, StemConversion};
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::adamw::AdamWConfig;
use crate::augmentation::AugmentationConfig;
use crate::cache::CacheConfig;

/// Settings of a training run. The defaults are the thesis's, except where a field says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Every random draw of the run derives from this.
    pub seed: u64,
    /// Where tensors are computed.
    pub device: DeviceKind,
    /// Who computes convolutions on the CPU.
    pub engine: EngineKind,
    /// Safetensors file of pretrained weights in torchvision's naming; without it they are random.
    pub weights: Option<PathBuf>,
    /// How a three-channel stem of those weights becomes a one-channel one.
    pub stem: StemConversion,
    /// What is trained.
    pub freeze: FreezePolicy,
    /// Statistics of the frozen batch norms. Not the thesis's (`batch`): `calibrated` ones let the
    /// trunk's output be kept.
    pub frozen_norm: FrozenNorm,
    /// Most training scans that calibration looks at.
    pub calibration_scans: usize,
    /// Scans in a step. The last step of an epoch may have fewer.
    pub batch_size: usize,
    /// Upper bound on the number of epochs.
    pub max_epochs: usize,
    /// Epochs without better validation accuracy and without less validation loss before stopping.
    pub patience: usize,
    /// Learning rate of the final layer.
    pub learning_rate_fc: f64,
    /// Learning rate of the other trained layers.
    pub learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Epochs between warm restarts of the cosine schedule.
    pub restart_epochs: usize,
    /// Augmentation of the training partition.
    pub augmentation: AugmentationConfig,
    /// Where and how trunk features are kept.
    pub cache: CacheConfig,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            device: DeviceKind::Cpu,
            engine: EngineKind::Native,
            weights: None,
            stem: StemConversion::Sum,
            freeze: FreezePolicy::Thesis,
            frozen_norm: FrozenNorm::Calibrated,
            calibration_scans: 64,
            batch_size: 2,
            max_epochs: 50,
            patience: 5,
            learning_rate_fc: 1e-3,
            learning_rate: 1e-4,
            weight_decay: 0.01,
            restart_epochs: 5,
            augmentation: AugmentationConfig::default(),
            cache: CacheConfig::default(),
        }
    }
}

impl TrainConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`TrainError::Config`] names the setting, its value and what it may be.
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
        let rate = |field, value: f64| match value {
            v if v > 0.0 && v <= 1.0 => Ok(()),
            v => Err(TrainError::Config { field, got: v.to_string(), expected: "above 0 and at most 1" }),
        };
        rate("learning_rate_fc", self.learning_rate_fc)?;
        rate("learning_rate", self.learning_rate)?;
        if !(0.0..=1.0).contains(&self.weight_decay) {
            let got = self.weight_decay.to_string();
            return Err(TrainError::Config { field: "weight_decay", got, expected: "a number from 0 to 1" });
        }
        self.augmentation.validate()
    }

    /// The optimizer's settings.
    #[must_use]
    pub fn optimizer(&self) -> AdamWConfig {
        AdamWConfig {
            learning_rate_fc: self.learning_rate_fc,
            learning_rate: self.learning_rate,
            weight_decay: self.weight_decay,
            ..AdamWConfig::default()
        }
    }

    /// This configuration without what belongs to one machine and does not change results.
    #[must_use]
    pub fn portable(&self) -> Self {
        let cache = CacheConfig { dtype: self.cache.dtype, ..CacheConfig::default() };
        Self { weights: None, cache, ..self.clone() }
    }

    /// A digest of what decides the course of a run: the settings but for the number of epochs, and
    /// the content (not the place) of the weights.
    #[must_use]
    pub fn hash(&self, weights: &ContentHash) -> ContentHash {
        let settings = Self { max_epochs: 0, ..self.portable() };
        HashBuilder::new().part(hash_json(&settings).as_str()).part(weights.as_str()).finish()
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
    }

    #[test]
    fn misspelt_settings_are_refused() {
        assert!(serde_json::from_str::<TrainConfig>(r#"{"batchsize": 2}"#).is_err());
        let partial: TrainConfig = serde_json::from_str(r#"{"augmentation": {"preset": "none"}}"#).unwrap();
        assert_eq!(partial.augmentation, AugmentationConfig::none());
    }
}
