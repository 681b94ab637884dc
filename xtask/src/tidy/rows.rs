//! Which crate may depend on which: arrows go down the rows, never up or sideways.

use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use super::Finding;
use super::row_table::{RowTable, TABLE_FILE, TOOL};
use crate::cargo;

/// The only crate of row 0 that the others of row 0 may use: it depends on none.
const BASE: &str = "brainreel-named";

/// Edges that the rows would allow.
const FORBIDDEN: [(&str, &str, &str); 1] =
    [("brainreel-training", "brainreel-preprocess", "training reads what preprocess wrote, from files")];

/// The lowest row that may use these crates, and every crate whose name goes on after a `-`.
const FRAMEWORKS: [(&str, u32); 2] = [("burn", 2), ("clap", 5)];

/// A package of the workspace.
struct Package {
    name: String,
    /// Path of its `Cargo.toml`, relative to the root.
    manifest: String,
    edges: Vec<Edge>,
}

/// One arrow between packages.
struct Edge {
    from: String,
    to: String,
    is_for_tests: bool,
}

/// Checks the table of rows, and all arrows of the workspace against it.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let text = std::fs::read_to_string(root.join(TABLE_FILE))
        .with_context(|| format!("cannot read {TABLE_FILE}"))?;
    let (rows, mut findings) = RowTable::parse(&text);
    let packages = read_packages(root)?;
    for package in &packages {
        let problems = package.edges.iter().filter_map(|edge| problem_of(&rows, edge));
        let no_row = rows
            .row_of(&package.name)
            .is_none()
            .then(|| format!("crate {} has no row: add it to the table in {TABLE_FILE}", package.name));
        let messages = no_row.into_iter().chain(problems);
        findings.extend(messages.map(|message| Finding::error(&package.manifest, 0, message)));
    }
    findings.extend(rows.without_package(|name| packages.iter().any(|package| package.name == name)));
    Ok(findings)
}

/// The packages of the workspace, as cargo sees them.
fn read_packages(root: &Path) -> anyhow::Result<Vec<Package>> {
    let output = cargo::stdout(root, &["metadata", "--no-deps", "--format-version", "1"])?;
    let metadata: Value = serde_json::from_str(&output).context("`cargo metadata` printed no JSON")?;
    let packages = metadata["packages"].as_array().context("`cargo metadata` lists no packages")?;
    packages.iter().map(|package| Package::parse(package, root)).collect()
}

impl Package {
    fn parse(package: &Value, root: &Path) -> anyhow::Result<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned).context("a package without a name");
        let name = text(&package["name"])?;
        let manifest = text(&package["manifest_path"])?;
        let manifest = Path::new(&manifest).strip_prefix(root).unwrap_or(Path::new(&manifest));
        let dependencies = package["dependencies"].as_array().context("a package without dependencies")?;
        let edges = dependencies.iter().map(|dependency| {
            let is_for_tests = dependency["kind"].as_str() == Some("dev");
            Ok(Edge { from: name.clone(), to: text(&dependency["name"])?, is_for_tests })
        });
        let edges = edges.collect::<anyhow::Result<_>>()?;
        Ok(Self { manifest: manifest.to_string_lossy().replace('\\', "/"), name, edges })
    }
}

fn problem_of(rows: &RowTable, edge: &Edge) -> Option<String> {
    let Edge { from, to, is_for_tests } = edge;
    let row = rows.row_of(from)?;
    if *is_for_tests {
        return (to == "xtask").then(|| format!("{from} must not depend on {to}"));
    }
    if let Some((framework, lowest)) = FRAMEWORKS.iter().find(|(name, _)| is_of_family(to, name))
        && row < *lowest
    {
        return Some(format!("{from} (row {row}) must not use {framework}: rows {lowest} and up may"));
    }
    if let Some((_, _, reason)) = FORBIDDEN.iter().find(|(a, b, _)| a == from && b == to) {
        return Some(format!("{from} must not depend on {to}: {reason}"));
    }
    if to == BASE {
        return None;
    }
    let target_row = rows.row_of(to)?;
    if target_row == TOOL {
        return Some(format!("{from} must not depend on {to}, except as a dev-dependency on testkit"));
    }
    (target_row >= row)
        .then(|| format!("{from} (row {row}) must not depend on {to} (row {target_row}): only on lower rows"))
}

fn is_of_family(name: &str, family: &str) -> bool {
    name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(from: &str, to: &str, is_for_tests: bool) -> Option<String> {
        let (rows, findings) = RowTable::parse(
            "| row | crate | one line |\n|---|---|---|\n| 0 | `named` | |\n| 0 | `cohort` | |\n| 0 | `artifact` | |\n| 1 | `volume` | |\n\
             | 2 | `formats` | |\n| 2 | `preprocess` | |\n| 2 | `models` | |\n| 3 | `training` | |\n| 5 | `cli` | |\n\
             | dev | `testkit`, `xtask` | |\n",
        );
        assert_eq!(findings, []);
        problem_of(&rows, &Edge { from: from.into(), to: to.into(), is_for_tests })
    }

    #[test]
    fn arrows_go_down() {
        for (from, to) in [
            ("brainreel", "brainreel-training"),
            ("brainreel-formats", "brainreel-volume"),
            ("brainreel-models", "burn"),
            ("brainreel", "clap"),
            ("xtask", "brainreel-artifact"),
            ("brainreel-cohort", "serde"),
            ("brainreel-cohort", "brainreel-named"),
        ] {
            assert_eq!(problem(from, to, false), None, "{from} -> {to}");
        }
        for (from, to) in [
            ("brainreel-volume", "brainreel-formats"),
            ("brainreel-cohort", "brainreel-artifact"),
            ("brainreel-preprocess", "brainreel-formats"),
            ("brainreel-training", "brainreel-preprocess"),
            ("brainreel-volume", "burn-tensor"),
            ("brainreel-training", "clap"),
            ("brainreel-models", "brainreel-testkit"),
            ("brainreel-models", "xtask"),
            ("brainreel-models", "brainreel"),
            ("brainreel-named", "brainreel-cohort"),
        ] {
            assert!(problem(from, to, false).is_some(), "{from} -> {to}");
        }
    }

    #[test]
    fn tests_may_use_what_they_need() {
        assert_eq!(problem("brainreel-volume", "brainreel-testkit", true), None);
        assert_eq!(problem("brainreel-preprocess", "brainreel-formats", true), None);
        assert!(problem("brainreel-volume", "xtask", true).is_some());
    }
}
