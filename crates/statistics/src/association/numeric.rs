//! Numeric values in groups.

use serde::{Deserialize, Serialize};

use super::distributions::{
    chi_squared_tail, f_noncentrality, f_tail, hedges_factor, normal_tail, t_two_sided,
};
use super::{Association, EffectKind, EffectSize, TestKind, TestResult};
use crate::auc::{delong, midranks, roc_auc};
use crate::interval::Z_95;
use crate::{DeLong, Interval};

/// Largest number of pairs for the exact distribution of U, without ties.
const MOST_EXACT_PAIRS: usize = 400;

/// Number, mean, spread and range of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of values.
    pub n: u64,
    /// Mean.
    pub mean: f64,
    /// Sample standard deviation (n - 1); `None` of one value.
    pub sd: Option<f64>,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
}

impl Summary {
    /// Summarises finite values; `None` if there is none.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        if finite.is_empty() {
            return None;
        }
        let moments = Moments::of(&finite);
        Some(Self {
            n: finite.len() as u64,
            mean: moments.mean,
            sd: (finite.len() > 1).then(|| moments.variance.sqrt()),
            min: finite.iter().copied().fold(f64::INFINITY, f64::min),
            max: finite.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }
}

/// Compares the means of groups without assuming equal variances: Welch's t and Hedges g for two groups,
/// Welch's ANOVA and eta squared for more. Groups with fewer than two values are excluded. `None` if fewer
/// than two groups remain, or if all values of a group are equal.
#[must_use]
pub fn compare_means(groups: &[&[f64]]) -> Option<Association> {
    let groups = large_enough(groups);
    let n = groups.iter().map(|group| group.len() as u64).sum();
    let (test, effect) = match groups.as_slice() {
        [] | [_] => return None,
        [one, two] => (welch_t(one, two)?, hedges_g(one, two)?),
        several => (welch_anova(several)?, eta_squared(several)?),
    };
    Some(Association { n, test, effect })
}

/// Compares the ranks of groups: Mann-Whitney's U and the rank-biserial correlation for two groups,
/// Kruskal-Wallis and epsilon squared for more. Otherwise as [`compare_means`].
#[must_use]
pub fn compare_ranks(groups: &[&[f64]]) -> Option<Association> {
    let groups = large_enough(groups);
    let n: u64 = groups.iter().map(|group| group.len() as u64).sum();
    let (test, effect) = match groups.as_slice() {
        [] | [_] => return None,
        [one, two] => (mann_whitney(one, two)?, rank_biserial(one, two)?),
        several => {
            let test = kruskal_wallis(several)?;
            let value = test.statistic? / (n as f64 - 1.0);
            (test, EffectSize { kind: EffectKind::EpsilonSquared, value, interval: None })
        }
    };
    Some(Association { n, test, effect })
}

fn large_enough<'a>(groups: &[&'a [f64]]) -> Vec<&'a [f64]> {
    groups.iter().copied().filter(|group| group.len() > 1).collect()
}

/// Mean and variance of a sample.
struct Moments {
    n: f64,
    mean: f64,
    /// With n - 1.
    variance: f64,
}

impl Moments {
    fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self { n, mean, variance: squares / (n - 1.0).max(1.0) }
    }
}

/// Welch's t test of two means. `None` with fewer than two values in a group, or without any variance.
///
/// # Reference
/// Welch 1947, doi:10.1093/biomet/34.1-2.28.
#[must_use]
pub fn welch_t(one: &[f64], two: &[f64]) -> Option<TestResult> {
    if one.len() < 2 || two.len() < 2 {
        return None;
    }
    let (one, two) = (Moments::of(one), Moments::of(two));
    let (a, b) = (one.variance / one.n, two.variance / two.n);
    let statistic = (one.mean - two.mean) / (a + b).sqrt();
    let dof = (a + b).powi(2) / (a * a / (one.n - 1.0) + b * b / (two.n - 1.0));
    (statistic.is_finite() && dof.is_finite()).then(|| TestResult {
        kind: TestKind::WelchT,
        statistic: Some(statistic),
        dof: Some(dof),
        dof_within: None,
        p_value: t_two_sided(statistic, dof),
    })
}

/// Hedges g of two means, with the interval of large samples. `None` with fewer than two values in a group, or
/// without any variance.
///
/// # Reference
/// Hedges 1981, doi:10.3102/10769986006002107; the interval: Hedges and Olkin 1985, chapter 5, equation 15.
#[must_use]
pub fn hedges_g(one: &[f64], two: &[f64]) -> Option<EffectSize> {
    if one.len() < 2 || two.len() < 2 {
        return None;
    }
    let (one, two) = (Moments::of(one), Moments::of(two));
    let dof = one.n + two.n - 2.0;
    let pooled = ((one.n - 1.0) * one.variance + (two.n - 1.0) * two.variance) / dof;
    let value = hedges_factor(dof) * (one.mean - two.mean) / pooled.sqrt();
    let n = one.n + two.n;
    let half = Z_95 * (n / (one.n * two.n) + value * value / (2.0 * n)).sqrt();
    let interval = Some(Interval { lower: value - half, upper: value + half });
    value.is_finite().then_some(EffectSize { kind: EffectKind::HedgesG, value, interval })
}

