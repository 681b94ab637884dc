//! Offline run of Weights & Biases.
//!
//! `wandb sync` accepts it like a run of W&B's own client. As in the client, only the record log is written,
//! and `wandb sync` derives `config.yaml`, `wandb-summary.json` and `wandb-metadata.json` from it.
//!
//! W&B numbers rows (`_step`), and a row is final once the next one is written. A step row and the row of the
//! epoch that ends with this step must not share a number. Rows are therefore counted separately, and `step`
//! (the optimizer step) is declared the x axis of all metrics.

mod framing;
mod models;
mod proto;
mod sync;

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use brainreel_artifact::TOOL_VERSION;
use prost::Message;
use serde_json::Value;

pub use sync::{SyncUnavailable, sync_command};

use crate::clock::{RunClock, stamp, unix_s};
use crate::log::{AppendLog, Progress};
use crate::{RunIdentity, TrackerConfig, TrackerError};
use framing::{FILE_HEADER, RecordReader, push_record};
use models::Models;
use proto::{
    Content, Control, Environment, Exit, Header, History, HistoryStep, Info, Item, Items, Metric,
    MetricOptions, Record, Run, Timestamp, VersionInfo,
};

const EXPECTED: &str = "offline run of W&B that belongs to this run";
/// The oldest client that can read this log, as stated by W&B's own client.
const MIN_CONSUMER: &str = "0.70.0";
/// Number of records before the first row. They are written together.
const N_FIRST_RECORDS: i64 = 5;
/// The x axis of all metrics.
const STEP: &str = "step";
const EPOCH: &str = "epoch";

/// An open offline run.
#[derive(Debug)]
pub(crate) struct OfflineRun {
    folder: PathBuf,
    log: AppendLog,
    run: RunIdentity,
    project: String,
    entity: String,
    position: Position,
    clock: RunClock,
    models: Models,
}

/// Position of the log.
#[derive(Debug, Clone, Copy, Default)]
struct Position {
    progress: Progress,
    /// Records so far.
    n_records: i64,
    /// Rows so far.
    n_rows: i64,
    /// Elapsed time of the run at the last row, in seconds.
    runtime_s: f64,
}

impl OfflineRun {
    /// Opens the offline run and truncates it after `last_step`, or creates it.
    pub(crate) fn open(
        run_dir: &Path,
        config: &TrackerConfig,
        run: &RunIdentity,
        last_step: u64,
    ) -> Result<Self, TrackerError> {
        let parent = run_dir.join("wandb");
        let (folder, log, position) = match existing(&parent, run)? {
            Some(folder) => {
                let path = folder.join(log_name(run));
                let (keep, position) = scan(&path, run, last_step)?;
                remove_mark(&path)?;
                (folder, AppendLog::open(&path, keep)?, position)
            }
            None => begin(&parent, config, run)?,
        };
        Ok(Self {
            models: Models::open(folder.join("models"), last_step)?,
            folder,
            log,
            run: run.clone(),
            project: config.project.clone(),
            entity: config.entity.clone().unwrap_or_default(),
            clock: RunClock::start(position.runtime_s),
            position,
        })
    }

    /// Logs a row of metrics at a step, for an epoch or for the step alone.
    pub(crate) fn log(
        &mut self,
        step: u64,
        epoch_row: Option<u64>,
        metrics: &[(&str, f64)],
    ) -> Result<(), TrackerError> {
        if self.position.progress.covers(step, epoch_row) {
            return Ok(());
        }
        let row = self.position.n_rows;
        let mut items = vec![
            Item::new("_step", &row.into()),
            Item::number("_runtime", self.clock.runtime_s()),
            Item::number("_timestamp", unix_s()),
            Item::new(STEP, &step.into()),
        ];
        items.extend(epoch_row.map(|epoch| Item::new(EPOCH, &epoch.into())));
        items.extend(metrics.iter().map(|(name, value)| Item::number(name, *value)));
        let history = History { items: items.clone(), step: Some(HistoryStep { num: row }) };
        self.append(vec![Content::History(history), Content::Summary(Items { update: items })])?;
        self.position.n_rows += 1;
        self.position.progress.note(step, epoch_row);
        Ok(())
    }

