//! Shows, on this machine and with these scans, that interruptions change nothing.
//!
//! Trains on a few scans once in one go, and once killed and resumed, and compares the files of both runs. The trials
//! are processes, so that they can be killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use brainreel_artifact::{ContentHash, hash_file, write_atomic};
use brainreel_cohort::{Diagnosis, Partition, Split};
use brainreel_training::TrainConfig;
use serde::Serialize;

use crate::folders::{self, Kind};
use crate::run_folder::RunFolder;
use crate::{IoContext, Observer, Progress, Reporter, Stage, StageError, notice};

/// Epochs of the trial.
pub const N_EPOCHS: usize = 2;
/// When the second run is killed, as shares of the duration of the first run.
const KILLED_AT: [f64; 3] = [0.55, 0.35, 0.25];

/// Starts the trials in processes of their own.
pub trait TrialProgram {
    /// A program that trains.
    fn train(&self, trial: &Trial<'_>) -> Command;

    /// A program that evaluates a trained run.
    fn evaluate(&self, run: &Path) -> Command;
}

/// A training to be started as a process. Files and folders are there, except the run folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trial<'a> {
    /// The derivatives.
    pub derivatives: &'a Path,
    /// The split, with a few scans.
    pub split: &'a Path,
    /// Settings, as TOML.
    pub config: &'a Path,
    /// The run folder.
    pub run: &'a Path,
}

/// What to verify.
#[derive(Debug, Clone)]
pub struct VerifyRequest {
    /// The derivatives.
    pub derivatives: PathBuf,
    /// The split; the trial uses a few of its scans.
    pub split: Split,
    /// The run folder that the trial is for. The trial works beside it and does not touch it.
    pub run: PathBuf,
    /// Settings. Default: those of [`TrainConfig`]. The trial has fewer epochs and a checkpoint after every step.
    pub config: TrainConfig,
}

impl VerifyRequest {
    /// A trial with the default settings.
    #[must_use]
    pub fn new(derivatives: impl Into<PathBuf>, split: Split, run: impl Into<PathBuf>) -> Self {
        Self { derivatives: derivatives.into(), split, run: run.into(), config: TrainConfig::default() }
    }
}

/// What was verified.
#[derive(Debug, Clone, Serialize)]
pub struct VerifySummary {
    /// What this is, and what it is not for.
    pub notice: &'static str,
    /// Scans of the trial.
    pub n_scans: usize,
    /// How often the second run was killed while it worked.
    pub n_kills: usize,
    /// Whether all files are the same.
    pub identical: bool,
    /// The files.
    pub files: Vec<ComparedFile>,
}

/// A file of both runs.
#[derive(Debug, Clone, Serialize)]
pub struct ComparedFile {
    /// The file, relative to the run folder.
    pub file: PathBuf,
    /// Hash in the run that was not interrupted.
    pub uninterrupted: Option<ContentHash>,
    /// Hash in the run that was killed.
    pub interrupted: Option<ContentHash>,
}

impl ComparedFile {
    /// Whether both runs have the file, with the same bytes.
    #[must_use]
    pub fn is_identical(&self) -> bool {
        self.uninterrupted.is_some() && self.uninterrupted == self.interrupted
    }
}

/// Trains twice, once with interruptions, and compares the files.
///
/// A difference is not an error but a result: see [`VerifySummary::identical`].
///
/// # Errors
/// [`StageError::TrialFailed`] if a trial ends with an error, and errors about the folders and settings.
pub fn run(
    request: &VerifyRequest,
    program: &dyn TrialProgram,
    observer: &mut dyn Observer,
) -> Result<VerifySummary, StageError> {
    let reporter = Reporter::new(Stage::Train, observer);
    let VerifyRequest { derivatives, split, run, config } = request;
    folders::check_input(derivatives, Kind::Derivatives.describe())?;
    folders::check_kind(derivatives, Kind::Derivatives)?;
    folders::check_apart(derivatives, run)?;
    config.validate()?;
    if split.is_leaky() {
        return Err(StageError::input(split.source(), "is leaky", "a split by subject"));
    }
    let folder = folder_beside(run)?;
    let sample = sample_scans(split);
    let trials = Trials {
        program,
        derivatives,
        split: folder.join("split.tsv"),
        config: folder.join("train.toml"),
        folder: &folder,
    };
    write_atomic(&trials.split, sample.table.as_bytes())?;
    write_atomic(&trials.config, trial_config(config)?.as_bytes())?;
    let progress = reporter.progress("verify", KILLED_AT.len() + 2);
    let comparison = trials.compare(&progress);
    progress.finish();
    let removed = std::fs::remove_dir_all(&folder);
    let Comparison { n_kills, files } = comparison?;
    removed.io_context("remove", &folder)?;
    let identical = files.iter().all(ComparedFile::is_identical);
    Ok(VerifySummary { notice: notice::NOTICE, n_scans: sample.n_scans, n_kills, identical, files })
}

