//! Names in a JSON Schema.

use schemars::Schema;
use serde_json::{Value, json};

use crate::{Named, plain_text};

/// One constant per name, with its description. Aliases are marked as deprecated.
#[must_use]
pub fn schema_of<T: Named>() -> Schema {
    let names = T::VALUES
        .iter()
        .map(|value| json!({ "const": value.name(), "description": plain_text(value.doc()) }));
    let aliases = T::VALUES.iter().flat_map(|value| {
        let same = format!("The same as `{}`.", value.name());
        value
            .aliases()
            .iter()
            .map(move |alias| json!({ "const": alias, "description": same, "deprecated": true }))
    });
    let constants: Vec<Value> = names.chain(aliases).collect();
    schemars::json_schema!({ "description": plain_text(T::DOC), "type": "string", "oneOf": constants })
}
