//! Options of `train` that are settings of a run, and how they meet a TOML file.

use std::path::{Path, PathBuf};

use anyhow::Context;
use brainreel_models::{
    Architecture, DeviceKind, EngineKind, FreezePolicy, FrozenNorm, Precision, StemConversion,
};
use brainreel_training::{AugmentationPreset, TrainConfig};
use clap::Args;

use crate::named;

use brainreel_pipeline::catalogue::catalogue;
use brainreel_pipeline::settings::read_settings;

/// Settings of a run. Each wins over the file of `--config`. Their help is the description of the setting.
#[derive(Default, Args)]
#[command(next_help_heading = "Settings of the run (they win over --config)")]
pub(crate) struct Settings {
    /// Settings as TOML; `brainreel run --print-defaults` shows all of them below `[train]`
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    #[arg(long, value_name = "FILE|NAME")]
    weights: Option<PathBuf>,
    #[arg(long, value_name = "NAME", value_parser = named::any::<Architecture>())]
    architecture: Option<Architecture>,
    #[arg(long, value_name = "HOW", value_parser = named::any::<StemConversion>())]
    stem: Option<StemConversion>,
    #[arg(long, value_name = "POLICY", value_parser = named::any::<FreezePolicy>())]
    freeze: Option<FreezePolicy>,
    #[arg(long, value_name = "MODE", value_parser = named::any::<FrozenNorm>())]
    norm: Option<FrozenNorm>,
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    #[arg(long, value_name = "N")]
    patience: Option<usize>,
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    #[arg(long, value_name = "N")]
    accumulate: Option<usize>,
    #[arg(long, value_name = "NORM")]
    clip_norm: Option<f64>,
    #[arg(long, value_name = "RATE")]
    learning_rate_fc: Option<f64>,
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f64>,
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    #[arg(long, value_name = "PRESET", value_parser = named::any::<AugmentationPreset>())]
    augmentation: Option<AugmentationPreset>,
    #[arg(long, value_name = "K")]
    pool: Option<usize>,
    #[arg(long, value_name = "DEVICE", value_parser = named::any::<DeviceKind>())]
    device: Option<DeviceKind>,
    #[arg(long, value_name = "ENGINE", value_parser = named::any::<EngineKind>())]
    engine: Option<EngineKind>,
    #[arg(long, value_name = "TYPE", value_parser = named::any::<Precision>())]
    precision: Option<Precision>,
    #[arg(long, value_name = "MINUTES")]
    checkpoint_minutes: Option<f64>,
}

/// Puts what was given in the place of what is there.
fn set<T>(place: &mut T, given: Option<T>) {
    if let Some(value) = given {
        *place = value;
    }
}

impl Settings {
    /// Those of a file alone.
    pub(crate) fn of_file(config: Option<PathBuf>) -> Self {
        Self { config, ..Self::default() }
    }

    /// The settings of the file, or the defaults, with the options over them.
    pub(crate) fn config(&self) -> anyhow::Result<TrainConfig> {
        let mut config = match &self.config {
            None => TrainConfig::default(),
            Some(path) => read_settings(path)?,
        };
        if let Some(preset) = self.augmentation {
            config.augmentation.preset = preset;
            if config.augmentation.preset == AugmentationPreset::Thesis {
                config.augmentation.pool = 0;
            }
        }
        let beside = self.config.as_deref().and_then(Path::parent);
        if let Some(weights) = &self.weights {
            config.weights = Some(catalogue().resolve(weights).context("pretrained weights")?);
        } else if let (Some(weights), Some(folder)) = (&mut config.weights, beside) {
            *weights = catalogue().resolve_in(folder, weights).context("pretrained weights")?;
        }
        if let (Some(directory), Some(folder)) = (&mut config.cache.directory, beside) {
            *directory = folder.join(&*directory);
        }
        if let Some(architecture) = self.architecture {
            config.architecture = Some(architecture);
        }
        if self.clip_norm.is_some() {
            config.clip_norm = self.clip_norm;
        }
        set(&mut config.augmentation.pool, self.pool);
        set(&mut config.stem, self.stem);
        set(&mut config.freeze, self.freeze);
        set(&mut config.frozen_norm, self.norm);
        set(&mut config.max_epochs, self.epochs);
        set(&mut config.patience, self.patience);
        set(&mut config.batch_size, self.batch_size);
        set(&mut config.accumulate, self.accumulate);
        set(&mut config.learning_rate_fc, self.learning_rate_fc);
        set(&mut config.learning_rate, self.learning_rate);
        set(&mut config.seed, self.seed);
        set(&mut config.device, self.device);
        set(&mut config.engine, self.engine);
        set(&mut config.precision, self.precision);
        set(&mut config.checkpoint_minutes, self.checkpoint_minutes);
        Ok(config)
    }
}
