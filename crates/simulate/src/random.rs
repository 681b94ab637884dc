//! A small reproducible random source: the same stream on every machine and in every release.

/// SplitMix64 (Steele, Lea and Flood 2014, doi:10.1145/2714064.2660195).
#[derive(Debug, Clone)]
pub(crate) struct Random {
    state: u64,
}

/// One step of SplitMix64's output function: a good 64-bit mixer.
pub(crate) const fn mix64(value: u64) -> u64 {
    let mut z = value;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

const GOLDEN_GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN_GAMMA);
        mix64(self.state)
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in `[low, high)`.
    pub(crate) fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// A whole number in `0..n` (`n > 0`).
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((self.unit() * n as f64) as usize).min(n - 1)
    }

    /// Standard normal.
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Standard normal, redrawn until within `limit` standard deviations.
    pub(crate) fn bounded_normal(&mut self, limit: f64) -> f64 {
        loop {
            let value = self.normal();
            if value.abs() <= limit {
                return value;
            }
        }
    }

    /// A random order of `0..n`.
    pub(crate) fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for last in (1..n).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }
}

/// Two independent standard normals that depend only on `seed` and `counter`.
pub(crate) fn normal_pair(seed: u64, counter: u64) -> [f32; 2] {
    let bits = mix64(seed ^ mix64(counter.wrapping_mul(GOLDEN_GAMMA)));
    let scale = 1.0 / (1_u64 << 24) as f32;
    let first = ((bits >> 40) as f32 + 0.5) * scale;
    let second = ((bits >> 8) & 0xFF_FFFF) as f32 * scale;
    let radius = (-2.0 * first.ln()).sqrt();
    let (sin, cos) = (std::f32::consts::TAU * second).sin_cos();
    [radius * cos, radius * sin]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_normal_distribution() {
        let mut random = Random::new(7);
        let n = 20_000;
        let drawn: Vec<f64> = (0..n).map(|_| random.normal()).collect();
        let keyed: Vec<f64> = (0..n as u64).map(|i| f64::from(normal_pair(5, i)[1])).collect();
        for sample in [drawn, keyed] {
            let mean = sample.iter().sum::<f64>() / f64::from(n);
            let variance = sample.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / f64::from(n);
            assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.04, "{mean} {variance}");
        }
    }

    #[test]
    fn a_permutation_holds_every_number_once() {
        let mut order = Random::new(3).permutation(50);
        order.sort_unstable();
        assert_eq!(order, (0..50).collect::<Vec<_>>());
    }
}