/// Welch's test of several means. `None` with fewer than two groups, with fewer than two values in a group, or
/// if the values of a group do not vary.
///
/// # Reference
/// Welch 1951, doi:10.1093/biomet/38.3-4.330.
#[must_use]
pub fn welch_anova(groups: &[&[f64]]) -> Option<TestResult> {
    if groups.len() < 2 || groups.iter().any(|group| group.len() < 2) {
        return None;
    }
    let groups: Vec<Moments> = groups.iter().map(|group| Moments::of(group)).collect();
    let k = groups.len() as f64;
    let weight = |group: &Moments| group.n / group.variance;
    let total: f64 = groups.iter().map(weight).sum();
    let mean = groups.iter().map(|group| weight(group) * group.mean).sum::<f64>() / total;
    let between = groups.iter().map(|group| weight(group) * (group.mean - mean).powi(2)).sum::<f64>();
    let spread: f64 =
        groups.iter().map(|group| (1.0 - weight(group) / total).powi(2) / (group.n - 1.0)).sum();
    let statistic = between / (k - 1.0) / (1.0 + 2.0 * (k - 2.0) / (k * k - 1.0) * spread);
    let within = (k * k - 1.0) / (3.0 * spread);
    (statistic.is_finite() && within.is_finite()).then(|| TestResult {
        kind: TestKind::WelchAnova,
        statistic: Some(statistic),
        dof: Some(k - 1.0),
        dof_within: Some(within),
        p_value: f_tail(statistic, k - 1.0, within),
    })
}

/// Eta squared: share of the variance between groups. The interval inverts the noncentral F distribution,
/// which assumes equal variances. `None` with fewer than two groups or without variance within groups.
///
/// # Reference
/// Steiger 2004, doi:10.1037/1082-989X.9.2.164.
#[must_use]
pub fn eta_squared(groups: &[&[f64]]) -> Option<EffectSize> {
    let all: Vec<f64> = groups.iter().flat_map(|group| group.iter().copied()).collect();
    if groups.len() < 2 || all.len() <= groups.len() || groups.iter().any(|group| group.is_empty()) {
        return None;
    }
    let (n, k) = (all.len() as f64, groups.len() as f64);
    let mean = Moments::of(&all).mean;
    let moments = || groups.iter().map(|group| Moments::of(group));
    let between: f64 = moments().map(|group| group.n * (group.mean - mean).powi(2)).sum();
    let within: f64 = moments().map(|group| group.variance * (group.n - 1.0)).sum();
    if within <= 0.0 || !within.is_finite() {
        return None;
    }
    let statistic = between / (k - 1.0) / (within / (n - k));
    let lambda = f_noncentrality(statistic, k - 1.0, n - k);
    let share = |lambda: f64| lambda / (lambda + n);
    Some(EffectSize {
        kind: EffectKind::EtaSquared,
        value: between / (between + within),
        interval: Some(Interval { lower: share(lambda.lower), upper: share(lambda.upper) }),
    })
}

/// Mann-Whitney's test of two samples, with U of the first. Exact for few values without ties, otherwise by
/// the normal approximation with corrections for ties and continuity. `None` if a sample is empty or all
/// values are equal.
///
/// # Reference
/// Mann and Whitney 1947, doi:10.1214/aoms/1177730491.
#[must_use]
pub fn mann_whitney(one: &[f64], two: &[f64]) -> Option<TestResult> {
    let all: Vec<f64> = one.iter().chain(two).copied().collect();
    if one.is_empty() || two.is_empty() || all.iter().any(|value| value.is_nan()) {
        return None;
    }
    let ranks = midranks(&all);
    let (m, n) = (one.len() as f64, two.len() as f64);
    let u = ranks[..one.len()].iter().sum::<f64>() - m * (m + 1.0) / 2.0;
    let (more, ties) = (u.max(m * n - u), tie_term(&all));
    let p_value = if ties <= 0.0 && one.len() * two.len() <= MOST_EXACT_PAIRS {
        2.0 * exact_tail(one.len(), two.len(), more)
    } else {
        let total = m + n;
        let variance = m * n / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
        if variance <= 0.0 {
            return None;
        }
        2.0 * normal_tail((more - m * n / 2.0 - 0.5) / variance.sqrt())
    };
    Some(TestResult {
        kind: TestKind::MannWhitney,
        statistic: Some(u),
        dof: None,
        dof_within: None,
        p_value: p_value.min(1.0),
    })
}

