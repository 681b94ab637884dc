//! `metrics.jsonl`: one line of JSON per step and epoch, without timestamps.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serializer};

use crate::TrackerError;
use crate::log::{AppendLog, Progress, check_names};

const EXPECTED: &str = "metrics.jsonl that brainreel writes";
/// Length limit of a line. Our lines are far shorter.
const LONGEST_LINE: u64 = 1 << 20;

/// Metrics log of a run as JSON lines.
///
/// A step is logged as `{"kind":"step","step":12,"epoch":1,"loss":0.69,..}`, an epoch as
/// `{"kind":"epoch","step":12,"epoch":1,"validation_loss":0.7,..}`. Metrics keep the given order. A number
/// that is not finite is `null`.
///
/// # Determinism
/// The log has no timestamps, and numbers have the shortest form that parses to the same value. A run that is
/// interrupted and resumed writes the same bytes as an uninterrupted run.
#[derive(Debug)]
pub struct JsonLines {
    log: AppendLog,
    progress: Progress,
}

/// Fields of every line.
#[derive(Deserialize)]
struct Row {
    kind: Kind,
    step: u64,
    epoch: u64,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Step,
    Epoch,
}

impl Row {
    fn epoch_row(&self) -> Option<u64> {
        (self.kind == Kind::Epoch).then_some(self.epoch)
    }
}

impl JsonLines {
    /// Opens the log. Drops lines after optimizer step `resume_at_step` (all lines if the run starts from
    /// scratch) and an unfinished last line.
    ///
    /// # Errors
    /// [`TrackerError::Foreign`] if the existing file is not such a log, or an I/O error.
    pub fn open(path: &Path, resume_at_step: Option<u64>) -> Result<Self, TrackerError> {
        if path.symlink_metadata().is_err() {
            return Ok(Self { log: AppendLog::create(path, b"")?, progress: Progress::default() });
        }
        let (keep, progress) = scan(path, resume_at_step.unwrap_or(0))?;
        Ok(Self { log: AppendLog::open(path, keep)?, progress })
    }

    /// Syncs all lines to disk.
    ///
    /// # Errors
    /// [`TrackerError::Artifact`].
    pub fn sync(&self) -> Result<(), TrackerError> {
        self.log.sync()
    }

    /// Logs an optimizer step. Steps count from 1 over the whole run. A step that is already in the log is
    /// skipped.
    ///
    /// # Errors
    /// [`TrackerError::ReservedName`] or [`TrackerError::Artifact`].
    pub fn log_step(&mut self, step: u64, epoch: u64, metrics: &[(&str, f64)]) -> Result<(), TrackerError> {
        self.log("step", (step, epoch), None, metrics)
    }

    /// Logs an epoch that ended with `step`. An epoch that is already in the log is skipped.
    ///
    /// # Errors
    /// As [`log_step`](Self::log_step).
    pub fn log_epoch(&mut self, step: u64, epoch: u64, metrics: &[(&str, f64)]) -> Result<(), TrackerError> {
        self.log("epoch", (step, epoch), Some(epoch), metrics)
    }

    fn log(
        &mut self,
        kind: &str,
        (step, epoch): (u64, u64),
        epoch_row: Option<u64>,
        metrics: &[(&str, f64)],
    ) -> Result<(), TrackerError> {
        check_names(metrics)?;
        if self.progress.covers(step, epoch_row) {
            return Ok(());
        }
        self.log.append(&line(kind, step, epoch, metrics))?;
        self.progress.note(step, epoch_row);
        Ok(())
    }
}

fn line(kind: &str, step: u64, epoch: u64, metrics: &[(&str, f64)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut bytes);
    let write = |map: &mut <&mut serde_json::Serializer<&mut Vec<u8>> as Serializer>::SerializeMap| {
        map.serialize_entry("kind", kind)?;
        map.serialize_entry("step", &step)?;
        map.serialize_entry("epoch", &epoch)?;
        metrics.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))
    };
    serializer
        .serialize_map(None)
        .and_then(|mut map| write(&mut map).and_then(|()| map.end()))
        .expect("names and numbers serialise into memory");
    bytes.push(b'\n');
    bytes
}

