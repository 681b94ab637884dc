//! Held-out sites and held-out field strength.

use std::collections::{BTreeMap, BTreeSet};

use super::outcome::{LeftOut, LeftOutReason, Parts};
use super::people::{People, of_classes, row, share};
use super::stratified::validate_and_train;
use super::{Partition, SplitConfig, SplitError, SplitStrategy};
use crate::error::shorten;
use crate::{CohortError, Diagnosis, Scan};

/// Plausibility limit on the number of sites. A column with more holds something else.
const MOST_SITES: usize = 2_000;
/// Relative tolerance between measured and nominal field strength.
const TOLERANCE: f64 = 0.1;

/// The attribute that groups scans.
struct Grouping {
    what: &'static str,
    column: &'static str,
    unknown: LeftOutReason,
    of: fn(&Scan) -> Option<String>,
}

const SITE: Grouping = Grouping {
    what: "site",
    column: "site",
    unknown: LeftOutReason::UnknownSite,
    of: |scan| scan.site.clone(),
};
const FIELD_STRENGTH: Grouping = Grouping {
    what: "field strength",
    column: "field_strength_t",
    unknown: LeftOutReason::UnknownFieldStrength,
    of: |scan| scan.scanner.field_strength.map(|strength| strength.to_string()),
};

/// Number of scans of each diagnosis.
type Counts = BTreeMap<Diagnosis, usize>;

/// A scan of a class, with its diagnosis and its site or field strength.
type Grouped<'a> = (&'a Scan, Diagnosis, String);

/// Scans with known site or field strength, if the strategy needs it, and the excluded rest.
pub(super) fn without_unknown(
    scans: &[Scan],
    config: &SplitConfig,
) -> Result<(Vec<Scan>, Vec<LeftOut>), CohortError> {
    let grouping = match config.strategy {
        SplitStrategy::LeaveSiteOut => SITE,
        SplitStrategy::LeaveFieldStrengthOut => FIELD_STRENGTH,
        _ => return Ok((scans.to_vec(), Vec::new())),
    };
    let (known, parts) = grouping.known(scans, config)?;
    Ok((known.into_iter().map(|(scan, ..)| scan.clone()).collect(), parts.left_out()))
}

/// Tests on the configured sites, or on sites added until the test share is reached.
pub(super) fn leave_site_out(scans: &[Scan], config: &SplitConfig) -> Result<Parts, CohortError> {
    let (known, mut parts) = SITE.known(scans, config)?;
    let sites = count_by_group(&known);
    if sites.len() > MOST_SITES {
        let problem = format!("the column `site` of scans.tsv holds {} different names", sites.len());
        return Err(SplitError::Settings { strategy: config.strategy, problem }.into());
    }
    let tested = if config.sites.is_empty() { choose_sites(&sites, config) } else { named(&sites, config)? };
    parts.tested = tested.iter().cloned().collect();
    let is_tested = |group: &str| tested.contains(group);
    SITE.leave_out(&known, &is_tested, config, &mut parts)?;
    Ok(parts)
}

/// Tests on one field strength.
pub(super) fn leave_field_strength_out(scans: &[Scan], config: &SplitConfig) -> Result<Parts, CohortError> {
    let (known, mut parts) = FIELD_STRENGTH.known(scans, config)?;
    let Some(wanted) = config.field_strength_t else {
        let problem = "leave-field-strength-out needs the field strength to test on (`field_strength_t`)";
        return Err(FIELD_STRENGTH.no_such(problem.to_owned(), &known));
    };
    let is_tested =
        |group: &str| group.parse().is_ok_and(|tesla: f64| (tesla - wanted).abs() <= TOLERANCE * wanted);
    if !known.iter().any(|(.., group)| is_tested(group)) {
        return Err(FIELD_STRENGTH.no_such(format!("no scan was made at {wanted} T"), &known));
    }
    parts.tested = vec![format!("{wanted} T")];
    FIELD_STRENGTH.leave_out(&known, &is_tested, config, &mut parts)?;
    Ok(parts)
}

