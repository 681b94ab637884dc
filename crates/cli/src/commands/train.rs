//! `brainreel train`: derivatives and a split to a run folder.

use std::path::{Path, PathBuf};

use anyhow::Context;
use brainreel_artifact::FolderLock;
use brainreel_cohort::{Diagnosis, ScanTable, Split};
use brainreel_models::{EngineKind, FreezePolicy, FrozenNorm};
use brainreel_training::{
    AugmentationPreset, Partition, TrainConfig, TrainEvent, TrainSummary, TrainingScan,
};
use clap::Args;
use serde::{Serialize, Serializer};

use crate::finish::Finish;
use crate::folders::{self, Kind};
use crate::run_inputs::{self, RunInputs};
use crate::training_view::TrainingView;
use crate::ui::{Ui, table};

/// Raise whenever the same inputs and configuration give another run.
pub(crate) const STAGE_REVISION: u32 = 1;

/// Goes into every report that holds results.
pub(crate) const NOTICE: &str = "for research use only; not a medical device";

/// What the input folder should be.
pub(crate) const DERIVATIVES: &str = "derivatives, as `brainreel preprocess` writes them";

const EXAMPLES: &str = "\
Examples:
  brainreel train derivatives --split split.tsv --out run --weights r3d_18-b3b3357e.pth
  brainreel train derivatives --split split.tsv --out run --config train.toml --epochs 20
  brainreel train derivatives --split split.tsv --out run-thesis --norm batch --augmentation thesis

R3D-18 with stem, layer1, layer2 and layer3 frozen; layer4 and fc are trained. Without --weights the
network starts from random numbers: fine for a trial, not for a result.
Run the same command again after an interruption: training goes on from the last epoch, and ends in
the same bytes. A run folder that holds another run is never touched.";

/// Train R3D-18 on the training partition, stopping by the validation partition
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TrainArgs {
    /// Derivatives, as `brainreel preprocess` writes them
    derivatives_dir: PathBuf,
    /// The split, as `brainreel split` writes it
    #[arg(long, value_name = "FILE")]
    split: PathBuf,
    /// Run folder to write to, or to go on with
    #[arg(long, value_name = "RUN_DIR")]
    out: PathBuf,
    /// Settings as TOML; options given here win over it
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// Pretrained weights, torchvision's .pth, or safetensors with its names
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    #[arg(long, value_name = "N", help = with_default(
        "Most epochs; early stopping usually ends training before", TrainConfig::default().max_epochs))]
    epochs: Option<usize>,
    #[arg(long, value_name = "N", help = with_default("Scans a step", TrainConfig::default().batch_size))]
    batch_size: Option<usize>,
    #[arg(long, value_name = "S",
          help = with_default("Everything random follows from it", TrainConfig::default().seed))]
    seed: Option<u64>,
    /// Statistics of the frozen batch norms: calibrated on the training partition, pretrained, or
    /// those of each batch (the thesis; nothing can be cached then) [default: calibrated]
    #[arg(long, value_name = "MODE", value_parser = ["calibrated", "pretrained", "batch"])]
    norm: Option<String>,
    /// What is trained: layer4 and fc (thesis), everything (none), fc alone (fc-only) [default: thesis]
    #[arg(long, value_name = "POLICY", value_parser = ["thesis", "none", "fc-only"])]
    freeze: Option<String>,
    /// Augmentation of training scans: none, default, or the thesis's order [default: default]
    #[arg(long, value_name = "PRESET", value_parser = ["none", "default", "thesis"])]
    augmentation: Option<String>,
    /// Variants of each training scan, drawn once and reused so that their features can be kept; 0 draws
    /// afresh in every epoch, which is what the thesis does [default: 4; 0 for the thesis's preset]
    #[arg(long, value_name = "K")]
    pool: Option<usize>,
    /// Who computes convolutions on the CPU: brainreel's own engine (native) or Burn, for comparison
    /// [default: native]
    #[arg(long, value_name = "ENGINE", value_parser = ["native", "burn"])]
    engine: Option<String>,
}

/// Options that a file may set as well have no default of clap's; the help tells it all the same.
fn with_default(help: &str, default: impl std::fmt::Display) -> String {
    format!("{help} [default: {default}]")
}

impl TrainArgs {
    fn config(&self) -> anyhow::Result<TrainConfig> {
        let mut config = match &self.config {
            None => TrainConfig::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                toml::from_str(&text).with_context(|| format!("{} is not a configuration", path.display()))?
            }
        };
        if let Some(weights) = &self.weights {
            config.weights = Some(weights.clone());
        }
        config.max_epochs = self.epochs.unwrap_or(config.max_epochs);
        config.batch_size = self.batch_size.unwrap_or(config.batch_size);
        config.seed = self.seed.unwrap_or(config.seed);
        if let Some(engine) = &self.engine {
            config.engine = if engine == "burn" { EngineKind::Burn } else { EngineKind::Native };
        }
        if let Some(mode) = &self.norm {
            config.frozen_norm = match mode.as_str() {
                "pretrained" => FrozenNorm::Pretrained,
                "batch" => FrozenNorm::Batch,
                _ => FrozenNorm::Calibrated,
            };
        }
        if let Some(policy) = &self.freeze {
            config.freeze = match policy.as_str() {
                "none" => FreezePolicy::None,
                "fc-only" => FreezePolicy::FcOnly,
                _ => FreezePolicy::Thesis,
            };
        }
        if let Some(preset) = &self.augmentation {
            config.augmentation.preset = match preset.as_str() {
                "none" => AugmentationPreset::None,
                "thesis" => AugmentationPreset::Thesis,
                _ => AugmentationPreset::Default,
            };
            if preset == "thesis" {
                config.augmentation.pool = 0;
            }
        }
        config.augmentation.pool = self.pool.unwrap_or(config.augmentation.pool);
        Ok(config)
    }
}

