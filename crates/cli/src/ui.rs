//! The only place that talks to the terminal: progress bars, notes, tables and the JSON summary.
//!
//! Results go to standard output, everything else to standard error. A closed pipe is no error.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Context;
use brainreel_pipeline::Detail;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

/// How often a progress line is written when standard error is not a terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// How much of a file is looked at before `--json` replaces it.
const PEEK_BYTES: u64 = 64;

/// The terminal, as the subcommands see it.
pub(crate) struct Ui {
    quiet: bool,
    /// Deepest details that are shown.
    details: Option<Detail>,
    interactive: bool,
    bars: MultiProgress,
    json: Option<PathBuf>,
}

impl Ui {
    /// `json` is where the machine-readable summary goes, `-` for standard output.
    pub(crate) fn new(quiet: bool, json: Option<PathBuf>) -> Self {
        let interactive = io::stderr().is_terminal() && !quiet;
        let target = if interactive { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { quiet, details: None, interactive, bars: MultiProgress::with_draw_target(target), json }
    }

    /// Shows details: 0 none, 1 about stages, 2 or more about single scans too.
    pub(crate) fn with_verbosity(mut self, verbosity: u8) -> Self {
        self.details = match verbosity {
            0 => None,
            1 => Some(Detail::Stage),
            _ => Some(Detail::Item),
        };
        self
    }

    /// Whether details of this level are shown.
    pub(crate) fn shows(&self, level: Detail) -> bool {
        self.details.is_some_and(|deepest| level <= deepest)
    }

    /// A progress bar with rate and time left. Off the terminal it becomes a line every ten seconds.
    pub(crate) fn progress(&self, label: &str, total: usize) -> Progress {
        let style =
            ProgressStyle::with_template("{prefix:>12} [{bar:32}] {pos}/{len} {elapsed}<{eta} {wide_msg}")
                .expect("the template is a constant")
                .progress_chars("=> ");
        let bar =
            self.bars.add(ProgressBar::new(total as u64).with_style(style).with_prefix(label.to_owned()));
        if self.interactive {
            bar.enable_steady_tick(Duration::from_millis(250));
        }
        Progress {
            bar,
            label: label.to_owned(),
            plain: (!self.interactive && !self.quiet).then(|| Mutex::new(Instant::now())),
        }
    }

    /// A progress bar in bytes, for a download whose length shows later.
    pub(crate) fn download_progress(&self, label: &str) -> Progress {
        let style = ProgressStyle::with_template(
            "{prefix:>12} [{bar:32}] {bytes}/{total_bytes} {bytes_per_sec} {elapsed}<{eta}",
        )
        .expect("the template is a constant")
        .progress_chars("=> ");
        let progress = self.progress(label, 0);
        progress.bar.set_style(style);
        progress
    }

    /// A line of information for people.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        if !self.quiet {
            self.line(text.as_ref());
        }
    }

    /// Something that deserves attention but does not stop the work.
    pub(crate) fn warn(&self, text: impl AsRef<str>) {
        self.line(&format!("warning: {}", text.as_ref()));
    }

    /// What to do about something that went wrong.
    pub(crate) fn hint(&self, text: &str) {
        self.line(&format!("hint: {text}"));
    }

    /// An error, its causes and what to do about it.
    pub(crate) fn error(&self, error: &anyhow::Error, hints: &[String]) {
        self.line(&format!("error: {error:#}"));
        for hint in hints {
            self.hint(hint);
        }
    }

    /// Writes a result to standard output, or to standard error if the JSON summary goes there.
    pub(crate) fn result(&self, text: impl AsRef<str>) {
        if self.json.as_deref() == Some(Path::new("-")) {
            self.line(text.as_ref());
        } else {
            self.to_stdout(text.as_ref());
        }
    }

    fn to_stdout(&self, text: &str) {
        self.bars.suspend(|| {
            let mut out = io::stdout().lock();
            // A reader that went away has seen what it wanted.
            let _ = writeln!(out, "{text}").and_then(|()| out.flush());
        });
    }

    /// Refuses to write the summary over a file that is not one.
    ///
    /// # Errors
    /// The file, and what to do.
    pub(crate) fn check_summary(&self) -> anyhow::Result<()> {
        let Some(path) = self.json.as_deref().filter(|path| path.exists() && *path != Path::new("-")) else {
            return Ok(());
        };
        let mut start = Vec::new();
        if path.is_file() {
            File::open(path)
                .and_then(|file| file.take(PEEK_BYTES).read_to_end(&mut start))
                .with_context(|| format!("cannot read {}, which --json would replace", path.display()))?;
        }
        let first = start.trim_ascii_start().first();
        // A device such as /dev/stdout is written to; a file has to be empty or look like a summary.
        anyhow::ensure!(
            !path.is_dir() && (first.is_none() || first == Some(&b'{')),
            "{} exists and is not a JSON summary; give --json another name",
            path.display()
        );
        Ok(())
    }

    /// Writes the machine-readable summary, if one was asked for.
    pub(crate) fn summary<T: Serialize>(&self, summary: &T) -> anyhow::Result<()> {
        match self.json.as_deref() {
            None => Ok(()),
            Some(path) if path == Path::new("-") => {
                self.to_stdout(&serde_json::to_string_pretty(summary)?);
                Ok(())
            }
            Some(path) => {
                self.check_summary()?;
                brainreel_artifact::write_json(path, summary).context("writing the JSON summary")
            }
        }
    }

    fn line(&self, text: &str) {
        self.bars.suspend(|| {
            let _ = writeln!(io::stderr(), "{text}");
        });
    }
}

