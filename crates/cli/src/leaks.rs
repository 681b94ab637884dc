//! Options that accept splits which leak or do not pass the audit, and the words at the end of every result.

use brainreel_cohort::LeakPolicy;
use brainreel_pipeline::notice;
use clap::Args;

/// The options that accept a split which leaks.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct LeakArgs {
    /// Take a scan-level split, which is leaky on purpose, for a demonstration; every result says that it is leaky
    #[arg(long)]
    allow_leaky: bool,
}

/// The options that accept a split which does not pass the audit.
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

    /// Why a split that does not pass the audit is accepted.
    pub(crate) fn reason(&self) -> Option<String> {
        let reason = self.override_audit.as_deref().map(str::trim);
        reason.filter(|reason| !reason.is_empty()).map(str::to_owned)
    }
}

/// The end of a result for people: what it is not for, and that it is leaky.
pub(crate) fn closing(is_leaky: bool) -> String {
    if is_leaky { format!("{}\n{}.", notice::SENTENCE, notice::LEAKY) } else { notice::SENTENCE.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_leaky_results_say_so() {
        assert!(closing(true).contains("LEAKY") && closing(true).starts_with(notice::SENTENCE));
        assert!(!closing(false).to_lowercase().contains("leaky"));
    }
}
