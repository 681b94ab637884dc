//! Commands share compiled registry crates: nobody waits for Burn twice.
//!
//! Cargo compiles a crate once per set of features, and the set depends on the packages that a command selects.
//! This check compares the sets by `cargo tree`, which needs no build and no nightly compiler.
//! A crate that one command uses in a build script and another in a program is compiled for each; this check
//! does not see that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Finding;
use crate::cargo;

/// The command that a newcomer runs first: `cargo run --release -- demo`.
const FIRST: &[&str] = &["-p", "brainreel", "-e", "normal,build"];
/// Commands after it, and the packages that are compared: all of the first command, or those below one package.
const LATER: [Later; 2] = [
    Later {
        name: "cargo test --workspace",
        selection: &["--workspace", "-e", "normal,build,dev"],
        compared: FIRST,
    },
    Later {
        name: "cargo test -p brainreel-models",
        selection: &["-p", "brainreel-models", "-e", "normal,build,dev"],
        compared: &["-p", "burn-core", "-e", "normal,build"],
    },
];

/// A command that should find everything compiled that it shares with the first.
struct Later {
    name: &'static str,
    selection: &'static [&'static str],
    compared: &'static [&'static str],
}

/// Sets of features, separated by commas, of each package and version.
type Features = BTreeMap<String, BTreeSet<String>>;

/// Reports registry crates that a later command would compile anew.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let first = features(root, FIRST)?;
    let mut findings = Vec::new();
    for Later { name, selection, compared } in LATER {
        let mut later = features(root, selection)?;
        let compared = features(root, compared)?;
        later.retain(|package, _| compared.contains_key(package));
        findings.extend(differences(name, &first, &later));
    }
    Ok(findings)
}

fn features(root: &Path, selection: &[&str]) -> anyhow::Result<Features> {
    let arguments = ["tree", "--prefix", "none", "-f", "{p}|{f}"];
    Ok(parse(&cargo::stdout(root, &[&arguments, selection].concat())?))
}

/// Reads lines such as `serde v1.0.229|default,std (*)`. Crates with a path are ours.
fn parse(tree: &str) -> Features {
    let mut features = Features::new();
    for line in tree.lines() {
        let line = line.trim_end_matches(" (*)").replace(" (proc-macro)", "");
        if let Some((package, set)) = line.split_once('|').filter(|(package, _)| !package.contains(" (")) {
            features.entry(package.to_owned()).or_default().insert(set.to_owned());
        }
    }
    features
}

fn differences(command: &str, first: &Features, later: &Features) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (package, sets) in later {
        let Some(known) = first.get(package) else { continue };
        for set in sets.difference(known) {
            let message = format!(
                "`{command}` compiles {package} anew, features: {}; make the sets equal in crates/workspace-hack",
                known.iter().map(|known| compare(known, set)).collect::<Vec<_>>().join(" or ")
            );
            findings.push(Finding::error("Cargo.toml", 0, message));
        }
    }
    findings
}

/// What a set of features has more (`+`) and less (`-`) than the known one.
fn compare(known: &str, set: &str) -> String {
    let [known, set] =
        [known, set].map(|list| list.split(',').filter(|name| !name.is_empty()).collect::<BTreeSet<_>>());
    let more = set.difference(&known).map(|name| format!("+{name}"));
    let less = known.difference(&set).map(|name| format!("-{name}"));
    more.chain(less).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_read() {
        let features = parse(
            "brainreel v0.1.0 (/src/crates/cli)|\nserde v1.0.1|default,std\nserde v1.0.1|default,std (*)\n\
             serde v1.0.1|std\nderive v2.0.0 (proc-macro)|\n\n",
        );
        let sets = |package: &str| features[package].iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(features.keys().collect::<Vec<_>>(), ["derive v2.0.0", "serde v1.0.1"]);
        assert_eq!(sets("serde v1.0.1"), ["default,std", "std"]);
        assert_eq!(sets("derive v2.0.0"), [""]);
    }

    #[test]
    fn other_features_are_reported_and_new_crates_are_not() {
        let first = parse("serde v1|std\nclap v4|color,std");
        assert_eq!(differences("x", &first, &parse("serde v1|std\nproptest v1|std")), []);
        let findings = differences("x", &first, &parse("clap v4|env,std"));
        assert_eq!(findings.len(), 1);
        let message = findings[0].to_string();
        assert!(message.contains("`x` compiles clap v4 anew, features: +env -color;"), "{message}");
    }
}
