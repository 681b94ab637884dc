//! Whether there are enough people for what is to be said.

use brainreel_statistics::{Interval, wilson};
use serde::{Deserialize, Serialize};

use crate::finding::{Check, Finding, Level, count};
use crate::verdict::Sizes;

/// Half of the width that the 95 % interval of a rate may have, unless something else is claimed.
pub const DEFAULT_HALF_WIDTH: f64 = 0.1;
/// The rate that the interval is worked out for: a usual one of the literature.
const RATE: f64 = 0.85;

/// How precisely a rate can be known with the subjects of the test partition.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Precision {
    /// Subjects of the test partition.
    pub n_subjects: usize,
    /// A rate, 0.85 or the next one that so many subjects can have.
    pub rate: Option<f64>,
    /// Wilson's 95 % interval of that rate.
    pub interval: Option<Interval>,
    /// Half of the width that it may have.
    pub allowed_half_width: f64,
}

impl Precision {
    pub(crate) fn of(sizes: &Sizes, allowed_half_width: f64) -> Self {
        let n = sizes.n_subjects[2];
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a number of people"
        )]
        let n_right = (RATE * n as f64).round() as u64;
        let interval = (n > 0).then(|| wilson(n_right, n as u64)).flatten();
        let rate = (n > 0).then(|| n_right as f64 / n as f64);
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
