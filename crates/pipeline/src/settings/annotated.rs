//! Settings files with every setting, its default and its description.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::section::{Section, Setting};

/// Longest line of a comment.
const WIDTH: usize = 100;

/// A TOML file with every setting at its default, below its description. Settings without a default and optional sections
/// are commented out, except those of `active`. A setting without a default gets its example.
#[must_use]
pub fn annotated_defaults<T: JsonSchema + Serialize>(full: &T, active: &[&str]) -> String {
    let mut text = String::new();
    for section in Section::all_of(full) {
        let is_active = !section.is_optional || active.contains(&section.path.as_str());
        let mark = if is_active { "" } else { "# " };
        if !section.path.is_empty() {
            let _ = write!(text, "\n{mark}[{}]\n", section.path);
        }
        text += &comment(&section.description);
        for setting in &section.settings {
            text.push('\n');
            text += &comment(&setting.description);
            if !setting.choices.is_empty() {
                let values: Vec<&str> = setting.choices.iter().map(|choice| choice.value.as_str()).collect();
                text += &comment(&format!("Values: {}.", values.join(", ")));
            }
            let is_set =
                setting.default.is_some() || active.contains(&section.path_of(&setting.name).as_str());
            text += &assignment(setting, is_active && is_set);
        }
    }
    text
}

/// `name = value`, with the default or the example, commented out if it is not active.
fn assignment(setting: &Setting, is_active: bool) -> String {
    let mark = if is_active { "" } else { "# " };
    let value = setting.default.as_ref().or(setting.example.as_ref()).map_or_else(|| "…".to_owned(), to_toml);
    format!("{mark}{} = {value}\n", setting.name)
}

/// A JSON value in the syntax of TOML, in one line.
pub(super) fn to_toml(value: &Value) -> String {
    match value {
        Value::Array(values) => {
            format!("[{}]", values.iter().map(to_toml).collect::<Vec<_>>().join(", "))
        }
        Value::Object(object) => {
            let pairs: Vec<String> =
                object.iter().map(|(key, value)| format!("{key} = {}", to_toml(value))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        other => other.to_string(),
    }
}

/// Comment lines.
fn comment(text: &str) -> String {
    text.lines().flat_map(wrap).map(|line| format!("# {line}\n")).collect()
}

fn wrap(paragraph: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in paragraph.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH - 2 => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
