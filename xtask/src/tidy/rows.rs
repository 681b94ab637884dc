//! Which crate may depend on which: arrows go down the rows, never up or sideways.

use std::path::Path;

use anyhow::Context;
use cargo_metadata::{DependencyKind, MetadataCommand};

use super::Finding;

/// The row of each crate. A crate depends only on crates of lower rows.
const ROWS: [(&str, u32); 22] = [
    ("brainreel-kernels", 0),
    ("brainreel-statistics", 0),
    ("brainreel-cohort", 0),
    ("brainreel-artifact", 0),
    ("brainreel-audit", 1),
    ("brainreel-engine", 1),
    ("brainreel-trackers", 1),
    ("brainreel-volume", 1),
    ("brainreel-augmentation", 2),
    ("brainreel-figure", 2),
    ("brainreel-fingerprint", 2),
    ("brainreel-formats", 2),
    ("brainreel-preprocess", 2),
    ("brainreel-models", 2),
    ("brainreel-synthstrip", 3),
    ("brainreel-weights", 3),
    ("brainreel-simulate", 3),
    ("brainreel-training", 3),
    ("brainreel-report", 3),
    ("brainreel", 4),
    // Tools: no crate depends on them, except on testkit in its own tests.
    ("brainreel-testkit", TOOL),
    ("xtask", TOOL),
];
const TOOL: u32 = 9;

/// Edges that the rows would allow.
const FORBIDDEN: [(&str, &str, &str); 1] =
    [("brainreel-training", "brainreel-preprocess", "training reads what preprocess wrote, from files")];

/// The lowest row that may use these crates, and every crate whose name goes on after a `-`.
const FRAMEWORKS: [(&str, u32); 2] = [("burn", 2), ("clap", 4)];

/// One arrow between packages.
struct Edge {
    from: String,
    to: String,
    is_for_tests: bool,
}

/// Checks all arrows of the workspace.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("cargo metadata failed")?;
    let mut findings = Vec::new();
    for package in metadata.workspace_packages() {
        let folder = package.manifest_path.strip_prefix(&metadata.workspace_root);
        let path = folder.unwrap_or(&package.manifest_path).as_str();
        let edges = package.dependencies.iter().map(|dependency| Edge {
            from: package.name.to_string(),
            to: dependency.name.clone(),
            is_for_tests: dependency.kind == DependencyKind::Development,
        });
        let problems = edges.filter_map(|edge| problem_of(&edge));
        let unknown = row_of(&package.name)
            .is_none()
            .then(|| format!("crate {} has no row: give it one in xtask/src/tidy/rows.rs", package.name));
        findings.extend(unknown.into_iter().chain(problems).map(|message| Finding::error(path, 0, message)));
    }
    Ok(findings)
}

fn row_of(name: &str) -> Option<u32> {
    ROWS.iter().find(|(crate_name, _)| *crate_name == name).map(|(_, row)| *row)
}

fn problem_of(edge: &Edge) -> Option<String> {
    let Edge { from, to, is_for_tests } = edge;
    let row = row_of(from)?;
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
    let target_row = row_of(to)?;
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
        problem_of(&Edge { from: from.into(), to: to.into(), is_for_tests })
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
