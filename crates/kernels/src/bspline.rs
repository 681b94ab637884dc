//! The cubic B-spline in one dimension: prefilter, taps and weights.
//!
//! The signal is mirrored about its end samples (period `2 (n - 1)`), as `scipy.ndimage` does with
//! `mode="mirror"` and, inside the field of view, with `mode="constant"`.
//!
//! # Reference
//! Unser, "Splines: a perfect fit for signal and image processing", 1999, doi:10.1109/79.799930.

/// Value of a sample outside the field of view (beyond the centres of the end voxels).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    /// Zero: nothing was measured there.
    Zero,
    /// The mirror image of the signal.
    Mirror,
}

/// A coordinate within this many voxels outside the field of view counts as its edge, so that
/// rounding (of a spacing that a header holds as `f32`) cannot turn the last plane into background.
const EDGE_TOLERANCE_VOXELS: f64 = 1e-4;

/// The pole of the cubic B-spline filter, sqrt(3) - 2.
const POLE: f64 = -0.267_949_192_431_122_7;

/// The gain that makes the filter's response to a constant one: `(1 - POLE) (1 - 1 / POLE)`.
pub(crate) const GAIN: f64 = 6.0;

/// Terms of the causal start: `|POLE|^32 < 1e-18`, beyond `f64`.
const HORIZON: usize = 32;

/// Lines filtered side by side; any count of lanes gives each lane the same bits.
pub(crate) type Lanes<const L: usize> = [f64; L];

/// Replaces samples by the coefficients of the cubic B-spline that passes through them.
///
/// # Reference
/// Unser 1999, box 2; the start values are those of the infinitely mirrored signal.
pub fn prefilter(line: &mut [f64]) {
    prefilter_lanes(line.as_chunks_mut::<1>().0);
}

/// [`prefilter`] on `L` lines side by side.
pub(crate) fn prefilter_lanes<const L: usize>(lines: &mut [Lanes<L>]) {
    let n = lines.len();
    if n < 2 {
        return;
    }
    lines[0] = causal_start(lines);
    for i in 1..n {
        let previous = lines[i - 1];
        for (value, before) in lines[i].iter_mut().zip(previous) {
            *value = GAIN * *value + POLE * before;
        }
    }
    let last_but_one = lines[n - 2];
    for (value, before) in lines[n - 1].iter_mut().zip(last_but_one) {
        *value = (POLE * before + *value) * (POLE / (POLE * POLE - 1.0));
    }
    for i in (0..n - 1).rev() {
        let next = lines[i + 1];
        for (value, after) in lines[i].iter_mut().zip(next) {
            *value = POLE * (after - *value);
        }
    }
}

/// First value of the causal pass: the sum over the mirrored past, in closed form for short lines,
/// cut off beyond the precision of `f64` for long ones.
fn causal_start<const L: usize>(lines: &[Lanes<L>]) -> Lanes<L> {
    let n = lines.len();
    let mut sum = lines[0];
    let mut power = POLE;
    if n > HORIZON {
        for line in &lines[1..HORIZON] {
            accumulate(&mut sum, power, line);
            power *= POLE;
        }
        return sum.map(|value| GAIN * value);
    }
    let around = (1..n).fold(1.0, |product, _| product * POLE); // POLE^(n - 1)
    accumulate(&mut sum, around, &lines[n - 1]);
    for i in 1..n - 1 {
        accumulate(&mut sum, power, &lines[i]);
        accumulate(&mut sum, power * around, &lines[n - 1 - i]);
        power *= POLE;
    }
    sum.map(|value| GAIN * value / (1.0 - around * around))
}

fn accumulate<const L: usize>(sum: &mut Lanes<L>, weight: f64, line: &Lanes<L>) {
    for (total, value) in sum.iter_mut().zip(line) {
        *total += weight * value;
    }
}

/// The four coefficients that a sample is made of, and their weights.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taps {
    pub(crate) index: [usize; 4],
    pub(crate) weight: [f64; 4],
}

/// Taps for a sample at `coordinate` (in voxels) of a line of `n`; all weights are zero for
/// [`Outside::Zero`] beyond the ends.
pub(crate) fn taps(coordinate: f64, n: usize, outside: Outside) -> Taps {
    let Some(inside) = into_range(coordinate, n, outside) else {
        return Taps { index: [0; 4], weight: [0.0; 4] };
    };
    let base = inside.floor();
    let first = to_index(base) - 1;
    Taps { index: [0, 1, 2, 3].map(|k| mirrored(first + k, n)), weight: weights(inside - base) }
}

