//! The learning-rate schedule.

use std::f64::consts::PI;

/// Cosine annealing with warm restarts every `restart_epochs`, as a factor of the base rate.
///
/// # Reference
/// Loshchilov and Hutter 2017, arXiv:1608.03983; PyTorch's `CosineAnnealingWarmRestarts` with
/// `T_mult = 1`, `eta_min = 0`, stepped once an epoch.
///
/// # Panics
/// If `restart_epochs` is 0.
#[must_use]
pub fn warm_restart_factor(epoch: usize, restart_epochs: usize) -> f64 {
    let phase = (epoch % restart_epochs) as f64 / restart_epochs as f64;
    0.5 * (1.0 + libm::cos(PI * phase))
}

#[cfg(test)]
mod tests {
    use brainreel_testkit::{Golden, Tolerance, assert_close};

    use super::*;

    #[test]
    fn rates_are_pytorchs() {
        let golden = Golden::load(env!("CARGO_MANIFEST_DIR"), "train_step");
        let expected = &golden.array("schedule").data;
        let rates: Vec<f64> = (0..expected.len()).map(|epoch| 1e-3 * warm_restart_factor(epoch, 5)).collect();
        assert_close(&rates, expected, Tolerance::relative(1e-12));
    }
}
