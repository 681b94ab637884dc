//! Repository checks: `cargo xtask tidy` and `cargo xtask ci`.
#![expect(clippy::print_stdout, reason = "a command line tool reports to its user")]

mod cargo;
mod ci;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str =
    "usage: cargo xtask tidy    check crate rows, circles, manifests, lengths, stray marks, golden files
       cargo xtask ci      everything that .ci/run does, in the same order";

fn main() -> anyhow::Result<ExitCode> {
    let root = root();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["tidy"] => tidy::run(&root),
        ["ci"] => ci::run(&root),
        _ => {
            println!("{USAGE}");
            Ok(ExitCode::from(2))
        }
    }
}

/// The root of the checkout this tool was built in.
fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}
