//! Logs of a training run, in addition to brainreel's own tables: JSON lines, TensorBoard event files and
//! offline runs of Weights & Biases.
//!
//! ```
//! use brainreel_trackers::{RunInfo, TrackerConfig, Trackers, WandbMode};
//!
//! # fn main() -> Result<(), brainreel_trackers::TrackerError> {
//! # let dir = tempfile::tempdir().expect("a temporary directory");
//! # let run_dir = dir.path();
//! let config = TrackerConfig { wandb: WandbMode::Offline, ..TrackerConfig::default() };
//! let run = RunInfo { run_hash: "5f1c".into(), name: "trial".into(), config: serde_json::json!({"seed": 7}) };
//! let mut trackers = Trackers::open(run_dir, &config, &run, None)?;
//! trackers.log_step(1, &[("train/loss", 0.69)])?;
//! trackers.log_epoch(1, 1, &[("validation/loss", 0.68)])?;
//! let offline_run = trackers.finish(0)?;
//! assert!(offline_run.is_some_and(|folder| folder.starts_with(run_dir)));
//! # Ok(())
//! # }
//! ```
//!
//! A resumed run appends to the same files. They are truncated after the step from which it resumes. Rows
//! that exist are not logged again, so a caller may repeat its last step or epoch. An unfinished record of a
//! killed process is dropped, and so is everything after a damaged record.
//!
//! The files of TensorBoard and W&B contain timestamps. They are logs, not results, and nothing depends on
//! them. They contain nothing that identifies a machine or a person: no host names, user names or scan ids,
//! and only the last component of paths in settings. One exception comes from W&B itself: its manifest of a
//! model contains the full path of the uploaded file. This crate does not use the network; [`sync_command`]
//! builds the command that does.

mod checksum;
mod clock;
mod error;
mod json_lines;
mod log;
mod privacy;
mod tensorboard;
mod wandb;

use std::path::{Path, PathBuf};

use brainreel_artifact::HashBuilder;
use brainreel_named::named;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use error::TrackerError;
pub use json_lines::JsonLines;
pub use wandb::{SyncUnavailable, sync_command};

use log::check_names;
use tensorboard::EventFile;
use wandb::OfflineRun;

/// Which logs are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrackerConfig {
    /// Whether to write event files for TensorBoard into the run folder.
    pub tensorboard: bool,
    /// What to write for Weights & Biases.
    pub wandb: WandbMode,
    /// Project in Weights & Biases.
    pub project: String,
    /// User or team in Weights & Biases. Default: the owner of the key.
    #[schemars(example = &"my-team")]
    pub entity: Option<String>,
    /// Group of runs in Weights & Biases, such as the folds of a cross-validation. Default: with folds, the name
    /// of their folder.
    #[schemars(example = &"ablation")]
    pub group: Option<String>,
    /// Name of the run in Weights & Biases. Default: the name of the run folder.
    #[schemars(example = &"r3d-thesis")]
    pub name: Option<String>,
    /// Tags of the run in Weights & Biases.
    pub tags: Vec<String>,
}

impl Default for TrackerConfig {
    fn default() -> Self {
        Self {
            tensorboard: true,
            wandb: WandbMode::Off,
            project: "brainreel".to_owned(),
            entity: None,
            group: None,
            name: None,
            tags: Vec::new(),
        }
    }
}

named! {
    /// What to write for Weights & Biases.
    #[derive(Default)]
    pub enum WandbMode {
        /// Nothing.
        #[default]
        Off = "off",
        /// An offline run, for upload with `wandb sync`.
        Offline = "offline",
        /// An offline run that is uploaded at the end, if `wandb` and a key are available.
        Online = "online",
    }
}

/// The logged run.
#[derive(Debug, Clone)]
pub struct RunInfo {
    /// Unique hash of the run, unchanged when it resumes. The W&B run id derives from it.
    pub run_hash: String,
    /// Its name.
    pub name: String,
    /// Its settings.
    pub config: Value,
}

