//! Reading settings files, with unknown keys named before anything else.

use std::collections::BTreeMap;
use std::path::Path;

use brainreel_named::nearest;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::error::{SettingsError, UnknownKey};
use super::schema::schema_of;

/// Reads settings from a TOML file.
///
/// # Errors
/// [`SettingsError::UnknownKeys`] lists keys that no setting has, each with its line and the setting that was probably
/// meant; [`SettingsError::Toml`] if a value does not fit; [`SettingsError::Read`] if the file cannot be read.
pub fn read_settings<T: JsonSchema + DeserializeOwned>(path: &Path) -> Result<T, SettingsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| SettingsError::Read { path: path.to_owned(), source })?;
    parse_settings(&text, path)
}

fn parse_settings<T: JsonSchema + DeserializeOwned>(text: &str, path: &Path) -> Result<T, SettingsError> {
    let wrong = |source| SettingsError::Toml { path: path.to_owned(), source };
    let table = DeTable::parse(text).map_err(wrong)?;
    let keys = unknown_keys(text, table.get_ref(), &schema_of::<T>());
    if !keys.is_empty() {
        return Err(SettingsError::UnknownKeys { path: path.to_owned(), keys });
    }
    toml::from_str(text).map_err(wrong)
}

/// Compares the keys of a file with those of a schema, in the order of the file.
fn unknown_keys(text: &str, table: &DeTable<'_>, schema: &Value) -> Vec<UnknownKey> {
    let mut places = BTreeMap::new();
    collect_places("", schema, &mut places);
    let mut search = Search { text, places, found: Vec::new() };
    search.visit("", table, schema);
    search.found.sort_by_key(|key| key.line);
    search.found
}

struct Search<'a> {
    text: &'a str,
    /// Paths of all settings, by name.
    places: BTreeMap<String, Vec<String>>,
    found: Vec<UnknownKey>,
}

impl Search<'_> {
    fn visit(&mut self, path: &str, table: &DeTable<'_>, schema: &Value) {
        // A table without listed keys is a value, which has its own checks.
        let Some(properties) = schema["properties"].as_object() else { return };
        for (key, value) in table {
            let name: &str = key.get_ref();
            let Some(property) = properties.get(name) else {
                let line = self.text[..key.span().start].matches('\n').count() + 1;
                let expected: Vec<String> = properties.keys().cloned().collect();
                let nearest = self.nearest(path, name, &expected);
                self.found.push(UnknownKey { line, key: join(path, name), nearest, expected });
                continue;
            };
            if let DeValue::Table(inner) = value.get_ref() {
                self.visit(&join(path, name), inner, property);
            }
        }
    }

    /// The most similar key of the same section, or a key of that very name in another section.
    fn nearest(&self, path: &str, name: &str, expected: &[String]) -> Option<String> {
        let in_section = nearest(name, expected.iter().map(String::as_str)).map(|key| join(path, key));
        let elsewhere = || self.places.get(name).and_then(|paths| paths.first()).cloned();
        let similar_elsewhere = || {
            let similar = nearest(name, self.places.keys().map(String::as_str))?;
            self.places.get(similar).and_then(|paths| paths.first()).cloned()
        };
        in_section.or_else(elsewhere).or_else(similar_elsewhere)
    }
}

fn collect_places(path: &str, schema: &Value, places: &mut BTreeMap<String, Vec<String>>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let own = join(path, name);
        places.entry(name.clone()).or_default().push(own.clone());
        collect_places(&own, property, places);
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Outer {
        out: String,
        #[serde(default)]
        inner: Inner,
    }

    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        max_epochs: usize,
        innermost: Innermost,
    }

    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct Innermost {
        seed: Option<u64>,
        speed: Option<f64>,
    }

    fn messages(text: &str) -> Vec<String> {
        match parse_settings::<Outer>(text, Path::new("experiment.toml")) {
            Err(SettingsError::UnknownKeys { keys, .. }) => keys.iter().map(ToString::to_string).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn unknown_keys_are_named_with_line_and_nearest_key_in_every_section() {
        let text =
            "out = \"o\"\noutt = 1\n\n[inner]\nepochs = 3\n[inner.innermost]\nsede = 1\ncolour = 2\n[iner]\n";
        assert_eq!(
            messages(text),
            [
                "line 2: unknown key `outt`; did you mean `out`?",
                "line 5: unknown key `inner.epochs`; did you mean `inner.max_epochs`?",
                "line 7: unknown key `inner.innermost.sede`; did you mean `inner.innermost.seed`?",
                "line 8: unknown key `inner.innermost.colour`, expected one of seed, speed",
                "line 9: unknown key `iner`; did you mean `inner`?",
            ]
        );
        let inline = "out = \"o\"\ninner = { innermost = { sed = 1 } }\n";
        assert_eq!(
            messages(inline),
            ["line 2: unknown key `inner.innermost.sed`; did you mean `inner.innermost.seed`?"]
        );
    }

    #[test]
    fn a_key_of_another_section_is_found_there() {
        assert_eq!(
            messages("out = \"o\"\nspeed = 1.0\n"),
            ["line 2: unknown key `speed`; did you mean `inner.innermost.speed`?"]
        );
    }

    #[test]
    fn known_keys_pass_and_wrong_values_keep_their_line() {
        let text = "out = \"o\"\ninner.max_epochs = 3\n[inner.innermost]\nseed = 4\n";
        let read: Outer = parse_settings(text, Path::new("experiment.toml")).unwrap();
        assert_eq!((read.inner.max_epochs, read.inner.innermost.seed), (3, Some(4)));
        let wrong = "out = \"o\"\n[inner]\nmax_epochs = \"x\"\n";
        let error = parse_settings::<Outer>(wrong, Path::new("experiment.toml")).unwrap_err();
        let SettingsError::Toml { source: error, .. } = error else { panic!("{error}") };
        assert!(error.to_string().contains("line 3"), "{error}");
    }
}
