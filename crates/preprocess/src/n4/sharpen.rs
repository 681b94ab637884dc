//! Sharpens the histogram of log intensities: removes the blur of the field.
//!
//! # Reference
//! Sled, Zijdenbos, Evans 1998, doi:10.1109/42.668698, section II-B; details as in
//! `itk::N4BiasFieldCorrectionImageFilter`: triangular bins, padding to twice the next power of two.

use std::f64::consts::{LN_2, PI};

use super::N4Config;
use super::samples::Samples;
use crate::numbers::as_f64;

/// Counts of corrected log intensities, each divided between the two nearest bins.
#[derive(Debug)]
pub(super) struct Histogram {
    low: f64,
    /// Distance of the bins' centres, in log intensity.
    bin_width: f64,
    counts: Vec<f64>,
}

impl Histogram {
    /// Counts the samples; `None` if all have the same intensity and there is nothing to sharpen.
    pub(super) fn of(samples: &Samples, log_field: &[f32], n_bins: usize) -> Option<Self> {
        let ranges = samples.fold_planes(
            log_field,
            || (f64::INFINITY, f64::NEG_INFINITY),
            |range, value| *range = (value.min(range.0), value.max(range.1)),
        );
        let low = ranges.iter().fold(f64::INFINITY, |low, range| low.min(range.0));
        let high = ranges.iter().fold(f64::NEG_INFINITY, |high, range| high.max(range.1));
        let bin_width = (high - low) / as_f64(n_bins - 1);
        if bin_width <= f64::EPSILON {
            return None;
        }
        let mut histogram = Self { low, bin_width, counts: vec![0.0; n_bins] };
        let planes = samples.fold_planes(
            log_field,
            || vec![0.0; n_bins],
            |counts, value| {
                let (bin, part) = histogram.place(value);
                counts[bin] += 1.0 - part;
                counts[bin + 1] += part;
            },
        );
        for plane in planes {
            for (sum, count) in histogram.counts.iter_mut().zip(plane) {
                *sum += count;
            }
        }
        Some(histogram)
    }

    /// The bin whose centre is at or below `value`, never the last, and the distance from it in bins.
    fn place(&self, value: f64) -> (usize, f64) {
        let position = (value - self.low) / self.bin_width;
        let bin = to_bin(position).min(self.counts.len() - 2);
        (bin, position - as_f64(bin))
    }