/// `coordinate` brought into `0..=n - 1`, or nothing if it lies outside and outside is zero.
fn into_range(coordinate: f64, n: usize, outside: Outside) -> Option<f64> {
    let last = to_coordinate(n - 1);
    if (-EDGE_TOLERANCE_VOXELS..=last + EDGE_TOLERANCE_VOXELS).contains(&coordinate) {
        return Some(coordinate.clamp(0.0, last));
    }
    if outside == Outside::Zero || !coordinate.is_finite() {
        return None;
    }
    if n == 1 {
        return Some(0.0);
    }
    let folded = coordinate.rem_euclid(2.0 * last);
    Some(if folded > last { 2.0 * last - folded } else { folded }.clamp(0.0, last))
}

/// Weights of the coefficients at `floor - 1 ..= floor + 2` for a sample `t` past the floor.
pub(crate) fn weights(t: f64) -> [f64; 4] {
    let s = 1.0 - t;
    [
        s * s * s / 6.0,
        (4.0 - 6.0 * t * t + 3.0 * t * t * t) / 6.0,
        (4.0 - 6.0 * s * s + 3.0 * s * s * s) / 6.0,
        t * t * t / 6.0,
    ]
}

/// Index `i` of the mirrored line of `n`.
fn mirrored(i: isize, n: usize) -> usize {
    if n == 1 {
        return 0;
    }
    let last = n.cast_signed() - 1;
    let folded = i.rem_euclid(2 * last);
    (if folded > last { 2 * last - folded } else { folded }).unsigned_abs()
}

#[expect(clippy::cast_possible_truncation, reason = "floor of a coordinate inside a line, below 2^30")]
const fn to_index(floor: f64) -> isize {
    floor as isize
}

#[expect(clippy::cast_precision_loss, reason = "axis lengths are below 2^30")]
pub(crate) const fn to_coordinate(i: usize) -> f64 {
    i as f64
}

/// The value at `coordinate` of the spline with these coefficients; the plain reference.
///
/// # Panics
/// If there are no coefficients.
#[must_use]
pub fn sample_reference(coefficients: &[f64], coordinate: f64, outside: Outside) -> f64 {
    let taps = taps(coordinate, coefficients.len(), outside);
    // From +0.0, not by `sum`, which starts at -0.0: outside is then always +0.0.
    taps.index.iter().zip(taps.weight).fold(0.0, |sum, (&i, weight)| sum + weight * coefficients[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize) -> Vec<f64> {
        (0..n).map(|i| to_coordinate((i * 7919 + 13) % 101) - 50.0).collect()
    }

    #[test]
    fn spline_passes_through_its_samples_at_every_length() {
        for n in [1, 2, 3, 4, 7, 8, 9, 31, 32, 33, 34, 63, 64, 65, 300] {
            let samples = noise(n);
            let mut coefficients = samples.clone();
            prefilter(&mut coefficients);
            for (i, sample) in samples.iter().enumerate() {
                let value = sample_reference(&coefficients, to_coordinate(i), Outside::Zero);
                assert!((value - sample).abs() < 1e-11, "length {n}, sample {i}: {value} != {sample}");
            }
        }
    }

    #[test]
    fn mirror_is_symmetric_about_both_ends_and_zero_is_zero() {
        for n in [2, 3, 9, 64] {
            let mut coefficients = noise(n);
            prefilter(&mut coefficients);
            let last = to_coordinate(n - 1);
            for x in [0.25, 0.5, 0.9] {
                let at = |x: f64| sample_reference(&coefficients, x, Outside::Mirror);
                assert!((at(-x) - at(x)).abs() < 1e-10, "length {n}");
                assert!((at(last + x) - at(last - x)).abs() < 1e-10, "length {n}");
                assert_eq!(sample_reference(&coefficients, -x, Outside::Zero).to_bits(), 0);
            }
        }
        assert!((sample_reference(&[3.0], 7.5, Outside::Mirror) - 3.0).abs() < 1e-15);
        assert_eq!(sample_reference(&[3.0], f64::NAN, Outside::Mirror).to_bits(), 0);
    }

    #[test]
    fn cubic_polynomials_are_reproduced_away_from_the_ends() {
        let f = |x: f64| 0.01 * x * x * x - 0.3 * x * x + x;
        let mut coefficients: Vec<f64> = (0..80).map(|i| f(to_coordinate(i))).collect();
        prefilter(&mut coefficients);
        for x in [35.0, 38.3, 40.75, 44.999] {
            assert!((sample_reference(&coefficients, x, Outside::Zero) - f(x)).abs() < 1e-7, "at {x}");
        }
    }
}
