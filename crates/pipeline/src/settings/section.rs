//! Settings as a front end shows them: sections of names, descriptions, defaults and choices.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::order::{KeyOrder, key_order};
use super::schema::schema_of;

/// The settings of a section of `experiment.toml`.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// The name with the names of the sections around it, such as `train.cache`. Empty for the top level.
    pub path: String,
    /// What the section is for.
    pub description: String,
    /// Whether the section can be left out with another meaning than all its defaults.
    pub is_optional: bool,
    /// The settings, in the order of their declaration.
    pub settings: Vec<Setting>,
}

/// One setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The name in its section.
    pub name: String,
    /// What it means; one line per paragraph.
    pub description: String,
    /// The value that it has when it is absent. `None` if it is then unset.
    pub default: Option<Value>,
    /// A value that it may have, for a setting without default.
    pub example: Option<Value>,
    /// The values that are possible, if there is a list of them.
    pub choices: Vec<Choice>,
}

/// A possible value of a setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The value as TOML.
    pub value: String,
    /// What it means.
    pub description: String,
}

impl Section {
    /// All sections of a settings struct, outer ones first. `full` decides the order: it has all optional sections.
    #[must_use]
    pub fn all_of<T: JsonSchema + Serialize>(full: &T) -> Vec<Self> {
        let mut sections = Vec::new();
        collect("", &schema_of::<T>(), false, &key_order(full), &mut sections);
        sections
    }

    /// The setting of this name.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.name == name)
    }

    /// The name of a setting with the names of its sections.
    #[must_use]
    pub fn path_of(&self, setting: &str) -> String {
        if self.path.is_empty() { setting.to_owned() } else { format!("{}.{setting}", self.path) }
    }
}

fn collect(path: &str, schema: &Value, is_optional: bool, order: &KeyOrder, sections: &mut Vec<Section>) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let place = |name: &str| order.get(path).and_then(|names| names.iter().position(|own| own == name));
    let mut properties: Vec<(&String, &Value)> = properties.iter().collect();
    // A key that the example leaves out comes last.
    properties.sort_by_key(|(name, _)| place(name).unwrap_or(usize::MAX));
    let mut section =
        Section { path: path.to_owned(), description: text(schema), is_optional, settings: Vec::new() };
    let mut inner = Vec::new();
    for (name, property) in properties {
        let is_section = property["properties"].is_object() && !is_inline(path);
        if is_section {
            inner.push((section.path_of(name), property));
        } else {
            section.settings.push(Setting::new(name, property));
        }
    }
    sections.push(section);
    for (path, property) in inner {
        let name = path.rsplit('.').next().unwrap_or_default();
        let is_required =
            schema["required"].as_array().is_some_and(|names| names.iter().any(|own| own == name));
        let is_optional = property.get("default").is_none() && !is_required;
        collect(&path, property, is_optional, order, sections);
    }
}

/// Tables in this section are written in one line.
fn is_inline(path: &str) -> bool {
    path == "input"
}

impl Setting {
    fn new(name: &str, property: &Value) -> Self {
        let table = property["properties"].as_object().map(|inner| {
            let defaults = inner.iter().map(|(key, value)| (key.clone(), value["default"].clone()));
            Value::Object(defaults.filter(|(_, value)| !value.is_null()).collect())
        });
        Self {
            name: name.to_owned(),
            description: text(property),
            default: property.get("default").cloned(),
            example: property["examples"].get(0).cloned().or(table),
            choices: choices(property).or_else(|| choices(&property["items"])).unwrap_or_default(),
        }
    }
}

/// The possible values of a schema that lists them.
fn choices(schema: &Value) -> Option<Vec<Choice>> {
    let listed = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array())?;
    let current = listed.iter().filter(|choice| choice["deprecated"] != true);
    let choices = current.flat_map(|choice| {
        let description = text(choice);
        let constants =
            choice.get("const").into_iter().chain(choice["enum"].as_array().into_iter().flatten());
        let constants = constants.map(|value| value.to_string());
        let tables = choice["properties"].as_object().into_iter().flatten();
        let tables = tables.map(|(key, _)| format!("{{ {key} = … }}"));
        let values: Vec<String> = constants.chain(tables).collect();
        values.into_iter().map(move |value| Choice { value, description: description.clone() })
    });
    Some(choices.collect())
}

fn text(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().to_owned()
}