/// Rank-biserial correlation, with DeLong's interval. `None` with fewer than two values in a sample.
///
/// # Reference
/// Kerby 2014, doi:10.2466/11.IT.3.1; the interval by way of the AUC: [`delong`].
#[must_use]
pub fn rank_biserial(one: &[f64], two: &[f64]) -> Option<EffectSize> {
    let labels: Vec<bool> = (0..one.len() + two.len()).map(|idx| idx < one.len()).collect();
    let values: Vec<f64> = one.iter().chain(two).copied().collect();
    let value = 2.0 * roc_auc(&labels, &values)? - 1.0;
    let interval = delong(&labels, &values).map(|DeLong { interval, .. }| Interval {
        lower: 2.0 * interval.lower - 1.0,
        upper: 2.0 * interval.upper - 1.0,
    });
    Some(EffectSize { kind: EffectKind::RankBiserial, value, interval })
}

/// Kruskal-Wallis's test of several samples, corrected for ties. `None` with fewer than two samples, an empty
/// one, or if all values are the same.
///
/// # Reference
/// Kruskal and Wallis 1952, doi:10.1080/01621459.1952.10483441.
#[must_use]
pub fn kruskal_wallis(groups: &[&[f64]]) -> Option<TestResult> {
    let all: Vec<f64> = groups.iter().flat_map(|group| group.iter().copied()).collect();
    if groups.len() < 2
        || groups.iter().any(|group| group.is_empty())
        || all.iter().any(|value| value.is_nan())
    {
        return None;
    }
    let (ranks, n) = (midranks(&all), all.len() as f64);
    let (mut sum, mut start) = (0.0, 0);
    for group in groups {
        let end = start + group.len();
        sum += ranks[start..end].iter().sum::<f64>().powi(2) / group.len() as f64;
        start = end;
    }
    let untied = 1.0 - tie_term(&all) / (n * n * n - n);
    let statistic = (12.0 / (n * (n + 1.0)) * sum - 3.0 * (n + 1.0)) / untied;
    let dof = groups.len() as f64 - 1.0;
    (untied > 0.0 && statistic.is_finite()).then(|| TestResult {
        kind: TestKind::KruskalWallis,
        statistic: Some(statistic),
        dof: Some(dof),
        dof_within: None,
        p_value: chi_squared_tail(statistic, dof),
    })
}

/// Sum of t^3 - t over groups of `t` equal values.
fn tie_term(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| (a + 0.0).total_cmp(&(b + 0.0)));
    let groups = sorted.chunk_by(|a, b| a >= b);
    groups.map(|group| (group.len() as f64).powi(3) - group.len() as f64).sum()
}

/// Probability that U of `m` and `n` values without ties is at least `u`: the coefficients of the Gaussian
/// binomial, counted exactly.
fn exact_tail(m: usize, n: usize, u: f64) -> f64 {
    let most = m * n;
    let mut counts = vec![0.0; most + 1];
    counts[0] = 1.0;
    for i in 1..=m {
        // Times 1 - q^(n+i), then over 1 - q^i.
        for power in (n + i..=most).rev() {
            counts[power] -= counts[power - n - i];
        }
        for power in i..=most {
            counts[power] += counts[power - i];
        }
    }
    let all: f64 = counts.iter().sum();
    let tail = counts.iter().enumerate().filter(|(power, _)| *power as f64 >= u - 1e-9);
    tail.map(|(_, count)| count).sum::<f64>() / all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_vary_has_no_test() {
        let (same, other) = ([2.0; 4], [2.0, 3.0, 5.0]);
        assert_eq!((welch_t(&same, &same), hedges_g(&same, &same)), (None, None));
        assert_eq!((mann_whitney(&same, &same), kruskal_wallis(&[&same, &same])), (None, None));
        assert_eq!(welch_anova(&[&same, &other, &other]), None);
        assert_eq!(compare_means(&[&other, &[1.0]]), None);
        assert_eq!(Summary::of(&[f64::NAN]), None);
        assert_eq!(Summary::of(&[4.0]).unwrap().sd, None);
    }

    #[test]
    fn the_larger_first_group_is_positive() {
        let (high, low) = ([5.0, 6.0, 7.0], [1.0, 2.0, 3.0]);
        let values = [compare_means(&[&high, &low]), compare_ranks(&[&high, &low])];
        assert!(values.iter().all(|found| found.unwrap().effect.value > 0.9));
        // Of all 20 orders one has every high above every low; two-sided.
        assert!((mann_whitney(&high, &low).unwrap().p_value - 0.1).abs() < 1e-15);
        assert!(compare_means(&[&low, &high]).unwrap().effect.value < 0.0);
    }

    #[test]
    fn u_is_counted_as_all_orders_are() {
        // U of 2 and 3 values takes 0..6 in 1, 1, 2, 2, 2, 1, 1 of 10 orders.
        let tails = [1.0, 0.9, 0.8, 0.6, 0.4, 0.2, 0.1];
        for (u, want) in tails.iter().enumerate() {
            assert!((exact_tail(2, 3, u as f64) - want).abs() < 1e-15, "{u}");
        }
    }
}
