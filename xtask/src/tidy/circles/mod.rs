//! Files of a crate that import each other in a circle.
//!
//! An arrow goes from a file to the file that defines what it names by `use` or by a path in its code; a name
//! that is only re-exported is followed to its home. Code under `#[cfg(test)]` does not count.
//! A module's file and the files below it belong together and may use each other: `foo/mod.rs` holds what
//! `foo/bar.rs` shares, and calls it. So a circle must close without the file on top of it.
//! Arrows out of `error.rs` do not count: an error carries the types that it is about, and their functions return it.

mod allowed;
mod graph;
mod source;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Context;

use super::Finding;
use allowed::{ALLOWED, Allowed};
use graph::{circles_among, shortest_round};
use source::{ModulePath, Source};

/// Checks all crates under `crates` and `xtask`.
pub(crate) fn check(root: &Path, files: &[String]) -> anyhow::Result<Vec<Finding>> {
    let mut crates = BTreeMap::<&str, Vec<&str>>::new();
    for file in files.iter().filter(|file| file.ends_with(".rs")) {
        if let Some((folder, below)) = file.split_once("/src/") {
            crates.entry(folder).or_default().push(below);
        }
    }
    for allowed in ALLOWED {
        crates.entry(allowed.folder).or_default();
    }
    let mut findings = Vec::new();
    for (folder, files) in crates {
        let mut tree = ModuleTree::default();
        for file in files {
            let path = format!("{folder}/src/{file}");
            let text = fs::read_to_string(root.join(&path)).with_context(|| format!("cannot read {path}"))?;
            tree.insert(file, &text);
        }
        tree.remove_tests();
        findings.extend(compare(folder, &tree.circles(), ALLOWED));
    }
    Ok(findings)
}

/// Reports circles that are not allowed, and allowed files that no circle holds any more.
fn compare(folder: &str, circles: &[Circle<'_>], allowed: &[Allowed]) -> Vec<Finding> {
    let allowed = || allowed.iter().filter(|allowed| allowed.folder == folder);
    let is_allowed = |circle: &Circle<'_>| {
        allowed().any(|allowed| circle.files.iter().all(|file| allowed.files.contains(file)))
    };
    let unknown = circles.iter().filter(|circle| !is_allowed(circle)).map(|circle| {
        let (files, round) = (circle.files.join(", "), circle.shortest_round.join(" -> "));
        format!("files import each other in a circle: {files}; the shortest way round: {round}")
    });
    let gone = allowed().filter_map(|allowed| {
        let is_gone = |file: &&str| !circles.iter().any(|circle| circle.files.contains(file));
        let files: Vec<&str> = allowed.files.iter().copied().filter(is_gone).collect();
        let (files, reason) = ((!files.is_empty()).then(|| files.join(", "))?, allowed.reason);
        Some(format!(
            "no longer in a circle, remove from ALLOWED in xtask/src/tidy/circles/allowed.rs: {files} ({reason})"
        ))
    });
    let path = format!("{folder}/src");
    unknown.chain(gone).map(|message| Finding::error(&path, 0, message)).collect()
}

/// Files that import each other.
#[derive(Debug, PartialEq, Eq)]
struct Circle<'a> {
    /// Paths below `src`, sorted.
    files: Vec<&'a str>,
    /// The shortest way along arrows from a file back to it.
    shortest_round: Vec<&'a str>,
}

/// The files of a crate as modules.
#[derive(Default)]
struct ModuleTree {
    modules: BTreeMap<ModulePath, Module>,
}

struct Module {
    /// Path of the file below `src`.
    file: String,
    source: Source,
}

impl ModuleTree {
    fn insert(&mut self, file: &str, text: &str) {
        let mut path: ModulePath = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        let is_root = path.len() == 1 && matches!(path[0].as_str(), "lib" | "main");
        if is_root || path.last().is_some_and(|last| last == "mod") {
            path.pop();
        }
        let source = Source::parse(text, &path);
        self.modules.insert(path, Module { file: file.to_owned(), source });
    }

    /// Removes the files of modules that only tests compile.
    fn remove_tests(&mut self) {
        let mut tests = Vec::new();
        for (path, module) in &self.modules {
            tests.extend(
                module
                    .source
                    .test_modules
                    .iter()
                    .map(|name| [path.as_slice(), std::slice::from_ref(name)].concat()),
            );
        }
        self.modules.retain(|path, _| !tests.iter().any(|test| path.starts_with(test)));
    }

