//! The table of crates and rows in ARCHITECTURE.md.

use super::Finding;

/// The file that holds the table.
pub(crate) const TABLE_FILE: &str = "ARCHITECTURE.md";
/// The row of tools. No crate depends on them, except on testkit in its own tests.
pub(crate) const TOOL: u32 = u32::MAX;

const HEADER: &str = "| row | crate |";

/// The row of each crate. A crate depends only on crates of lower rows.
pub(crate) struct RowTable {
    entries: Vec<Entry>,
}

struct Entry {
    package: String,
    row: u32,
    line: usize,
}

impl RowTable {
    /// Reads the table below the header `| row | crate |`, and reports rows that are out of order.
    pub(crate) fn parse(text: &str) -> (Self, Vec<Finding>) {
        let (mut entries, mut findings) = (Vec::<Entry>::new(), Vec::new());
        let lines = (1..).zip(text.lines()).skip_while(|(_, line)| !line.starts_with(HEADER)).skip(2);
        for (line, content) in lines.take_while(|(_, content)| content.starts_with('|')) {
            let cells: Vec<&str> = content.split('|').map(str::trim).collect();
            let (Some(row), Some(crates)) = (cells.get(1).and_then(|cell| parse_row(cell)), cells.get(2))
            else {
                findings.push(Finding::error(TABLE_FILE, line, "expected a number or `dev`, and a crate"));
                continue;
            };
            if entries.last().is_some_and(|last| last.row > row) {
                findings.push(Finding::error(TABLE_FILE, line, "rows must ascend"));
            }
            for name in crates.split(',').map(|name| name.trim().trim_matches('`')) {
                let package = package_of(name);
                if entries.iter().any(|entry| entry.package == package) {
                    findings.push(Finding::error(TABLE_FILE, line, format!("`{name}` stands here twice")));
                }
                entries.push(Entry { package, row, line });
            }
        }
        if entries.is_empty() {
            findings.push(Finding::error(TABLE_FILE, 0, format!("no table with the header `{HEADER}`")));
        }
        (Self { entries }, findings)
    }

    /// The row of a package, if the table has it.
    pub(crate) fn row_of(&self, package: &str) -> Option<u32> {
        self.entries.iter().find(|entry| entry.package == package).map(|entry| entry.row)
    }

    /// Reports crates of the table that the workspace does not have.
    pub(crate) fn without_package(&self, exists: impl Fn(&str) -> bool) -> Vec<Finding> {
        let missing = self.entries.iter().filter(|entry| !exists(&entry.package));
        missing
            .map(|entry| {
                let message = format!("the workspace has no package {}", entry.package);
                Finding::error(TABLE_FILE, entry.line, message)
            })
            .collect()
    }
}

fn parse_row(cell: &str) -> Option<u32> {
    if cell == "dev" { Some(TOOL) } else { cell.parse().ok() }
}

/// The package of a crate in the table, which leaves out the common prefix.
fn package_of(name: &str) -> String {
    match name {
        "cli" => "brainreel".to_owned(),
        "xtask" => name.to_owned(),
        _ => format!("brainreel-{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "# Map\n\n| row | crate | one line |\n|---|---|---|\n";

    fn messages(rows: &str) -> Vec<String> {
        let (_, findings) = RowTable::parse(&format!("{HEAD}{rows}\nText | with | bars\n"));
        findings.iter().map(Finding::to_string).collect()
    }

    #[test]
    fn rows_are_read() {
        let rows =
            "| 0 | `kernels` | numbers |\n| 5 | `cli` | the program |\n| dev | `testkit`, `xtask` | |\n";
        let (table, findings) = RowTable::parse(&format!("{HEAD}{rows}"));
        assert_eq!(findings, []);
        for (package, row) in [
            ("brainreel-kernels", Some(0)),
            ("brainreel", Some(5)),
            ("brainreel-testkit", Some(TOOL)),
            ("xtask", Some(TOOL)),
            ("brainreel-report", None),
        ] {
            assert_eq!(table.row_of(package), row, "{package}");
        }
        let missing = table.without_package(|package| package == "brainreel-kernels");
        assert_eq!(missing.len(), 3, "{missing:?}");
        assert_eq!(
            missing[0].to_string(),
            "error: ARCHITECTURE.md:6: the workspace has no package brainreel"
        );
    }

    #[test]
    fn rows_ascend_and_crates_stand_once() {
        assert_eq!(messages("| 0 | `a` | |\n| 1 | `b` | |\n| 1 | `c` | |\n"), [""; 0]);
        assert_eq!(
            messages("| 0 | `a` | |\n| 2 | `b` | |\n| 1 | `c` | |\n"),
            ["error: ARCHITECTURE.md:7: rows must ascend"]
        );
        assert_eq!(
            messages("| 0 | `a` | |\n| 2 | `a` | |\n"),
            ["error: ARCHITECTURE.md:6: `a` stands here twice"]
        );
        assert_eq!(
            messages("| x | `a` | |\n| 2 | `b` | |\n"),
            ["error: ARCHITECTURE.md:5: expected a number or `dev`, and a crate"]
        );
        assert_eq!(messages(""), ["error: ARCHITECTURE.md: no table with the header `| row | crate |`"]);
    }
}
