//! Splits that are leaky on purpose: the option that takes them, and the words on all that comes of them.

use brainreel_cohort::{LeakPolicy, Split, SplitError};
use clap::Args;

use crate::commands::train::NOTICE;
use crate::ui::Ui;

/// What every result of a leaky split says.
const LEAKY: &str = "LEAKY SPLIT, on purpose: scans of the same people were trained and tested on; the result is inflated \
                     and says nothing about other people";

/// The options that take a split which leaks.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct LeakArgs {
    /// Take a scan-level split, which is leaky on purpose, for a demonstration; every result says that it is leaky
    #[arg(long)]
    allow_leaky: bool,
}

/// The options that take a split which does not pass the audit.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PermitArgs {
    #[command(flatten)]
    leaks: LeakArgs,
    /// Go on with a split that does not pass the audit (copied images, contradicting labels); the reason is written
    /// into audit.json and metrics.json. A subject on two sides is refused all the same
    #[arg(long, value_name = "REASON")]
    override_audit: Option<String>,
}

impl LeakArgs {
    /// What to do about a leaky split.
    pub(crate) const fn policy(&self) -> LeakPolicy {
        if self.allow_leaky { LeakPolicy::Allow } else { LeakPolicy::Refuse }
    }
}

impl PermitArgs {
    /// What to do about a leaky split.
    pub(crate) const fn policy(&self) -> LeakPolicy {
        self.leaks.policy()
    }

    /// Why a split that does not pass the audit is taken.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.override_audit.as_deref().map(str::trim).filter(|reason| !reason.is_empty())
    }
}

/// Refuses a leaky split that was not asked for, and warns of one that was.
pub(crate) fn check(split: &Split, leaks: LeakPolicy, ui: &Ui) -> anyhow::Result<()> {
    if !split.is_leaky() {
        return Ok(());
    }
    if leaks == LeakPolicy::Refuse {
        return Err(SplitError::Leaky { path: split.source().to_owned() }.into());
    }
    ui.warn(LEAKY);
    Ok(())
}

/// What a result is, and what it is not for.
pub(crate) fn notice(is_leaky: bool) -> String {
    if is_leaky { format!("{LEAKY}; {NOTICE}") } else { NOTICE.to_owned() }
}

/// A line for the end of a table, or nothing.
pub(crate) fn line(is_leaky: bool) -> String {
    if is_leaky { format!("\n{LEAKY}.") } else { String::new() }
}

/// A table of a leaky result gets a column that says so in every row.
pub(crate) fn marked(table: String, is_leaky: bool) -> String {
    if !is_leaky {
        return table;
    }
    let mark = |(idx, row): (usize, &str)| format!("{row}\t{}\n", if idx == 0 { "leaky" } else { "yes" });
    table.lines().enumerate().map(mark).collect()
}

/// For records that say `leaky` only where it is so.
pub(crate) fn is_not(is_leaky: &bool) -> bool {
    !is_leaky
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaky_results_say_so_in_every_row() {
        assert_eq!(marked("a\tb\n1\t2\n".to_owned(), true), "a\tb\tleaky\n1\t2\tyes\n");
        assert_eq!(marked("a\tb\n1\t2\n".to_owned(), false), "a\tb\n1\t2\n");
        assert!(notice(true).to_lowercase().contains("leaky") && notice(true).contains(NOTICE));
        assert!(!notice(false).to_lowercase().contains("leaky") && line(false).is_empty());
    }
}
