//! Settings of preprocessing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::clip::ClipConfig;
use super::correct_bias::{BiasCorrection, BiasGrid, BiasRegion};
use super::extract_brain::{ExtractorChoice, SynthStripSettings};
use super::foreground::ForegroundRule;
use crate::ConfigError;
use crate::bet::{Bet, BetConfig};
use crate::n4::{N4Config, ValidN4Config};
use crate::numbers::{as_f64, check};

/// Settings of preprocessing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PreprocessConfig {
    /// How the brain is extracted, before any other step sees intensities.
    pub brain_extractor: ExtractorChoice,
    /// Whether to resample to `spacing_mm`. Otherwise the scanner's spacing stays.
    pub resample: bool,
    /// Voxel size after resampling, in mm.
    pub spacing_mm: f64,
    /// How the smooth bias field is removed.
    pub bias_correction: BiasCorrection,
    /// Voxels from which the bias field is estimated.
    pub bias_region: BiasRegion,
    /// Whether the bias field is removed before or after resampling.
    pub bias_grid: BiasGrid,
    /// Whether to crop to the brain, or to the foreground, before the zoom.
    pub crop: bool,
    /// What counts as foreground when there is no brain mask.
    pub foreground: ForegroundRule,
    /// Margin around the brain on each side, in voxels.
    pub padding_voxels: usize,
    /// Edge of the cubic network input, in voxels.
    pub size_voxels: usize,
    /// Settings of SynthStrip.
    pub synthstrip: SynthStripSettings,
    /// Settings of the classical extractor.
    pub bet: BetConfig,
    /// Settings of N4.
    pub n4: N4Config,
    /// Clips intensities to percentiles of the brain, after bias correction. Without this section nothing is
    /// clipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<ClipConfig>,
}

impl Default for PreprocessConfig {
    fn default() -> Self {
        Self {
            brain_extractor: ExtractorChoice::SynthStrip,
            resample: true,
            spacing_mm: 1.0,
            bias_correction: BiasCorrection::N4,
            bias_region: BiasRegion::Brain,
            bias_grid: BiasGrid::Resampled,
            crop: true,
            foreground: ForegroundRule::Otsu,
            padding_voxels: 3,
            size_voxels: 128,
            synthstrip: SynthStripSettings::default(),
            bet: BetConfig::default(),
            n4: N4Config::default(),
            clip: None,
        }
    }
}

impl PreprocessConfig {
    /// Validates every setting once, before use.
    ///
    /// # Errors
    /// [`ConfigError::Range`] names the first field that is out of its range.
    /// [`ConfigError::BiasWithoutBrain`] if settings contradict each other.
    pub fn validated(self) -> Result<ValidPreprocessConfig, ConfigError> {
        check("spacing_mm", self.spacing_mm, 0.2, 20.0, "0.2 to 20 mm")?;
        let threshold = match self.foreground {
            ForegroundRule::Otsu => 0.0,
            ForegroundRule::Above(value) => value,
        };
        check("foreground.above", threshold, f64::MIN, f64::MAX, "a finite intensity")?;
        check("padding_voxels", as_f64(self.padding_voxels), 0.0, 256.0, "0 to 256 voxels")?;
        check("size_voxels", as_f64(self.size_voxels), 8.0, 512.0, "8 to 512 voxels")?;
        check("synthstrip.border_mm", self.synthstrip.border_mm, -20.0, 20.0, "-20 to 20 mm")?;
        let bet = Bet::new(self.bet)?;
        let n4 = self.n4.clone().validated()?;
        self.clip.map_or(Ok(()), |clip| clip.validate())?;
        if self.has_bias_without_brain() {
            return Err(ConfigError::BiasWithoutBrain);
        }
        Ok(ValidPreprocessConfig { config: self, bet, n4 })
    }

    fn has_bias_without_brain(&self) -> bool {
        self.bias_correction == BiasCorrection::N4
            && self.bias_region == BiasRegion::Brain
            && self.brain_extractor == ExtractorChoice::None
    }

    /// Settings for the whole head: no mask and no bias correction, only interpolation.
    #[must_use]
    pub fn whole_head() -> Self {
        Self {
            brain_extractor: ExtractorChoice::None,
            bias_correction: BiasCorrection::None,
            ..Self::default()
        }
    }
}

