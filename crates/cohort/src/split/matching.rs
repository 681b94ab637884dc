//! Pairs of an AD and a CN subject of the same sex and nearly the same age.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::SplitError;
use super::outcome::{LeftOut, LeftOutReason, Parts};
use super::people::{People, Person};
use crate::{CohortError, Diagnosis, Scan, Sex};

/// The pairs of a matched cohort.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MatchSummary {
    /// Number of pairs: subjects of each class in the cohort.
    pub n_pairs: usize,
    /// Largest allowed age difference, in years.
    pub caliper_years: f64,
    /// Mean age difference within pairs, in years.
    pub mean_difference_years: f64,
    /// Largest age difference within a pair, in years.
    pub largest_difference_years: f64,
}

/// A matched cohort. Subjects are included or excluded with all their scans.
#[derive(Debug, Clone)]
pub struct Matched {
    /// The scans of matched subjects.
    pub scans: Vec<Scan>,
    /// Unmatched AD and CN subjects, with reasons.
    pub left_out: Vec<LeftOut>,
    /// The pairs.
    pub summary: MatchSummary,
}

/// Selects AD and CN subjects that form pairs of the same sex with ages at most `caliper_years` apart.
///
/// Greedy 1:1 matching. Subjects of the smaller class, youngest first (then by id), each take the free
/// subject nearest in age (ties: the younger, then by id). A subject belongs to the class of its most severe
/// diagnosis. Its age is the age at the first scan with this diagnosis. Scans with other diagnoses are
/// excluded.
///
/// # Errors
/// [`SplitError::NoPairs`] if no pair exists.
///
/// # Determinism
/// The result depends only on the set of scans and the caliper.
pub fn match_age_and_sex(scans: &[Scan], caliper_years: f64) -> Result<Matched, CohortError> {
    let classes = [Diagnosis::Cn, Diagnosis::Ad];
    let people = People::of(scans, &classes);
    let mut parts = Parts::default();
    let mut groups: BTreeMap<(Diagnosis, Sex), BTreeSet<Candidate<'_>>> = BTreeMap::new();
    for (key, person) in &people.0 {
        match Candidate::of(key, person) {
            Ok((sex, candidate)) => {
                groups.entry((person.class, sex)).or_default().insert(candidate);
            }
            Err(why) => person.scans.iter().for_each(|(scan, _)| parts.leave_out(scan, why)),
        }
    }
    let n_of = |class| [Sex::F, Sex::M].map(|sex| groups.get(&(class, sex)).map_or(0, BTreeSet::len));
    let (n_ad, n_cn) = (n_of(Diagnosis::Ad).iter().sum(), n_of(Diagnosis::Cn).iter().sum());
    let (few, many) =
        if n_cn < n_ad { (Diagnosis::Cn, Diagnosis::Ad) } else { (Diagnosis::Ad, Diagnosis::Cn) };
    let (mut matched, mut differences) = (BTreeSet::new(), Vec::new());
    for sex in [Sex::F, Sex::M] {
        let mut free = groups.remove(&(many, sex)).unwrap_or_default();
        for candidate in groups.remove(&(few, sex)).unwrap_or_default() {
            let Some(partner) = candidate.nearest(&free, caliper_years) else { continue };
            free.remove(&partner);
            differences.push((candidate.age_years - partner.age_years).abs());
            matched.extend([candidate.key, partner.key]);
        }
    }
    if matched.is_empty() {
        return Err(SplitError::NoPairs { caliper_years, n_ad, n_cn }.into());
    }
    let left_out = leave_the_others(&people, &matched, parts);
    let is_kept = |scan: &&Scan| {
        scan.diagnosis.is_some_and(|class| classes.contains(&class))
            && matched.contains(scan.subject().person_key().as_str())
    };
    Ok(Matched {
        scans: scans.iter().filter(is_kept).cloned().collect(),
        left_out,
        summary: summarise(&differences, caliper_years),
    })
}

fn leave_the_others(people: &People<'_>, matched: &BTreeSet<&str>, mut parts: Parts) -> Vec<LeftOut> {
    let known: BTreeSet<String> = parts.left_out().iter().map(|left| left.subject.person_key()).collect();
    for (key, person) in &people.0 {
        if !matched.contains(key.as_str()) && !known.contains(key) {
            person.scans.iter().for_each(|(scan, _)| parts.leave_out(scan, LeftOutReason::NoPartner));
        }
    }
    parts.left_out()
}

fn summarise(differences: &[f64], caliper_years: f64) -> MatchSummary {
    let n_pairs = differences.len() as f64;
    MatchSummary {
        n_pairs: differences.len(),
        caliper_years,
        mean_difference_years: differences.iter().sum::<f64>() / n_pairs,
        largest_difference_years: differences.iter().copied().fold(0.0, f64::max),
    }
}

/// A subject of known age and sex, ordered by age, then by key.
#[derive(Debug, Clone, Copy)]
struct Candidate<'a> {
    age_years: f64,
    key: &'a str,
}

impl<'a> Candidate<'a> {
    fn of(key: &'a str, person: &Person<'_>) -> Result<(Sex, Self), LeftOutReason> {
        let mut sexes = person.scans.iter().filter_map(|(scan, _)| scan.sex);
        let sex = sexes.next().ok_or(LeftOutReason::UnknownSex)?;
        if sexes.any(|other| other != sex) {
            return Err(LeftOutReason::UnknownSex);
        }
        let of_class = person.scans.iter().filter(|(_, diagnosis)| *diagnosis == person.class);
        let ages = of_class.filter_map(|(scan, _)| scan.age_years).filter(|age| age.is_finite());
        let age_years = ages.min_by(f64::total_cmp).ok_or(LeftOutReason::UnknownAge)?;
        Ok((sex, Self { age_years, key }))
    }

    /// The subject nearest in age within the caliper. Ties go to the younger.
    fn nearest(&self, free: &BTreeSet<Self>, caliper_years: f64) -> Option<Self> {
        let here = Self { age_years: self.age_years, key: "" };
        let older = free.range(here..).next();
        // Among the next younger subjects, which all have the same age, the first by key.
        let younger = free
            .range(..here)
            .next_back()
            .and_then(|younger| free.range(Self { age_years: younger.age_years, key: "" }..).next());
        let distance = |other: &&Self| (other.age_years - self.age_years).abs();
        let nearest = younger.into_iter().chain(older).min_by(|a, b| distance(a).total_cmp(&distance(b)))?;
        // 72.3 and 70.3 are two years apart, regardless of floating-point rounding.
        (distance(&nearest) <= caliper_years + 1e-9).then_some(*nearest)
    }
}

impl Ord for Candidate<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.age_years.total_cmp(&other.age_years).then_with(|| self.key.cmp(other.key))
    }
}

impl PartialOrd for Candidate<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate<'_> {}
