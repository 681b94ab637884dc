//! `train --verify-resume`: proof, on this machine and these scans, that interruptions change nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use brainreel_artifact::{ContentHash, hash_file, write_atomic};
use brainreel_cohort::{Diagnosis, Partition, Split};
use brainreel_training::TrainConfig;
use serde::Serialize;

use super::{DERIVATIVES, NOTICE, TrainArgs};
use crate::finish::Finish;
use crate::folders::{self, Kind};
use crate::ui::{Progress, Ui, table};

/// Scans of each class that take part.
const N_SCANS: [(Partition, usize); 3] =
    [(Partition::Train, 4), (Partition::Validation, 1), (Partition::Test, 1)];
/// Epochs of the trial.
const N_EPOCHS: usize = 2;
/// When the second run is killed, as shares of what the first run took.
const KILLED_AT: [f64; 3] = [0.55, 0.35, 0.25];
/// What is compared.
const FILES: [&str; 6] = [
    "checkpoints/last.safetensors",
    "checkpoints/best_accuracy.safetensors",
    "checkpoints/best_loss.safetensors",
    "metrics.csv",
    "metrics.jsonl",
    "evaluation/predictions.tsv",
];

/// What `train --verify-resume` reports.
#[derive(Debug, Serialize)]
struct Report {
    /// What this is, and what it is not for.
    notice: &'static str,
    /// Scans that took part.
    n_scans: usize,
    /// How often the second run was killed while it worked.
    n_kills: usize,
    /// Whether all files are the same.
    identical: bool,
    /// The files.
    files: Vec<Compared>,
}

/// A file of both runs.
#[derive(Debug, Serialize)]
struct Compared {
    file: &'static str,
    /// Of the run in one go.
    uninterrupted: Option<ContentHash>,
    /// Of the run that was killed.
    interrupted: Option<ContentHash>,
}

/// The trial: its folder and how its runs are started.
struct Trial<'a> {
    args: &'a TrainArgs,
    folder: PathBuf,
}

/// Runs `train --verify-resume`.
pub(super) fn execute(
    args: &TrainArgs,
    config: &TrainConfig,
    split: &Split,
    ui: &Ui,
) -> anyhow::Result<Finish> {
    folders::check_input(&args.derivatives_dir, DERIVATIVES)?;
    folders::check_kind(&args.derivatives_dir, Kind::Derivatives)?;
    folders::check_apart(&args.derivatives_dir, &args.out)?;
    config.validate()?;
    let trial = Trial { args, folder: folder_beside(&args.out)? };
    let (text, n_scans) = few_scans(split);
    write_atomic(&trial.folder.join("split.tsv"), text.as_bytes())?;
    let settings = TrainConfig { max_epochs: N_EPOCHS, checkpoint_minutes: 0.0, ..config.clone() };
    write_atomic(&trial.folder.join("train.toml"), toml::to_string(&absolute(settings)?)?.as_bytes())?;
    let bar = ui.progress("verify", KILLED_AT.len() + 2);
    let compared = trial.run(&bar);
    bar.finish();
    let removed = std::fs::remove_dir_all(&trial.folder);
    let (n_kills, files) = compared?;
    removed.with_context(|| format!("cannot remove {}", trial.folder.display()))?;
    let identical =
        files.iter().all(|file| file.uninterrupted.is_some() && file.uninterrupted == file.interrupted);
    let report = Report { notice: NOTICE, n_scans, n_kills, identical, files };
    ui.result(report.table());
    ui.summary(&report)?;
    anyhow::ensure!(
        report.n_kills > 0,
        "nothing was proven: the second run had ended before it could be killed; try again with --epochs or scans \
         that take longer"
    );
    anyhow::ensure!(
        report.identical,
        "the interrupted run differs from the one in one go; please report this, with the table above and your CPU"
    );
    Ok(Finish::AllWell)
}

/// A folder for the trial, which must not be there yet.
fn folder_beside(out: &Path) -> anyhow::Result<PathBuf> {
    let name = out.file_name().context("--out names no folder")?;
    let folder = out.with_file_name(format!("{}.verify-resume", name.to_string_lossy()));
    anyhow::ensure!(
        !folder.exists(),
        "{} is in the way, perhaps from a verification that was interrupted; remove it",
        folder.display()
    );
    Ok(folder)
}

