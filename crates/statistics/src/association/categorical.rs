//! Association of two categorical variables.

use std::collections::BTreeMap;

use super::distributions::{chi_squared_noncentrality, chi_squared_tail, ln_choose};
use super::{Association, EffectKind, EffectSize, TestKind, TestResult};
use crate::Interval;
use crate::bootstrap::SplitMix;

/// Permutations of a table with rare cells.
const N_PERMUTATIONS: u64 = 9_999;

/// Limit on subjects times permutations, so that a large table takes one or two seconds.
const MOST_DEALT: u64 = 200_000_000;

/// Seed of the permutations, so that the same table always gives the same result.
const SEED: u64 = 0x5eed_ab1e;

/// Relative tolerance for equal probabilities, because sums of logarithms are not exact.
const SAME: f64 = 1e-7;

/// Contingency table of two categorical variables. Values that never occur are not included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContingencyTable {
    counts: Vec<Vec<u64>>,
}

impl ContingencyTable {
    /// Creates a table from counts, row by row. Empty rows and columns are dropped.
    #[must_use]
    pub fn from_counts(counts: &[Vec<u64>]) -> Self {
        let n_columns = counts.iter().map(Vec::len).max().unwrap_or(0);
        let at = |row: &Vec<u64>, column: usize| row.get(column).copied().unwrap_or(0);
        let columns: Vec<usize> =
            (0..n_columns).filter(|&column| counts.iter().any(|row| at(row, column) > 0)).collect();
        let rows = counts.iter().filter(|row| row.iter().any(|&count| count > 0));
        Self { counts: rows.map(|row| columns.iter().map(|&column| at(row, column)).collect()).collect() }
    }

    /// Counts pairs of values, one pair per subject.
    #[must_use]
    pub fn of<R: Ord, C: Ord>(pairs: impl IntoIterator<Item = (R, C)>) -> Self {
        let pairs: Vec<(R, C)> = pairs.into_iter().collect();
        let mut values: Vec<&C> = pairs.iter().map(|(_, value)| value).collect();
        values.sort_unstable();
        values.dedup();
        let n_columns = values.len();
        let numbers: Vec<usize> =
            pairs.iter().map(|(_, value)| values.partition_point(|other| *other < value)).collect();
        let mut found: BTreeMap<R, BTreeMap<usize, u64>> = BTreeMap::new();
        for ((row, _), column) in pairs.into_iter().zip(numbers) {
            *found.entry(row).or_default().entry(column).or_default() += 1;
        }
        let dense = |row: BTreeMap<usize, u64>| {
            (0..n_columns).map(|column| row.get(&column).copied().unwrap_or(0)).collect()
        };
        Self { counts: found.into_values().map(dense).collect() }
    }

    /// The counts, row by row.
    #[must_use]
    pub fn counts(&self) -> &[Vec<u64>] {
        &self.counts
    }

    /// Sum of all counts.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// Test and effect size. The shape of the table, not the result, determines the test: Fisher's exact test
    /// for two by two; otherwise chi-squared, with permutations if Cochran's rule advises against the
    /// asymptotic distribution (an expected count below 1, or more than a fifth of them below 5).
    #[must_use]
    pub fn association(&self) -> Option<Association> {
        let test = if self.is_two_by_two() {
            self.fisher_exact()?
        } else if self.has_rare_cells() {
            let n_affordable = MOST_DEALT / self.n().max(1);
            self.chi_squared_permutation(n_affordable.clamp(199, N_PERMUTATIONS), SEED)?
        } else {
            self.chi_squared()?
        };
        Some(Association { n: self.n(), test, effect: self.cramers_v()? })
    }

    /// Pearson's chi-squared test, without continuity correction.
    #[must_use]
    pub fn chi_squared(&self) -> Option<TestResult> {
        let (statistic, dof) = (self.statistic()?, self.dof()?);
        Some(TestResult {
            kind: TestKind::ChiSquared,
            statistic: Some(statistic),
            dof: Some(dof),
            dof_within: None,
            p_value: chi_squared_tail(statistic, dof),
        })
    }