/// Validated settings, required by the functions of this crate. Created by [`PreprocessConfig::validated`].
/// Dereferences to [`PreprocessConfig`] and serialises like it.
#[derive(Debug, Clone, Serialize)]
#[serde(into = "PreprocessConfig")]
pub struct ValidPreprocessConfig {
    config: PreprocessConfig,
    bet: Bet,
    n4: ValidN4Config,
}

impl ValidPreprocessConfig {
    /// The classical extractor.
    #[must_use]
    pub fn bet(&self) -> &Bet {
        &self.bet
    }

    /// The checked settings of N4.
    #[must_use]
    pub fn n4(&self) -> &ValidN4Config {
        &self.n4
    }
}

impl std::ops::Deref for ValidPreprocessConfig {
    type Target = PreprocessConfig;

    fn deref(&self) -> &PreprocessConfig {
        &self.config
    }
}

impl From<ValidPreprocessConfig> for PreprocessConfig {
    fn from(valid: ValidPreprocessConfig) -> Self {
        valid.config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_thesis() {
        let config: PreprocessConfig = serde_json::from_str("{}").unwrap();
        assert_eq!(config, PreprocessConfig::default());
        assert_eq!(*config.clone().validated().unwrap(), config);
        let text = serde_json::to_string(&config).unwrap();
        // Sidecars and stamps hold a hash of this text. New settings must not appear in it by default.
        assert_eq!(
            text,
            r#"{"brain_extractor":"synthstrip","resample":true,"spacing_mm":1.0,"bias_correction":"n4","bias_region":"brain","bias_grid":"resampled","crop":true,"foreground":"otsu","padding_voxels":3,"size_voxels":128,"synthstrip":{"border_mm":1.0},"bet":{"fractional_intensity":0.5,"gradient":0.0,"radius_mm":null},"n4":{"shrink_factor":4,"n_iterations":[50,50,50,50],"convergence_threshold":1e-7,"mesh":{"elements":[1,1,1]},"n_histogram_bins":200,"wiener_noise":0.01,"bias_fwhm":0.15}}"#
        );
        assert_eq!(serde_json::from_str::<PreprocessConfig>(&text).unwrap(), config);
        assert_eq!(serde_json::to_string(&config.validated().unwrap()).unwrap(), text);
    }

    #[test]
    fn typos_and_unknown_methods_are_refused() {
        let error = |text| serde_json::from_str::<PreprocessConfig>(text).unwrap_err().to_string();
        assert!(error(r#"{"spacing": 1.0}"#).contains("unknown field `spacing`"));
        let message = error(r#"{"brain_extractor": "bat"}"#);
        assert!(
            message.contains("bat") && message.contains("synthstrip") && message.contains("bet"),
            "{message}"
        );
    }

    #[test]
    fn bias_is_not_estimated_from_a_whole_head_unasked() {
        let head = PreprocessConfig { bias_correction: BiasCorrection::N4, ..PreprocessConfig::whole_head() };
        assert_eq!(head.clone().validated().unwrap_err(), ConfigError::BiasWithoutBrain);
        assert!(PreprocessConfig { bias_region: BiasRegion::Foreground, ..head }.validated().is_ok());
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let ok = PreprocessConfig { foreground: ForegroundRule::Above(0.0), ..PreprocessConfig::default() };
        assert!(ok.clone().validated().is_ok());
        let n4 = N4Config { shrink_factor: 0, ..N4Config::default() };
        for (field, bad) in [
            ("spacing_mm", PreprocessConfig { spacing_mm: f64::NAN, ..ok.clone() }),
            ("spacing_mm", PreprocessConfig { spacing_mm: 0.0, ..ok.clone() }),
            ("size_voxels", PreprocessConfig { size_voxels: 4, ..ok.clone() }),
            ("padding_voxels", PreprocessConfig { padding_voxels: usize::MAX, ..ok.clone() }),
            ("n4.shrink_factor", PreprocessConfig { n4, ..ok.clone() }),
            (
                "synthstrip.border_mm",
                PreprocessConfig { synthstrip: SynthStripSettings { border_mm: f64::NAN }, ..ok.clone() },
            ),
            (
                "foreground.above",
                PreprocessConfig { foreground: ForegroundRule::Above(f64::INFINITY), ..ok.clone() },
            ),
        ] {
            let message = bad.validated().unwrap_err().to_string();
            assert!(message.contains(field), "{message}");
        }
    }
}
