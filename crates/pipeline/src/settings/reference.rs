//! Settings as a page of the reference documentation.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::annotated::to_toml;
use super::section::{Section, Setting};

/// Markdown: a heading per section, and each setting with its default, its description and its possible values.
#[must_use]
pub fn reference<T: JsonSchema + Serialize>(full: &T) -> String {
    let mut text = String::new();
    for section in Section::all_of(full) {
        if !section.path.is_empty() {
            let _ = write!(text, "\n## `[{}]`\n\n", section.path);
        }
        for line in section.description.lines() {
            let _ = write!(text, "{line}\n\n");
        }
        for setting in &section.settings {
            text += &item(setting);
        }
    }
    text
}

fn item(setting: &Setting) -> String {
    let default = match &setting.default {
        Some(default) => format!(" = `{}`", to_toml(default)),
        None => String::new(),
    };
    let description = setting.description.lines().collect::<Vec<_>>().join(" ");
    let mut text = format!("- **`{}`**{default}: {description}\n", setting.name);
    for choice in &setting.choices {
        let meaning = choice.description.lines().next().unwrap_or_default();
        let _ = if meaning.is_empty() {
            writeln!(text, "  - `{}`", choice.value)
        } else {
            writeln!(text, "  - `{}`: {meaning}", choice.value)
        };
    }
    text
}