/// Description of the run in the files.
#[derive(Debug, Clone)]
pub(crate) struct RunIdentity {
    /// The W&B run id.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// Its settings, with paths reduced to their last component.
    pub(crate) config: Value,
}

impl RunIdentity {
    fn of(run: &RunInfo, config: &TrackerConfig) -> Self {
        let hash = HashBuilder::new().part("wandb run id").part(&run.run_hash).finish();
        Self {
            id: hash.short().to_owned(),
            name: config.name.clone().unwrap_or_else(|| run.name.clone()),
            config: privacy::without_folders(&run.config),
        }
    }
}

/// The open logs of a run.
#[derive(Debug)]
pub struct Trackers {
    event_file: Option<EventFile>,
    offline_run: Option<OfflineRun>,
}

impl Trackers {
    /// Opens the logs in a run folder. Drops rows after optimizer step `resume_at_step` (all rows if the run
    /// starts from scratch).
    ///
    /// # Errors
    /// [`TrackerError::Foreign`] if another file is in the place of a log, or an I/O error.
    pub fn open(
        run_dir: &Path,
        config: &TrackerConfig,
        run: &RunInfo,
        resume_at_step: Option<u64>,
    ) -> Result<Self, TrackerError> {
        let identity = RunIdentity::of(run, config);
        let last_step = resume_at_step.unwrap_or(0);
        let event_file =
            config.tensorboard.then(|| EventFile::open(run_dir, &identity, last_step)).transpose()?;
        let offline_run = (config.wandb != WandbMode::Off)
            .then(|| OfflineRun::open(run_dir, config, &identity, last_step))
            .transpose()?;
        Ok(Self { event_file, offline_run })
    }

    /// Logs an optimizer step. Steps count from 1 over the whole run.
    ///
    /// # Errors
    /// [`TrackerError::ReservedName`] or [`TrackerError::Artifact`].
    pub fn log_step(&mut self, step: u64, metrics: &[(&str, f64)]) -> Result<(), TrackerError> {
        self.log(step, None, metrics)
    }

    /// Logs an epoch that ended with `step`. Epochs count from 1.
    ///
    /// # Errors
    /// As [`log_step`](Self::log_step).
    pub fn log_epoch(&mut self, step: u64, epoch: u64, metrics: &[(&str, f64)]) -> Result<(), TrackerError> {
        self.log(step, Some(epoch), metrics)
    }

    /// Registers the checkpoint at `path` as the best so far for `alias` (`best_accuracy`, `best_loss`). When
    /// the run finishes, the last checkpoint of each alias becomes a W&B artifact. Until then the file may be
    /// replaced, but not modified in place.
    ///
    /// # Errors
    /// An I/O error.
    pub fn log_model(
        &mut self,
        step: u64,
        path: &Path,
        alias: &str,
        metadata: &Value,
    ) -> Result<(), TrackerError> {
        match &mut self.offline_run {
            Some(offline_run) => offline_run.log_model(step, path, alias, metadata),
            None => Ok(()),
        }
    }

    /// Ends the run with this exit code; 0 means success. Returns the folder of the W&B offline run, if there
    /// is one. Do not call this for an interrupted run.
    ///
    /// # Errors
    /// An I/O error.
    pub fn finish(self, exit_code: i32) -> Result<Option<PathBuf>, TrackerError> {
        self.offline_run.map(|offline_run| offline_run.finish(exit_code)).transpose()
    }

    fn log(
        &mut self,
        step: u64,
        epoch_row: Option<u64>,
        metrics: &[(&str, f64)],
    ) -> Result<(), TrackerError> {
        check_names(metrics)?;
        if let Some(event_file) = &mut self.event_file {
            event_file.log(step, epoch_row, metrics)?;
        }
        if let Some(offline_run) = &mut self.offline_run {
            offline_run.log(step, epoch_row, metrics)?;
        }
        Ok(())
    }
}
