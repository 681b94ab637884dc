//! Association of two variables: tests, and effect sizes with intervals.
//!
//! Two categorical variables: [`ContingencyTable`]. A numeric variable in groups: [`compare_means`],
//! [`compare_ranks`]. Each returns an [`Association`]: a test, and an effect size with its 95 % interval.
//!
//! ```
//! use brainreel_statistics::association::{ContingencyTable, EffectKind, TestKind, compare_means};
//! let sex_by_diagnosis = ContingencyTable::from_counts(&[vec![52, 48], vec![45, 55]]);
//! let association = sex_by_diagnosis.association().ok_or("a table of one row")?;
//! assert_eq!(association.test.kind, TestKind::FisherExact);
//! assert!(association.test.p_value > 0.3);
//!
//! let age = compare_means(&[&[71.0, 74.5, 80.1], &[68.2, 77.0, 74.4]]).ok_or("nothing to compare")?;
//! assert_eq!(age.effect.kind, EffectKind::HedgesG);
//! # Ok::<(), &'static str>(())
//! ```
//!
//! Every test assumes independent rows: pass one row per subject, not one per scan.

mod categorical;
mod distributions;
mod numeric;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Interval;

pub use categorical::ContingencyTable;
pub use numeric::{
    Summary, compare_means, compare_ranks, eta_squared, hedges_g, kruskal_wallis, mann_whitney,
    rank_biserial, welch_anova, welch_t,
};

/// A test of no association.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TestKind {
    /// Means of two groups, variances may differ. The statistic is t.
    WelchT,
    /// Means of several groups, variances may differ. The statistic is F.
    WelchAnova,
    /// Ranks of two groups. The statistic is U of the first group.
    MannWhitney,
    /// Ranks of several groups. The statistic is H.
    KruskalWallis,
    /// Pearson's chi-squared, without continuity correction.
    ChiSquared,
    /// Pearson's chi-squared against permutations of the same margins: for tables with rare cells.
    ChiSquaredPermutation,
    /// Fisher's exact test of a two-by-two table. The statistic is the sample odds ratio.
    FisherExact,
}

impl TestKind {
    /// The usual name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WelchT => "Welch t",
            Self::WelchAnova => "Welch ANOVA",
            Self::MannWhitney => "Mann-Whitney U",
            Self::KruskalWallis => "Kruskal-Wallis",
            Self::ChiSquared => "chi-squared",
            Self::ChiSquaredPermutation => "chi-squared, permuted",
            Self::FisherExact => "Fisher exact",
        }
    }
}

impl fmt::Display for TestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Result of a test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TestResult {
    /// The test.
    pub kind: TestKind,
    /// The statistic. `None` if it is infinite (an odds ratio with a zero denominator).
    pub statistic: Option<f64>,
    /// Degrees of freedom, if any. For F those between groups.
    pub dof: Option<f64>,
    /// Degrees of freedom of F within groups.
    pub dof_within: Option<f64>,
    /// Two-sided probability of a statistic as extreme as this one, if there is no association.
    pub p_value: f64,
}

/// A measure of effect size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EffectKind {
    /// Difference of two means in pooled standard deviations, corrected for small samples. Positive if the
    /// first group has the larger mean.
    HedgesG,
    /// Share of pairs in which the first group is larger minus the share in which it is smaller: -1 to 1.
    RankBiserial,
    /// Share of the variance between groups: 0 to 1.
    EtaSquared,
    /// The same for ranks.
    EpsilonSquared,
    /// Cramer's V with Bergsma's correction of its bias: 0 to 1.
    CramersV,
}

impl EffectKind {
    /// The usual name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HedgesG => "Hedges g",
            Self::RankBiserial => "rank-biserial r",
            Self::EtaSquared => "eta squared",
            Self::EpsilonSquared => "epsilon squared",
            Self::CramersV => "Cramer's V",
        }
    }
}

impl fmt::Display for EffectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Effect size of an association.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EffectSize {
    /// The measure.
    pub kind: EffectKind,
    /// The estimate.
    pub value: f64,
    /// Its 95 % interval, if available.
    pub interval: Option<Interval>,
}

/// A test with its effect size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Association {
    /// Number of rows (subjects).
    pub n: u64,
    /// The test.
    pub test: TestResult,
    /// The effect size.
    pub effect: EffectSize,
}