/// What to train on, where to and how.
pub(crate) struct Request<'a> {
    /// The derivatives.
    pub(crate) derivatives: &'a Path,
    /// The split.
    pub(crate) split: &'a Path,
    /// The run folder.
    pub(crate) run: &'a Path,
    /// Settings.
    pub(crate) config: &'a TrainConfig,
}

/// What `train` reports.
#[derive(Debug, Serialize)]
pub(crate) struct TrainReport {
    /// What this is, and what it is not for.
    pub(crate) notice: &'static str,
    /// The run folder.
    pub(crate) run: PathBuf,
    /// Content hash of the split.
    pub split_sha256: String,
    /// The run; epochs are counted from 1, as on the screen and in `metrics.csv`.
    #[serde(flatten, serialize_with = "from_one")]
    pub(crate) summary: TrainSummary,
}

/// Runs the subcommand.
pub(crate) fn execute(args: &TrainArgs, ui: &Ui) -> anyhow::Result<Finish> {
    let config = args.config()?;
    let request =
        Request { derivatives: &args.derivatives_dir, split: &args.split, run: &args.out, config: &config };
    let report = perform(&request, ui)?;
    ui.result(history_table(&report.summary));
    ui.result("\nFor research use only: not a medical device.");
    ui.summary(&report)?;
    Ok(Finish::AllWell)
}

/// Trains, or goes on with, a run.
pub(crate) fn perform(request: &Request<'_>, ui: &Ui) -> anyhow::Result<TrainReport> {
    folders::check_input(request.derivatives, DERIVATIVES)?;
    folders::check_apart(request.derivatives, request.run)?;
    let split = Split::read(request.split)?;
    let scans = training_scans(request.derivatives, &split)?;
    if split.edited_by_hand() {
        ui.note(format!("{:>12} {} was edited by hand; this is recorded", "train", request.split.display()));
    }
    request.config.validate()?;
    if let Some(weights) = &request.config.weights {
        folders::check_file(weights, "torchvision's .pth, or safetensors with its names")?;
    }
    folders::check_output(request.run)?;
    let lock = FolderLock::acquire(request.run)?;
    lock.remove_litter();
    let inputs = RunInputs::of(request, &split, &scans)?;
    inputs.check_same_run(request.run)?;
    if request.config.weights.is_none() {
        ui.warn("train: no weights given: the network starts from random numbers; fine for a trial, not for a result");
    }
    if !run_inputs::is_started(request.run) {
        inputs.write(request.run, &split)?;
    }
    let mut view = TrainingView::new(ui, "train");
    let summary =
        brainreel_training::train(request.run, &scans, request.config, &mut |event: TrainEvent<'_>| {
            view.show(&event);
        })?;
    view.finish();
    inputs.write(request.run, &split)?;
    let why = if summary.stopped_early { "stopped early" } else { "all epochs done" };
    ui.note(format!(
        "{:>12} {} epochs ({why}), least validation loss in epoch {}, in {}",
        "train",
        summary.history.len(),
        summary.best_loss_epoch + 1,
        request.run.display()
    ));
    Ok(TrainReport {
        notice: NOTICE,
        run: request.run.to_owned(),
        split_sha256: split.content_hash(),
        summary,
    })
}

/// The scans of a split, with their images.
pub(crate) fn training_scans(derivatives: &Path, split: &Split) -> anyhow::Result<Vec<TrainingScan>> {
    folders::check_kind(derivatives, Kind::Derivatives)?;
    let scan_table = ScanTable::read(&derivatives.join("scans.tsv"))?;
    let joined = split.join(&scan_table)?;
    let scans = joined.into_iter().map(|(row, scan)| {
        let label = match row.diagnosis {
            Diagnosis::Cn => 0,
            Diagnosis::Ad => 1,
            Diagnosis::Mci => anyhow::bail!(
                "{}: {} is MCI; the classifier knows AD and CN only, take the row out",
                split.source().display(),
                row.scan_id
            ),
        };
        Ok(TrainingScan {
            scan_id: row.scan_id.to_string(),
            subject_id: row.subject().to_string(),
            label,
            image: derivatives.join(&scan.image),
            sha256: scan.sha256.clone(),
            partition: match row.partition {
                brainreel_cohort::Partition::Train => Partition::Train,
                brainreel_cohort::Partition::Validation => Partition::Validation,
                brainreel_cohort::Partition::Test => Partition::Test,
            },
        })
    });
    scans.collect()
}

/// A summary whose epochs count from 1, for people.
fn from_one<S: Serializer>(summary: &TrainSummary, serializer: S) -> Result<S::Ok, S::Error> {
    let mut counted = summary.clone();
    counted.best_accuracy_epoch += 1;
    counted.best_loss_epoch += 1;
    for row in &mut counted.history {
        row.epoch += 1;
    }
    counted.serialize(serializer)
}

/// The table of epochs.
pub(crate) fn history_table(summary: &TrainSummary) -> String {
    let rows: Vec<Vec<String>> = summary
        .history
        .iter()
        .map(|epoch| {
            vec![
                (epoch.epoch + 1).to_string(),
                format!("{:.4}", epoch.train_loss),
                format!("{:.4}", epoch.validation_loss),
                format!("{:.3}", epoch.validation_accuracy),
                epoch.validation_auc.map_or_else(|| "n/a".to_owned(), |auc| format!("{auc:.3}")),
            ]
        })
        .collect();
    table(&["epoch", "train loss", "validation loss", "accuracy", "AUC"], &rows)
}
