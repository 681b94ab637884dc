//! Settings of a split.

use std::path::PathBuf;

use brainreel_named::named;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SplitError;
use crate::{CohortError, Diagnosis};

named! {
    /// How scans are assigned to partitions.
    #[derive(Default)]
    pub enum SplitStrategy {
        /// Subjects of each class, sorted by their number of scans, go to test, validation and training in turn (the thesis).
        #[default]
        RoundRobin = "round-robin",
        /// Subjects of each class are assigned at random.
        Stratified = "stratified",
        /// Held-out sites: no training or validation scan comes from them.
        LeaveSiteOut = "leave-site-out",
        /// Held-out field strength: no training or validation scan comes from it.
        LeaveFieldStrengthOut = "leave-field-strength-out",
        /// Scans are assigned at random, regardless of the subject. Leaky on purpose, for demonstration only.
        ScanLevel = "scan-level",
        /// A published list of subjects and partitions.
        Subjects = "subjects",
    }
}

impl SplitStrategy {
    /// Whether scans of one subject may be in several partitions.
    #[must_use]
    pub const fn is_leaky(self) -> bool {
        matches!(self, Self::ScanLevel)
    }
}

/// Settings of a split: classes, strategy and fractions.
///
/// When read from a file, a missing `train` is the remainder after validation and test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "Fields")]
#[schemars(!from, default, deny_unknown_fields)]
pub struct SplitConfig {
    /// How scans are assigned to partitions.
    pub strategy: SplitStrategy,
    /// Fraction of each class's scans for training. In a file it may be left out: training then gets what
    /// validation and test leave.
    pub train: f64,
    /// Fraction of each class's scans for validation.
    pub validation: f64,
    /// Fraction of each class's scans for testing. Held-out sites and field strengths have the size they have.
    pub test: f64,
    /// Diagnoses to classify. Scans with another diagnosis, or none, are excluded.
    pub classes: Vec<Diagnosis>,
    /// Seed of random draws. `round-robin` draws nothing.
    pub seed: u64,
    /// For `leave-site-out`: the sites to test on. Empty: sites are added one by one, each time the one that
    /// brings the classes closest to their fraction, until the test partition has its share.
    pub sites: Vec<String>,
    /// For `leave-field-strength-out`: the field strength to test on, in tesla, with a tolerance of 10 %.
    #[schemars(example = 3.0)]
    pub field_strength_t: Option<f64>,
    /// Whether to exclude scans of unknown site or field strength. Otherwise they are an error.
    pub leave_out_unknown: bool,
    /// Whether to keep only AD and CN subjects that form pairs of the same sex and nearly the same age.
    pub match_age_sex: bool,
    /// Largest age difference within a matched pair, in years.
    pub caliper_years: f64,
    /// For `subjects`: a table with the columns `subject` and `partition`.
    #[schemars(example = &"published.csv")]
    pub subjects: Option<PathBuf>,
}

impl Default for SplitConfig {
    fn default() -> Self {
        Self {
            strategy: SplitStrategy::RoundRobin,
            train: 0.8,
            validation: 0.1,
            test: 0.1,
            classes: vec![Diagnosis::Cn, Diagnosis::Ad],
            seed: 0,
            sites: Vec::new(),
            field_strength_t: None,
            leave_out_unknown: false,
            match_age_sex: false,
            caliper_years: 2.0,
            subjects: None,
        }
    }
}

/// [`SplitConfig`] as written in a file.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Fields {
    strategy: SplitStrategy,
    train: Option<f64>,
    validation: f64,
    test: f64,
    classes: Vec<Diagnosis>,
    seed: u64,
    sites: Vec<String>,
    field_strength_t: Option<f64>,
    leave_out_unknown: bool,
    match_age_sex: bool,
    caliper_years: f64,
    subjects: Option<PathBuf>,
}

impl Default for Fields {
    fn default() -> Self {
        let default = SplitConfig::default();
        Self {
            strategy: default.strategy,
            train: None,
            validation: default.validation,
            test: default.test,
            classes: default.classes,
            seed: default.seed,
            sites: default.sites,
            field_strength_t: default.field_strength_t,
            leave_out_unknown: default.leave_out_unknown,
            match_age_sex: default.match_age_sex,
            caliper_years: default.caliper_years,
            subjects: default.subjects,
        }
    }
}

