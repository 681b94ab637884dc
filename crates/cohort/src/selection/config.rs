//! What is asked of a cohort.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Pattern;
use crate::{CohortError, Diagnosis, FieldStrength, ImageType, JoinRule};

/// Originals, or what the archive made of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageChoice {
    /// Whatever there is.
    Any,
    /// Only as the scanner made it.
    Original,
    /// Only processed by the archive.
    Processed,
    /// Of one series or visit the original, if there is one.
    PreferOriginal,
    /// Of one series or visit a processed image, if there is one.
    PreferProcessed,
}

impl ImageChoice {
    /// The only kind that is taken.
    pub(super) const fn required(self) -> Option<ImageType> {
        match self {
            Self::Original => Some(ImageType::Original),
            Self::Processed => Some(ImageType::Processed),
            _ => None,
        }
    }

    /// The kind that comes first.
    pub(super) const fn preferred(self) -> Option<ImageType> {
        match self {
            Self::PreferOriginal => Some(ImageType::Original),
            Self::PreferProcessed => Some(ImageType::Processed),
            _ => None,
        }
    }
}

/// What is asked of a cohort. A list that is empty asks for nothing; what is asked for must be known of an image,
/// or it is dropped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SelectionConfig {
    /// The diagnoses that are kept.
    pub diagnoses: Vec<Diagnosis>,
    /// Most days between a scan and the visit whose diagnosis it gets.
    pub max_days: u32,
    /// Whether the archive's research group may stand for the diagnosis where no table lists visits.
    pub accept_research_group: bool,
    /// Phases of the study, for example `ADNI1`, `ADNI 2` (spaces and case do not matter).
    pub phases: Vec<String>,
    /// Field strengths in tesla, the preferred one first.
    pub field_strengths_t: Vec<f64>,
    /// Modality; `MR` and `MRI` are one, and images of which none is told pass. Empty for any.
    pub modality: String,
    /// Patterns of the series description, of which one must fit.
    pub include: Vec<Pattern>,
    /// Patterns of the series description, of which none may fit.
    pub exclude: Vec<Pattern>,
    /// Originals, or what the archive made of them.
    pub images: ImageChoice,
    /// Least age at the scan, in years.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_age_years: Option<f64>,
    /// Greatest age at the scan, in years.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age_years: Option<f64>,
    /// Whether one scan a visit stays: of the preferred kind, then of the field strength listed first, then
    /// with the lowest number of series, of image, then by path.
    pub one_per_visit: bool,
    /// Most scans of a subject; the earliest stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_scans_per_subject: Option<usize>,
    /// Whether CN scans are dropped until there are as many as AD scans, so that as many subjects as
    /// possible stay.
    pub balance: bool,
    /// Decides, with their names, which subjects come last when the balance drops scans.
    pub seed: u64,
}

/// Descriptions of other contrasts and of scans that only prepare others.
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
    /// Checks that the settings make sense, and make sense together.
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

    /// How images find their diagnosis.
    #[must_use]
    pub fn join_rule(&self) -> JoinRule {
        JoinRule { max_days: self.max_days, accept_research_group: self.accept_research_group }
    }

    /// The place of a field strength in the list of those asked for.
    pub(super) fn field_rank(&self, found: Option<FieldStrength>) -> Option<usize> {
        let found = found?;
        let is_asked = |&tesla: &f64| FieldStrength::new(tesla).is_some_and(|asked| asked.is_same_as(found));
        self.field_strengths_t.iter().position(is_asked)
    }
}

/// One spelling of a phase.
pub(super) fn phase_key(phase: &str) -> String {
    phase.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_uppercase).collect()
}
