//! How a command ended.

use std::path::PathBuf;
use std::process::ExitCode;

/// How a command that did not fail as a whole ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    /// All well: exit code 0.
    AllWell,
    /// Finished, but some scans failed: exit code 3.
    SomeFailed,
    /// An audit found a leak or a conflict: exit code 4.
    AuditFailed,
}

impl Finish {
    /// Looks at how many scans went wrong.
    pub(crate) fn from_failures(n_failed: usize) -> Self {
        if n_failed == 0 { Self::AllWell } else { Self::SomeFailed }
    }
}

impl From<Finish> for ExitCode {
    fn from(finish: Finish) -> Self {
        match finish {
            Finish::AllWell => Self::SUCCESS,
            Finish::SomeFailed => Self::from(3),
            Finish::AuditFailed => Self::from(4),
        }
    }
}

/// A run that was told to stop, and did so with a checkpoint. Not a failure, but nothing may build on it.
#[derive(Debug, thiserror::Error)]
#[error("stopped {}", self.position())]
pub(crate) struct Interrupted {
    /// The run folder.
    pub(crate) run: PathBuf,
    /// Steps of the optimizer so far.
    pub(crate) n_steps: u64,
}

impl Interrupted {
    fn position(&self) -> String {
        match self.n_steps {
            0 => format!(
                "before the first step of {}; the same command begins again, with the features computed so far",
                self.run.display()
            ),
            n => format!(
                "after {n} steps, with a checkpoint in {}; the same command goes on from there",
                self.run.display()
            ),
        }
    }

    /// What shells report of a program that Ctrl-C ended.
    pub(crate) const EXIT_CODE: u8 = 130;
}