impl From<Fields> for SplitConfig {
    fn from(fields: Fields) -> Self {
        Self {
            strategy: fields.strategy,
            train: fields.train.unwrap_or(1.0 - fields.validation - fields.test),
            validation: fields.validation,
            test: fields.test,
            classes: fields.classes,
            seed: fields.seed,
            sites: fields.sites,
            field_strength_t: fields.field_strength_t,
            leave_out_unknown: fields.leave_out_unknown,
            match_age_sex: fields.match_age_sex,
            caliper_years: fields.caliper_years,
            subjects: fields.subjects,
        }
    }
}

impl SplitConfig {
    /// Checks the fractions, and that the other settings are consistent with the strategy.
    ///
    /// # Errors
    /// [`CohortError::Fractions`], [`SplitError::Settings`].
    pub fn validate(&self) -> Result<(), CohortError> {
        let &Self { train, validation, test, .. } = self;
        let all_positive = [train, validation, test].into_iter().all(|fraction| fraction > 0.0);
        if !all_positive || (train + validation + test - 1.0).abs() >= 1e-6 {
            return Err(CohortError::Fractions { train, validation, test });
        }
        match self.mismatch() {
            None => Ok(()),
            Some(problem) => Err(SplitError::Settings { strategy: self.strategy, problem }.into()),
        }
    }

    /// Describes a setting that conflicts with the others.
    fn mismatch(&self) -> Option<String> {
        use SplitStrategy::{LeaveFieldStrengthOut, LeaveSiteOut, Subjects};
        let of_other = |name: &str, strategy: SplitStrategy| {
            Some(format!("`{name}` is a setting of {strategy}; choose that strategy, or leave it out"))
        };
        if !self.sites.is_empty() && self.strategy != LeaveSiteOut {
            return of_other("sites", LeaveSiteOut);
        }
        if self.field_strength_t.is_some() && self.strategy != LeaveFieldStrengthOut {
            return of_other("field strength", LeaveFieldStrengthOut);
        }
        if self.subjects.is_some() && self.strategy != Subjects {
            return of_other("subjects", Subjects);
        }
        if self.subjects.is_none() && self.strategy == Subjects {
            return Some("name the table of subjects and partitions (`subjects`)".to_owned());
        }
        if self.field_strength_t.is_some_and(|tesla| !(tesla > 0.0 && tesla <= 100.0)) {
            return Some("expected a field strength above 0 and at most 100 tesla".to_owned());
        }
        self.matching_mismatch()
    }

    fn matching_mismatch(&self) -> Option<String> {
        if !self.match_age_sex {
            return None;
        }
        if self.strategy == SplitStrategy::Subjects {
            return Some("a list of subjects is taken as it is; leave age and sex matching out".to_owned());
        }
        let has = |class| self.classes.contains(&class);
        if !has(Diagnosis::Ad) || !has(Diagnosis::Cn) || has(Diagnosis::Mci) {
            return Some("age and sex matching pairs AD with CN; let `classes` be these two".to_owned());
        }
        let in_range = self.caliper_years >= 0.0 && self.caliper_years <= 130.0;
        (!in_range)
            .then(|| format!("the caliper is {} years, expected a number from 0 to 130", self.caliper_years))
    }

    /// Validation share relative to the scans outside test.
    pub(super) fn validation_of_rest(&self) -> f64 {
        self.validation / (self.validation + self.train)
    }

    /// The strategy and its relevant settings, for the header of `split.tsv`.
    pub(super) fn describe(&self) -> String {
        let mut text = self.strategy.to_string();
        let mut add = |name: &str, value: String| text += &format!("; {name} {value}");
        if self.strategy != SplitStrategy::Subjects {
            add("train", fraction(self.train));
        }
        add("validation", fraction(self.validation));
        if self.strategy != SplitStrategy::Subjects {
            add("test", fraction(self.test));
        }
        let classes: Vec<&str> = self.classes.iter().map(|class| class.name()).collect();
        add("classes", classes.join(" "));
        if self.strategy != SplitStrategy::RoundRobin {
            add("seed", self.seed.to_string());
        }
        if self.match_age_sex {
            add("age and sex matched, caliper in years", self.caliper_years.to_string());
        }
        text
    }
}

/// Formats a fraction: 1 - 0.2 - 0.2 gives 0.6.
pub(super) fn fraction(value: f64) -> String {
    ((value * 1e6).round() / 1e6).to_string()
}
