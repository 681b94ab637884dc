//! N4 bias correction inside the brain.

use std::borrow::Cow;

use brainreel_kernels::percentiles;
use brainreel_named::named;
use brainreel_volume::Mask;
use serde::{Deserialize, Serialize};

use super::Step;
use super::foreground::ForegroundRule;
use super::qc::Metric;
use super::scan::{BiasStage, Scan};
use crate::PreprocessError;
use crate::n4::{N4Output, ValidN4Config, correct_bias};
use crate::numbers::values_inside;

named! {
    /// How the smooth bias field is removed.
    #[non_exhaustive]
    pub enum BiasCorrection {
        /// N4.
        N4 = "n4",
        /// No correction.
        None = "none",
    }
}

named! {
    /// From which voxels the bias field is estimated.
    #[non_exhaustive]
    pub enum BiasRegion {
        /// The brain mask.
        Brain = "brain",
        /// The brain mask, or the foreground if there is no mask: for images that are stripped already.
        Foreground = "foreground",
    }
}

named! {
    /// On which grid the bias field is removed.
    #[non_exhaustive]
    pub enum BiasGrid {
        /// After resampling, at the same spacing for every scan.
        Resampled = "resampled",
        /// Before resampling, on the scanner's voxels.
        Native = "native",
    }
}

/// The preprocessing step.
pub(super) struct CorrectBias<'a> {
    n4: &'a ValidN4Config,
    foreground: ForegroundRule,
}

impl<'a> CorrectBias<'a> {
    pub(super) fn new(n4: &'a ValidN4Config, foreground: ForegroundRule) -> Self {
        Self { n4, foreground }
    }
}

impl Step for CorrectBias<'_> {
    fn name(&self) -> &'static str {
        "correct_bias"
    }

    /// Corrects the brain, or the foreground if there is no mask. The field is scaled so that the median of
    /// the region stays the same.
    fn apply(&self, scan: &mut Scan<'_>) -> Result<(), PreprocessError> {
        let region = scan.region(self.foreground).into_owned();
        let mut done = correct_bias(&scan.image, Some(&region), None, self.n4)?;
        let (summary, scale) = BiasSummary::of(&done, &region);
        done.field.as_mut_slice().iter_mut().for_each(|gain| *gain /= scale);
        done.corrected.as_mut_slice().iter_mut().for_each(|value| *value *= scale);
        let before = std::mem::replace(&mut scan.image, Cow::Owned(done.corrected)).into_owned();
        scan.summaries.bias = Some(summary);
        scan.bias = Some(BiasStage { before, field: done.field, region });
        Ok(())
    }
}

/// The bias field inside its region, scaled so that its median is one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BiasSummary {
    /// Smallest gain.
    pub minimum: f64,
    /// 1st percentile.
    pub p01: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest gain.
    pub maximum: f64,
    /// Number of iterations at each level.
    pub n_iterations: Vec<usize>,
}

impl BiasSummary {
    /// The summary, and the field's median before scaling.
    fn of(done: &N4Output, region: &Mask) -> (Self, f32) {
        let found = percentiles(&mut values_inside(&done.field, region), &[0.0, 1.0, 50.0, 99.0, 100.0]);
        let [minimum, p01, median, p99, maximum] = found[..] else {
            unreachable!("N4 refuses an empty region")
        };
        let n_iterations = done.n_iterations.clone();
        let summary = Self {
            minimum: minimum / median,
            p01: p01 / median,
            p99: p99 / median,
            maximum: maximum / median,
            n_iterations,
        };
        (summary, narrow(median))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a gain near one")]
const fn narrow(gain: f64) -> f32 {
    gain as f32
}

/// Columns of the quality-control table.
pub(super) const METRICS: &[Metric] = &[
    Metric::new("field_p01", "gain", "1st percentile of the bias field, its median being one", |qc| {
        Some(qc.summaries.bias.as_ref()?.p01)
    }),
    Metric::new("field_p99", "gain", "99th percentile of the bias field, its median being one", |qc| {
        Some(qc.summaries.bias.as_ref()?.p99)
    }),
    Metric::new("field_ratio", "1", "99th over 1st percentile of the bias field", |qc| {
        qc.summaries.bias.as_ref().map(|bias| bias.p99 / bias.p01)
    })
    .marking_outliers(),
];
