//! The exponential function and softmax of a row.

use crate::LANES;

/// `exp(x)` for `x` up to 80; below -87 it stays at the smallest normal number. Relative error below 2e-7.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the exponent is a small whole number")]
#[expect(clippy::excessive_precision, reason = "the parts of ln 2 are meant to the last bit")]
pub(super) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    let x = if x > -87.0 { x } else { -87.0 };
    let n = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = (x - n * 0.693_359_375) - n * -2.121_944_4e-4;
    let p = 1.987_569_1e-4 * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    p * f32::from_bits(((n as i32 + 127) << 23) as u32)
}

/// The largest number of a row.
#[inline(always)]
pub(super) fn largest(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = if value > *lane { value } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |most, &value| if value > most { value } else { most })
}

/// Sum of the values that `term` makes of the pairs, in sixteen lanes that are added in order at the end.
#[inline(always)]
pub(super) fn sum_of(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += term(a, b);
        }
    }
    for ((lane, &a), &b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
        *lane += term(a, b);
    }
    lanes.iter().sum()
}

/// Replaces scores by their exponentials, the largest score's being 1, and returns the sum of those.
#[inline(always)]
pub(super) fn exponentials(row: &mut [f32]) -> f32 {
    let most = largest(row);
    row.iter_mut().for_each(|value| *value = exp(*value - most));
    sum_of(row, row, |value, _| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_those_of_double_precision() {
        for i in -8700..8000 {
            let x = i as f32 / 100.0;
            let (got, expected) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((got / expected - 1.0).abs() < 3e-7, "{x}: {got} {expected}");
        }
        assert!(exp(f32::NEG_INFINITY) < 2e-38);
    }

    #[test]
    fn a_row_of_scores() {
        for n in [1, 15, 16, 17, 40] {
            let scores: Vec<f32> = (0..n).map(|i| (i * 37 % 11) as f32 - 100.0).collect();
            let mut row = scores.clone();
            let sum = f64::from(exponentials(&mut row));
            let most = scores.iter().copied().fold(f32::MIN, f32::max);
            let expected: f64 = scores.iter().map(|&s| f64::from(s - most).exp()).sum();
            assert!((sum / expected - 1.0).abs() < 1e-6, "{n}: {sum} {expected}");
            assert!((largest(&row) - 1.0).abs() < 1e-6);
        }
    }
}
