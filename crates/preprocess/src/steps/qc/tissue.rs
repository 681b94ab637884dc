//! Contrast between the tissues of the brain.

use brainreel_kernels::percentiles;
use brainreel_volume::{Mask, Volume};
use serde::{Deserialize, Serialize};

use super::Metric;
use crate::numbers::as_f64;
use crate::numbers::values_inside;

const N_BINS: usize = 256;
const MAX_ITERATIONS: usize = 100;

/// Ratio of the mean of Rayleigh-distributed magnitudes to the standard deviation of the underlying noise.
const RAYLEIGH_MEAN: f64 = 1.253_314_137_315_500_3;

/// Three classes of intensity in the brain, from dark to bright: on a T1-weighted image mostly
/// cerebrospinal fluid, grey and white matter. Proxies, not a segmentation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TissueContrast {
    /// Mean intensity of the dark, middle and bright class.
    pub means: [f64; 3],
    /// Standard deviation within each.
    pub standard_deviations: [f64; 3],
    /// Share of the brain's voxels in each.
    pub fractions: [f64; 3],
    /// Contrast to noise between grey and white: difference of means over the root of the sum of
    /// variances. Low for noise, blur and motion.
    pub cnr: f64,
    /// Coefficient of joint variation of grey and white: sum of deviations over difference of means.
    /// High for noise, motion and shading.
    pub cjv: f64,
    /// Signal to noise of the bright class: its mean over its deviation.
    pub snr: f64,
    /// Standard deviation of the noise, from the air in the upper corners of the head image, in image units.
    /// `None` if the scanner set air to zero.
    pub air_noise: Option<f64>,
}

impl TissueContrast {
    /// Computes the measures from a corrected image, its brain mask and the input head. `None` if the brain
    /// has fewer than three intensities.
    pub(crate) fn of(volume: &Volume<f32>, brain: &Mask, head: &Volume<f32>) -> Option<Self> {
        let mut values = values_inside(volume, brain);
        let range = percentiles(&mut values, &[0.5, 99.5]);
        let &[low, high] = range.as_slice() else { return None };
        let classes = find_classes(&values, low, high)?;
        let [_, grey, white] = classes;
        let difference = white.mean - grey.mean;
        let deviations = (grey.deviation.powi(2) + white.deviation.powi(2)).sqrt();
        let usable = difference > 0.0 && deviations > 0.0 && white.deviation > 0.0;
        usable.then(|| Self {
            means: classes.map(|class| class.mean),
            standard_deviations: classes.map(|class| class.deviation),
            fractions: classes.map(|class| class.fraction),
            cnr: difference / deviations,
            cjv: (grey.deviation + white.deviation) / difference,
            snr: white.mean / white.deviation,
            air_noise: air_noise(head),
        })
    }
}

/// A class of intensities.
#[derive(Debug, Clone, Copy)]
struct Class {
    mean: f64,
    deviation: f64,
    fraction: f64,
}

/// Finds three classes by k-means on the histogram, from evenly spread starts.
fn find_classes(values: &[f32], low: f64, high: f64) -> Option<[Class; 3]> {
    let width = (high - low) / as_f64(N_BINS);
    if !width.is_finite() || width <= 0.0 {
        return None;
    }
    let mut counts = [0_usize; N_BINS];
    let within = |value: &&f32| (low..=high).contains(&f64::from(**value));
    for &value in values.iter().filter(within) {
        counts[bin_of((f64::from(value) - low) / width)] += 1;
    }
    let mut means = [0.15, 0.5, 0.85].map(|part| part * as_f64(N_BINS));
    let mut sums = [[0.0; 3]; 3];
    for _ in 0..MAX_ITERATIONS {
        sums = sums_by_class(&counts, means);
        let found = sums.map(|[n, sum, _]| sum / n);
        if found.iter().any(|mean| !mean.is_finite()) {
            return None;
        }
        let moved = found.iter().zip(means).any(|(new, old)| (new - old).abs() > 1e-6);
        means = found;
        if !moved {
            break;
        }
    }
    let total: f64 = sums.iter().map(|[n, _, _]| n).sum();
    Some(sums.map(|[n, sum, squares]| {
        let mean = sum / n;
        let variance = (squares / n - mean * mean).max(0.0);
        let (mean, deviation) = (low + mean * width, variance.sqrt() * width);
        Class { mean, deviation, fraction: n / total }
    }))
}

