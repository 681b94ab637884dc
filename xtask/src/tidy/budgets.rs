//! How many lines of Rust a folder may hold.

use std::fs;
use std::path::Path;

use anyhow::Context;

use super::Finding;

/// The command line tool stays thin: logic belongs into `pipeline`, where other front ends can call it.
const BUDGETS: [(&str, usize); 1] = [("crates/cli/src/", 4_000)];

/// Counts the lines of all Rust files of each folder.
pub(crate) fn check(root: &Path, files: &[String]) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (folder, limit) in BUDGETS {
        let mut n_lines = 0;
        for file in files.iter().filter(|file| file.starts_with(folder) && file.ends_with(".rs")) {
            let text = fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {file}"))?;
            n_lines += text.lines().count();
        }
        findings.extend(over_budget(folder, n_lines, limit));
    }
    Ok(findings)
}

fn over_budget(folder: &str, n_lines: usize, limit: usize) -> Option<Finding> {
    let message = format!("{n_lines} lines of Rust, {limit} is the limit: move logic to `pipeline`");
    (n_lines > limit).then(|| Finding::error(folder, 0, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_all_rust_files_count() {
        let (folder, limit) = BUDGETS[0];
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, n_lines: usize| {
            let path = dir.path().join(folder).join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x\n".repeat(n_lines)).unwrap();
            format!("{folder}{name}")
        };
        let mut files = vec![write("main.rs", limit - 1), write("commands/a.rs", 1), write("notes.md", 9)];
        assert_eq!(check(dir.path(), &files).unwrap(), []);
        files.push(write("commands/b.rs", 1));
        let message = format!(
            "error: {folder}: {} lines of Rust, {limit} is the limit: move logic to `pipeline`",
            limit + 1
        );
        assert_eq!(check(dir.path(), &files).unwrap()[0].to_string(), message);
    }
}
