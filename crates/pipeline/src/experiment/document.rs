//! Documentation of `experiment.toml`, made from the settings structs.

use std::sync::LazyLock;

use brainreel_cohort::SelectionConfig;
use brainreel_preprocess::PreprocessConfig;
use brainreel_preprocess::steps::clip::ClipConfig;
use brainreel_simulate::SimulateConfig;
use serde_json::Value;

use super::config::{Experiment, Input};
use crate::settings::{self, Section};

/// Settings without default, and optional sections, that the annotated file sets.
const ACTIVE: [&str; 3] = ["out", "input.dicom", "cohort"];

/// The JSON Schema of `experiment.toml`, for editors.
#[must_use]
pub fn schema() -> Value {
    settings::schema_of::<Experiment>()
}

/// An `experiment.toml` with every setting at its default, below its description.
#[must_use]
pub fn annotated() -> String {
    settings::annotated_defaults(&full(), &ACTIVE)
}

/// The reference of all settings, in Markdown.
#[must_use]
pub fn reference() -> String {
    format!("{HEAD}{}", settings::reference(&full()))
}

/// The description of a setting, such as `train.batch_size`: one line per paragraph.
#[must_use]
pub fn describe(setting: &str) -> Option<String> {
    Some(property(setting)?["description"].as_str()?.to_owned())
}

/// The default of a setting. `None` if it has none.
#[must_use]
pub fn default_of(setting: &str) -> Option<Value> {
    property(setting)?.get("default").cloned()
}

fn property(setting: &str) -> Option<&'static Value> {
    static SCHEMA: LazyLock<Value> = LazyLock::new(schema);
    setting.split('.').try_fold(&*SCHEMA, |schema, name| schema.get("properties")?.get(name))
}

/// All settings by section, with descriptions, defaults and possible values.
#[must_use]
pub fn sections() -> Vec<Section> {
    Section::all_of(&full())
}

const HEAD: &str = "\
# Settings

All settings of `experiment.toml`, which `brainreel run` reads.
This page is made from the doc comments of the settings; `experiment.schema.json` beside it serves editors.

";

/// An experiment that has all optional sections and settings: its order of keys is that of the documentation.
fn full() -> Experiment {
    let input = Input { simulate: Some(SimulateConfig::default()), ..Input::default() };
    let preprocess = PreprocessConfig { clip: Some(ClipConfig::default()), ..PreprocessConfig::default() };
    let cohort = SelectionConfig {
        min_age_years: Some(0.0),
        max_age_years: Some(130.0),
        max_scans_per_subject: Some(1),
        ..SelectionConfig::default()
    };
    Experiment { cohort: Some(cohort), preprocess, ..Experiment::new("results", input) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Compares a generated file with the committed one. `BRAINREEL_UPDATE_DOCS=1` writes it.
    fn assert_current(name: &str, text: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(name);
        if std::env::var_os("BRAINREEL_UPDATE_DOCS").is_some() {
            std::fs::write(&path, text).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == text,
            "docs/reference/{name} is out of date: set BRAINREEL_UPDATE_DOCS=1 and test again"
        );
    }

    #[test]
    fn the_committed_schema_and_reference_are_current() {
        let schema = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
        assert_current("experiment.schema.json", &schema);
        assert_current("settings.md", &reference());
    }

    #[test]
    fn settings_are_found_by_their_path() {
        assert_eq!(default_of("train.batch_size"), Some(2.into()));
        assert!(describe("input.simulate.n_subjects").unwrap().contains("subjects"));
        assert_eq!((describe("train.colour"), describe("train.seed.colour")), (None, None));
    }

    #[test]
    fn the_annotated_file_holds_the_defaults() {
        let text = annotated();
        let read: Experiment = toml::from_str(&text).unwrap();
        let expected = Experiment {
            cohort: Some(SelectionConfig::default()),
            ..Experiment::new("results", Input { dicom: Some("ADNI".into()), ..Input::default() })
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn every_setting_has_a_description_and_a_default_or_an_example() {
        let sections = sections();
        assert!(sections.len() >= 12, "{}", sections.len());
        for section in &sections {
            assert!(!section.description.is_empty(), "[{}] has no description", section.path);
            for setting in &section.settings {
                let path = section.path_of(&setting.name);
                assert!(!setting.description.is_empty(), "{path} has no description");
                assert!(setting.default.is_some() || setting.example.is_some(), "{path} has no example");
            }
        }
    }

    #[test]
    fn commented_examples_can_be_taken_in() {
        // Sources that exclude each other, settings of another strategy.
        let exclusive = ["bids", "simulate"];
        let text: Vec<String> = annotated()
            .lines()
            .map(|line| match line.strip_prefix("# ").and_then(|rest| rest.split_once(" = ")) {
                Some((key, value)) if !key.contains(' ') && !exclusive.contains(&key) => {
                    format!("{key} = {value}")
                }
                _ => line.strip_prefix("# ").filter(|rest| rest.starts_with('[')).unwrap_or(line).to_owned(),
            })
            .collect();
        let read: Experiment = toml::from_str(&text.join("\n")).unwrap();
        assert!(read.cohort.unwrap().min_age_years.is_some() && read.train.clip_norm.is_some());
        assert!(read.preprocess.clip.is_some());
    }
}
