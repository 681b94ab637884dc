//! Golden entries: arrays with a header that says what made them, unchanged since.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use super::Finding;

const FOLDER: &str = "/tests/golden/";
const LARGEST_ENTRY_BYTES: u64 = 1 << 20;

/// Checks that each `.bin` has its `.json` and the other way round, that the header names an existing
/// generator, tools and a licence, and that the hash is that of the arrays.
pub(crate) fn check(root: &Path, files: &[String]) -> anyhow::Result<Vec<Finding>> {
    let goldens = files.iter().filter(|file| file.contains(FOLDER));
    let stems: BTreeSet<&str> =
        goldens.filter_map(|file| file.strip_suffix(".bin").or_else(|| file.strip_suffix(".json"))).collect();
    let mut findings = Vec::new();
    for stem in stems {
        findings.extend(check_entry(root, stem)?);
    }
    Ok(findings)
}

fn check_entry(root: &Path, stem: &str) -> anyhow::Result<Vec<Finding>> {
    let (header_path, array_path) = (format!("{stem}.json"), format!("{stem}.bin"));
    for (path, other) in [(&header_path, &array_path), (&array_path, &header_path)] {
        if !root.join(path).is_file() {
            return Ok(vec![Finding::error(other, 0, format!("{path} is missing"))]);
        }
    }
    let error = |message: String| Finding::error(&header_path, 0, message);
    let text = fs::read(root.join(&header_path)).with_context(|| format!("cannot read {header_path}"))?;
    let Ok(header) = serde_json::from_slice::<Value>(&text) else {
        return Ok(vec![error("not JSON".into())]);
    };
    let mut findings = Vec::new();
    let word = |key: &str| header.get(key).and_then(Value::as_str).unwrap_or_default();
    if word("generator").is_empty() || !root.join(word("generator")).is_file() {
        findings.push(error(format!("the generator `{}` does not exist", word("generator"))));
    }
    if !header.get("tools").is_some_and(Value::is_object) || word("licence").is_empty() {
        findings.push(error("`tools` and `licence` are needed".into()));
    }
    let hash = brainreel_artifact::hash_file(&root.join(&array_path))?;
    if word("sha256") != hash.as_str() {
        findings.push(error(format!("{array_path} is not what its generator wrote: run it again")));
    }
    let n_bytes =
        fs::metadata(root.join(&array_path)).with_context(|| format!("cannot read {array_path}"))?.len();
    if n_bytes > LARGEST_ENTRY_BYTES {
        findings.push(Finding::warning(&array_path, 0, format!("{n_bytes} bytes: would fewer do?")));
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_whole_and_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let (bin, json) = ("crates/x/tests/golden/a.bin", "crates/x/tests/golden/a.json");
        let files = [bin.to_owned(), json.to_owned()];
        let check = || check(dir.path(), &files).unwrap().len();
        write(bin, "abc");
        assert_eq!(check(), 1, "no header");
        let digest = brainreel_artifact::hash_bytes(b"abc");
        let header = format!(
            r#"{{"generator": "reference/a.py", "tools": {{}}, "licence": "MIT", "sha256": "{digest}"}}"#
        );
        write(json, &header);
        assert_eq!(check(), 1, "no generator");
        write("reference/a.py", "");
        assert_eq!(check(), 0);
        write(bin, "abd");
        assert_eq!(check(), 1, "changed arrays");
        write(json, "{}");
        assert_eq!(check(), 3, "empty header");
        fs::remove_file(dir.path().join(bin)).unwrap();
        assert_eq!(check(), 1, "no arrays");
    }
}
