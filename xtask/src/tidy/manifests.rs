//! Every crate inherits lints, licence, edition and versions from the workspace.

use std::fs;
use std::path::Path;

use anyhow::Context;
use toml::{Table, Value};

use super::Finding;

const LICENCE: &str = "MIT OR Apache-2.0";
const INHERITED: [&str; 5] = ["version", "edition", "rust-version", "license", "publish"];
const DEPENDENCY_TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// Checks the root's and every crate's `Cargo.toml`, and that the licence texts are there.
pub(crate) fn check(root: &Path, files: &[String]) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for manifest in files.iter().filter(|file| file.ends_with("/Cargo.toml")) {
        let text =
            fs::read_to_string(root.join(manifest)).with_context(|| format!("cannot read {manifest}"))?;
        findings.extend(check_crate(manifest, &text));
    }
    let text = fs::read_to_string(root.join("Cargo.toml")).context("cannot read Cargo.toml")?;
    if !text.contains(&format!("license = \"{LICENCE}\"")) {
        findings.push(Finding::error("Cargo.toml", 0, format!("the workspace licence is not {LICENCE}")));
    }
    for name in ["LICENSE-MIT", "LICENSE-APACHE", "Cargo.lock"] {
        if !files.iter().any(|file| file == name) {
            findings.push(Finding::error(name, 0, "the file is missing"));
        }
    }
    Ok(findings)
}

fn check_crate(path: &str, text: &str) -> Vec<Finding> {
    let table: Table = match text.parse() {
        Ok(table) => table,
        Err(error) => return vec![Finding::error(path, 0, format!("not TOML: {error}"))],
    };
    let mut findings = Vec::new();
    let package = table.get("package");
    for key in INHERITED {
        if !package.and_then(|package| package.get(key)).is_some_and(inherits) {
            findings.push(Finding::error(path, 0, format!("write `{key}.workspace = true` in [package]")));
        }
    }
    if !table.get("lints").is_some_and(inherits) {
        findings.push(Finding::error(path, 0, "write `workspace = true` in [lints]"));
    }
    for section in dependency_sections(&table) {
        for (name, _) in section.iter().filter(|(_, value)| !inherits(value)) {
            let message =
                format!("dependency {name}: put its version into the root's [workspace.dependencies]");
            findings.push(Finding::error(path, 0, message));
        }
    }
    findings
}

fn inherits(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

/// The dependency tables, those for one target included.
fn dependency_sections(table: &Table) -> Vec<&Table> {
    let targets = table.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let holders = std::iter::once(table).chain(targets.filter_map(Value::as_table));
    holders
        .flat_map(|holder| DEPENDENCY_TABLES.iter().filter_map(|name| holder.get(*name)?.as_table()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[package]\nname = \"x\"\nversion.workspace = true\nedition.workspace = true\n\
        rust-version.workspace = true\nlicense.workspace = true\npublish.workspace = true\n\
        [lints]\nworkspace = true\n[dependencies]\nserde.workspace = true\n";

    #[test]
    fn crates_inherit() {
        assert_eq!(check_crate("x/Cargo.toml", GOOD), []);
        for (from, to) in [
            ("license.workspace = true", "license = \"GPL-3.0\""),
            ("[lints]\nworkspace = true\n", ""),
            ("serde.workspace = true", "serde = \"1\""),
            ("[dependencies]\nserde", "[target.'cfg(unix)'.dependencies]\nlibc = \"0.2\"\nserde"),
            ("[package]", "[package"),
        ] {
            assert_eq!(check_crate("x/Cargo.toml", &GOOD.replace(from, to)).len(), 1, "{to}");
        }
    }
}
