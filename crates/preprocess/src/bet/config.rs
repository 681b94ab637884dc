//! Settings of brain extraction.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ConfigError;
use crate::numbers::check;

/// Settings of the classical extractor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BetConfig {
    /// Where the border of the brain lies between dark and bright. Smaller values give a larger brain.
    pub fractional_intensity: f64,
    /// Change of `fractional_intensity` from the middle of the brain to its top. Positive values give a brain
    /// that is larger at the bottom and smaller at the top.
    pub gradient: f64,
    /// Radius of the head, in mm. Default: estimated from the image.
    #[schemars(example = 80.0)]
    pub radius_mm: Option<f64>,
}

impl Default for BetConfig {
    fn default() -> Self {
        Self { fractional_intensity: 0.5, gradient: 0.0, radius_mm: None }
    }
}

impl BetConfig {
    /// Checks every number.
    ///
    /// # Errors
    /// [`ConfigError::Range`] names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check("bet.fractional_intensity", self.fractional_intensity, 0.05, 0.95, "0.05 to 0.95")?;
        check("bet.gradient", self.gradient, -1.0, 1.0, "-1 to 1")?;
        check("bet.radius_mm", self.radius_mm.unwrap_or(80.0), 5.0, 200.0, "5 to 200 mm")
    }
}
