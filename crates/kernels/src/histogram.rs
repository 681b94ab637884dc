//! Order statistics and the threshold between two intensity classes.

use crate::bspline::to_coordinate;

/// Number of histogram bins for the threshold.
const N_BINS: usize = 256;

/// Splits whose quality differs relatively by less are equally good: across empty bins rounding shall
/// not decide, the first is taken.
const TIE: f64 = 1e-12;

/// The percentiles of `values`, linearly interpolated between order statistics (numpy's default).
///
/// `percents` are within 0..=100 and ascending; the values must be finite. Empty values give no
/// percentiles. The buffer is reordered.
#[must_use]
pub fn percentiles(values: &mut [f32], percents: &[f64]) -> Vec<f64> {
    if values.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::with_capacity(percents.len());
    let mut settled = 0; // values[..settled] are no larger than the rest
    for percent in percents {
        let position = percent.clamp(0.0, 100.0) / 100.0 * to_coordinate(values.len() - 1);
        let below = to_rank(position).max(settled);
        let (_, low, above) = values[settled..].select_nth_unstable_by(below - settled, f32::total_cmp);
        let low = f64::from(*low);
        let high = above.iter().copied().min_by(f32::total_cmp).map_or(low, f64::from);
        found.push(low + (high - low) * (position - position.floor()));
        settled = below;
    }
    found
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank within the slice")]
fn to_rank(position: f64) -> usize {
    position.floor() as usize
}

/// Otsu's threshold, which best separates the values into two classes.
///
/// The histogram has 256 equal bins over `low..=high`, values beyond are counted in the end bins; the
/// threshold is the upper edge of the last bin of the lower class, the first of the best if several
/// are. `low` is returned if the range is empty.
///
/// # Reference
/// Otsu 1979, doi:10.1109/TSMC.1979.4310076.
#[must_use]
pub fn otsu_threshold(values: &[f32], low: f64, high: f64) -> f64 {
    let width = (high - low) / to_coordinate(N_BINS);
    if values.is_empty() || !width.is_finite() || width <= 0.0 {
        return low;
    }
    let mut counts = [0_usize; N_BINS];
    for &value in values {
        let bin = ((f64::from(value) - low) / width).clamp(0.0, to_coordinate(N_BINS - 1));
        counts[to_rank(bin)] += 1;
    }
    let total = to_coordinate(values.len());
    let weighted = |(bin, &count): (usize, &usize)| to_coordinate(count) * to_coordinate(bin);
    let total_sum: f64 = counts.iter().enumerate().map(weighted).sum();
    let (mut below, mut below_sum, mut best) = (0.0, 0.0, (0, 0.0));
    for (bin, &count) in counts.iter().enumerate().take(N_BINS - 1) {
        below += to_coordinate(count);
        below_sum += to_coordinate(count) * to_coordinate(bin);
        let above = total - below;
        if below > 0.0 && above > 0.0 {
            let distance = below_sum / below - (total_sum - below_sum) / above;
            let between = below * above * distance * distance;
            if between > best.1 * (1.0 + TIE) {
                best = (bin, between);
            }
        }
    }
    low + width * to_coordinate(best.0 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_numpy() {
        // numpy.percentile([3, 1, 4, 1, 5, 9, 2, 6], [0, 10, 50, 50, 90, 100])
        let mut values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0];
        let got = percentiles(&mut values, &[0.0, 10.0, 50.0, 50.0, 90.0, 100.0]);
        for (got, want) in got.iter().zip([1.0, 1.0, 3.5, 3.5, 6.9, 9.0]) {
            assert!((got - want).abs() < 1e-12, "{got} != {want}");
        }
        assert!(percentiles(&mut [], &[50.0]).is_empty());
        assert_eq!(percentiles(&mut [7.0], &[0.0, 33.0, 100.0]), [7.0, 7.0, 7.0]);
    }

    #[test]
    fn threshold_lies_between_two_humps() {
        let mut values: Vec<f32> = (0..3000).map(|i| (i % 40) as f32).collect();
        values.extend((0..1000).map(|i| 180.0 + (i % 60) as f32));
        let threshold = otsu_threshold(&values, 0.0, 240.0);
        assert!((39.0..180.0).contains(&threshold), "{threshold}");
        assert!((otsu_threshold(&[], 1.0, 2.0) - 1.0).abs() < 1e-15);
        assert!((otsu_threshold(&[4.0; 9], 4.0, 4.0) - 4.0).abs() < 1e-15);
    }
}
