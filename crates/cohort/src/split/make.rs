//! Entry point for all split strategies.

use super::deal::round_robin;
use super::groups::{leave_field_strength_out, leave_site_out, without_unknown};
use super::matching::match_age_and_sex;
use super::outcome::{Parts, SplitOutcome};
use super::people::People;
use super::replay::{SubjectList, replay};
use super::stratified::{scan_level, stratified};
use super::{Split, SplitConfig, SplitError, SplitStrategy};
use crate::{CohortError, Scan};

/// Splits the scans of the configured classes by the strategy in `config`.
///
/// Strategies split by subject: all scans of a subject, under any spelling of the id, are in one partition.
/// Only [`SplitStrategy::ScanLevel`] leaks, on purpose, and marks its split ([`Split::is_leaky`]). A subject
/// whose sessions have different diagnoses is assigned once, with all its scans, in the class of its most
/// severe diagnosis. Each scan keeps the diagnosis of its own session.
///
/// - `round-robin`: within each class, subjects in ascending order of their number of scans (then of id) are
///   dealt in turn to test, validation and train, until each has its share of the scans. The rest goes to
///   train.
/// - `stratified`: within each class, subjects in random order go to test if that brings the number of scans
///   closer to the share, then to validation by the same rule. The rest goes to train.
/// - `leave-site-out`, `leave-field-strength-out`: scans of the held-out sites, or of one field strength, go
///   to test. Other scans of test subjects are excluded. The remaining subjects are divided between
///   validation and train as in `stratified`. The validation share is taken relative to the scans that are
///   not tested.
/// - `subjects`: partitions come from the list `config.subjects`. If the list has no validation subjects,
///   some of its training subjects go to validation.
/// - `scan-level`: scans of each diagnosis are assigned at random.
///
/// A share is the fraction times the number of scans of the class, rounded, and at least 1.
///
/// # Errors
/// Settings out of range ([`CohortError::Fractions`], [`SplitError`]); [`CohortError::EmptyClass`] or
/// [`SplitError::TooMuchTested`] if a partition has no scan of a class; [`CohortError::Duplicate`] if a scan
/// is given twice; scans without the required site or field strength; a list that does not match the scans.
///
/// # Determinism
/// The result depends only on the set of scans and the configuration, not on the order of `scans`.
pub fn split_scans(scans: &[Scan], config: &SplitConfig) -> Result<SplitOutcome, CohortError> {
    config.validate()?;
    match &config.subjects {
        Some(path) => split_by_list(scans, &SubjectList::read(path)?, config),
        None if config.match_age_sex => split_matched(scans, config),
        None => conclude(make(scans, config)?, config),
    }
}

/// Matches the subjects with complete metadata, then splits them.
fn split_matched(scans: &[Scan], config: &SplitConfig) -> Result<SplitOutcome, CohortError> {
    let (known, unknown) = without_unknown(scans, config)?;
    let matched = match_age_and_sex(&known, config.caliper_years)?;
    let mut outcome = conclude(make(&matched.scans, config)?, config)?;
    outcome.left_out.extend(unknown.into_iter().chain(matched.left_out));
    outcome.left_out.sort();
    outcome.matching = Some(matched.summary);
    outcome.split = outcome.split.with_left_out(&outcome.left_out);
    Ok(outcome)
}

/// Splits by a list of subjects. From `config` only the classes, the seed and the validation share are used.
///
/// # Errors
/// As [`split_scans`], and [`SplitError::ListedTwice`] if a subject is listed in two partitions.
pub fn split_by_list(
    scans: &[Scan],
    list: &SubjectList,
    config: &SplitConfig,
) -> Result<SplitOutcome, CohortError> {
    let config = SplitConfig { strategy: SplitStrategy::Subjects, ..config.clone() };
    conclude(replay(scans, list, &config)?, &config)
}

/// Deals subjects to test, validation and training in turn: [`split_scans`] with `round-robin`, regardless of
/// the strategy in `config`.
///
/// # Errors
/// As [`split_scans`].
pub fn split_round_robin(scans: &[Scan], config: &SplitConfig) -> Result<Split, CohortError> {
    let config = SplitConfig { strategy: SplitStrategy::RoundRobin, ..config.clone() };
    Ok(split_scans(scans, &config)?.split)
}

fn make(scans: &[Scan], config: &SplitConfig) -> Result<Parts, CohortError> {
    let people = || People::of(scans, &config.classes);
    match config.strategy {
        SplitStrategy::RoundRobin => Ok(Parts::of(round_robin(&people(), config))),
        SplitStrategy::Stratified => Ok(Parts::of(stratified(&people(), config))),
        SplitStrategy::LeaveSiteOut => leave_site_out(scans, config),
        SplitStrategy::LeaveFieldStrengthOut => leave_field_strength_out(scans, config),
        SplitStrategy::ScanLevel => Ok(Parts::of(scan_level(scans, config))),
        SplitStrategy::Subjects => {
            let problem = "name the table of subjects and partitions".to_owned();
            Err(SplitError::Settings { strategy: config.strategy, problem }.into())
        }
    }
}

fn conclude(parts: Parts, config: &SplitConfig) -> Result<SplitOutcome, CohortError> {
    let left_out = parts.left_out();
    let source = "split.tsv".into();
    let split = if config.strategy.is_leaky() {
        Split::leaky_from_rows(parts.rows, source)?
    } else {
        Split::from_rows(parts.rows, source)?
    };
    let mut strategy = config.describe();
    if !parts.tested.is_empty() {
        strategy += &format!("; tested {}", parts.tested.join(", "));
    }
    if let Some(replay) = &parts.replay {
        strategy += &format!("; list {}", replay.list_sha256);
    }
    Ok(SplitOutcome {
        split: split.with_strategy(&strategy).with_left_out(&left_out),
        left_out,
        tested: parts.tested,
        matching: None,
        replay: parts.replay,
    })
}