/// One running progress display; it may be shared between threads.
pub(crate) struct Progress {
    bar: ProgressBar,
    label: String,
    plain: Option<Mutex<Instant>>,
}

impl Progress {
    /// `done` of `total` items were done before; the time left follows from those to come.
    pub(crate) fn start_at(&self, done: usize, total: usize) {
        self.set(done, total);
        self.bar.reset_eta();
    }

    /// `done` of `total` items are done.
    pub(crate) fn set(&self, done: usize, total: usize) {
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
        self.plain_line();
    }

    /// Shows how far a phase of a stage has got.
    pub(crate) fn show(&self, update: &brainreel_pipeline::ProgressUpdate<'_>) {
        if update.done == update.resumed_from && update.resumed_from > 0 {
            self.bar.set_position(update.done);
            self.bar.reset_eta();
        }
        self.bar.set_length(update.total.unwrap_or(0).max(update.done));
        self.bar.set_position(update.done);
        if self.bar.message() != update.message {
            self.bar.set_message(update.message.to_owned());
        }
        self.plain_line();
    }

    /// So many bytes of a download are there, of so many if that is known.
    pub(crate) fn set_bytes(&self, done: u64, total: Option<u64>) {
        self.bar.set_length(total.unwrap_or(0).max(done));
        self.bar.set_position(done);
        self.plain_line();
    }

    /// What is shown beside the bar.
    pub(crate) fn message(&self, text: impl Into<String>) {
        self.bar.set_message(text.into());
    }

    /// Removes the bar.
    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }

    fn plain_line(&self) {
        let Some(last) = &self.plain else { return };
        let Ok(mut last) = last.lock() else { return };
        if last.elapsed() >= PLAIN_INTERVAL {
            *last = Instant::now();
            let (done, total) = (self.bar.position(), self.bar.length().unwrap_or(0));
            let (message, left) = (self.bar.message(), self.bar.eta().as_secs());
            let _ = writeln!(io::stderr(), "{:>12} {done}/{total}, {left} s left {message}", self.label);
        }
    }
}

/// A table of text, columns padded to their widest cell; numbers are aligned to the right.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let n_columns = header.len();
    let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
    let widths: Vec<usize> = (0..n_columns)
        .map(|column| {
            let widest = rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0);
            widest.max(header[column].chars().count())
        })
        .collect();
    // A number, perhaps with an interval or a unit behind it; a sentence that starts with one is text.
    let is_number = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_digit() || c == '-') && text.split(' ').count() <= 4
    };
    let render = |cells: Vec<String>| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(
                |(text, &width)| {
                    if is_number(text) { format!("{text:>width$}") } else { format!("{text:<width$}") }
                },
            )
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    let head = render(header.iter().map(|&text| text.to_owned()).collect());
    let rule = "-".repeat(widths.iter().sum::<usize>() + 2 * n_columns.saturating_sub(1));
    let body = rows.iter().map(|row| render((0..n_columns).map(|column| cell(row, column)).collect()));
    [head, rule].into_iter().chain(body).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_aligns_text_left_and_numbers_right() {
        let rows = vec![vec!["train".into(), "102".into()], vec!["validation".into(), "9".into()]];
        let expected = "partition   scans\n-----------------\ntrain         102\nvalidation      9";
        assert_eq!(table(&["partition", "scans"], &rows), expected);
    }
}
