//! Checks that no compiler makes.

mod budgets;
mod circles;
mod files;
mod goldens;
mod manifests;
mod row_table;
mod rows;
mod shared_builds;
mod text;

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

/// Something that is not as the house rules say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// The file, relative to the root.
    path: String,
    /// One-based line; 0 for the whole file.
    line: usize,
    message: String,
    severity: Severity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    Warning,
    Error,
}

impl Finding {
    fn error(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into(), severity: Severity::Error }
    }

    fn warning(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into(), severity: Severity::Warning }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = if self.severity == Severity::Error { "error" } else { "warning" };
        match self.line {
            0 => write!(f, "{severity}: {}: {}", self.path, self.message),
            line => write!(f, "{severity}: {}:{line}: {}", self.path, self.message),
        }
    }
}

/// `cargo xtask tidy`.
pub(crate) fn run(root: &Path) -> anyhow::Result<ExitCode> {
    Ok(if is_tidy(root)? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints every finding; true if none of them is an error.
pub(crate) fn is_tidy(root: &Path) -> anyhow::Result<bool> {
    let files = files::list(root)?;
    let mut findings = rows::check(root)?;
    findings.extend(shared_builds::check(root)?);
    findings.extend(manifests::check(root, &files)?);
    findings.extend(circles::check(root, &files)?);
    findings.extend(budgets::check(root, &files)?);
    findings.extend(text::check(root, &files)?);
    findings.extend(goldens::check(root, &files)?);
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    let n_errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    println!("tidy: {} files, {n_errors} errors, {} warnings", files.len(), findings.len() - n_errors);
    Ok(n_errors == 0)
}
