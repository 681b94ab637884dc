//! Which files belong to the repository.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

/// Folders that hold what was built or downloaded, for a checkout without git.
const NOT_OURS: [&str; 4] = ["target", "scratch", ".git", "__pycache__"];

/// Every file that git tracks or would track, relative to `root`, with forward slashes, sorted.
/// Where git is not installed, or `root` is no checkout of it, every file that is not built.
pub(crate) fn list(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut files = match list_by_git(root) {
        Some(files) => files,
        None => {
            let mut files = Vec::new();
            walk(root, "", &mut files)?;
            files
        }
    };
    // A deleted file stays listed by git until its deletion is committed.
    files.retain(|file| root.join(file).is_file());
    files.sort();
    files.dedup();
    Ok(files)
}

fn list_by_git(root: &Path) -> Option<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let names = String::from_utf8(output.stdout).ok()?;
    Some(names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

fn walk(root: &Path, folder: &str, files: &mut Vec<String>) -> anyhow::Result<()> {
    let entries = fs::read_dir(root.join(folder)).with_context(|| format!("cannot list ./{folder}"))?;
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        if !entry.file_type()?.is_dir() {
            files.push(path);
        } else if !NOT_OURS.contains(&name.as_str()) {
            walk(root, &path, files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_git_is_walked() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["a.rs", "b/c.rs", "target/x.o"] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        assert_eq!(list(dir.path()).unwrap(), ["a.rs", "b/c.rs"]);
    }
}