/// The split with a few scans of each class and partition.
fn few_scans(split: &Split) -> (String, usize) {
    let mut chosen = Vec::new();
    for (partition, most) in N_SCANS {
        for diagnosis in [Diagnosis::Cn, Diagnosis::Ad] {
            let of_class = split.rows_of(partition).filter(|row| row.diagnosis == diagnosis);
            chosen.extend(of_class.take(most).map(|row| row.scan_id.to_string()));
        }
    }
    let is_wanted = |line: &&str| {
        let id = line.split('\t').next().unwrap_or_default();
        id == "scan_id" || chosen.iter().any(|scan_id| scan_id == id)
    };
    let text = split.to_tsv();
    let rows: Vec<&str> = text.lines().filter(is_wanted).collect();
    (rows.join("\n") + "\n", chosen.len())
}

/// The settings with paths that do not depend on the current folder.
fn absolute(mut config: TrainConfig) -> anyhow::Result<TrainConfig> {
    for path in config.weights.iter_mut().chain(&mut config.cache.directory) {
        *path = std::path::absolute(&*path)?;
    }
    Ok(config)
}

impl Trial<'_> {
    fn run(&self, bar: &Progress) -> anyhow::Result<(usize, Vec<Compared>)> {
        let start = Instant::now();
        self.finish("whole")?;
        let one_go = start.elapsed();
        bar.inc();
        let mut n_kills = 0;
        for share in KILLED_AT {
            n_kills += usize::from(self.kill_after(one_go.mul_f64(share))?);
            bar.inc();
        }
        self.finish("killed")?;
        bar.inc();
        let hash = |run: &str, file: &str| hash_file(&self.folder.join(run).join(file)).ok();
        let compared = FILES.map(|file| Compared {
            file,
            uninterrupted: hash("whole", file),
            interrupted: hash("killed", file),
        });
        Ok((n_kills, compared.into()))
    }

    fn train(&self, run: &str) -> anyhow::Result<Command> {
        let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
        command.arg("train").arg(&self.args.derivatives_dir).arg("--quiet");
        command.arg("--split").arg(self.folder.join("split.tsv"));
        command.arg("--config").arg(self.folder.join("train.toml"));
        command.arg("--out").arg(self.folder.join(run));
        command.arg("--threads").arg(rayon::current_num_threads().to_string());
        if let Some(limit) = self.args.memory_limit {
            command.arg("--memory-limit").arg(format!("{}MB", limit as f64 / 1e6));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Ok(command)
    }

    /// Trains to the end and predicts.
    fn finish(&self, run: &str) -> anyhow::Result<()> {
        succeed(&mut self.train(run)?)?;
        let mut evaluate = Command::new(std::env::current_exe().context("cannot find this program")?);
        evaluate.arg("evaluate").arg(self.folder.join(run)).arg("--quiet");
        succeed(evaluate.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()))
    }

    /// Trains, and kills that after some time; false if it had come to its end by then.
    fn kill_after(&self, time: Duration) -> anyhow::Result<bool> {
        let mut child =
            self.train("killed")?.stderr(Stdio::null()).spawn().context("cannot start this program again")?;
        std::thread::sleep(time);
        let was_working = child.try_wait()?.is_none();
        child.kill()?; // SIGKILL on Unix
        child.wait()?;
        Ok(was_working)
    }
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().context("cannot start this program again")?;
    anyhow::ensure!(
        output.status.success(),
        "the trial of --verify-resume failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

impl Report {
    fn table(&self) -> String {
        let short = |hash: &Option<ContentHash>| {
            hash.as_ref().map_or_else(|| "missing".to_owned(), |hash| hash.short().to_owned())
        };
        let rows: Vec<Vec<String>> = self
            .files
            .iter()
            .map(|file| {
                let same = file.uninterrupted == file.interrupted;
                vec![
                    file.file.to_owned(),
                    short(&file.uninterrupted),
                    short(&file.interrupted),
                    if same { "same bytes".to_owned() } else { "DIFFERENT".to_owned() },
                ]
            })
            .collect();
        let verdict = match (self.identical, self.n_kills) {
            (_, 0) => "nothing was proven",
            (true, _) => "resuming is exact on this machine",
            (false, _) => "resuming is NOT exact",
        };
        format!(
            "{}\n\n{} scans, {N_EPOCHS} epochs; the second run was killed {} times: {verdict}.",
            table(&["file", "in one go", "killed and resumed", ""], &rows),
            self.n_scans,
            self.n_kills
        )
    }
}