/// A folder for the trial, which must not exist yet.
fn folder_beside(run: &Path) -> Result<PathBuf, StageError> {
    let name = run
        .file_name()
        .ok_or_else(|| StageError::output(run, "has no name", "choose a folder with a name"))?;
    let folder = run.with_file_name(format!("{}.verify-resume", name.to_string_lossy()));
    if folder.exists() {
        let found = "exists, perhaps from a verification that was interrupted";
        return Err(StageError::output(folder, found, "remove it"));
    }
    Ok(folder)
}

/// A split with a few scans.
struct Sample {
    table: String,
    n_scans: usize,
}

/// Scans of each class in the trial.
const fn scans_per_class(partition: Partition) -> usize {
    match partition {
        Partition::Train => 4,
        Partition::Validation | Partition::Test => 1,
    }
}

fn sample_scans(split: &Split) -> Sample {
    let mut chosen = Vec::new();
    for partition in Partition::ALL {
        for diagnosis in [Diagnosis::Cn, Diagnosis::Ad] {
            let of_class = split.rows_of(partition).filter(|row| row.diagnosis == diagnosis);
            chosen.extend(of_class.take(scans_per_class(partition)).map(|row| row.scan_id.to_string()));
        }
    }
    let is_chosen = |line: &&str| {
        let id = line.split('\t').next().unwrap_or_default();
        id == "scan_id" || chosen.iter().any(|scan_id| scan_id == id)
    };
    let text = split.to_tsv();
    let rows: Vec<&str> = text.lines().filter(is_chosen).collect();
    Sample { table: rows.join("\n") + "\n", n_scans: chosen.len() }
}

/// The settings of the trial as TOML, with paths that do not depend on the current folder.
fn trial_config(config: &TrainConfig) -> Result<String, StageError> {
    let mut config = TrainConfig { max_epochs: N_EPOCHS, checkpoint_minutes: 0.0, ..config.clone() };
    for path in config.weights.iter_mut().chain(&mut config.cache.directory) {
        *path = std::path::absolute(&*path).io_context("resolve", path)?;
    }
    Ok(toml::to_string(&config).expect("settings serialise"))
}

/// The trials in their folder.
struct Trials<'a> {
    program: &'a dyn TrialProgram,
    derivatives: &'a Path,
    split: PathBuf,
    config: PathBuf,
    folder: &'a Path,
}

struct Comparison {
    n_kills: usize,
    files: Vec<ComparedFile>,
}

impl Trials<'_> {
    fn compare(&self, progress: &Progress<'_>) -> Result<Comparison, StageError> {
        let (whole, killed) = (self.run_folder("whole"), self.run_folder("killed"));
        let start = Instant::now();
        self.finish(&whole)?;
        let duration = start.elapsed();
        progress.inc();
        let mut n_kills = 0;
        for share in KILLED_AT {
            n_kills += usize::from(self.kill_after(&killed, duration.mul_f64(share))?);
            progress.inc();
        }
        self.finish(&killed)?;
        progress.inc();
        let pairs = whole.reproducible_files().into_iter().zip(killed.reproducible_files());
        let files = pairs.map(|(one, other)| ComparedFile {
            file: one.strip_prefix(whole.path()).unwrap_or(&one).to_owned(),
            uninterrupted: hash_file(&one).ok(),
            interrupted: hash_file(&other).ok(),
        });
        Ok(Comparison { n_kills, files: files.collect() })
    }

    fn run_folder(&self, name: &str) -> RunFolder {
        RunFolder::new(self.folder.join(name))
    }

    fn train(&self, run: &RunFolder) -> Command {
        self.program.train(&Trial {
            derivatives: self.derivatives,
            split: &self.split,
            config: &self.config,
            run: run.path(),
        })
    }

    /// Trains to the end and predicts.
    fn finish(&self, run: &RunFolder) -> Result<(), StageError> {
        succeed(self.train(run))?;
        succeed(self.program.evaluate(run.path()))
    }

    /// Trains, and kills that after some time; false if it had ended by then.
    fn kill_after(&self, run: &RunFolder, time: Duration) -> Result<bool, StageError> {
        let mut command = self.train(run);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().io_context("start", &program_of(&command))?;
        std::thread::sleep(time);
        let kill = |child: &mut Child| -> std::io::Result<bool> {
            let was_working = child.try_wait()?.is_none();
            child.kill()?; // SIGKILL on Unix
            child.wait()?;
            Ok(was_working)
        };
        kill(&mut child).io_context("kill", &program_of(&command))
    }
}

fn program_of(command: &Command) -> PathBuf {
    command.get_program().into()
}

fn succeed(mut command: Command) -> Result<(), StageError> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = command.output().io_context("start", &program_of(&command))?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(StageError::TrialFailed { status: output.status, message })
}