/// Number, sum and sum of squares of the bins' centres nearest to each mean.
fn sums_by_class(counts: &[usize; N_BINS], means: [f64; 3]) -> [[f64; 3]; 3] {
    let borders = [f64::midpoint(means[0], means[1]), f64::midpoint(means[1], means[2])];
    let mut sums = [[0.0; 3]; 3];
    for (bin, &count) in counts.iter().enumerate() {
        let (center, n) = (as_f64(bin) + 0.5, as_f64(count));
        let class = borders.iter().filter(|&&border| center > border).count();
        for (sum, value) in sums[class].iter_mut().zip([1.0, center, center * center]) {
            *sum += n * value;
        }
    }
    sums
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, then clamped")]
fn bin_of(position: f64) -> usize {
    (position as usize).min(N_BINS - 1)
}

/// Median of the noise estimates from the mean of the four upper corners (a tenth of each axis).
fn air_noise(head: &Volume<f32>) -> Option<f64> {
    let dims = head.dims();
    let size = dims.map(|n| n.div_ceil(10));
    let mut found = Vec::new();
    for corner in 0..4 {
        let at_end = [corner % 2 == 1, corner / 2 == 1, true];
        let start = [0, 1, 2].map(|axis| if at_end[axis] { dims[axis] - size[axis] } else { 0 });
        let mut sum = 0.0;
        for z in 0..size[2] {
            for y in 0..size[1] {
                let from = head.grid().offset([start[0], start[1] + y, start[2] + z]);
                sum += head.as_slice()[from..from + size[0]].iter().map(|&v| f64::from(v)).sum::<f64>();
            }
        }
        found.push(sum / as_f64(size.iter().product()) / RAYLEIGH_MEAN);
    }
    found.sort_by(f64::total_cmp);
    let median = f64::midpoint(found[1], found[2]);
    (median > 0.0).then_some(median)
}

/// Columns of the quality-control table.
pub(crate) const METRICS: &[Metric] = &[
    Metric::new("cnr", "1", "Contrast to noise between grey and white (proxy, from three classes)", |qc| {
        Some(qc.tissue?.cnr)
    })
    .marking_outliers(),
    Metric::new("cjv", "1", "Coefficient of joint variation of grey and white (proxy)", |qc| {
        Some(qc.tissue?.cjv)
    })
    .marking_outliers(),
    Metric::new("snr", "1", "Signal to noise of the brightest class (proxy)", |qc| Some(qc.tissue?.snr))
        .marking_outliers(),
    Metric::new("air_noise", "scanner units", "Noise by the air in the upper corners", |qc| {
        qc.tissue?.air_noise
    }),
];

#[cfg(test)]
mod tests {
    use super::*;
    use brainreel_volume::{Affine, Grid};

    /// Three tissues with known noise in air with known noise.
    fn phantom(noise: f64) -> (Volume<f32>, Mask) {
        let grid = Grid::new([40, 42, 44], Affine::from_diagonal([4.0; 3])).unwrap();
        let mut state = 1_u64;
        let mut normal = || {
            let mut sum = -6.0;
            for _ in 0..12 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                sum += as_f64((state >> 40) as usize) / 16_777_216.0;
            }
            sum
        };
        let inside =
            |[x, y, z]: [usize; 3]| (8..32).contains(&x) && (8..32).contains(&y) && (8..32).contains(&z);
        let head = Volume::from_fn(grid, |at| {
            let tissue = if inside(at) { [100.0, 200.0, 300.0][at[0] * 3 / 40] } else { 0.0 };
            let (real, imaginary) = (tissue + noise * normal(), noise * normal());
            real.hypot(imaginary) as f32
        });
        (head, Volume::from_fn(grid, inside))
    }

    #[test]
    fn tissues_and_noise_are_recovered() {
        let (head, brain) = phantom(10.0);
        let found = TissueContrast::of(&head, &brain, &head).unwrap();
        for (mean, expected) in found.means.iter().zip([100.0, 200.0, 300.0]) {
            assert!((mean - expected).abs() < 3.0, "{found:?}");
        }
        assert!((found.cnr - 100.0 / (10.0 * 2.0_f64.sqrt())).abs() < 0.5, "{found:?}");
        assert!((found.cjv - 0.2).abs() < 0.02 && (found.snr - 30.0).abs() < 2.0, "{found:?}");
        assert!((found.air_noise.unwrap() - 10.0).abs() < 0.5, "{found:?}");
        let (head, brain) = phantom(25.0);
        assert!(TissueContrast::of(&head, &brain, &head).unwrap().cnr < 0.6 * found.cnr);
    }

    #[test]
    fn two_intensities_are_no_three_tissues() {
        let (head, brain) = phantom(0.0);
        let flat = head.map(|&value| if value > 150.0 { 1.0 } else { 0.0 });
        assert_eq!(TissueContrast::of(&flat, &brain, &flat), None);
        assert_eq!(TissueContrast::of(&flat, &brain.map(|_| false), &flat), None);
    }
}