    /// Stores a model.
    pub(crate) fn log_model(
        &mut self,
        step: u64,
        path: &Path,
        alias: &str,
        metadata: &Value,
    ) -> Result<(), TrackerError> {
        self.models.put(step, path, alias, metadata)
    }

    /// Ends the run.
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds of a run")]
    pub(crate) fn finish(mut self, exit_code: i32) -> Result<PathBuf, TrackerError> {
        let runtime = self.clock.runtime_s() as i32;
        let artifacts = self.models.artifacts(&self.run, &self.project, &self.entity)?;
        let nested = Item {
            key: String::new(),
            nested_key: vec!["_wandb".to_owned(), "runtime".to_owned()],
            value_json: runtime.to_string(),
        };
        let mut contents: Vec<Content> = artifacts.into_iter().map(Content::Artifact).collect();
        contents.push(Content::Summary(Items { update: vec![nested] }));
        contents.push(Content::Exit(Exit { exit_code, runtime }));
        self.append(contents)?;
        Ok(self.folder)
    }

    fn append(&mut self, contents: Vec<Content>) -> Result<(), TrackerError> {
        let bytes = encode(self.log.n_bytes(), &mut self.position.n_records, &self.run, contents);
        self.log.append(&bytes)
    }
}

/// Encodes records for the log from byte `position`.
fn encode(position: u64, n_records: &mut i64, run: &RunIdentity, contents: Vec<Content>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for content in contents {
        *n_records += 1;
        let info = Info { stream_id: run.id.clone() };
        let is_answered = matches!(content, Content::Run(_) | Content::Exit(_));
        let control = is_answered.then(|| Control { mailbox_slot: format!("{}{n_records}", run.id) });
        let record = Record { num: *n_records, content: Some(content), control, info: Some(info) };
        let here = position + bytes.len() as u64;
        push_record(&mut bytes, here, &record.encode_to_vec());
    }
    bytes
}

fn log_name(run: &RunIdentity) -> String {
    format!("run-{}.wandb", run.id)
}

/// First records of an offline run: versions, run and metric definitions.
fn begin(
    parent: &Path,
    config: &TrackerConfig,
    run: &RunIdentity,
) -> Result<(PathBuf, AppendLog, Position), TrackerError> {
    let now = unix_s();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole seconds")]
    let folder = parent.join(format!("offline-run-{}-{}", stamp(now as u64), run.id));
    let mut position = Position::default();
    let mut bytes = FILE_HEADER.to_vec();
    bytes.extend(encode(
        FILE_HEADER.len() as u64,
        &mut position.n_records,
        run,
        vec![
            Content::Header(header()),
            Content::Run(run_record(config, run, now)),
            Content::Environment(environment(run, now)),
            Content::Metric(metric(STEP, "", false)),
            Content::Metric(metric("", STEP, true)),
        ],
    ));
    let log = AppendLog::create(&folder.join(log_name(run)), &bytes)?;
    // The client creates these folders; `wandb sync` writes files and messages there.
    for name in ["files", "logs"] {
        let path = folder.join(name);
        fs::create_dir_all(&path).map_err(TrackerError::write(&path))?;
    }
    Ok((folder, log, position))
}

fn header() -> Header {
    let version_info =
        VersionInfo { producer: TOOL_VERSION.to_owned(), min_consumer: MIN_CONSUMER.to_owned() };
    Header { version_info: Some(version_info) }
}

fn run_record(config: &TrackerConfig, run: &RunIdentity, now: f64) -> Run {
    let mut update = match &run.config {
        Value::Object(settings) => settings.iter().map(|(key, value)| Item::new(key, value)).collect(),
        other => vec![Item::new("config", other)],
    };
    update.push(Item::new("tool", &TOOL_VERSION.into()));
    Run {
        run_id: run.id.clone(),
        entity: config.entity.clone().unwrap_or_default(),
        project: config.project.clone(),
        config: Some(Items { update }),
        run_group: config.group.clone().unwrap_or_default(),
        job_type: "train".to_owned(),
        display_name: run.name.clone(),
        tags: config.tags.clone(),
        start_time: Some(Timestamp::from_unix(now)),
    }
}

