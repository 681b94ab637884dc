//! A small random generator whose stream is the same on every machine.

/// Increment of the state between two numbers of a stream.
const INCREMENT: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64: one 64-bit state, full period, passes BigCrush.
///
/// # Determinism
/// Integer arithmetic, and the portable `libm` for normal draws: bit-identical on every platform.
///
/// # Reference
/// Steele, Lea, Flood 2014, doi:10.1145/2660193.2660195.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Creates a stream that depends only on `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(INCREMENT);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Result of the `n`-th call (from 0) of [`Self::next_u64`] on a new stream of `seed`.
    #[must_use]
    pub const fn nth_u64(seed: u64, n: u64) -> u64 {
        Self(seed.wrapping_add(n.wrapping_mul(INCREMENT))).next_u64()
    }

    /// Uniform in `[0, 1)`, with 53 random bits.
    pub const fn uniform(&mut self) -> f64 {
        unit(self.next_u64())
    }

    /// Result of the `n`-th call (from 0) of [`Self::uniform`] on a new stream of `seed`.
    #[must_use]
    pub const fn nth_uniform(seed: u64, n: u64) -> f64 {
        unit(Self::nth_u64(seed, n))
    }

    /// Normal with mean 0 and standard deviation 1 (Box and Muller, the cosine branch).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * libm::log(1.0 - self.uniform())).sqrt();
        radius * libm::cos(2.0 * std::f64::consts::PI * self.uniform())
    }

    /// Shuffles in place (Fisher and Yates; the modulo bias is below 2^-40 for any real list).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let bound = last as u64 + 1;
            items.swap(last, (self.next_u64() % bound) as usize);
        }
    }
}

/// The upper 53 bits as a number in `[0, 1)`.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
const fn unit(bits: u64) -> f64 {
    (bits >> 11).cast_signed() as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_number_is_the_streams() {
        for seed in [0, 7, u64::MAX] {
            let mut random = Random::new(seed);
            for n in 0..100 {
                assert_eq!(Random::nth_u64(seed, n), random.next_u64());
            }
            assert_eq!(Random::nth_uniform(seed, 100).to_bits(), random.uniform().to_bits());
        }
    }

    #[test]
    fn the_stream_is_the_published_one() {
        // First outputs of splitmix64.c for seed 1234567 (Vigna).
        let mut random = Random::new(1_234_567);
        assert_eq!(random.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(random.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn moments_of_the_normal_draws() {
        let mut random = Random::new(3);
        let draws: Vec<f64> = (0..40_000).map(|_| random.normal()).collect();
        let n = draws.len() as f64;
        let mean = draws.iter().sum::<f64>() / n;
        let variance = draws.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / n;
        let fourth = draws.iter().map(|d| (d - mean).powi(4)).sum::<f64>() / n;
        // Four standard errors each.
        assert!(mean.abs() < 0.02, "{mean}");
        assert!((variance - 1.0).abs() < 0.03, "{variance}");
        assert!((fourth - 3.0).abs() < 0.2, "{fourth}");
    }
}