impl Grouping {
    /// The scans with a known group. The others are an error, or are recorded as excluded.
    fn known<'a>(
        &self,
        scans: &'a [Scan],
        config: &SplitConfig,
    ) -> Result<(Vec<Grouped<'a>>, Parts), CohortError> {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for (scan, diagnosis) in of_classes(scans, &config.classes) {
            match (self.of)(scan) {
                Some(group) => known.push((scan, diagnosis, group)),
                None => unknown.push(scan),
            }
        }
        let first = unknown.iter().map(|scan| &scan.scan_id).min();
        if let Some(first) = first.filter(|_| !config.leave_out_unknown) {
            return Err(SplitError::Unknown {
                what: self.what,
                column: self.column,
                n_scans: unknown.len(),
                n_total: unknown.len() + known.len(),
                first: first.to_string(),
            }
            .into());
        }
        let mut parts = Parts::default();
        for scan in unknown {
            parts.leave_out(scan, self.unknown);
        }
        Ok((known, parts))
    }

    /// Assigns the held-out scans to test, excludes the other scans of test subjects, and divides the
    /// remaining subjects between validation and training.
    fn leave_out(
        &self,
        known: &[Grouped<'_>],
        is_tested: &dyn Fn(&str) -> bool,
        config: &SplitConfig,
        parts: &mut Parts,
    ) -> Result<(), CohortError> {
        let tested = known.iter().filter(|(.., group)| is_tested(group));
        let tested: BTreeSet<String> = tested.map(|(scan, ..)| scan.subject().person_key()).collect();
        let mut rest = Vec::new();
        for (scan, diagnosis, group) in known {
            if is_tested(group) {
                parts.rows.push(row(scan, *diagnosis, Partition::Test));
            } else if tested.contains(&scan.subject().person_key()) {
                parts.leave_out(scan, LeftOutReason::TestedElsewhere);
            } else {
                rest.push(*scan);
            }
        }
        parts.rows.extend(validate_and_train(&People::of(rest, &config.classes), config));
        self.check_classes(known, config, parts)
    }

    /// Every partition must contain every class.
    fn check_classes(
        &self,
        known: &[Grouped<'_>],
        config: &SplitConfig,
        parts: &Parts,
    ) -> Result<(), CohortError> {
        let present: BTreeSet<(Partition, Diagnosis)> =
            parts.rows.iter().map(|row| (row.partition, row.diagnosis)).collect();
        for partition in Partition::ALL {
            for &diagnosis in &config.classes {
                if present.contains(&(partition, diagnosis)) {
                    continue;
                }
                return Err(SplitError::TooMuchTested {
                    tested: format!("{} {}", self.what, shorten(&parts.tested.join(", "))),
                    partition,
                    diagnosis,
                    known: self.list(known),
                }
                .into());
            }
        }
        Ok(())
    }

    fn no_such(&self, problem: String, known: &[Grouped<'_>]) -> CohortError {
        SplitError::NoSuchGroup { problem, known: self.list(known) }.into()
    }

    /// `site 002 (10 CN, 4 AD scans), site 011 ...`, at most twenty.
    fn list(&self, known: &[Grouped<'_>]) -> String {
        const SHOWN: usize = 20;
        let groups = count_by_group(known);
        let one = |(group, counts): (&String, &Counts)| {
            let counts: Vec<String> = counts.iter().map(|(class, n)| format!("{n} {class}")).collect();
            format!("{} ({} scans)", shorten(group), counts.join(", "))
        };
        let mut text = groups.iter().take(SHOWN).map(one).collect::<Vec<_>>().join(", ");
        if groups.len() > SHOWN {
            text += &format!(" and {} more", groups.len() - SHOWN);
        }
        if text.is_empty() { format!("no known {}", self.what) } else { format!("{} {text}", self.what) }
    }
}

fn count_by_group(known: &[Grouped<'_>]) -> BTreeMap<String, Counts> {
    let mut groups: BTreeMap<String, Counts> = BTreeMap::new();
    for (_, diagnosis, group) in known {
        *groups.entry(group.clone()).or_default().entry(*diagnosis).or_default() += 1;
    }
    groups
}

/// The configured sites. All must exist.
fn named(sites: &BTreeMap<String, Counts>, config: &SplitConfig) -> Result<BTreeSet<String>, CohortError> {
    let wanted: BTreeSet<String> = config.sites.iter().map(|site| site.trim().to_owned()).collect();
    match wanted.iter().find(|site| !sites.contains_key(*site)) {
        None => Ok(wanted),
        Some(missing) => {
            let known: Vec<String> = sites.keys().take(50).map(|site| shorten(site)).collect();
            Err(SplitError::NoSuchGroup {
                problem: format!("no scan is of site `{}`", shorten(missing)),
                known: format!("{} sites: {}", sites.len(), known.join(", ")),
            }
            .into())
        }
    }
}

/// Adds sites one by one until test has its share of the scans. Each time it takes the site that brings the
/// classes closest to their targets (ties: the first by name). At least one site remains untested.
fn choose_sites(sites: &BTreeMap<String, Counts>, config: &SplitConfig) -> BTreeSet<String> {
    let mut n_scans = Counts::new();
    for (class, n) in sites.values().flatten() {
        *n_scans.entry(*class).or_default() += n;
    }
    let targets: Counts = n_scans.iter().map(|(&class, &n)| (class, share(config.test, n))).collect();
    let n_wanted: usize = share(config.test, n_scans.values().sum());
    let (mut chosen, mut n_tested) = (BTreeSet::new(), Counts::new());
    let distance = |counts: &Counts, n_tested: &Counts| -> usize {
        let after = |class| count_of(n_tested, class) + count_of(counts, class);
        targets.iter().map(|(class, target)| after(class).abs_diff(*target)).sum()
    };
    let is_short = |n_tested: &Counts| {
        n_tested.values().sum::<usize>() < n_wanted
            || targets.keys().any(|class| count_of(n_tested, class) == 0)
    };
    while is_short(&n_tested) && chosen.len() + 1 < sites.len() {
        let left = sites.iter().filter(|(site, _)| !chosen.contains(*site));
        let Some((site, counts)) = left.min_by_key(|(_, counts)| distance(counts, &n_tested)) else { break };
        for (class, n) in counts {
            *n_tested.entry(*class).or_default() += n;
        }
        chosen.insert(site.clone());
    }
    chosen
}

fn count_of(counts: &Counts, class: &Diagnosis) -> usize {
    counts.get(class).copied().unwrap_or(0)
}