    fn circles(&self) -> Vec<Circle<'_>> {
        let arrows = self.modules.keys().map(|path| (path, self.targets(path))).collect();
        let file = |path: &ModulePath| self.modules[path].file.as_str();
        let circles = circles_among(&self.modules.keys().collect(), &arrows).into_iter().map(|modules| {
            let shortest_round = shortest_round(&modules, &arrows).into_iter().map(file).collect();
            let mut files: Vec<&str> = modules.into_iter().map(file).collect();
            files.sort_unstable();
            Circle { files, shortest_round }
        });
        circles.collect()
    }

    /// The modules whose files define what this module names.
    fn targets(&self, path: &ModulePath) -> BTreeSet<&ModulePath> {
        let source = &self.modules[path].source;
        if path.last().is_some_and(|name| name == "error") {
            return BTreeSet::new();
        }
        // Passing on what a module below holds is not using it.
        let imports =
            source.uses.iter().filter(|import| !(import.is_public && import.path.starts_with(path)));
        let paths = imports.map(|import| &import.path).chain(&source.paths);
        let mut targets: BTreeSet<&ModulePath> = paths.filter_map(|to| self.home_of(to, 0)).collect();
        targets.remove(path);
        targets
    }

    /// The module whose file defines what `to` leads to. A path out of the crate ends at the file that names it.
    fn home_of(&self, to: &[String], depth: usize) -> Option<&ModulePath> {
        const MAX_DEPTH: usize = 16; // Names may be re-exported in a circle, too.
        let (module, item) = self.split(to);
        if depth == MAX_DEPTH {
            return None;
        }
        let (path, Module { source, .. }) = self.modules.get_key_value(module)?;
        let Some(item) = item else { return Some(path) };
        let rest = &to[module.len() + 1..];
        let named = source.uses.iter().find(|import| import.name.as_ref() == Some(item));
        if let Some(import) = named.filter(|import| import.path != to) {
            let home = self.home_of(&[import.path.as_slice(), rest].concat(), depth + 1);
            return home.or(Some(path));
        }
        let globs = source.uses.iter().filter(|import| import.is_glob);
        let mut homes = globs.filter_map(|import| self.modules.get_key_value(self.split(&import.path).0));
        let home = homes.find(|(_, module)| module.source.defined.contains(item)).map(|(path, _)| path);
        Some(home.filter(|_| !source.defined.contains(item)).unwrap_or(path))
    }

    /// The longest part of a path that is a module with a file, and the name after it.
    fn split<'a>(&self, path: &'a [String]) -> (&'a [String], Option<&'a String>) {
        let lengths = (0..=path.len()).rev();
        let length =
            lengths.into_iter().find(|&length| self.modules.contains_key(&path[..length])).unwrap_or(0);
        (&path[..length], path.get(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(files: &[(&str, &str)]) -> Vec<String> {
        let mut tree = ModuleTree::default();
        for (file, text) in files {
            tree.insert(file, text);
        }
        tree.remove_tests();
        tree.circles().iter().map(|circle| circle.files.join(" ")).collect()
    }

    #[test]
    fn circles_are_found() {
        let a_b =
            [("lib.rs", "mod a; mod b;"), ("a.rs", "use crate::b::B;"), ("b.rs", "fn f() { super::a::g() }")];
        assert_eq!(circles(&a_b), ["a.rs b.rs"]);
        assert_eq!(circles(&a_b[..2]), [""; 0]);
        let long = [
            ("main.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "use super::{b, d::D};"),
            ("b/mod.rs", "use crate::c;"),
            ("c.rs", "fn f() { crate::a::g() }"),
            ("d.rs", "use serde::a::A;"),
        ];
        assert_eq!(circles(&long), ["a.rs b/mod.rs c.rs"]);
    }

    #[test]
    fn a_module_and_what_is_below_may_use_each_other() {
        let family = [
            ("lib.rs", "mod a; mod b; pub struct Config; fn f() { a::g() }"),
            ("a/mod.rs", "mod c; mod d; pub enum E {} fn g() { c::h(); d::i() } use crate::Config;"),
            ("a/c.rs", "use super::E;"),
            ("a/d.rs", "use super::{E, c::h};"),
            ("b.rs", "use crate::a::E;"),
        ];
        assert_eq!(circles(&family), [""; 0]);
        let mut siblings = family;
        siblings[2].1 = "use super::{E, d::i};";
        assert_eq!(circles(&siblings), ["a/c.rs a/d.rs"]);
        let mut across = family;
        across[2].1 = "use super::E; fn h() { crate::b::j() }";
        assert_eq!(circles(&across), ["a/c.rs a/d.rs a/mod.rs b.rs"], "closes outside of the module");
    }

    #[test]
    fn reexported_names_lead_to_their_home() {
        let files = [
            ("lib.rs", "mod a; mod b; pub use a::A; pub use b::*;"),
            ("a.rs", "use crate::B;"),
            ("b.rs", "pub struct B; pub struct C;"),
        ];
        assert_eq!(circles(&files), [""; 0]);
        let mut circle = files;
        circle[2].1 = "pub struct B; fn f() { crate::A::new() }";
        assert_eq!(circles(&circle), ["a.rs b.rs"]);
        let endless =
            [("lib.rs", "mod a; mod b;"), ("a.rs", "pub use crate::b::X;"), ("b.rs", "pub use crate::a::X;")];
        assert_eq!(circles(&endless), [""; 0], "the name has no home, but the search ends");
    }

    #[test]
    fn tests_do_not_count() {
        let files = [
            ("lib.rs", "mod a; mod b; #[cfg(test)] mod support;"),
            ("a.rs", "use crate::b::B; use crate::support::s;"),
            ("b.rs", "#[cfg(test)] mod tests { use crate::a::A; }"),
            ("b/tests.rs", "use crate::a::A;"),
            ("support.rs", "use crate::a::A;"),
        ];
        assert_eq!(circles(&files), [""; 0]);
    }

    #[test]
    fn errors_may_name_what_returns_them() {
        let mut files = [
            ("lib.rs", "mod error; mod a; pub use error::Error;"),
            ("error.rs", "use crate::a::A;"),
            ("a.rs", "use crate::Error;"),
        ];
        assert_eq!(circles(&files), [""; 0]);
        files[0].1 = "mod fault; mod a; pub use fault::Error;";
        files[1].0 = "fault.rs";
        assert_eq!(circles(&files), ["a.rs fault.rs"]);
    }

    #[test]
    fn the_shortest_way_round_is_shown() {
        let mut tree = ModuleTree::default();
        for (file, text) in [
            ("a.rs", "use crate::b;"),
            ("b.rs", "use crate::c;"),
            ("c.rs", "use crate::{a, d};"),
            ("d.rs", "use crate::c;"),
        ] {
            tree.insert(file, text);
        }
        let circles = tree.circles();
        assert_eq!(circles[0].files, ["a.rs", "b.rs", "c.rs", "d.rs"]);
        assert_eq!(circles[0].shortest_round, ["c.rs", "d.rs", "c.rs"]);
    }

    #[test]
    fn the_list_of_allowed_circles_only_shrinks() {
        const ALLOWED: [Allowed; 1] =
            [Allowed { folder: "crates/x", files: &["a.rs", "b.rs", "c.rs"], reason: "until they part" }];
        let messages = |folder: &str, files: &[&'static str]| -> Vec<String> {
            let circle = Circle { files: files.to_vec(), shortest_round: vec!["a.rs", "b.rs", "a.rs"] };
            let circles = if files.is_empty() { vec![] } else { vec![circle] };
            compare(folder, &circles, &ALLOWED).iter().map(Finding::to_string).collect()
        };
        assert_eq!(messages("crates/x", &["a.rs", "b.rs", "c.rs"]), [""; 0]);
        assert_eq!(messages("crates/y", &[]), [""; 0]);
        assert_eq!(
            messages("crates/x", &["a.rs", "b.rs", "c.rs", "d.rs"]),
            ["error: crates/x/src: files import each other in a circle: a.rs, b.rs, c.rs, d.rs; \
              the shortest way round: a.rs -> b.rs -> a.rs"]
        );
        assert_eq!(
            messages("crates/x", &["a.rs", "b.rs"]),
            [
                "error: crates/x/src: no longer in a circle, remove from ALLOWED in xtask/src/tidy/circles/allowed.rs: \
              c.rs (until they part)"
            ]
        );
        assert_eq!(messages("crates/x", &[]).len(), 1);
    }
}
