//! Logs of a training run, beside brainreel's own tables: JSON lines, TensorBoard event files and
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
//! A run that was interrupted goes on in the same files: they are cut behind the step it goes on from.
//! What is in them already is not logged again, so that a caller may tell its last step or epoch twice.
//! A record that a killed process left unfinished, and whatever stands behind a damaged one, is dropped.
//!
//! TensorBoard's and W&B's files hold times of day; they are logs, no results, and nothing depends on
//! them. They hold nothing that tells of a machine or a person: no names of hosts, users or scans, and
//! of paths in the settings only the last part. One exception is W&B's own doing: its manifest of a model
//! names the file that is uploaded, with its folder. Nothing here uses the network; [`sync_command`] makes
//! the command that does.

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
    /// What is written for Weights & Biases.
    pub wandb: WandbMode,
    /// Project in Weights & Biases.
    pub project: String,
    /// User or team in Weights & Biases. Default: the owner of the key.
    pub entity: Option<String>,
    /// Group of runs in Weights & Biases, such as the folds of a cross-validation. Default: with folds, the name
    /// of their folder.
    pub group: Option<String>,
    /// Name of the run in Weights & Biases. Default: the name of the run folder.
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
    /// What is written for Weights & Biases.
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

/// The run that is logged.
#[derive(Debug, Clone)]
pub struct RunInfo {
    /// What tells the run from others; a resumed run has the same. W&B's id of the run follows from it.
    pub run_hash: String,
    /// Its name.
    pub name: String,
    /// Its settings.
    pub config: Value,
}

/// What the files say of the run.
#[derive(Debug, Clone)]
pub(crate) struct RunIdentity {
    /// W&B's id.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// Its settings, without folders.
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
    /// Opens the logs in a run folder; what was logged after optimizer step `resume_at_step` is dropped
    /// (everything, if the run starts anew).
    ///
    /// # Errors
    /// [`TrackerError::Foreign`] if something else is where a log belongs, or an error of reading or
    /// writing.
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

    /// Logs a step of the optimizer, counted over the whole run from 1.
    ///
    /// # Errors
    /// [`TrackerError::ReservedName`] or [`TrackerError::Artifact`].
    pub fn log_step(&mut self, step: u64, metrics: &[(&str, f64)]) -> Result<(), TrackerError> {
        self.log(step, None, metrics)
    }

    /// Logs an epoch, counted from 1, that ended with `step`.
    ///
    /// # Errors
    /// As [`log_step`](Self::log_step).
    pub fn log_epoch(&mut self, step: u64, epoch: u64, metrics: &[(&str, f64)]) -> Result<(), TrackerError> {
        self.log(step, Some(epoch), metrics)
    }

    /// Takes the checkpoint at `path` as the best so far in the sense of `alias` (`best_accuracy`,
    /// `best_loss`). The last of each alias becomes an artifact of W&B when the run is finished; the
    /// file may be replaced meanwhile, but not written into.
    ///
    /// # Errors
    /// An error of reading or writing.
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

    /// Ends the run with this exit code; 0 means that all went well. Returns where W&B's offline run is,
    /// if there is one. A run that is interrupted is not finished.
    ///
    /// # Errors
    /// An error of reading or writing.
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