    /// Pearson's chi-squared against permuted tables with the same margins: the values of one variable are
    /// permuted `n_permutations` times. The observed table counts as one of them, so the probability is never
    /// 0.
    ///
    /// # Reference
    /// Hope 1968, doi:10.1111/j.2517-6161.1968.tb00759.x.
    ///
    /// # Determinism
    /// The result depends only on the table, the number and the seed.
    #[must_use]
    pub fn chi_squared_permutation(&self, n_permutations: u64, seed: u64) -> Option<TestResult> {
        let (statistic, dof) = (self.statistic()?, self.dof()?);
        let (rows, columns) = self.margins();
        let mut dealt: Vec<usize> = Vec::new();
        for (column, &count) in columns.iter().enumerate() {
            dealt.extend((0..count).map(|_| column));
        }
        let mut random = SplitMix::new(seed);
        let mut n_as_large = 1;
        let mut counts = vec![0_u64; rows.len() * columns.len()];
        for _ in 0..n_permutations {
            for last in (1..dealt.len()).rev() {
                dealt.swap(last, random.below(last + 1));
            }
            counts.fill(0);
            let mut people = dealt.iter();
            for (row, &count) in rows.iter().enumerate() {
                for &column in people.by_ref().take(usize::try_from(count).unwrap_or(usize::MAX)) {
                    counts[row * columns.len() + column] += 1;
                }
            }
            let permuted = statistic_of(counts.chunks(columns.len()), &rows, &columns);
            n_as_large += u64::from(permuted >= statistic * (1.0 - SAME));
        }
        Some(TestResult {
            kind: TestKind::ChiSquaredPermutation,
            statistic: Some(statistic),
            dof: Some(dof),
            dof_within: None,
            p_value: n_as_large as f64 / (n_permutations + 1) as f64,
        })
    }

    /// Two-sided Fisher's exact test: the probability of all tables with these margins that are no more
    /// likely than the observed one. `None` unless the table is two by two.
    #[must_use]
    pub fn fisher_exact(&self) -> Option<TestResult> {
        if !self.is_two_by_two() {
            return None;
        }
        let (a, b, c, d) = (self.counts[0][0], self.counts[0][1], self.counts[1][0], self.counts[1][1]);
        let (row, column, n) = (a + b, a + c, a + b + c + d);
        let ln_likelihood = |x: u64| {
            ln_choose(row as f64, x as f64) + ln_choose((n - row) as f64, (column - x) as f64)
                - ln_choose(n as f64, column as f64)
        };
        let observed = ln_likelihood(a);
        let possible = (row + column).saturating_sub(n)..=row.min(column);
        let p_value: f64 =
            possible.map(ln_likelihood).filter(|&ln| ln <= observed + SAME).map(f64::exp).sum();
        let odds_ratio = (a as f64 * d as f64) / (b as f64 * c as f64);
        Some(TestResult {
            kind: TestKind::FisherExact,
            statistic: Some(odds_ratio).filter(|ratio| ratio.is_finite()),
            dof: None,
            dof_within: None,
            p_value: p_value.min(1.0),
        })
    }

    /// Cramer's V with Bergsma's correction. The interval is for the population's V, by inverting the
    /// noncentral chi-squared distribution. `None` for a table with one row or one column.
    ///
    /// # Reference
    /// Bergsma 2013, doi:10.1016/j.jkss.2012.10.002; the interval: Smithson 2003, doi:10.4135/9781412983761,
    /// without the degrees of freedom that he adds, since the noncentrality has no bias to be made up for.
    #[must_use]
    pub fn cramers_v(&self) -> Option<EffectSize> {
        let (statistic, dof, n) = (self.statistic()?, self.dof()?, self.n() as f64);
        let (rows, columns) = (self.counts.len() as f64, self.counts[0].len() as f64);
        if n < 2.0 {
            return None;
        }
        let phi2 = (statistic / n - dof / (n - 1.0)).max(0.0);
        let corrected = |k: f64| k - (k - 1.0).powi(2) / (n - 1.0);
        let least = (corrected(rows) - 1.0).min(corrected(columns) - 1.0);
        let value = if least > 0.0 { (phi2 / least).sqrt().min(1.0) } else { 0.0 };
        let lambda = chi_squared_noncentrality(statistic, dof);
        let v = |lambda: f64| (lambda / (n * (rows.min(columns) - 1.0))).sqrt().min(1.0);
        let interval = Interval { lower: v(lambda.lower), upper: v(lambda.upper) };
        Some(EffectSize { kind: EffectKind::CramersV, value, interval: Some(interval) })
    }