/// Number of bytes to keep when a run resumes after `last_step`, and their content.
fn scan(path: &Path, last_step: u64) -> Result<(u64, Progress), TrackerError> {
    let error = TrackerError::read(path);
    let mut reader = BufReader::new(File::open(path).map_err(error)?);
    let (mut keep, mut progress) = (0, Progress::default());
    let mut line = Vec::new();
    loop {
        line.clear();
        let n_bytes =
            std::io::Read::take(&mut reader, LONGEST_LINE).read_until(b'\n', &mut line).map_err(error)?;
        let row = line.ends_with(b"\n").then(|| serde_json::from_slice::<Row>(&line).ok()).flatten();
        match row {
            Some(row) if row.step <= last_step => {
                progress.note(row.step, row.epoch_row());
                keep += n_bytes as u64;
            }
            Some(_) => return Ok((keep, progress)),
            None if keep == 0 && !could_be_ours(&line) => return Err(foreign(path)),
            None => return Ok((keep, progress)),
        }
    }
}

/// A truncated first line.
fn could_be_ours(line: &[u8]) -> bool {
    const START: &[u8] = b"{\"kind\":\"";
    let n_bytes = line.len().min(START.len());
    !line.ends_with(b"\n") && line[..n_bytes] == START[..n_bytes]
}

fn foreign(path: &Path) -> TrackerError {
    TrackerError::Foreign { path: path.to_owned(), found: "another file".to_owned(), expected: EXPECTED }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn log_epochs(log: &mut JsonLines, steps: std::ops::RangeInclusive<u64>) {
        for step in steps {
            let value = 1.0 / step as f64;
            log.log_step(step, (step - 1) / 3 + 1, &[("loss", value), ("learning_rate", 1e-4)]).unwrap();
            if step.is_multiple_of(3) {
                log.log_epoch(step, step / 3, &[("validation_loss", value / 3.0)]).unwrap();
            }
        }
    }

    #[test]
    fn resuming_from_any_step_gives_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let whole = dir.path().join("whole.jsonl");
        log_epochs(&mut JsonLines::open(&whole, None).unwrap(), 1..=9);
        let expected = fs::read(&whole).unwrap();
        assert_eq!(expected.iter().filter(|&&byte| byte == b'\n').count(), 12);
        assert!(expected.starts_with(
            b"{\"kind\":\"step\",\"step\":1,\"epoch\":1,\"loss\":1.0,\"learning_rate\":0.0001}\n"
        ));
        for resume_at in 0..=9 {
            for torn in [0, 1, 7, 100] {
                let path = dir.path().join("resumed.jsonl");
                fs::write(&path, &expected[..expected.len() - torn]).unwrap();
                let mut log = JsonLines::open(&path, Some(resume_at)).unwrap();
                // The steps of the last checkpoint may be logged again.
                log_epochs(&mut log, resume_at.clamp(1, 6)..=9);
                assert_eq!(fs::read(&path).unwrap(), expected, "at {resume_at}, {torn} bytes torn off");
            }
        }
        JsonLines::open(&whole, None).unwrap();
        assert_eq!(fs::read(&whole).unwrap(), b"", "a run from the start starts a log from the start");
    }

    #[test]
    fn a_foreign_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        for content in ["{\"loss\": 1}\n", "epoch,loss\n1,2\n", "x", "{\"kind\":\"step\"}\n"] {
            fs::write(&path, content).unwrap();
            let error = JsonLines::open(&path, Some(3)).unwrap_err();
            assert!(matches!(error, TrackerError::Foreign { .. }), "{content}: {error}");
            assert_eq!(fs::read(&path).unwrap(), content.as_bytes());
        }
        for ours in ["", "{\"ki"] {
            fs::write(&path, ours).unwrap();
            JsonLines::open(&path, Some(3)).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"");
        }
    }

    #[test]
    fn odd_numbers_and_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let mut log = JsonLines::open(&path, None).unwrap();
        for name in ["step", "epoch", "_step", ""] {
            assert!(matches!(log.log_step(1, 1, &[(name, 1.0)]), Err(TrackerError::ReservedName { .. })));
        }
        log.log_step(1, 1, &[("loss", f64::NAN), ("a \"b\"", 1e300)]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"kind\":\"step\",\"step\":1,\"epoch\":1,\"loss\":null,\"a \\\"b\\\"\":1e+300}\n");
    }
}
