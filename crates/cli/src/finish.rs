//! How a command ended.

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
