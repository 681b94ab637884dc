//! Scans that failed: the table beside the outputs, and the reports to the observer.

use std::path::Path;

use brainreel_artifact::write_atomic;
use serde::Serialize;

use crate::{Remedy, Reporter, StageError};

/// How many warnings a report names; the table has them all.
const SHOWN: usize = 5;

/// A scan, series or file that could not be processed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Failure {
    /// The scan or file.
    pub scan: String,
    /// What went wrong, causes included.
    pub error: String,
    /// What can be done about it, beside correcting the cause.
    #[serde(skip)]
    pub remedy: Option<Remedy>,
}

impl Failure {
    /// A failed scan, with the whole chain of causes.
    pub fn new(scan: impl Into<String>, error: &StageError) -> Self {
        Self { scan: scan.into(), error: error.chain(), remedy: error.remedy() }
    }

    /// A scan that was processed but deserves attention.
    pub fn attention(scan: impl Into<String>, what: impl std::fmt::Display) -> Self {
        Self { scan: scan.into(), error: what.to_string(), remedy: None }
    }
}

/// Reports scans that were processed but deserve attention; `list` says where all of them are.
pub fn warn(warnings: &[Failure], list: &str, reporter: &Reporter<'_>) {
    for warning in warnings.iter().take(SHOWN) {
        reporter.warn(format!("{}: {}", warning.scan, warning.error));
    }
    if warnings.len() > SHOWN {
        reporter.warn(format!("and {} more, all in {list}", warnings.len() - SHOWN));
    }
}

/// Writes the table of failures (only a header if nothing failed) and reports each of them.
///
/// # Errors
/// [`StageError::Artifact`] if the table cannot be written.
pub fn write_table(path: &Path, failures: &[Failure], reporter: &Reporter<'_>) -> Result<(), StageError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let rows = failures.iter().map(|failure| [failure.scan.as_str(), failure.error.as_str()]);
    for row in std::iter::once(["scan", "error"]).chain(rows) {
        writer.write_record(row).expect("two columns of text in memory");
    }
    let bytes = writer.into_inner().expect("writing to memory cannot fail");
    write_atomic(path, &bytes)?;
    for failure in failures {
        reporter.failed_item(&failure.scan, &failure.error);
    }
    if !failures.is_empty() {
        reporter.warn(format!("{} failed, all listed in {}", failures.len(), path.display()));
    }
    Ok(())
}
