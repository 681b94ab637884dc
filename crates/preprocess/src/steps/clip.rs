//! Intensity clipping to percentiles of the brain. Off by default.

use brainreel_kernels::percentiles;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Step;
use super::foreground::ForegroundRule;
use super::qc::Metric;
use super::scan::Scan;
use crate::numbers::values_inside;
use crate::numbers::{as_f64, check};
use crate::{ConfigError, PreprocessError};

/// Settings of intensity clipping.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClipConfig {
    /// Darker voxels are raised to this percentile of the brain, 0 to 100. 0 clips no dark voxel.
    pub low_percent: f64,
    /// Brighter voxels are lowered to this percentile of the brain, 0 to 100. 100 clips no bright voxel.
    pub high_percent: f64,
}

impl Default for ClipConfig {
    /// The percentiles that nnU-Net clips CT images to.
    fn default() -> Self {
        Self { low_percent: 0.5, high_percent: 99.5 }
    }
}

impl ClipConfig {
    /// Checks every number.
    ///
    /// # Errors
    /// [`ConfigError::Range`] names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check("clip.low_percent", self.low_percent, 0.0, 100.0, "0 to 100")?;
        let (low, high) = (self.low_percent.next_up(), 100.0);
        check("clip.high_percent", self.high_percent, low, high, "above clip.low_percent, at most 100")
    }
}

/// The preprocessing step.
pub(super) struct Clip {
    config: ClipConfig,
    foreground: ForegroundRule,
}

impl Clip {
    pub(super) fn new(config: ClipConfig, foreground: ForegroundRule) -> Self {
        Self { config, foreground }
    }
}

impl Step for Clip {
    fn name(&self) -> &'static str {
        "clip"
    }

    /// Clips the brain, or without a mask the foreground. Voxels outside keep their values.
    fn apply(&self, scan: &mut Scan<'_>) -> Result<(), PreprocessError> {
        let region = scan.region(self.foreground).into_owned();
        let percents = [self.config.low_percent, self.config.high_percent];
        let limits = percentiles(&mut values_inside(&scan.image, &region), &percents);
        // The next step reports an empty foreground as an error.
        let [low, high] = limits[..] else { return Ok(()) };
        let (mut n_voxels, mut n_clipped) = (0, 0);
        let voxels = scan.image.to_mut().as_mut_slice().iter_mut().zip(region.as_slice());
        for (value, _) in voxels.filter(|(_, inside)| **inside) {
            let clipped = narrow(f64::from(*value).clamp(low, high));
            n_voxels += 1;
            n_clipped += usize::from(clipped.to_bits() != value.to_bits());
            *value = clipped;
        }
        let fraction = as_f64(n_clipped) / as_f64(n_voxels);
        scan.summaries.clip = Some(ClipSummary { low, high, fraction });
        Ok(())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "an intensity, or one between two intensities")]
const fn narrow(intensity: f64) -> f32 {
    intensity as f32
}

/// What was clipped.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipSummary {
    /// Smallest intensity in the brain after clipping.
    pub low: f64,
    /// Largest intensity in the brain after clipping.
    pub high: f64,
    /// Fraction of the brain's voxels that changed.
    pub fraction: f64,
}

/// Columns of the quality-control table.
pub(super) const METRICS: &[Metric] = &[
    Metric::new("clip_low", "scanner units", "Intensity that darker voxels were raised to", |qc| {
        Some(qc.summaries.clip?.low)
    })
    .optional(),
    Metric::new("clip_high", "scanner units", "Intensity that brighter voxels were lowered to", |qc| {
        Some(qc.summaries.clip?.high)
    })
    .optional(),
    Metric::new("clip_fraction", "1", "Share of the brain's voxels that were clipped", |qc| {
        Some(qc.summaries.clip?.fraction)
    })
    .optional(),
];

#[cfg(test)]
mod tests {
    use brainreel_volume::{Affine, Grid, Volume};

    use super::*;
    use crate::PreprocessConfig;

    /// 3 x 3 x 3 voxels. The first nine are not brain.
    fn scan() -> Volume<f32> {
        let grid = Grid::new([3; 3], Affine::from_diagonal([1.0; 3])).unwrap();
        Volume::from_fn(grid, |[x, y, z]| ((x * 37 + y * 11 + z * 53 + x * y * z * 7) % 29) as f32 * 2.5)
    }

    fn clipped(low_percent: f64, high_percent: f64) -> (Volume<f32>, ClipSummary) {
        let volume = scan();
        let mut scan = Scan::new(&volume);
        scan.brain = Some(Volume::from_fn(*volume.grid(), |[_, _, z]| z > 0));
        let config = ClipConfig { low_percent, high_percent };
        Clip { config, foreground: ForegroundRule::Otsu }.apply(&mut scan).unwrap();
        (scan.image.clone().into_owned(), scan.summaries.clip.unwrap())
    }

    /// numpy 2.4:
    /// `v = [(x*37 + y*11 + z*53 + x*y*z*7) % 29 * 2.5 for z in (1, 2) for y in range(3) for x in range(3)]`,
    /// `np.percentile(v, [10, 85])`, `np.clip(v, *_)`.
    #[test]
    fn limits_and_values_equal_numpy() {
        let (image, found) = clipped(10.0, 85.0);
        let expected = [7.5, 58.625];
        assert!(
            (found.low - expected[0]).abs() < 1e-12 && (found.high - expected[1]).abs() < 1e-12,
            "{found:?}"
        );
        let original = scan();
        assert_eq!(image.as_slice()[..9], original.as_slice()[..9], "voxels outside the brain were changed");
        for (got, value) in image.as_slice()[9..].iter().zip(&original.as_slice()[9..]) {
            let expected = f64::from(*value).clamp(expected[0], expected[1]) as f32;
            assert_eq!(got.to_bits(), expected.to_bits());
        }
        assert!((found.fraction - 4.0 / 18.0).abs() < 1e-12, "{found:?}");
        let (image, found) = clipped(0.0, 100.0);
        assert_eq!(image, scan());
        assert_eq!(found.fraction.to_bits(), 0);
    }

    #[test]
    fn clipping_is_off_by_default_and_not_written() {
        let text = serde_json::to_string(&PreprocessConfig::default()).unwrap();
        assert!(!text.contains("clip"), "{text}");
        let on: PreprocessConfig = serde_json::from_str(r#"{"clip": {}}"#).unwrap();
        assert_eq!(on.clip, Some(ClipConfig::default()));
        assert!(serde_json::to_string(&on).unwrap().contains(r#""clip":{"low_percent":0.5,"#));
        for (low_percent, high_percent, field) in
            [(-1.0, 99.0, "clip.low_percent"), (5.0, 5.0, "clip.high_percent"), (0.0, f64::NAN, "clip.high")]
        {
            let clip = Some(ClipConfig { low_percent, high_percent });
            let error = PreprocessConfig { clip, ..PreprocessConfig::default() }.validated().unwrap_err();
            assert!(error.to_string().contains(field), "{error}");
        }
    }
}
