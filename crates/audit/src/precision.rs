//! Whether the test partition has enough subjects for a precise result.

use brainreel_statistics::{Interval, wilson};
use serde::{Deserialize, Serialize};

use crate::finding::{Check, Finding, Level, count};
use crate::verdict::Sizes;

/// Default of the largest allowed half width of the 95 % interval of a rate.
pub const DEFAULT_HALF_WIDTH: f64 = 0.1;
/// The rate whose interval is computed: typical of the literature.
const RATE: f64 = 0.85;

/// Precision of a rate estimated from the subjects of the test partition.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Precision {
    /// Subjects of the test partition.
    pub n_subjects: usize,
    /// The rate: 0.85, or the nearest that this number of subjects can have.
    pub rate: Option<f64>,
    /// Wilson's 95 % interval of that rate.
    pub interval: Option<Interval>,
    /// Largest allowed half width.
    pub allowed_half_width: f64,
}

impl Precision {
    pub(crate) fn of(sizes: &Sizes, allowed_half_width: f64) -> Self {
        let n = sizes.n_subjects.test;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a number of people"
        )]
        let n_correct = (RATE * n as f64).round() as u64;
        let interval = (n > 0).then(|| wilson(n_correct, n as u64)).flatten();
        let rate = (n > 0).then(|| n_correct as f64 / n as f64);
        Self { n_subjects: n, rate, interval, allowed_half_width }
    }

    pub(crate) fn finding(&self) -> Option<Finding> {
        let (rate, interval) = (self.rate?, self.interval?);
        let half_width = (interval.upper - interval.lower) / 2.0;
        (half_width > self.allowed_half_width).then(|| {
            let message = format!(
                "{} in the test partition: an accuracy of {rate:.2} has a 95 % interval from {:.2} to {:.2}, wider \
                 than ±{:.2}",
                count(self.n_subjects, "subject"),
                interval.lower,
                interval.upper,
                self.allowed_half_width
            );
            Finding::new(Level::Warning, Check::Precision, message, Vec::new())
                .with_remedy("test more subjects, or all of them by cross-validation, and quote the interval")
        })
    }
}
