//! The options of a simulated cohort.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SimulateError;

/// What cohort to simulate.
///
/// ```
/// use brainreel_simulate::SimulateConfig;
///
/// let config = SimulateConfig { n_subjects: 6, spacing_mm: 4.0, ..SimulateConfig::default() };
/// assert!(config.validate().is_ok());
/// assert!(SimulateConfig { n_subjects: 0, ..config }.validate().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SimulateConfig {
    /// Number of subjects, 1 to 5000.
    pub n_subjects: usize,
    /// Largest number of visits of a subject, 1 to 8. Subjects have 1 to this many visits, all numbers equally
    /// likely.
    pub n_visits: usize,
    /// Seed of the whole cohort.
    pub seed: u64,
    /// Nominal voxel size in mm, 0.5 to 8. The simulated scanners vary a little around it.
    pub spacing_mm: f64,
    /// Size of the disease effect: 1 as in the literature, 0 for none.
    pub effect_size: f64,
    /// Standard deviation of the complex noise, as a fraction of the white matter signal, 0 to 0.5.
    pub noise: f64,
    /// Largest deviation of the log bias field at an average site, 0 to 1.
    pub bias: f64,
    /// Fraction of subjects with Alzheimer's disease, 0 to 1.
    pub ad_fraction: f64,
    /// Number of sites, 1 to 24. A site has one scanner. The diagnosis does not depend on the site.
    pub n_sites: usize,
    /// Whether to write tissue labels, masks and bias fields beside the download. The table of true volumes is
    /// always written.
    pub truth_images: bool,
}

impl Default for SimulateConfig {
    fn default() -> Self {
        Self {
            n_subjects: 20,
            n_visits: 3,
            seed: 2025,
            spacing_mm: 1.0,
            effect_size: 1.0,
            noise: 0.03,
            bias: 0.2,
            ad_fraction: 0.5,
            n_sites: 8,
            truth_images: true,
        }
    }
}

impl SimulateConfig {
    /// Checks every option.
    ///
    /// # Errors
    /// [`SimulateError::Option`] names the first option outside its range.
    pub fn validate(&self) -> Result<(), SimulateError> {
        whole("n_subjects", self.n_subjects, 1, 5000, "1 to 5000")?;
        whole("n_visits", self.n_visits, 1, 8, "1 to 8")?;
        whole("n_sites", self.n_sites, 1, 24, "1 to 24")?;
        real("spacing_mm", self.spacing_mm, 0.5, 8.0, "0.5 to 8")?;
        real("effect_size", self.effect_size, 0.0, 3.0, "0 to 3")?;
        real("noise", self.noise, 0.0, 0.5, "0 to 0.5")?;
        real("bias", self.bias, 0.0, 1.0, "0 to 1")?;
        real("ad_fraction", self.ad_fraction, 0.0, 1.0, "0 to 1")
    }

    /// Number of subjects with Alzheimer's disease.
    #[must_use]
    pub fn n_ad(&self) -> usize {
        ((self.n_subjects as f64 * self.ad_fraction).round() as usize).min(self.n_subjects)
    }
}

fn whole(
    option: &'static str,
    got: usize,
    low: usize,
    high: usize,
    expected: &'static str,
) -> Result<(), SimulateError> {
    if (low..=high).contains(&got) {
        Ok(())
    } else {
        Err(SimulateError::Option { option, got: got.to_string(), expected })
    }
}

fn real(
    option: &'static str,
    got: f64,
    low: f64,
    high: f64,
    expected: &'static str,
) -> Result<(), SimulateError> {
    if (low..=high).contains(&got) {
        Ok(())
    } else {
        Err(SimulateError::Option { option, got: got.to_string(), expected })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_out_of_range_are_named() {
        let default = SimulateConfig::default();
        assert!(default.validate().is_ok());
        for (config, option) in [
            (SimulateConfig { n_visits: 9, ..default.clone() }, "n_visits"),
            (SimulateConfig { spacing_mm: f64::NAN, ..default.clone() }, "spacing_mm"),
            (SimulateConfig { ad_fraction: 1.5, ..default.clone() }, "ad_fraction"),
        ] {
            let message = config.validate().unwrap_err().to_string();
            assert!(message.contains(option), "{message}");
        }
    }

    #[test]
    fn unknown_options_are_refused() {
        assert!(serde_json::from_str::<SimulateConfig>(r#"{"n_subject": 3}"#).is_err());
        let config: SimulateConfig = serde_json::from_str(r#"{"n_subjects": 3}"#).unwrap();
        assert_eq!(config.n_subjects, 3);
    }
}
