//! `experiment.toml`: the settings of all stages in one file.

mod check;
mod config;
mod document;
mod layout;
mod read;
mod ready;

pub use config::{DerivativesConfig, EvaluateSettings, Experiment, Input, LimitsConfig};
pub use document::{annotated, default_of, describe, reference, schema, sections};
pub use layout::Layout;
