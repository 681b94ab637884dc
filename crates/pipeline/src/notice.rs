//! What results are, and what they are not for: the only place with these words.

use brainreel_cohort::{LeakPolicy, Split, SplitError};

use crate::{Reporter, StageError};

/// Goes into every report that holds results.
pub const NOTICE: &str = "for research use only; not a medical device";

/// The same as a sentence, for people.
pub const SENTENCE: &str = "For research use only: not a medical device.";

/// Goes into every result of a split that is leaky on purpose.
pub const LEAKY: &str = "LEAKY SPLIT, on purpose: scans of the same people were trained and tested on; the result is inflated \
     and says nothing about other people";

/// Why the result of a network that was not pretrained is not one to quote.
pub const NOT_PRETRAINED: &str =
    "trained from random numbers, without pretrained weights: a trial, not a result";

/// The notice of a report.
#[must_use]
pub fn for_report(is_leaky: bool) -> String {
    if is_leaky { format!("{LEAKY}; {NOTICE}") } else { NOTICE.to_owned() }
}

/// A tab-separated table, with a column `leaky` in every row if it is a result of a leaky split.
#[must_use]
pub fn mark_table(table: String, is_leaky: bool) -> String {
    if !is_leaky {
        return table;
    }
    let mark = |(idx, row): (usize, &str)| format!("{row}\t{}\n", if idx == 0 { "leaky" } else { "yes" });
    table.lines().enumerate().map(mark).collect()
}

/// Refuses a leaky split unless it is allowed, and then warns.
///
/// # Errors
/// [`SplitError::Leaky`].
pub fn check_leaky(split: &Split, leaks: LeakPolicy, reporter: &Reporter<'_>) -> Result<(), StageError> {
    if !split.is_leaky() {
        return Ok(());
    }
    if leaks == LeakPolicy::Refuse {
        return Err(SplitError::Leaky { path: split.source().to_owned() }.into());
    }
    reporter.warn(LEAKY);
    Ok(())
}

/// For records that have the field `leaky` only where it is true.
pub(crate) fn is_not_leaky(is_leaky: &bool) -> bool {
    !is_leaky
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaky_results_say_so_in_every_row() {
        assert_eq!(mark_table("a\tb\n1\t2\n".to_owned(), true), "a\tb\tleaky\n1\t2\tyes\n");
        assert_eq!(mark_table("a\tb\n1\t2\n".to_owned(), false), "a\tb\n1\t2\n");
        assert!(for_report(true).starts_with("LEAKY") && for_report(true).contains(NOTICE));
        assert!(!for_report(false).to_lowercase().contains("leaky"));
    }
}