    fn is_two_by_two(&self) -> bool {
        self.counts.len() == 2 && self.counts[0].len() == 2
    }

    /// Cochran's rule.
    fn has_rare_cells(&self) -> bool {
        let (rows, columns) = self.margins();
        let n = self.n() as f64;
        let expected: Vec<f64> = rows
            .iter()
            .flat_map(|&row| columns.iter().map(move |&column| row as f64 * column as f64 / n))
            .collect();
        let n_rare = expected.iter().filter(|&&count| count < 5.0).count();
        expected.iter().any(|&count| count < 1.0) || 5 * n_rare > expected.len()
    }

    fn margins(&self) -> (Vec<u64>, Vec<u64>) {
        let rows = self.counts.iter().map(|row| row.iter().sum()).collect();
        let n_columns = self.counts.first().map_or(0, Vec::len);
        let columns = (0..n_columns).map(|column| self.counts.iter().map(|row| row[column]).sum()).collect();
        (rows, columns)
    }

    fn statistic(&self) -> Option<f64> {
        let (rows, columns) = self.margins();
        let is_table = rows.len() > 1 && columns.len() > 1;
        is_table.then(|| statistic_of(self.counts.iter().map(Vec::as_slice), &rows, &columns))
    }

    fn dof(&self) -> Option<f64> {
        let n_columns = self.counts.first()?.len();
        let dof = (self.counts.len() - 1) * n_columns.checked_sub(1)?;
        (dof > 0).then_some(dof as f64)
    }
}

/// Chi-squared of counts with these margins.
fn statistic_of<'a>(counts: impl Iterator<Item = &'a [u64]>, rows: &[u64], columns: &[u64]) -> f64 {
    let n: u64 = rows.iter().sum();
    let mut sum = 0.0;
    for (row, &in_row) in counts.zip(rows) {
        for (&count, &in_column) in row.iter().zip(columns) {
            let expected = in_row as f64 * in_column as f64 / n as f64;
            sum += (count as f64 - expected).powi(2) / expected;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_rows_and_columns_do_not_count() {
        let table = ContingencyTable::from_counts(&[vec![3, 0, 1], vec![0, 0, 0], vec![2, 0, 6]]);
        assert_eq!(table.counts(), [[3, 1], [2, 6]]);
        let pairs = [("b", 1), ("a", 1), ("b", 7), ("b", 1)];
        assert_eq!(ContingencyTable::of(pairs).counts(), [[1, 0], [2, 1]]);
    }

    #[test]
    fn one_row_or_column_has_no_association() {
        for counts in [vec![], vec![vec![3, 4]], vec![vec![3], vec![4]], vec![vec![0, 0], vec![0, 0]]] {
            assert_eq!(ContingencyTable::from_counts(&counts).association(), None, "{counts:?}");
        }
    }

    #[test]
    fn the_test_follows_from_the_form_of_the_table() {
        let kind =
            |counts: &[Vec<u64>]| ContingencyTable::from_counts(counts).association().unwrap().test.kind;
        assert_eq!(kind(&[vec![50, 40], vec![30, 60]]), TestKind::FisherExact);
        assert_eq!(kind(&[vec![50, 40], vec![30, 60], vec![20, 30]]), TestKind::ChiSquared);
        assert_eq!(kind(&[vec![50, 40], vec![30, 60], vec![1, 0]]), TestKind::ChiSquaredPermutation);
    }

    #[test]
    fn perfect_association_is_one() {
        let effect = ContingencyTable::from_counts(&[vec![40, 0], vec![0, 40]]).cramers_v().unwrap();
        assert!((effect.value - 1.0).abs() < 1e-12 && effect.interval.unwrap().lower > 0.7, "{effect:?}");
    }
}
