//! The gate: every step that a change has to pass.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::Context;

/// One command of the gate.
struct Step {
    name: &'static str,
    /// The command line; `KEY=VALUE` words in front, single-quoted where they hold spaces, are its
    /// environment. The words are those of `.ci/run`.
    command: &'static str,
}

/// Cheap steps first. Everything is built with one profile, so that the dependencies are checked once
/// (clippy and rustdoc share that) and compiled once; but the crates with `unsafe` and those on top of them are
/// tested once more with overflow checks and debug assertions, which needs few dependencies.
const STEPS: [Step; 7] = [
    Step { name: "format", command: "cargo fmt --all --check" },
    Step { name: "tidy", command: "cargo xtask tidy" },
    Step {
        name: "clippy",
        command: "cargo clippy --locked --release --workspace --all-targets -- -D warnings",
    },
    Step { name: "doc", command: "RUSTDOCFLAGS='-D warnings' cargo doc --release --workspace --no-deps" },
    Step { name: "test", command: "cargo test --release --workspace" },
    Step {
        name: "checked",
        command: "cargo test --locked --profile checked -p brainreel-kernels -p brainreel-engine --test properties --test network",
    },
    Step { name: "bench", command: "cargo bench --workspace --bench '*' --no-run" },
];

/// Runs the steps in order and stops at the first that fails.
pub(crate) fn run(root: &Path) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    for step in &STEPS {
        if step.name == "bench" && !has_benches(root) {
            continue;
        }
        println!("==> {}: {}", step.name, step.command);
        let step_start = Instant::now();
        if !run_step(step, root)? {
            println!("<== {} failed", step.name);
            return Ok(ExitCode::FAILURE);
        }
        println!("<== {} took {} s", step.name, step_start.elapsed().as_secs());
    }
    println!("all steps passed in {} s", start.elapsed().as_secs());
    Ok(ExitCode::SUCCESS)
}

fn run_step(step: &Step, root: &Path) -> anyhow::Result<bool> {
    if step.name == "tidy" {
        return crate::tidy::is_tidy(root);
    }
    let words = words(step.command);
    let n_settings = words.iter().take_while(|word| word.contains('=')).count();
    let settings = words[..n_settings].iter().filter_map(|word| word.split_once('='));
    let (program, arguments) = words[n_settings..].split_first().context("an empty step")?;
    let status = Command::new(program)
        .args(arguments)
        .envs(settings)
        .current_dir(root)
        .status()
        .with_context(|| format!("cannot run {program}"))?;
    Ok(status.success())
}

/// Splits at spaces outside of single quotes, and drops the quotes.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), String::new(), false);
    for c in command.chars() {
        match c {
            '\'' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    words.push(word);
    words
}

fn has_benches(root: &Path) -> bool {
    let crates = std::fs::read_dir(root.join("crates")).into_iter().flatten().flatten();
    crates.into_iter().any(|entry| entry.path().join("benches").is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_and_this_tool_run_the_same_commands() {
        let script = std::fs::read_to_string(crate::root().join(".ci/run")).unwrap();
        let steps: Vec<String> = script
            .lines()
            .filter_map(|line| line.trim().strip_prefix("step "))
            .map(|line| line.replacen(" env ", " ", 1))
            .collect();
        let expected: Vec<String> =
            STEPS.iter().map(|step| format!("{} {}", step.name, step.command)).collect();
        assert_eq!(steps, expected);
    }

    #[test]
    fn quoted_words_stay_together() {
        assert_eq!(words("A='x y' b  c"), ["A=x y", "b", "", "c"]);
    }
}
