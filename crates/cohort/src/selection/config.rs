//! Criteria of a cohort.

use std::collections::BTreeSet;

use brainreel_named::named;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Pattern;
use crate::{CohortError, Diagnosis, FieldStrength, ImageType, JoinRule};

named! {
    /// Which images to select: as the scanner made them, or as the archive processed them.
    pub enum ImageChoice {
        /// All images.
        Any = "any",
        /// Only originals, as the scanner made them.
        Original = "original",
        /// Only images that the archive processed.
        Processed = "processed",
        /// The original of a series or visit, if there is one.
        PreferOriginal = "prefer_original",
        /// A processed image of a series or visit, if there is one.
        PreferProcessed = "prefer_processed",
    }
}

impl ImageChoice {
    /// The only accepted kind.
    pub(super) const fn required(self) -> Option<ImageType> {
        match self {
            Self::Original => Some(ImageType::Original),
            Self::Processed => Some(ImageType::Processed),
            _ => None,
        }
    }

    /// The preferred kind.
    pub(super) const fn preferred(self) -> Option<ImageType> {
        match self {
            Self::PreferOriginal => Some(ImageType::Original),
            Self::PreferProcessed => Some(ImageType::Processed),
            _ => None,
        }
    }
}

/// Criteria for a cohort. An empty list is no criterion. An image whose value for a criterion is unknown is excluded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SelectionConfig {
    /// Diagnoses to select. Scans with other diagnoses are excluded.
    pub diagnoses: Vec<Diagnosis>,
    /// Largest number of days between a scan and the visit that gives its diagnosis.
    pub max_days: u32,
    /// Whether the archive's research group may serve as the diagnosis where no table lists visits.
    pub accept_research_group: bool,
    /// Phases of the study, such as `ADNI1` or `ADNI 2`. Spaces and case do not matter. Empty selects all phases.
    pub phases: Vec<String>,
    /// Field strengths in tesla, the preferred one first. Empty selects all of them.
    pub field_strengths_t: Vec<f64>,
    /// Modality. `MR` and `MRI` mean the same, and images of unknown modality pass. Empty selects all modalities.
    pub modality: String,
    /// Patterns for the series description, such as `*mprage*`. At least one must match. Empty selects all
    /// descriptions.
    pub include: Vec<Pattern>,
    /// Patterns for the series description. None may match.
    pub exclude: Vec<Pattern>,
    /// Original images, or images that the archive processed.
    pub images: ImageChoice,
    /// Smallest age at the scan, in years. Without it there is no lower limit.
    #[schemars(example = 60.0)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_age_years: Option<f64>,
    /// Largest age at the scan, in years. Without it there is no upper limit.
    #[schemars(example = 90.0)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age_years: Option<f64>,
    /// Whether to select one scan per visit: of the preferred kind, then of the field strength listed first, then
    /// with the lowest series number, the lowest image number, and the first path.
    pub one_per_visit: bool,
    /// Largest number of scans per subject. The earliest scans are selected. Without it there is no limit.
    #[schemars(example = 3)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_scans_per_subject: Option<usize>,
    /// Whether to exclude CN scans until there are as many as AD scans. Scans are taken from subjects in turn, so
    /// that as many subjects as possible remain.
    pub balance: bool,
    /// Seed of the order in which subjects lose scans to the balance.
    pub seed: u64,
}

/// Descriptions of other contrasts, localizers and calibration scans.
const OTHER_CONTRASTS: [&str; 9] =
    ["*localizer*", "*scout*", "*survey*", "*calibration*", "*flair*", "*dti*", "*fmri*", "*t2*", "*tse*"];

impl Default for SelectionConfig {
    fn default() -> Self {
        let JoinRule { max_days, accept_research_group } = JoinRule::default();
        Self {
            diagnoses: vec![Diagnosis::Cn, Diagnosis::Ad],
            max_days,
            accept_research_group,
            phases: Vec::new(),
            field_strengths_t: Vec::new(),
            modality: "MRI".to_owned(),
            include: Vec::new(),
            exclude: OTHER_CONTRASTS.into_iter().filter_map(Pattern::parse).collect(),
            images: ImageChoice::PreferOriginal,
            min_age_years: None,
            max_age_years: None,
            one_per_visit: true,
            max_scans_per_subject: None,
            balance: true,
            seed: 0,
        }
    }
}

impl SelectionConfig {
    /// Checks that the settings are valid and consistent.
    ///
    /// # Errors
    /// [`CohortError::Setting`].
    pub fn validate(&self) -> Result<(), CohortError> {
        let wrong = |setting, got: String, expected| Err(CohortError::Setting { setting, got, expected });
        let diagnoses: BTreeSet<Diagnosis> = self.diagnoses.iter().copied().collect();
        if diagnoses.is_empty() {
            return wrong("diagnoses", "an empty list".to_owned(), "at least one of CN, MCI, AD");
        }
        if self.balance && !(diagnoses.contains(&Diagnosis::Cn) && diagnoses.contains(&Diagnosis::Ad)) {
            let got = diagnoses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return wrong("diagnoses", got, "CN and AD, which balance = true weighs; or balance = false");
        }
        let is_tesla = |tesla: f64| tesla <= FieldStrength::LARGEST_T && FieldStrength::new(tesla).is_some();
        if let Some(tesla) = self.field_strengths_t.iter().find(|&&tesla| !is_tesla(tesla)) {
            return wrong("field_strengths_t", tesla.to_string(), "tesla, such as 1.5 or 3.0");
        }
        if let Some(phase) = self.phases.iter().find(|phase| phase_key(phase).is_empty()) {
            return wrong("phases", format!("`{}`", crate::error::shorten(phase)), "names such as ADNI2");
        }
        let ages = [("min_age_years", self.min_age_years), ("max_age_years", self.max_age_years)];
        for (setting, age) in ages {
            if let Some(age) = age.filter(|age| !(0.0..=130.0).contains(age)) {
                return wrong(setting, age.to_string(), "years from 0 to 130");
            }
        }
        if let Some((least, _)) = self.min_age_years.zip(self.max_age_years).filter(|(a, b)| a > b) {
            return wrong("min_age_years", least.to_string(), "no more than max_age_years");
        }
        if self.max_scans_per_subject == Some(0) {
            return wrong("max_scans_per_subject", "0".to_owned(), "at least 1");
        }
        Ok(())
    }

    /// The rule that matches images with visits.
    #[must_use]
    pub fn join_rule(&self) -> JoinRule {
        JoinRule { max_days: self.max_days, accept_research_group: self.accept_research_group }
    }

    /// The rank of a field strength in the requested list.
    pub(super) fn field_rank(&self, found: Option<FieldStrength>) -> Option<usize> {
        let found = found?;
        let is_asked = |&tesla: &f64| FieldStrength::new(tesla).is_some_and(|asked| asked.is_same_as(found));
        self.field_strengths_t.iter().position(is_asked)
    }
}

/// Normalises the spelling of a phase.
pub(super) fn phase_key(phase: &str) -> String {
    phase.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_uppercase).collect()
}
