//! The learning-rate schedule.

use std::f64::consts::PI;

/// Cosine annealing with warm restarts, as a factor of the base rate at `position` epochs from the start. The
/// first cosine takes `restart_epochs`, each further one `multiplier` times as long as the one before.
///
/// # Reference
/// Loshchilov and Hutter 2017, arXiv:1608.03983; PyTorch's `CosineAnnealingWarmRestarts` with
/// `eta_min = 0`, where `position` is what its `step` is called with.
///
/// # Panics
/// If `restart_epochs` or `multiplier` is 0.
#[must_use]
pub fn warm_restart_factor(position: f64, restart_epochs: usize, multiplier: usize) -> f64 {
    assert!(restart_epochs > 0 && multiplier > 0, "a cosine takes time");
    let (mut start, mut length) = (0.0, restart_epochs as f64);
    if multiplier == 1 {
        start = (position / length).floor() * length;
    }
    while multiplier > 1 && position - start >= length {
        start += length;
        length *= multiplier as f64;
    }
    0.5 * (1.0 + libm::cos(PI * (position - start) / length))
}

#[cfg(test)]
mod tests {
    use brainreel_testkit::{Golden, Tolerance, assert_close};

    use super::*;

    #[test]
    fn rates_are_pytorchs() {
        let golden = Golden::load(env!("CARGO_MANIFEST_DIR"), "train_step");
        let expected = &golden.array("schedule").data;
        let rates: Vec<f64> =
            (0..expected.len()).map(|epoch| 1e-3 * warm_restart_factor(epoch as f64, 5, 1)).collect();
        assert_close(&rates, expected, Tolerance::relative(1e-12));
    }

    #[test]
    fn each_cosine_takes_longer_by_the_multiplier() {
        for (start, length) in [(0.0, 5.0), (5.0, 10.0), (15.0, 20.0), (35.0, 40.0)] {
            assert!((warm_restart_factor(start, 5, 2) - 1.0).abs() < 1e-12, "restart at {start}");
            assert!((warm_restart_factor(start + length / 2.0, 5, 2) - 0.5).abs() < 1e-12);
        }
    }
}