    /// The map from blurred to sharpened intensity: the expectation of the latter given the former.
    pub(super) fn sharpen(self, config: &N4Config) -> Sharpening {
        let n_bins = self.counts.len();
        let n_padded = 2 * n_bins.next_power_of_two();
        let before = (n_padded - n_bins) / 2;
        let mut padded = vec![0.0; n_padded];
        padded[before..before + n_bins].copy_from_slice(&self.counts);
        let blur = gaussian(n_padded, config.bias_fwhm / self.bin_width);
        let sharp = deconvolve(&padded, &blur, config.wiener_noise);
        let expected = expectation(&sharp, &blur, before, n_bins);
        Sharpening { histogram: self, expected }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, below 10000")]
const fn to_bin(position: f64) -> usize {
    position as usize
}

/// The map from blurred to sharpened log intensity.
#[derive(Debug)]
pub(super) struct Sharpening {
    histogram: Histogram,
    /// The sharpened intensity at each bin's centre, in bins.
    expected: Vec<f64>,
}

impl Sharpening {
    /// The part of a log intensity attributed to the field: the intensity minus the sharpened one.
    pub(super) fn residual(&self, value: f64) -> f64 {
        let (bin, part) = self.histogram.place(value);
        let [here, next] = [self.expected[bin], self.expected[bin + 1]];
        let sharpened = here + (next - here) * part;
        (as_f64(bin) + part - sharpened) * self.histogram.bin_width
    }
}

/// A periodic Gaussian of unit sum around element 0. `fwhm` is in elements.
fn gaussian(n: usize, fwhm: f64) -> Vec<f64> {
    let scale = 2.0 * (LN_2 / PI).sqrt() / fwhm;
    let at = |i: usize| as_f64(i.min(n - i)) / fwhm;
    (0..n).map(|i| scale * libm::exp(-4.0 * LN_2 * at(i) * at(i))).collect()
}

/// Deconvolves `blur` from `counts` with a Wiener filter. Negative results become zero. The scale is
/// arbitrary.
fn deconvolve(counts: &[f64], blur: &[f64], noise: f64) -> Vec<f64> {
    let transform = |values: &[f64]| {
        let mut complex: Vec<[f64; 2]> = values.iter().map(|&re| [re, 0.0]).collect();
        fourier(&mut complex);
        complex
    };
    // The blur is even, so its transform is real.
    let filtered = transform(counts).into_iter().zip(transform(blur)).map(|([re, im], [blur, _])| {
        let gain = blur / (blur * blur + noise);
        // The conjugate, so that the forward transform works as the inverse one.
        [re * gain, -im * gain]
    });
    let mut sharp: Vec<[f64; 2]> = filtered.collect();
    fourier(&mut sharp);
    sharp.into_iter().map(|[re, _]| re.max(0.0)).collect()
}

/// In-place discrete Fourier transform of a power-of-two length (Cooley and Tukey).
fn fourier(values: &mut [[f64; 2]]) {
    let n = values.len();
    for i in 0..n {
        let j = i.reverse_bits() >> (n.leading_zeros() + 1);
        if i < j {
            values.swap(i, j);
        }
    }
    let roots: Vec<(f64, f64)> =
        (0..n / 2).map(|k| libm::sincos(-2.0 * PI * as_f64(k) / as_f64(n))).collect();
    let mut half = 1;
    while half < n {
        for block in values.chunks_exact_mut(2 * half) {
            let (even, odd) = block.split_at_mut(half);
            let roots = roots.iter().step_by(n / 2 / half);
            for ((even, odd), (sin, cos)) in even.iter_mut().zip(odd).zip(roots) {
                let [re, im] = [odd[0] * cos - odd[1] * sin, odd[0] * sin + odd[1] * cos];
                *odd = [even[0] - re, even[1] - im];
                *even = [even[0] + re, even[1] + im];
            }
        }
        half *= 2;
    }
}

/// For each of the `n_bins` bins from `before`, the mean bin of `sharp` that `blur` maps there, in bins from
/// `before`: E(u|v) of Sled 1998.
///
/// The sums are computed directly rather than by transforms as in ITK. All terms are positive, so a bin far
/// from every count gets a valid mean too, where the quotient of two transforms would be rounding noise.
fn expectation(sharp: &[f64], blur: &[f64], before: usize, n_bins: usize) -> Vec<f64> {
    let n = sharp.len();
    let around: Vec<f64> = blur.iter().chain(blur).copied().collect();
    let (mut total, mut moment) = (vec![0.0; n_bins], vec![0.0; n_bins]);
    for (from, &count) in sharp.iter().enumerate().filter(|&(_, &count)| count > 0.0) {
        let position = as_f64(from) - as_f64(before);
        let start = before + n - from; // blur from `from` to the first bin
        let weights = around[start % n..].iter().map(|weight| weight * count);
        for ((total, moment), weight) in total.iter_mut().zip(&mut moment).zip(weights) {
            *total += weight;
            *moment += weight * position;
        }
    }
    let own = |bin: usize| as_f64(bin);
    let mean = |bin: usize| if total[bin] > 0.0 { moment[bin] / total[bin] } else { own(bin) };
    (0..n_bins).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transform_of_a_wave_is_one_line() {
        let wave = |i: usize| 2.0 * PI * as_f64(3 * i) / 16.0;
        let mut lines: Vec<[f64; 2]> = (0..16).map(|i| [wave(i).cos(), wave(i).sin()]).collect();
        fourier(&mut lines);
        for (k, [re, im]) in lines.into_iter().enumerate() {
            let want = if k == 3 { 16.0 } else { 0.0 };
            assert!((re - want).abs() < 1e-12 && im.abs() < 1e-12, "line {k} is {re} + {im}i");
        }
    }

    #[test]
    fn gaussian_has_unit_sum_and_the_width_asked_for() {
        let blur = gaussian(512, 12.0);
        assert!((blur.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((blur[6] / blur[0] - 0.5).abs() < 1e-12);
        assert!((blur[506] - blur[6]).abs() < 1e-15);
    }

    #[test]
    fn blurred_peaks_are_drawn_together() {
        let blur = gaussian(64, 6.0);
        let peaks = [(20, 300.0), (40, 100.0)];
        let counts: Vec<f64> =
            (0..64).map(|i| peaks.iter().map(|(at, n)| n * blur[(64 + i - at) % 64]).sum()).collect();
        let sharp = deconvolve(&counts, &blur, 0.01);
        let largest = (0..64).max_by(|&a, &b| sharp[a].total_cmp(&sharp[b])).unwrap();
        assert_eq!(largest, 20);
        let expected = expectation(&sharp, &blur, 8, 48);
        for (bin, peak) in [(10, 12.0), (12, 12.0), (14, 12.0), (31, 32.0), (33, 32.0)] {
            let pulled = (expected[bin] - peak).abs();
            assert!(pulled < 0.8 * (as_f64(bin) - peak).abs() + 0.2, "bin {bin} goes to {}", expected[bin]);
        }
    }

    #[test]
    fn bins_that_nothing_reaches_stay_where_they_are() {
        let mut sharp = vec![0.0; 64];
        sharp[10] = 1.0;
        let expected = expectation(&sharp, &gaussian(64, 0.2), 0, 64);
        assert!((expected[40] - 40.0).abs() < 1e-12);
        assert!((expected[10] - 10.0).abs() < 1e-12);
    }
}
