//! What can be chosen about preprocessing.

use serde::{Deserialize, Serialize};

/// How a scan becomes a network input.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PreprocessConfig {
    /// How the brain is cut out of the head, before anything else sees intensities.
    pub brain_extraction: BrainExtraction,
    /// Edge of a voxel after resampling, in mm. 1 mm is the usual acquisition of ADNI.
    pub spacing_mm: f64,
    /// How the smooth bias field is taken out, at the resampled spacing.
    pub bias_correction: BiasCorrection,
    /// What counts as foreground when there is no brain mask.
    pub foreground: ForegroundRule,
    /// Voxels kept around the foreground on each side, at the resampled spacing.
    pub padding_voxels: usize,
    /// Edge of the cubic network input, in voxels.
    pub size_voxels: usize,
}

impl Default for PreprocessConfig {
    fn default() -> Self {
        Self {
            brain_extraction: BrainExtraction::None,
            spacing_mm: 1.0,
            bias_correction: BiasCorrection::None,
            foreground: ForegroundRule::Otsu,
            padding_voxels: 3,
            size_voxels: 128,
        }
    }
}

/// How the brain is cut out of the head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", try_from = "String")]
#[non_exhaustive]
pub enum BrainExtraction {
    /// Not at all: the whole head goes on.
    #[default]
    None,
}

/// How the smooth bias field is taken out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", try_from = "String")]
#[non_exhaustive]
pub enum BiasCorrection {
    /// Not at all.
    #[default]
    None,
}

/// What counts as foreground.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum ForegroundRule {
    /// Brighter than Otsu's threshold between the minimum and the 99.9th percentile of the image.
    ///
    /// On a head in noisy air the threshold lies between air and tissue, far above the noise, and the
    /// box is that of the skin. On a skull-stripped image, whose background is one value, it lies in
    /// the partial volume of the brain's surface, which the padding covers.
    #[default]
    Otsu,
    /// Brighter than a given intensity; 0 for images whose background is exactly zero.
    Above(f64),
}

/// Why a configuration is not usable.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A number is out of its range.
    #[error("preprocess.{field} is {got}, expected {expected}")]
    Range {
        /// Name of the field.
        field: &'static str,
        /// What it was.
        got: f64,
        /// What it may be.
        expected: &'static str,
    },
    /// A method is named that this version does not have.
    #[error("preprocess.{field} = \"{got}\" is not available in this version, expected \"none\"")]
    Unavailable {
        /// Name of the field.
        field: &'static str,
        /// What was asked for.
        got: String,
    },
}

impl TryFrom<String> for BrainExtraction {
    type Error = ConfigError;

    fn try_from(got: String) -> Result<Self, ConfigError> {
        only_none("brain_extraction", got).map(|()| Self::None)
    }
}

impl TryFrom<String> for BiasCorrection {
    type Error = ConfigError;

    fn try_from(got: String) -> Result<Self, ConfigError> {
        only_none("bias_correction", got).map(|()| Self::None)
    }
}

fn only_none(field: &'static str, got: String) -> Result<(), ConfigError> {
    if got == "none" { Ok(()) } else { Err(ConfigError::Unavailable { field, got }) }
}

impl PreprocessConfig {
    /// Checks every number once, at the edge of the program.
    ///
    /// # Errors
    /// [`ConfigError::Range`] names the first field that is out of its range.
    pub fn validated(self) -> Result<Self, ConfigError> {
        check("spacing_mm", self.spacing_mm, 0.2, 20.0, "0.2 to 20 mm")?;
        let threshold = match self.foreground {
            ForegroundRule::Otsu => 0.0,
            ForegroundRule::Above(value) => value,
        };
        check("foreground.above", threshold, f64::MIN, f64::MAX, "a finite intensity")?;
        check("padding_voxels", as_f64(self.padding_voxels), 0.0, 256.0, "0 to 256 voxels")?;
        check("size_voxels", as_f64(self.size_voxels), 8.0, 512.0, "8 to 512 voxels")?;
        Ok(self)
    }
}

pub(crate) fn check(
    field: &'static str,
    got: f64,
    low: f64,
    high: f64,
    expected: &'static str,
) -> Result<(), ConfigError> {
    if (low..=high).contains(&got) { Ok(()) } else { Err(ConfigError::Range { field, got, expected }) }
}

#[expect(clippy::cast_precision_loss, reason = "only compared with small bounds, or counts below 2^30")]
pub(crate) const fn as_f64(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_thesis() {
        let config: PreprocessConfig = serde_json::from_str("{}").unwrap();
        assert_eq!(config, PreprocessConfig::default());
        assert_eq!(config.validated(), Ok(config));
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(
            text,
            r#"{"brain_extraction":"none","spacing_mm":1.0,"bias_correction":"none","foreground":"otsu","padding_voxels":3,"size_voxels":128}"#
        );
        assert_eq!(serde_json::from_str::<PreprocessConfig>(&text).unwrap(), config);
    }

    #[test]
    fn typos_and_methods_that_are_not_there_are_refused() {
        let error = |text| serde_json::from_str::<PreprocessConfig>(text).unwrap_err().to_string();
        assert!(error(r#"{"spacing": 1.0}"#).contains("unknown field `spacing`"));
        let message = error(r#"{"brain_extraction": "synthstrip"}"#);
        assert!(message.contains("\"synthstrip\" is not available in this version"), "{message}");
        assert!(error(r#"{"bias_correction": "n4"}"#).contains("bias_correction"));
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let ok = PreprocessConfig { foreground: ForegroundRule::Above(0.0), ..PreprocessConfig::default() };
        assert!(ok.validated().is_ok());
        for (field, bad) in [
            ("spacing_mm", PreprocessConfig { spacing_mm: f64::NAN, ..ok }),
            ("spacing_mm", PreprocessConfig { spacing_mm: 0.0, ..ok }),
            ("size_voxels", PreprocessConfig { size_voxels: 4, ..ok }),
            ("padding_voxels", PreprocessConfig { padding_voxels: usize::MAX, ..ok }),
            ("foreground.above", PreprocessConfig { foreground: ForegroundRule::Above(f64::INFINITY), ..ok }),
        ] {
            let message = bad.validated().unwrap_err().to_string();
            assert!(message.contains(field), "{message}");
        }
    }
}
