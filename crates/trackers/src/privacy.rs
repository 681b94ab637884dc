//! Removes private paths from the settings of a run.

use serde_json::Value;

/// The settings, with every path reduced to its last component, because folders contain names of people and
/// machines. Names of published weights (`kinetics400/r3d_18`) are not paths.
pub(crate) fn without_folders(settings: &Value) -> Value {
    match settings {
        Value::String(text) => Value::String(last_part(text).to_owned()),
        Value::Array(values) => values.iter().map(without_folders).collect(),
        Value::Object(map) => {
            Value::Object(map.iter().map(|(key, value)| (key.clone(), without_folders(value))).collect())
        }
        other => other.clone(),
    }
}

fn last_part(text: &str) -> &str {
    if is_weights_name(text) {
        return text;
    }
    text.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or(text)
}

/// `collection/network`, both of lower-case letters, digits and `_`.
fn is_weights_name(text: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    text.split_once('/')
        .is_some_and(|(collection, network)| is_word(collection) && network.contains('_') && is_word(network))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn folders_go_and_the_rest_stays() {
        let settings = json!({
            "weights": "/data/alice/r3d_18-b3b3357e.pth",
            "other": ["..\\bob\\x.toml", "kinetics400/mvit_v2_s", "thesis", "/data/alice/"],
            "nested": {"seed": 7, "rate": 1e-4, "none": null, "mine": "alice/weights"},
        });
        let expected = json!({
            "weights": "r3d_18-b3b3357e.pth",
            "other": ["x.toml", "kinetics400/mvit_v2_s", "thesis", "alice"],
            "nested": {"seed": 7, "rate": 1e-4, "none": null, "mine": "weights"},
        });
        assert_eq!(without_folders(&settings), expected);
    }
}
