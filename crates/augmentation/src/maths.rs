//! Elementary functions without branches or calls, so that the compiler can vectorise them, with the same
//! bits on every platform. Relative errors are below 1e-11, far below single precision.

/// Adding this to a number of magnitude below 2^51 leaves its nearest integer in the low bits.
const ROUNDER: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52
/// Bits of 2^52: or-ed with an integer below 2^52 they give 2^52 plus that integer.
const TWO_52_BITS: u64 = 0x4330_0000_0000_0000;
const TWO_52: f64 = 4_503_599_627_370_496.0;
const FRACTION_BITS: u32 = 52;
/// Bits of sqrt(1/2): mantissas are taken from there to sqrt(2).
const SQRT_HALF_BITS: u64 = 0x3fe6_a09e_667f_3bcd;

/// Natural logarithm of a positive, normal number.
///
/// `x = 2^e m` with `m` around 1, and `ln m = 2 artanh((m - 1) / (m + 1))` by its series.
#[inline]
pub(crate) fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    // The exponent counted from sqrt(1/2), shifted by 1024 so that it is positive.
    let shifted = bits.wrapping_sub(SQRT_HALF_BITS).wrapping_add(1024 << FRACTION_BITS) >> FRACTION_BITS;
    let exponent = f64::from_bits(shifted | TWO_52_BITS) - (TWO_52 + 1024.0);
    let mantissa = f64::from_bits(bits.wrapping_sub(shifted.wrapping_sub(1024) << FRACTION_BITS));
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let z = s * s;
    let series = [1.0, 1.0 / 3.0, 1.0 / 5.0, 1.0 / 7.0, 1.0 / 9.0, 1.0 / 11.0, 1.0 / 13.0, 1.0 / 15.0];
    exponent * std::f64::consts::LN_2 + 2.0 * s * polynomial(z, series)
}

/// `e^x`, clamped to `e^-690` and `e^690`.
#[inline]
pub(crate) fn exp(x: f64) -> f64 {
    let y = (x * std::f64::consts::LOG2_E).clamp(-996.0, 996.0);
    let rounded = y + ROUNDER;
    let t = (y - (rounded - ROUNDER)) * std::f64::consts::LN_2;
    let power_of_two = f64::from_bits(rounded.to_bits().wrapping_add(1023) << FRACTION_BITS);
    let series = [
        1.0,
        1.0,
        1.0 / 2.0,
        1.0 / 6.0,
        1.0 / 24.0,
        1.0 / 120.0,
        1.0 / 720.0,
        1.0 / 5_040.0,
        1.0 / 40_320.0,
        1.0 / 362_880.0,
        1.0 / 3_628_800.0,
    ];
    power_of_two * polynomial(t, series)
}

/// Sine and cosine of `turns` whole turns, for `turns` in `[0, 1]`.
#[inline]
pub(crate) fn sin_cos_of_turns(turns: f64) -> (f64, f64) {
    let rounded = 4.0 * turns + ROUNDER;
    let quarter = rounded.to_bits() & 3;
    let angle = (4.0 * turns - (rounded - ROUNDER)) * std::f64::consts::FRAC_PI_2;
    let z = angle * angle;
    let sine_series = [
        1.0,
        -1.0 / 6.0,
        1.0 / 120.0,
        -1.0 / 5_040.0,
        1.0 / 362_880.0,
        -1.0 / 39_916_800.0,
        1.0 / 6_227_020_800.0,
    ];
    let cosine_series =
        [1.0, -1.0 / 2.0, 1.0 / 24.0, -1.0 / 720.0, 1.0 / 40_320.0, -1.0 / 3_628_800.0, 1.0 / 479_001_600.0];
    let (sine, cosine) = (angle * polynomial(z, sine_series), polynomial(z, cosine_series));
    let swap = quarter & 1 == 1;
    let (s, c) = if swap { (cosine, sine) } else { (sine, cosine) };
    // Quarters 2 and 3 turn the sine's sign, 1 and 2 the cosine's.
    let sine_sign = (quarter & 2) << 62;
    let cosine_sign = ((quarter + 1) & 2) << 62;
    (f64::from_bits(s.to_bits() ^ sine_sign), f64::from_bits(c.to_bits() ^ cosine_sign))
}

/// `coefficients[0] + coefficients[1] x + ...`.
#[inline]
fn polynomial<const N: usize>(x: f64, coefficients: [f64; N]) -> f64 {
    let mut sum = 0.0;
    for coefficient in coefficients.into_iter().rev() {
        sum = sum * x + coefficient;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(pairs: impl Iterator<Item = (f64, f64)>) -> f64 {
        pairs.map(|(got, want)| (got - want).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn logarithms() {
        let xs = (1..200_000).map(|i| f64::from(i) * 1e-4).chain((-149..128).map(|e| 2.0_f64.powi(e) * 1.1));
        // Relative to 1 near 1 and to the value elsewhere.
        let error = worst(xs.map(|x| (ln(x) / x.ln().abs().max(1.0), x.ln() / x.ln().abs().max(1.0))));
        assert!(error < 1e-12, "{error}");
        assert!(ln(1.0).abs() < 1e-300);
        assert!((ln(1.0 - 2.0_f64.powi(-53)) + 2.0_f64.powi(-53)).abs() < 1e-20);
    }

    #[test]
    fn exponentials() {
        let xs = (-68_000..68_000).map(|i| f64::from(i) * 1e-2);
        let error = worst(xs.map(|x| (exp(x) / x.exp(), 1.0)));
        assert!(error < 1e-11, "{error}");
        assert!(exp(-1e9) < 1e-290 && exp(-1e9) > 0.0 && exp(1e9) > 1e290 && exp(1e9).is_finite());
    }

    #[test]
    fn sines_and_cosines() {
        let turns = || (0..=100_000).map(|i| f64::from(i) * 1e-5);
        let angle = |t: f64| 2.0 * std::f64::consts::PI * t;
        assert!(worst(turns().map(|t| (sin_cos_of_turns(t).0, angle(t).sin()))) < 1e-11);
        assert!(worst(turns().map(|t| (sin_cos_of_turns(t).1, angle(t).cos()))) < 1e-11);
    }
}
