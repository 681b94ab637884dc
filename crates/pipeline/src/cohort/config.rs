//! Settings of the selection, from a file.

use std::path::Path;

use brainreel_cohort::SelectionConfig;

use crate::{IoContext, ResultExt, StageError, folders, settings};

/// Largest settings file that is read.
const MAX_BYTES: u64 = 1 << 20;

/// Reads the settings of a selection: a TOML file of their own, or the section `[cohort]` of an experiment.
///
/// # Errors
/// [`StageError`] if the file cannot be read, holds no such settings, or settings that are not possible.
pub fn read_settings(path: &Path) -> Result<SelectionConfig, StageError> {
    folders::check_file(path, "settings of the selection (TOML)")?;
    let n_bytes = std::fs::metadata(path).io_context("read", path)?.len();
    if n_bytes > MAX_BYTES {
        let expected = format!("settings of at most {MAX_BYTES} bytes");
        return Err(StageError::input(path, format!("has {n_bytes} bytes"), expected));
    }
    let text = std::fs::read_to_string(path).io_context("read", path)?;
    let wrong = |error: toml::de::Error| {
        let line = error.span().map_or_else(String::new, |span| {
            format!(" (line {})", 1 + text.get(..span.start).unwrap_or_default().matches('\n').count())
        });
        let found = format!("is no file of settings for a cohort: {}{line}", error.message());
        StageError::input(path, found, "the settings of a selection")
    };
    let mut table: toml::Table = toml::from_str(&text).map_err(wrong)?;
    let is_experiment = table.contains_key("out") && table.contains_key("input");
    let section = match table.remove("cohort") {
        Some(section) => section,
        None if is_experiment => {
            let found = "is an experiment without a section [cohort]";
            return Err(StageError::input(path, found, "such a section, or no file for the defaults"));
        }
        None => {
            let config: SelectionConfig = settings::read_settings(path)?;
            config.validate().with_context(|| path.display())?;
            return Ok(config);
        }
    };
    let config: SelectionConfig = section.try_into().map_err(wrong)?;
    config.validate().with_context(|| path.display())?;
    Ok(config)
}
