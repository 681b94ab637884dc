//! One door to all strategies.

use super::deal::round_robin;
use super::groups::{leave_field_strength_out, leave_site_out, without_unknown};
use super::matching::match_age_and_sex;
use super::outcome::{Parts, SplitOutcome};
use super::people::People;
use super::replay::{SubjectList, replay};
use super::stratified::{scan_level, stratified};
use super::{Split, SplitConfig, SplitError, SplitStrategy};
use crate::{CohortError, Scan};

/// Splits the scans of the classes by the strategy that `config` names.
///
/// By subject, so that all scans of a person, under whatever spellings of the name, are on one side; only
/// [`SplitStrategy::ScanLevel`] is leaky, on purpose, and its split says so ([`Split::is_leaky`]). A subject
/// whose sessions have different diagnoses is split once, with all its scans, in the class of its most severe
/// diagnosis; each scan keeps the diagnosis of its own session.
///
/// - `round-robin`: within each class, subjects by ascending number of scans (then by id) are dealt in turn to
///   test, validation and train, each until it has reached its share of the scans; the rest goes to train.
/// - `stratified`: within each class, subjects in random order are tested if that brings the number of scans
///   nearer to the share, then validate by the same rule; the rest trains.
/// - `leave-site-out`, `leave-field-strength-out`: scans of the tested sites, or of one field strength, are
///   tested. Other scans of tested subjects are left out. Of everybody else some validate (as in `stratified`,
///   with the share that validation has of what is not tested), the rest trains.
/// - `subjects`: as the list `config.subjects` says. Without any validation subject in it, some of its training
///   subjects validate.
/// - `scan-level`: scans of each diagnosis at random.
///
/// A share is the fraction times the class's scans, rounded, and at least 1.
///
/// # Errors
/// Settings out of range ([`CohortError::Fractions`], [`SplitError`]); [`CohortError::EmptyClass`] or
/// [`SplitError::TooMuchTested`] if a partition has no scan of a class; [`CohortError::Duplicate`] if a scan is
/// given twice; scans without the site or field strength that is needed; a list that does not fit.
///
/// # Determinism
/// A function of the set of scans and the configuration: the order of `scans` does not matter.
pub fn split_scans(scans: &[Scan], config: &SplitConfig) -> Result<SplitOutcome, CohortError> {
    config.validate()?;
    match &config.subjects {
        Some(path) => split_by_list(scans, &SubjectList::read(path)?, config),
        None if config.match_age_sex => split_matched(scans, config),
        None => conclude(make(scans, config)?, config),
    }
}

/// Matches those of whom everything is known, then splits them.
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

/// Splits as a list of subjects says; of `config` the classes, the seed and the share of validation count.
///
/// # Errors
/// As [`split_scans`], and [`SplitError::ListedTwice`] for a person on two sides.
pub fn split_by_list(
    scans: &[Scan],
    list: &SubjectList,
    config: &SplitConfig,
) -> Result<SplitOutcome, CohortError> {
    let config = SplitConfig { strategy: SplitStrategy::Subjects, ..config.clone() };
    conclude(replay(scans, list, &config)?, &config)
}

/// Deals subjects to test, validation and training in turn: [`split_scans`] with `round-robin`, whatever strategy
/// `config` names.
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
