//! Scans that failed: the table beside the outputs, and what the terminal says.

use std::path::Path;

use anyhow::Context;
use brainreel_artifact::write_atomic;
use serde::Serialize;

use crate::ui::Ui;

/// How many failures the terminal names; the table has them all.
const SHOWN: usize = 5;

/// A scan, series or file that could not be processed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Failure {
    /// The scan or file.
    pub(crate) scan: String,
    /// What went wrong, causes included.
    pub(crate) error: String,
}

impl Failure {
    /// Keeps the whole chain of causes.
    pub(crate) fn new(scan: impl Into<String>, error: &anyhow::Error) -> Self {
        Self { scan: scan.into(), error: format!("{error:#}") }
    }

    /// A scan that went on, with something to look at.
    pub(crate) fn noted(scan: impl Into<String>, what: impl std::fmt::Display) -> Self {
        Self { scan: scan.into(), error: what.to_string() }
    }
}

/// Tells the user about scans that went on but should be looked at; `list` says where all of them are.
pub(crate) fn warn(stage: &str, warnings: &[Failure], list: &str, ui: &Ui) {
    for warning in warnings.iter().take(SHOWN) {
        ui.warn(format!("{stage}: {}: {}", warning.scan, warning.error));
    }
    if warnings.len() > SHOWN {
        ui.warn(format!("{stage}: and {} more, all in {list}", warnings.len() - SHOWN));
    }
}

/// Writes the table (empty but for its header if nothing failed) and tells the user.
pub(crate) fn report(path: &Path, stage: &str, failures: &[Failure], ui: &Ui) -> anyhow::Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["scan", "error"])?;
    for failure in failures {
        writer.write_record([&failure.scan, &failure.error])?;
    }
    let bytes = writer.into_inner().context("writing the table of failures")?;
    write_atomic(path, &bytes)?;
    for failure in failures.iter().take(SHOWN) {
        ui.warn(format!("{stage}: {}: {}", failure.scan, failure.error));
    }
    if failures.len() > SHOWN {
        ui.warn(format!("{stage}: and {} more", failures.len() - SHOWN));
    }
    if !failures.is_empty() {
        ui.warn(format!("{stage}: {} failed, all listed in {}", failures.len(), path.display()));
    }
    Ok(())
}
