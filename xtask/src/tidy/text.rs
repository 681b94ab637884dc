//! File lengths, stray marks, machine paths, printing where nothing prints.

use std::fs;
use std::path::Path;

use anyhow::Context;

use super::Finding;

const LONGEST_FILE: usize = 1_000;
const LONG_FILE: usize = 600;

/// Marks of unfinished or silenced work, cut in two so that this file does not find itself.
const STRAY: [(&str, &str); 8] = [
    (concat!("TO", "DO"), "finish it, or open an issue"),
    (concat!("FIX", "ME"), "fix it, or open an issue"),
    (concat!("todo", "!("), "finish it"),
    (concat!("unimplemented", "!("), "finish it"),
    (concat!("dbg", "!("), "remove it"),
    (concat!("#[ign", "ore"), "a test that does not run proves nothing"),
    (concat!("#[al", "low("), "write #[expect(.., reason = \"..\")]"),
    (concat!("#![al", "low("), "write #![expect(.., reason = \"..\")]"),
];

/// Macros whose expansions need a lint silenced in some places and not in others, where `expect` would itself be a warning.
const EXPANDED: [&str; 1] = ["crates/named/src/macros.rs"];

/// Folders of somebody's machine, which mean nothing on another.
const MACHINE_FOLDERS: [&str; 5] = ["work", "root", "home", "Users", "tmp/scratch"];

/// Macros that write to the terminal, which only the command line tool and this one do.
const PRINTING: [&str; 4] = ["println!(", "eprintln!(", "print!(", "eprint!("];
const PRINTERS: [&str; 2] = ["crates/cli/", "xtask/"];

/// The one crate with `unsafe` code.
const UNSAFE_HOME: &str = "crates/kernels/";
const UNSAFE_MARK: &str = concat!("expect(un", "safe_code");

/// Checks every text file.
pub(crate) fn check(root: &Path, files: &[String]) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in files {
        let bytes = fs::read(root.join(file)).with_context(|| format!("cannot read {file}"))?;
        if let Ok(text) = String::from_utf8(bytes) {
            findings.extend(check_file(file, &text));
        }
    }
    Ok(findings)
}

fn check_file(path: &str, text: &str) -> Vec<Finding> {
    let mut findings: Vec<Finding> = check_length(path, text).into_iter().collect();
    let prints = is_library_source(path);
    let mut is_test = false;
    for (line, content) in (1..).zip(text.lines()) {
        if let Some(folder) = machine_folder(content) {
            let message = format!("/{folder}/ is a folder of one machine: use a relative path or a variable");
            findings.push(Finding::error(path, line, message));
        }
        if !is_code(path) {
            continue;
        }
        let found =
            STRAY.iter().filter(|_| !EXPANDED.contains(&path)).find(|(mark, _)| contains_word(content, mark));
        findings
            .extend(found.map(|(mark, advice)| Finding::error(path, line, format!("`{mark}`: {advice}"))));
        is_test |= content.trim() == "#[cfg(test)]";
        let is_comment = content.trim_start().starts_with("//");
        if prints && !is_test && !is_comment && PRINTING.iter().any(|mark| content.contains(mark)) {
            findings.push(Finding::error(path, line, "only the command line tool prints: return it"));
        }
        if path.ends_with(".rs") && !path.starts_with(UNSAFE_HOME) && content.contains(UNSAFE_MARK) {
            findings.push(Finding::error(path, line, format!("`unsafe` belongs into {UNSAFE_HOME}")));
        }
    }
    findings
}

fn check_length(path: &str, text: &str) -> Option<Finding> {
    let n_lines = text.lines().count();
    match n_lines {
        _ if !is_code(path) || n_lines <= LONG_FILE => None,
        n_lines if n_lines > LONGEST_FILE => {
            Some(Finding::error(path, 0, format!("{n_lines} lines: split it, {LONGEST_FILE} is the limit")))
        }
        _ => Some(Finding::warning(path, 0, format!("{n_lines} lines: is it still one idea?"))),
    }
}

