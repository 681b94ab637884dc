//! TensorBoard event file.
//!
//! # Reference
//! The format of record files is described in TensorFlow's documentation of `TFRecord`, the messages in
//! TensorBoard's `event.proto` and `summary.proto`; field numbers were checked against files of the
//! official writer.

mod proto;
mod record;

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use prost::Message;

use crate::clock::unix_s;
use crate::log::{AppendLog, Progress};
use crate::{RunIdentity, TrackerError};
use proto::{Event, SourceMetadata, Summary, Value};

const FOLDER: &str = "tensorboard";
const PREFIX: &str = "events.out.tfevents.";
const SUFFIX: &str = ".brainreel";
const EXPECTED: &str = "event file of this run";
/// Content of the first event of every file.
const FILE_VERSION: &str = "brain.Event:2";
/// The tag that identifies epoch rows.
const EPOCH: &str = "epoch";

/// An open event file.
#[derive(Debug)]
pub(crate) struct EventFile {
    log: AppendLog,
    progress: Progress,
}

impl EventFile {
    /// Opens the event file of a run and truncates it after `last_step`, or creates it.
    pub(crate) fn open(run_dir: &Path, run: &RunIdentity, last_step: u64) -> Result<Self, TrackerError> {
        let folder = run_dir.join(FOLDER);
        match existing(&folder)? {
            Some(path) => {
                let (keep, progress) = scan(&path, run, last_step)?;
                Ok(Self { log: AppendLog::open(&path, keep)?, progress })
            }
            None => {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole seconds")]
                let path = folder.join(format!("{PREFIX}{}{SUFFIX}", unix_s() as u64));
                Ok(Self {
                    log: AppendLog::create(&path, &first_records(run))?,
                    progress: Progress::default(),
                })
            }
        }
    }

    /// Logs a row of metrics at a step, for an epoch or for the step alone.
    pub(crate) fn log(
        &mut self,
        step: u64,
        epoch_row: Option<u64>,
        metrics: &[(&str, f64)],
    ) -> Result<(), TrackerError> {
        if self.progress.covers(step, epoch_row) {
            return Ok(());
        }
        let epoch = epoch_row.map(|epoch| Value::scalar(EPOCH, epoch as f64));
        let metrics = metrics.iter().map(|(name, value)| Value::scalar(name, *value));
        let values = epoch.into_iter().chain(metrics).collect();
        self.log.append(&framed(&event(step, values)))?;
        self.progress.note(step, epoch_row);
        Ok(())
    }
}

fn event(step: u64, value: Vec<Value>) -> Event {
    Event {
        wall_time: unix_s(),
        step: step.try_into().unwrap_or(i64::MAX),
        summary: Some(Summary { value }),
        ..Event::default()
    }
}

fn framed(event: &Event) -> Vec<u8> {
    record::framed(&event.encode_to_vec())
}

/// The format version and the owner of the file, then the settings of the run.
fn first_records(run: &RunIdentity) -> Vec<u8> {
    let version = Event {
        wall_time: unix_s(),
        file_version: Some(FILE_VERSION.to_owned()),
        source_metadata: Some(SourceMetadata { writer: writer(run) }),
        ..Event::default()
    };
    let settings = serde_json::to_string_pretty(&run.config).expect("a JSON value serialises");
    let indented: String = settings.lines().map(|line| format!("    {line}\n")).collect();
    [framed(&version), framed(&event(0, vec![Value::text("config/text_summary", indented)]))].concat()
}

fn writer(run: &RunIdentity) -> String {
    format!("brainreel run {}", run.id)
}

/// Our event file in the folder: the last one by name.
fn existing(folder: &Path) -> Result<Option<PathBuf>, TrackerError> {
    let error = TrackerError::read(folder);
    let entries = match fs::read_dir(folder) {
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        entries => entries.map_err(error)?,
    };
    let mut last = None;
    for entry in entries {
        let entry = entry.map_err(error)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
            last = last.max(Some(entry.path()));
        }
    }
    Ok(last)
}

/// Number of bytes to keep when a run resumes after `last_step`, and their content.
fn scan(path: &Path, run: &RunIdentity, last_step: u64) -> Result<(u64, Progress), TrackerError> {
    let error = TrackerError::read(path);
    let mut reader = BufReader::new(File::open(path).map_err(error)?);
    let (mut keep, mut progress, mut data) = (0, Progress::default(), Vec::new());
    while let Some(n_bytes) = record::read_record(&mut reader, &mut data).map_err(error)? {
        let Ok(event) = Event::decode(&data[..]) else { break };
        if keep == 0 {
            check_owner(path, run, &event)?;
        }
        let step = u64::try_from(event.step).unwrap_or(0);
        if step > last_step {
            break;
        }
        if let Some(summary) = &event.summary
            && summary.value.iter().any(|value| value.simple_value.is_some())
        {
            progress.note(step, epoch_of(summary));
        }
        keep += n_bytes;
    }
    if keep == 0 {
        let found = "not an event file".to_owned();
        return Err(TrackerError::Foreign { path: path.to_owned(), found, expected: EXPECTED });
    }
    Ok((keep, progress))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "epochs are small whole numbers")]
fn epoch_of(summary: &Summary) -> Option<u64> {
    let value = summary.value.iter().find(|value| value.tag == EPOCH)?;
    value.simple_value.map(|epoch| epoch as u64)
}

fn check_owner(path: &Path, run: &RunIdentity, first: &Event) -> Result<(), TrackerError> {
    let found = match &first.source_metadata {
        Some(source) if source.writer == writer(run) => return Ok(()),
        Some(source) if source.writer.starts_with("brainreel") => "the event file of another run",
        _ => "an event file of another program",
    };
    Err(TrackerError::Foreign { path: path.to_owned(), found: found.to_owned(), expected: EXPECTED })
}

#[cfg(test)]
mod tests;
