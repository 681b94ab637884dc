//! JSON Schemas of settings.

use brainreel_named::plain_text;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// The JSON Schema (draft 7) of a settings struct, without references. TOML has no null, so an optional setting is one
/// that may be absent.
#[must_use]
pub fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = Value::from(settings.into_generator().into_root_schema_for::<T>());
    simplify(&mut schema);
    schema
}

/// Removes nulls and makes descriptions plain text.
fn simplify(schema: &mut Value) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(simplify),
        Value::Object(object) => {
            if let Some(Value::String(text)) = object.get_mut("description") {
                *text = plain_text(text);
            }
            if object.get("default").is_some_and(Value::is_null) {
                object.remove("default");
            }
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    object["type"] = only.clone();
                }
            }
            if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
                choices.retain(|choice| choice["type"] != "null");
                if let [only] = choices.as_slice() {
                    let only = only.clone();
                    object.remove("anyOf");
                    merge(object, only);
                }
            }
            for (key, value) in object.iter_mut() {
                // Values of these are data, in which a key may have any name.
                if !matches!(key.as_str(), "default" | "examples" | "const" | "enum") {
                    simplify(value);
                }
            }
        }
        _ => {}
    }
}

/// Adds what `object` does not have.
fn merge(object: &mut serde_json::Map<String, Value>, other: Value) {
    if let Value::Object(other) = other {
        for (key, value) in other {
            object.entry(key).or_insert(value);
        }
    }
}
