//! What is converted, and how.

use brainreel_formats::dicom::LoadOptions;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::StageError;

/// Settings of the conversion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConvertConfig {
    /// Whether to convert series of other contrasts too: T2, FLAIR, localizers and the like.
    pub any_contrast: bool,
    /// Whether to name subjects by a hash of their id, and keep names of folders and files out of the ledger and
    /// all messages. Anybody who has the ids can compute the hashes again. Exam dates stay: in sessions.tsv, and
    /// in session names where there is no visit code.
    pub hash_subjects: bool,
    /// Whether to delete images in the dataset that come from another download.
    pub replace: bool,
    /// How far slices may lie from even spacing, in percent of the spacing: rounding in the headers. Deviations
    /// within are evened out, with a warning.
    pub position_tolerance_percent: f64,
}

impl Default for ConvertConfig {
    fn default() -> Self {
        Self {
            any_contrast: false,
            hash_subjects: false,
            replace: false,
            position_tolerance_percent: 100.0 * LoadOptions::default().position_tolerance,
        }
    }
}

impl ConvertConfig {
    /// The largest tolerance that leaves slices in their order, in percent.
    pub const LARGEST_TOLERANCE_PERCENT: f64 = 25.0;

    /// Checks the settings.
    ///
    /// # Errors
    /// [`StageError::Setting`].
    pub fn validate(&self) -> Result<(), StageError> {
        let percent = self.position_tolerance_percent;
        if (0.0..=Self::LARGEST_TOLERANCE_PERCENT).contains(&percent) {
            return Ok(());
        }
        Err(StageError::setting("convert.position_tolerance_percent", percent, "0 to 25 percent"))
    }

    pub(super) fn load_options(&self) -> LoadOptions {
        LoadOptions { position_tolerance: self.position_tolerance_percent / 100.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_and_the_default_is_that_of_the_reader() {
        let default = ConvertConfig::default();
        assert!(default.validate().is_ok());
        let (ours, reader) = (default.load_options(), LoadOptions::default());
        assert_eq!(ours.position_tolerance.to_bits(), reader.position_tolerance.to_bits());
        for percent in [-1.0, 25.5, f64::NAN] {
            let config = ConvertConfig { position_tolerance_percent: percent, ..default.clone() };
            assert!(config.validate().unwrap_err().to_string().contains("position_tolerance_percent"));
        }
        let text = "any_contrast = true\nposition_tolerance_percent = 5\n";
        let read: ConvertConfig = toml::from_str(text).unwrap();
        assert!(read.any_contrast && read.load_options().position_tolerance > 0.049);
        assert!(toml::from_str::<ConvertConfig>("tolerance = 1\n").is_err());
    }
}
