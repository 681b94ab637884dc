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

/// Settings of a run; each wins over the file of `--config`.
#[derive(Default, Args)]
#[command(next_help_heading = "Settings of the run (they win over --config)")]
pub(crate) struct Settings {
    /// Settings as TOML; `brainreel run --print-defaults` shows all of them below `[train]`
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// Pretrained weights: torchvision's .pth, safetensors with its names, or the name of published ones, such
    /// as kinetics400/r3d_18 (see `brainreel weights`)
    #[arg(long, value_name = "FILE|NAME")]
    weights: Option<PathBuf>,
    /// The network [default: that of the weights, or r3d_18]
    #[arg(long, value_name = "NAME", value_parser = named::any::<Architecture>())]
    architecture: Option<Architecture>,
    /// How a three-channel stem becomes a one-channel one [default: sum]
    #[arg(long, value_name = "HOW", value_parser = named::any::<StemConversion>())]
    stem: Option<StemConversion>,
    /// What is trained: the last stage and the final layer (last-stage), everything (none), the final layer alone
    /// (fc-only), or everything at learning rates that fall towards the input (discriminative)
    /// [default: last-stage]
    #[arg(long, value_name = "POLICY", value_parser = named::any::<FreezePolicy>())]
    freeze: Option<FreezePolicy>,
    /// Statistics of the frozen batch norms: calibrated on the training partition, pretrained, or
    /// those of each batch (the thesis; nothing can be cached then) [default: calibrated]
    #[arg(long, value_name = "MODE", value_parser = named::any::<FrozenNorm>())]
    norm: Option<FrozenNorm>,
    #[arg(long, value_name = "N", help = with_default(
        "Most epochs; early stopping usually ends training before", TrainConfig::default().max_epochs))]
    epochs: Option<usize>,
    #[arg(long, value_name = "N", help = with_default(
        "Epochs without better accuracy and without less loss before stopping", TrainConfig::default().patience))]
    patience: Option<usize>,
    #[arg(long, value_name = "N", help = with_default("Scans a batch", TrainConfig::default().batch_size))]
    batch_size: Option<usize>,
    #[arg(long, value_name = "N", help = with_default(
        "Batches whose gradients are averaged for one step", TrainConfig::default().accumulate))]
    accumulate: Option<usize>,
    /// Scale gradients down to this norm if theirs is larger [default: never]
    #[arg(long, value_name = "NORM")]
    clip_norm: Option<f64>,
    #[arg(long, value_name = "RATE", help = with_default(
        "Learning rate of the final layer", TrainConfig::default().learning_rate_fc))]
    learning_rate_fc: Option<f64>,
    #[arg(long, value_name = "RATE", help = with_default(
        "Learning rate of the other trained layers", TrainConfig::default().learning_rate))]
    learning_rate: Option<f64>,
    #[arg(long, value_name = "S",
          help = with_default("Everything random follows from it", TrainConfig::default().seed))]
    seed: Option<u64>,
    /// Augmentation of training scans: none, default, or the thesis's order [default: default]
    #[arg(long, value_name = "PRESET", value_parser = named::any::<AugmentationPreset>())]
    augmentation: Option<AugmentationPreset>,
    /// Variants of each training scan, drawn once and reused so that their features can be kept; 0 draws
    /// afresh in every epoch, which is what the thesis does [default: 4; 0 for the thesis's preset]
    #[arg(long, value_name = "K")]
    pool: Option<usize>,
    /// Where to compute; auto takes a GPU if this build knows one [default: auto]
    #[arg(long, value_name = "DEVICE", value_parser = named::any::<DeviceKind>())]
    device: Option<DeviceKind>,
    /// Who computes convolutions on the CPU: brainreel's own engine (native) or Burn, for comparison
    /// [default: native]
    #[arg(long, value_name = "ENGINE", value_parser = named::any::<EngineKind>())]
    engine: Option<EngineKind>,
    /// Precision of convolutions and matrix products on a GPU; weights and norms stay in single precision
    /// [default: float32]
    #[arg(long, value_name = "TYPE", value_parser = named::any::<Precision>())]
    precision: Option<Precision>,
    #[arg(long, value_name = "MINUTES", help = with_default(
        "Minutes between checkpoints within an epoch; 0 writes one after every step",
        TrainConfig::default().checkpoint_minutes))]
    checkpoint_minutes: Option<f64>,
}

/// Options that a file may set as well have no default of clap's; the help tells it all the same.
fn with_default(help: &str, default: impl std::fmt::Display) -> String {
    format!("{help} [default: {default}]")
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
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                toml::from_str(&text).with_context(|| format!("{} is not a configuration", path.display()))?
            }
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