fn environment(run: &RunIdentity, now: f64) -> Environment {
    Environment {
        os: std::env::consts::OS.to_owned(),
        started_at: Some(Timestamp::from_unix(now)),
        program: "brainreel".to_owned(),
        writer_id: run.id.clone(),
    }
}

/// Declares `name`, or that all metrics are plotted over `step_metric`.
fn metric(name: &str, step_metric: &str, is_glob: bool) -> Metric {
    Metric {
        name: name.to_owned(),
        glob_name: if is_glob { "*".to_owned() } else { String::new() },
        step_metric: step_metric.to_owned(),
        options: Some(MetricOptions { step_sync: is_glob, defined: true }),
    }
}

/// The folder of the offline run: the last one by name.
fn existing(parent: &Path, run: &RunIdentity) -> Result<Option<PathBuf>, TrackerError> {
    let error = TrackerError::read(parent);
    let entries = match fs::read_dir(parent) {
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        entries => entries.map_err(error)?,
    };
    let suffix = format!("-{}", run.id);
    let mut last = None;
    for entry in entries {
        let entry = entry.map_err(error)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("offline-run-")
            && name.ends_with(&suffix)
            && entry.path().join(log_name(run)).exists()
        {
            last = last.max(Some(entry.path()));
        }
    }
    Ok(last)
}

/// `wandb sync` skips logs with its "synced" marker. This log will get new rows.
fn remove_mark(log: &Path) -> Result<(), TrackerError> {
    let mark = log.with_extension("wandb.synced");
    match fs::remove_file(&mark) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(TrackerError::write(&mark)(source))
        }
        _ => Ok(()),
    }
}

/// Number of bytes to keep when a run resumes after `last_step`, and their content.
fn scan(path: &Path, run: &RunIdentity, last_step: u64) -> Result<(u64, Position), TrackerError> {
    let error = TrackerError::read(path);
    let foreign = |found: &str| TrackerError::Foreign {
        path: path.to_owned(),
        found: found.to_owned(),
        expected: EXPECTED,
    };
    let file = BufReader::new(File::open(path).map_err(error)?);
    let mut reader =
        RecordReader::new(file).map_err(error)?.ok_or_else(|| foreign("no record log of W&B"))?;
    let (mut keep, mut kept, mut position) = (0, Position::default(), Position::default());
    while let Some((data, behind)) = reader.next_record().map_err(error)? {
        let Ok(record) = Record::decode(&data[..]) else { break };
        match &record.content {
            Some(Content::Header(header)) if !is_ours(header) => {
                return Err(foreign("the log of another program"));
            }
            Some(Content::Run(found)) if found.run_id != run.id => {
                return Err(foreign("the log of another run"));
            }
            Some(Content::Exit(_) | Content::Artifact(_)) => break,
            Some(Content::Summary(items)) if items.update.iter().all(|item| item.key.is_empty()) => break,
            Some(Content::History(row)) if !position.take_row(row, last_step) => break,
            _ => {}
        }
        position.n_records = record.num;
        // A row is complete once the summary follows it.
        if !matches!(record.content, Some(Content::History(_))) {
            (keep, kept) = (behind, position);
        }
    }
    if kept.n_records < N_FIRST_RECORDS {
        return Err(foreign("a log without its first records"));
    }
    Ok((keep, kept))
}

fn is_ours(header: &Header) -> bool {
    header.version_info.as_ref().is_some_and(|version| version.producer.starts_with("brainreel "))
}

impl Position {
    /// Records a row. Returns false if it is after `last_step`.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts, written as such")]
    fn take_row(&mut self, row: &History, last_step: u64) -> bool {
        let numbers = row.numbers();
        let count = |name: &str| numbers.get(name).map(|number| *number as u64);
        let step = count(STEP).unwrap_or(u64::MAX);
        if step > last_step {
            return false;
        }
        self.progress.note(step, count(EPOCH));
        self.n_rows += 1;
        self.runtime_s = numbers.get("_runtime").copied().unwrap_or(self.runtime_s);
        true
    }
}

#[cfg(test)]
mod tests;
