//! Tail probabilities of distributions, and confidence intervals of noncentrality parameters.

use statrs::function::beta::{beta_reg, ln_beta};
use statrs::function::erf::erfc;
use statrs::function::gamma::{gamma_lr, gamma_ur, ln_gamma};

use crate::Interval;

/// Terms of a Poisson mixture below this are neglected.
const NEGLIGIBLE: f64 = 1e-18;

/// Relative width at which bisection ends.
const TOLERANCE: f64 = 1e-12;

/// Probability that a chi-squared variable is at least `x`.
pub(super) fn chi_squared_tail(x: f64, dof: f64) -> f64 {
    if x <= 0.0 { 1.0 } else { gamma_ur(dof / 2.0, x / 2.0) }
}

/// Probability that F is at least `x`.
pub(super) fn f_tail(x: f64, between: f64, within: f64) -> f64 {
    if x <= 0.0 { 1.0 } else { beta_reg(within / 2.0, between / 2.0, within / (within + between * x)) }
}

/// Probability that Student's t is at least as far from 0 as `t`.
pub(super) fn t_two_sided(t: f64, dof: f64) -> f64 {
    beta_reg(dof / 2.0, 0.5, dof / (dof + t * t))
}

/// Probability that a standard normal variable is at least `z`.
pub(super) fn normal_tail(z: f64) -> f64 {
    0.5 * erfc(z / std::f64::consts::SQRT_2)
}

/// Natural logarithm of `n` choose `k`.
pub(super) fn ln_choose(n: f64, k: f64) -> f64 {
    ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0)
}

/// Hedges's bias-correction factor for a standardised difference.
///
/// # Reference
/// Hedges 1981, doi:10.3102/10769986006002107, equation 6e.
pub(super) fn hedges_factor(dof: f64) -> f64 {
    (ln_gamma(dof / 2.0) - ln_gamma((dof - 1.0) / 2.0)).exp() / (dof / 2.0).sqrt()
}

/// 95 % interval of the noncentrality of chi-squared, by inverting its distribution.
pub(super) fn chi_squared_noncentrality(x: f64, dof: f64) -> Interval {
    noncentrality(x, |lambda| noncentral_chi_squared(x, dof, lambda))
}

/// 95 % interval of the noncentrality of F, by inverting its distribution.
pub(super) fn f_noncentrality(x: f64, between: f64, within: f64) -> Interval {
    noncentrality(x * between, |lambda| noncentral_f(x, between, within, lambda))
}

/// The noncentralities at which the observed statistic is at the upper and at the lower 2.5 %.
/// `distribution` falls as the noncentrality grows.
fn noncentrality(guess: f64, distribution: impl Fn(f64) -> f64) -> Interval {
    let reaching = |target: f64| {
        if distribution(0.0) <= target {
            return 0.0;
        }
        let (mut low, mut high) = (0.0, guess.max(1.0));
        while distribution(high) > target && high < 1e12 {
            (low, high) = (high, 2.0 * high);
        }
        while high - low > TOLERANCE * high {
            let middle = f64::midpoint(low, high);
            if distribution(middle) > target { low = middle } else { high = middle }
        }
        f64::midpoint(low, high)
    };
    Interval { lower: reaching(0.975), upper: reaching(0.025) }
}

/// Distribution function of the noncentral chi-squared: a Poisson mixture of central ones, summed from its
/// largest term in both directions by the recurrence of the incomplete gamma function.
fn noncentral_chi_squared(x: f64, dof: f64, lambda: f64) -> f64 {
    let y = x / 2.0;
    if y <= 0.0 {
        return 0.0;
    }
    let central =
        |a: f64| Central { value: gamma_lr(a, y), drop: (a * y.ln() - y - ln_gamma(a + 1.0)).exp() };
    poisson_mixture(dof / 2.0, lambda / 2.0, central, |a| y / (a + 1.0))
}

/// Distribution function of the noncentral F, likewise.
fn noncentral_f(x: f64, between: f64, within: f64, lambda: f64) -> f64 {
    let share = between * x / (between * x + within);
    let b = within / 2.0;
    if share <= 0.0 {
        return 0.0;
    }
    let central = |a: f64| Central {
        value: beta_reg(a, b, share),
        drop: (a * share.ln() + b * (1.0 - share).ln() - a.ln() - ln_beta(a, b)).exp(),
    };
    poisson_mixture(between / 2.0, lambda / 2.0, central, |a| share * (a + b) / (a + 1.0))
}

/// A central distribution function of shape `a`, and by how much that of shape `a + 1` is less.
struct Central {
    value: f64,
    drop: f64,
}

/// Sum of Poisson(`mean`) weights times `central(first + j)`. `growth(a)` is the drop at `a + 1` over that at `a`.
fn poisson_mixture(
    first: f64,
    mean: f64,
    central: impl Fn(f64) -> Central,
    growth: impl Fn(f64) -> f64,
) -> f64 {
    if mean <= 0.0 {
        return central(first).value;
    }
    let start = mean.floor();
    let weight = (start * mean.ln() - mean - ln_gamma(start + 1.0)).exp();
    let at_start = central(first + start);
    let mut sum = 0.0;
    let (mut j, mut w, mut value, mut drop) = (start, weight, at_start.value, at_start.drop);
    while w > NEGLIGIBLE && value > 0.0 {
        sum += w * value;
        value -= drop;
        drop *= growth(first + j);
        j += 1.0;
        w *= mean / j;
    }
    let (mut j, mut w, mut value, mut drop) = (start, weight, at_start.value, at_start.drop);
    while j > 0.0 && w > NEGLIGIBLE {
        w *= j / mean;
        j -= 1.0;
        drop /= growth(first + j);
        value += drop;
        sum += w * value;
    }
    sum.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noncentral_without_noncentrality_is_central() {
        for x in [0.3, 2.0, 17.0] {
            assert!((noncentral_chi_squared(x, 3.0, 0.0) + chi_squared_tail(x, 3.0) - 1.0).abs() < 1e-13);
            assert!((noncentral_f(x, 2.0, 31.0, 0.0) + f_tail(x, 2.0, 31.0) - 1.0).abs() < 1e-13);
        }
    }

    #[test]
    fn intervals_reach_down_to_none_for_statistics_that_chance_gives() {
        let found = chi_squared_noncentrality(2.0, 2.0);
        assert!(found.lower.abs() < 1e-15 && found.upper > 5.0, "{found:?}");
        let nothing = chi_squared_noncentrality(0.0, 1.0);
        assert!(nothing.lower.abs() < 1e-15 && nothing.upper.abs() < 1e-15, "{nothing:?}");
    }
}
