//! An append-only file that is truncated when a run resumes from an earlier step.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use brainreel_artifact::write_atomic;

use crate::TrackerError;

/// An open log. Every append passes the record to the operating system, so a killed process loses at most the
/// record that it was writing.
#[derive(Debug)]
pub(crate) struct AppendLog {
    file: File,
    path: PathBuf,
    n_bytes: u64,
}

impl AppendLog {
    /// Creates a log with these bytes atomically.
    pub(crate) fn create(path: &Path, start: &[u8]) -> Result<Self, TrackerError> {
        write_atomic(path, start)?;
        Self::open(path, start.len() as u64)
    }

    /// Opens a log and truncates it to `keep` bytes.
    pub(crate) fn open(path: &Path, keep: u64) -> Result<Self, TrackerError> {
        let error = TrackerError::write(path);
        let file = OpenOptions::new().append(true).open(path).map_err(error)?;
        if file.metadata().map_err(error)?.len() != keep {
            file.set_len(keep).map_err(error)?;
        }
        Ok(Self { file, path: path.to_owned(), n_bytes: keep })
    }

    /// Appends whole records.
    pub(crate) fn append(&mut self, records: &[u8]) -> Result<(), TrackerError> {
        self.file.write_all(records).map_err(TrackerError::write(&self.path))?;
        self.n_bytes += records.len() as u64;
        Ok(())
    }

    /// Syncs all records to disk.
    pub(crate) fn sync(&self) -> Result<(), TrackerError> {
        self.file.sync_data().map_err(TrackerError::write(&self.path))
    }

    /// Its length.
    pub(crate) fn n_bytes(&self) -> u64 {
        self.n_bytes
    }
}

/// Position of a log. Rows that an interrupted process already logged are not logged again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The last logged step.
    pub(crate) step: Option<u64>,
    /// The last logged epoch.
    pub(crate) epoch: Option<u64>,
}

impl Progress {
    /// Records a logged row of an epoch or a step.
    pub(crate) fn note(&mut self, step: u64, epoch_row: Option<u64>) {
        match epoch_row {
            Some(epoch) => self.epoch = self.epoch.max(Some(epoch)),
            None => self.step = self.step.max(Some(step)),
        }
    }

    /// Whether this step or epoch is already logged.
    pub(crate) fn covers(&self, step: u64, epoch_row: Option<u64>) -> bool {
        match epoch_row {
            Some(epoch) => self.epoch.is_some_and(|last| epoch <= last),
            None => self.step.is_some_and(|last| step <= last),
        }
    }
}

/// Checks the names of metrics.
pub(crate) fn check_names(metrics: &[(&str, f64)]) -> Result<(), TrackerError> {
    let is_reserved =
        |name: &str| name.is_empty() || name.starts_with('_') || ["step", "epoch"].contains(&name);
    match metrics.iter().find(|(name, _)| is_reserved(name)) {
        Some((name, _)) => Err(TrackerError::ReservedName { name: (*name).to_owned() }),
        None => Ok(()),
    }
}
