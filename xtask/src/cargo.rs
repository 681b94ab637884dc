//! Calls of cargo.

use std::path::Path;
use std::process::Command;

use anyhow::Context;

/// Runs cargo in `root` and returns what it prints.
///
/// # Errors
/// Fails if cargo cannot be started or ends with an error; the message holds its own.
pub(crate) fn stdout(root: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let command = arguments.join(" ");
    let output = Command::new("cargo")
        .args(arguments)
        .current_dir(root)
        .output()
        .with_context(|| format!("cannot run cargo {command}"))?;
    anyhow::ensure!(
        output.status.success(),
        "cargo {command} failed: {}",
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    String::from_utf8(output.stdout).with_context(|| format!("cargo {command} printed no UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_and_errors_of_cargo_are_passed_on() {
        let root = crate::root();
        assert!(stdout(&root, &["--version"]).unwrap().starts_with("cargo "));
        let error = stdout(&root, &["no-such-command"]).unwrap_err().to_string();
        assert!(error.starts_with("cargo no-such-command failed: ") && error.len() > 40, "{error}");
    }
}
