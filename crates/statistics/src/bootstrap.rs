//! Bootstrap over subjects. Scans of one subject are not independent, so subjects are resampled.

use serde::{Deserialize, Serialize};

use crate::Interval;

/// Settings of the bootstrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BootstrapConfig {
    /// Number of resamples. With 2,000 the ends of an interval are accurate to about a hundredth of its
    /// width.
    pub n_resamples: usize,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for BootstrapConfig {
    fn default() -> Self {
        Self { n_resamples: 2000, seed: 0 }
    }
}

/// 95 % percentile intervals of `N` statistics over resampled clusters.
///
/// `cluster_of[i]` is the cluster (subject) of scan `i`, from 0 to `n_clusters - 1`. `statistics` receives
/// the count of each scan in the resample, and returns `None` for undefined statistics (a resample without a
/// class). Such resamples are excluded. An interval is `None` if fewer than half of the resamples define it,
/// or if all resamples agree, because they then say nothing about the uncertainty.
///
/// # Panics
/// If a cluster is out of range.
///
/// # Determinism
/// The result depends only on the arguments.
pub fn cluster_bootstrap<const N: usize>(
    cluster_of: &[usize],
    n_clusters: usize,
    config: &BootstrapConfig,
    mut statistics: impl FnMut(&[u64]) -> [Option<f64>; N],
) -> [Option<Interval>; N] {
    if n_clusters < 2 {
        return [None; N];
    }
    let mut random = SplitMix(config.seed);
    let mut values: [Vec<f64>; N] = std::array::from_fn(|_| Vec::with_capacity(config.n_resamples));
    let mut drawn = vec![0_u64; n_clusters];
    let mut weights = vec![0_u64; cluster_of.len()];
    for _ in 0..config.n_resamples {
        drawn.fill(0);
        for _ in 0..n_clusters {
            drawn[random.below(n_clusters)] += 1;
        }
        for (weight, &cluster) in weights.iter_mut().zip(cluster_of) {
            *weight = drawn[cluster];
        }
        for (values, value) in values.iter_mut().zip(statistics(&weights)) {
            values.extend(value);
        }
    }
    values.map(|values| percentile_interval(values, config.n_resamples))
}

fn percentile_interval(mut values: Vec<f64>, n_resamples: usize) -> Option<Interval> {
    if values.is_empty() || 2 * values.len() < n_resamples {
        return None;
    }
    values.sort_by(f64::total_cmp);
    if values[0] >= values[values.len() - 1] {
        return None;
    }
    Some(Interval { lower: quantile(&values, 0.025), upper: quantile(&values, 0.975) })
}

/// Linear interpolation between order statistics, as numpy's default.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a position in the slice"
)]
fn quantile(sorted: &[f64], fraction: f64) -> f64 {
    let position = fraction * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (position - below as f64) * (sorted[above] - sorted[below])
}

/// SplitMix64 (Steele et al. 2014, doi:10.1145/2714064.2660195). Implemented here so that the stream never
/// changes with a version of a random number crate.
pub(crate) struct SplitMix(u64);

impl SplitMix {
    /// A stream from a seed.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`. The bias of `n / 2^64` does not matter here.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        let wide = u128::from(self.next()) * n as u128;
        usize::try_from(wide >> 64).expect("below n, which is a usize")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_published_one() {
        // First outputs for seed 1234567, from the author's C code.
        let mut random = SplitMix(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn quantiles_interpolate() {
        assert!((quantile(&[1.0, 2.0, 4.0], 0.75) - 3.0).abs() < 1e-12);
        assert!((quantile(&[5.0], 0.975) - 5.0).abs() < 1e-12);
    }

    #[test]
    fn clusters_are_drawn_whole_and_intervals_withheld_where_they_say_nothing() {
        let cluster_of = [0, 0, 1, 2, 2, 2];
        let config = BootstrapConfig { n_resamples: 200, seed: 3 };
        let intervals = cluster_bootstrap(&cluster_of, 3, &config, |weights| {
            assert!(weights[0] == weights[1] && weights[3] == weights[5]);
            assert_eq!(weights[0] + weights[2] + weights[3], 3);
            [Some(weights[2] as f64), Some(1.0), None]
        });
        assert!(intervals[0].is_some_and(|interval| interval.lower < interval.upper));
        assert_eq!(&intervals[1..], &[None, None]);
        assert_eq!(cluster_bootstrap(&[0, 0], 1, &config, |_| [Some(1.0)]), [None]);
    }
}