fn is_code(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    matches!(extension, Some("rs" | "py" | "sh" | "toml")) || path.starts_with(".ci/")
}

fn is_library_source(path: &str) -> bool {
    path.ends_with(".rs")
        && !PRINTERS.iter().any(|folder| path.starts_with(folder))
        && !["/tests/", "/examples/", "/benches/"].iter().any(|folder| path.contains(folder))
        && !path.ends_with("/tests.rs")
}

/// True if `mark` stands in `line` and is not a part of a longer word.
fn contains_word(line: &str, mark: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(mark).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + mark.len()..].chars().next();
        let ends_in_word = mark.chars().next_back().is_some_and(is_word);
        let starts_in_word = mark.chars().next().is_some_and(is_word);
        let goes_on = ends_in_word && after.is_some_and(is_word);
        !(goes_on || starts_in_word && before.is_some_and(is_word))
    })
}

/// The machine's folder that an absolute path in `line` starts with.
fn machine_folder(line: &str) -> Option<&'static str> {
    MACHINE_FOLDERS.into_iter().find(|folder| {
        let path = format!("/{folder}/");
        line.match_indices(&path).any(|(start, _)| {
            let before = line[..start].chars().next_back();
            // Behind a letter, a dot or a closing bracket it is a part of a relative path or a URL.
            !before.is_some_and(|c| c.is_alphanumeric() || "._-~})]>*/".contains(c))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        check_file(path, text).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn lengths() {
        assert_eq!(messages("a.rs", &"x\n".repeat(600)), [""; 0]);
        assert_eq!(messages("a.rs", &"x\n".repeat(601)), ["warning: a.rs: 601 lines: is it still one idea?"]);
        let long = messages("a.py", &"x\n".repeat(1001));
        assert_eq!(long, ["error: a.py: 1001 lines: split it, 1000 is the limit"]);
        assert_eq!(messages("Cargo.lock", &"x\n".repeat(5000)), [""; 0]);
    }

    #[test]
    fn stray_marks_are_words_of_their_own() {
        for (mark, _) in STRAY {
            let line = format!("    {mark}x");
            let is_longer_word = mark.ends_with(char::is_alphanumeric);
            assert_eq!(messages("a.rs", &line).len(), usize::from(!is_longer_word), "{mark}");
            assert_eq!(messages("a.rs", &format!("// {mark}: later")).len(), 1, "{mark}");
        }
        assert_eq!(messages("notes.md", concat!("TO", "DO")), [""; 0]);
    }

    #[test]
    fn machine_paths_but_not_urls_or_relative_ones() {
        let of = |folder: &str| format!("/{folder}/me/x.nii");
        for folder in MACHINE_FOLDERS {
            assert_eq!(messages("a.md", &format!("see `{}`", of(folder))).len(), 1, "{folder}");
            assert_eq!(messages("a.md", &format!("https://example.org{}", of(folder))), [""; 0]);
            assert_eq!(messages("a.md", &format!("$HOME{} ..{}", of(folder), of(folder))), [""; 0]);
        }
    }

    #[test]
    fn libraries_do_not_print() {
        let text = "fn f() {\n    println!(\"x\");\n}\n// println!(\"x\")\n#[cfg(test)]\nfn t() { println!(\"x\"); }\n";
        assert_eq!(
            messages("crates/volume/src/a.rs", text),
            ["error: crates/volume/src/a.rs:2: only the command line tool prints: return it"]
        );
        for path in ["crates/cli/src/ui.rs", "crates/volume/examples/a.rs", "xtask/src/main.rs"] {
            assert_eq!(messages(path, text), [""; 0]);
        }
    }

    #[test]
    fn unsafe_code_has_one_home() {
        let text = format!("#[{UNSAFE_MARK}, reason = \"\")]");
        assert_eq!(messages("crates/volume/src/a.rs", &text).len(), 1);
        assert_eq!(messages("crates/kernels/src/a.rs", &text), [""; 0]);
    }
}
