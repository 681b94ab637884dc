//! Bounded, streaming parser of delimited text. All tables of this crate use it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::CohortError;
use crate::error::shorten;

const MAX_TABLE_BYTES: usize = 256 << 20;
const MAX_ROW_BYTES: usize = 64 << 10;
const MAX_CELL_LINES: usize = 100;
/// Largest edit distance at which a name counts as misspelt.
const MISSPELT: usize = 2;
const MAX_ROWS: u64 = 1_000_000;
const MAX_COLUMNS: usize = 1_000;
const EXPECTED: &str = "comma- or tab-separated UTF-8 text with a header line";

/// The cell that stands for "not known" in BIDS tables.
pub(crate) const MISSING: &str = "n/a";

/// Reads a table row by row, from any reader, in bounded memory.
///
/// Skips lines that are empty or start with `#`. Cells of comma- and semicolon-separated tables may be
/// quoted, and may then contain delimiters and line breaks. Tab-separated cells are read verbatim.
pub(crate) struct TableReader<R> {
    reader: R,
    path: PathBuf,
    delimiter: u8,
    columns: Vec<String>,
    /// The comment lines before the header.
    comments: Vec<String>,
    n_lines: u64,
    n_bytes: usize,
    n_rows: u64,
}

/// One row, with its location for messages.
pub(crate) struct Row<'a> {
    reader_path: &'a Path,
    columns: &'a [String],
    cells: Vec<String>,
    /// One-based line on which the row starts.
    pub(crate) line: u64,
}

impl TableReader<BufReader<File>> {
    /// Opens a file.
    pub(crate) fn open(path: &Path) -> Result<Self, CohortError> {
        let file = File::open(path).map_err(|source| CohortError::Read { path: path.to_owned(), source })?;
        Self::new(BufReader::with_capacity(64 << 10, file), path)
    }
}

impl<R: BufRead> TableReader<R> {
    /// Reads from `reader`. `path` is only for messages.
    pub(crate) fn new(mut reader: R, path: &Path) -> Result<Self, CohortError> {
        let start =
            reader.fill_buf().map_err(|source| CohortError::Read { path: path.to_owned(), source })?;
        if let Some(found) = not_text(start) {
            return Err(CohortError::NotATable { path: path.to_owned(), found, expected: EXPECTED });
        }
        let n_mark_bytes = if start.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        reader.consume(n_mark_bytes);
        let (columns, comments) = (Vec::new(), Vec::new());
        let path = path.to_owned();
        let mut table =
            Self { reader, path, delimiter: b',', columns, comments, n_lines: 0, n_bytes: 0, n_rows: 0 };
        table.columns = table.next_cells()?.map(|(_, cells)| cells).unwrap_or_default();
        table.check_header()?;
        Ok(table)
    }

    fn check_header(&self) -> Result<(), CohortError> {
        if self.columns.len() > MAX_COLUMNS {
            return Err(CohortError::TooLarge { path: self.path.clone(), limit: "1,000 columns" });
        }
        let mut keys: Vec<_> = self.columns.iter().map(|name| column_key(name)).collect();
        keys.sort_unstable();
        let twice = keys.windows(2).find(|pair| pair[0] == pair[1] && !pair[0].is_empty());
        twice.map_or(Ok(()), |pair| {
            let key = format!("column `{}`", shorten(&pair[0]));
            Err(CohortError::Duplicate { path: self.path.clone(), key, line: 1 })
        })
    }

    /// The file, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The column names.
    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The comment lines before the header, including `#`.
    pub(crate) fn comments(&self) -> &[String] {
        &self.comments
    }

    /// The index of the first column with one of `names`, ignoring case and punctuation.
    pub(crate) fn find(&self, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|name| {
            let wanted = column_key(name);
            self.columns.iter().position(|column| column_key(column) == wanted)
        })
    }

    /// Whether a column name differs from one of `names` by one or two letters.
    pub(crate) fn has_nearly(&self, names: &[&str]) -> bool {
        let is_near = |name: &&str, column: &String| {
            let (name, column) = (column_key(name), column_key(&shorten(column)));
            name.len() > 2 * MISSPELT && edit_distance(&name, &column) <= MISSPELT
        };
        names.iter().any(|name| self.columns.iter().any(|column| is_near(name, column)))
    }

    /// Like [`Self::find`], for a required column.
    pub(crate) fn require(&self, names: &[&str], remedy: &'static str) -> Result<usize, CohortError> {
        self.find(names).ok_or_else(|| CohortError::MissingColumn {
            path: self.path.clone(),
            column: names.first().copied().unwrap_or_default().to_owned(),
            found: self.columns.clone(),
            nearest: nearest(&self.columns, names),
            remedy,
        })
    }

    /// Returns an error for the first column that is not in `expected`.
    pub(crate) fn refuse_unknown_columns(&self, expected: &[&str]) -> Result<(), CohortError> {
        let is_known = |column: &String| expected.iter().any(|name| column_key(name) == column_key(column));
        match self.columns.iter().find(|column| !is_known(column)) {
            None => Ok(()),
            Some(column) => Err(CohortError::UnknownColumn {
                path: self.path.clone(),
                column: shorten(column),
                expected: expected.iter().map(|&name| name.to_owned()).collect(),
            }),
        }
    }

    /// The next row, or `None` at the end.
    pub(crate) fn next_row(&mut self) -> Result<Option<Row<'_>>, CohortError> {
        let Some((line, cells)) = self.next_cells()? else { return Ok(None) };
        self.n_rows += 1;
        if self.n_rows > MAX_ROWS {
            return Err(CohortError::TooLarge { path: self.path.clone(), limit: "1,000,000 rows" });
        }
        Ok(Some(Row { reader_path: &self.path, columns: &self.columns, cells, line }))
    }

    /// The cells of the next non-empty line, and its line number.
    fn next_cells(&mut self) -> Result<Option<(u64, Vec<String>)>, CohortError> {
        let mut text = Vec::new();
        while self.read_line(&mut text)? {
            let line = self.n_lines;
            let is_header = self.columns.is_empty();
            if text.starts_with(b"#") {
                if is_header && self.comments.len() < 100 {
                    self.comments.push(String::from_utf8_lossy(&text).trim().to_owned());
                }
            } else if !text.trim_ascii().is_empty() {
                if is_header {
                    self.delimiter = sniff_delimiter(&text);
                }
                let cells = self.cells_from(&mut text)?;
                if cells.iter().any(|cell| !cell.is_empty()) {
                    return self.check_length(line, &cells).map(|()| Some((line, cells)));
                }
            }
            text.clear();
        }
        Ok(None)
    }

    /// Appends the next line without its line ending. Returns false at the end of the file.
    fn read_line(&mut self, text: &mut Vec<u8>) -> Result<bool, CohortError> {
        let n_before = text.len();
        let room = MAX_ROW_BYTES.saturating_sub(n_before) as u64 + 1;
        let n_read = self
            .reader
            .by_ref()
            .take(room)
            .read_until(b'\n', text)
            .map_err(|source| CohortError::Read { path: self.path.clone(), source })?;
        self.n_bytes += n_read;
        if self.n_bytes > MAX_TABLE_BYTES || text.len() > MAX_ROW_BYTES {
            let limit = if text.len() > MAX_ROW_BYTES { "64 KiB in one row" } else { "256 MiB" };
            return Err(CohortError::TooLarge { path: self.path.clone(), limit });
        }
        self.n_lines += 1;
        while text.len() > n_before && text.last().is_some_and(|&b| matches!(b, b'\n' | b'\r')) {
            text.pop();
        }
        Ok(n_read > 0)
    }

    /// Splits a row into cells. Reads further lines while a quoted cell is open.
    fn cells_from(&mut self, text: &mut Vec<u8>) -> Result<Vec<String>, CohortError> {
        let to_text = |cell: &[u8]| String::from_utf8_lossy(cell).trim().to_owned();
        if self.delimiter == b'\t' {
            return Ok(text.split(|&b| b == b'\t').map(to_text).collect());
        }
        let line = self.n_lines;
        for _ in 0..MAX_CELL_LINES {
            if let Some(cells) = split_quoted(text, self.delimiter) {
                return Ok(cells.iter().map(|cell| to_text(cell)).collect());
            }
            text.push(b'\n');
            if !self.read_line(text)? {
                break;
            }
        }
        let reason = "a quoted cell is not closed".to_owned();
        Err(CohortError::Malformed { path: self.path.clone(), line, reason })
    }

    fn check_length(&self, line: u64, cells: &[String]) -> Result<(), CohortError> {
        let (n_cells, n_columns) = (cells.len(), self.columns.len());
        if n_columns == 0 || n_cells == n_columns {
            return Ok(());
        }
        let reason = format!("the row has {n_cells} cells, the header has {n_columns}");
        Err(CohortError::Malformed { path: self.path.clone(), line, reason })
    }
}

/// The unquoted cells of a line. `None` if a quoted cell is still open at its end.
fn split_quoted(text: &[u8], delimiter: u8) -> Option<Vec<Vec<u8>>> {
    let (mut cells, mut cell, mut is_quoted) = (Vec::new(), Vec::new(), false);
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' if is_quoted && bytes.peek() == Some(&b'"') => {
                cell.push(b'"');
                bytes.next();
            }
            b'"' if is_quoted => is_quoted = false,
            b'"' if cell.trim_ascii().is_empty() => is_quoted = true,
            byte if byte == delimiter && !is_quoted => cells.push(std::mem::take(&mut cell)),
            byte => cell.push(byte),
        }
    }
    cells.push(cell);
    (!is_quoted).then_some(cells)
}

impl Row<'_> {
    /// The cell in a column, or `None` if it is empty or `n/a`.
    pub(crate) fn get(&self, column: usize) -> Option<&str> {
        let cell = self.cells.get(column)?.as_str();
        let is_missing = cell.is_empty() || cell.eq_ignore_ascii_case(MISSING);
        (!is_missing).then_some(cell)
    }

    /// The cell in an optional column.
    pub(crate) fn get_in(&self, column: Option<usize>) -> Option<&str> {
        column.and_then(|column| self.get(column))
    }

    /// Parses a cell that must not be empty.
    pub(crate) fn required<T>(
        &self,
        column: usize,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, CohortError> {
        self.get(column).and_then(parse).ok_or_else(|| self.bad_value(column, expected))
    }

    /// Parses a cell that may be empty or absent but must not be invalid.
    pub(crate) fn optional<T>(
        &self,
        column: Option<usize>,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, CohortError> {
        match (column, self.get_in(column)) {
            (Some(column), Some(cell)) => match parse(cell) {
                Some(value) => Ok(Some(value)),
                None => Err(self.bad_value(column, expected)),
            },
            _ => Ok(None),
        }
    }

    /// Creates the error for a cell with invalid content.
    pub(crate) fn bad_value(&self, column: usize, expected: &str) -> CohortError {
        CohortError::BadValue {
            path: self.reader_path.to_owned(),
            line: self.line,
            column: self.columns.get(column).map(|name| shorten(name)).unwrap_or_default(),
            got: shorten(self.cells.get(column).map_or("", String::as_str)),
            expected: expected.to_owned(),
        }
    }

    /// Creates the error for a duplicate key.
    pub(crate) fn duplicate(&self, key: impl std::fmt::Display) -> CohortError {
        CohortError::Duplicate { path: self.reader_path.to_owned(), key: key.to_string(), line: self.line }
    }
}

/// Parses an age or another finite number of at least 0.
pub(crate) fn parse_years(cell: &str) -> Option<f64> {
    cell.parse().ok().filter(|years: &f64| years.is_finite() && (0.0..=130.0).contains(years))
}

/// Values that [`parse_years`] accepts, for messages.
pub(crate) const YEARS: &str = "a number of years between 0 and 130, or n/a";

/// Formats a TSV cell: no tab, no line break, `n/a` for `None`.
pub(crate) fn cell(value: Option<impl std::fmt::Display>) -> String {
    let text = value.map(|value| value.to_string()).unwrap_or_default();
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let trimmed = clean.trim();
    if trimmed.is_empty() { MISSING.to_owned() } else { trimmed.to_owned() }
}

/// A header and its rows as tab-separated text.
pub(crate) fn to_tsv(columns: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut text = columns.join("\t");
    text.push('\n');
    for row in rows {
        text.push_str(&row.join("\t"));
        text.push('\n');
    }
    text
}

fn column_key(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn not_text(start: &[u8]) -> Option<&'static str> {
    match start {
        [] => Some("it is empty"),
        [b'P', b'K', 3, 4, ..] => Some("it is a zip archive or a spreadsheet (save it as CSV)"),
        [0x1f, 0x8b, ..] => Some("it is gzip-compressed"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("it is UTF-16 text (save it as UTF-8 CSV)"),
        _ if start.contains(&0) => Some("it holds binary data"),
        _ => None,
    }
}

fn sniff_delimiter(header: &[u8]) -> u8 {
    let count = |delimiter: u8| header.iter().filter(|&&b| b == delimiter).count();
    if count(b'\t') > 0 {
        b'\t'
    } else if count(b';') > count(b',') {
        b';'
    } else {
        b','
    }
}

/// The column most similar to one of `names`, if any is similar.
fn nearest(columns: &[String], names: &[&str]) -> Option<String> {
    let distance = |column: &String| {
        let key = column_key(&shorten(column));
        names.iter().map(|name| edit_distance(&key, &column_key(name))).min().unwrap_or(usize::MAX)
    };
    let longest = names.iter().map(|name| name.len()).max().unwrap_or(0);
    let best = columns.iter().filter(|name| !name.is_empty()).min_by_key(|column| distance(column))?;
    (distance(best) <= longest.div_ceil(2)).then(|| shorten(best))
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut costs: Vec<usize> = (0..=b.len()).collect();
    for (row, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut costs[0], row + 1);
        for (column, to) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(from != *to);
            diagonal = costs[column + 1];
            costs[column + 1] = substitute.min(diagonal + 1).min(costs[column] + 1);
        }
    }
    costs[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_row_is_refused_before_it_is_in_memory() {
        let endless = BufReader::new(std::io::repeat(b'x').take(4 << 30));
        let outcome = TableReader::new(endless, Path::new("huge.csv"));
        assert!(matches!(outcome.err(), Some(CohortError::TooLarge { .. })));
        let quoted = "a,b\n\"".as_bytes().chain(std::io::repeat(b'\n').take(4 << 30));
        let mut table = TableReader::new(BufReader::new(quoted), Path::new("huge.csv")).unwrap();
        assert!(matches!(table.next_row().err(), Some(CohortError::Malformed { line: 2, .. })));
    }

    #[test]
    fn binary_files_are_named_for_what_they_are() {
        for bytes in [&b""[..], b"PK\x03\x04rest", b"\xff\xfea\0", b"\x1f\x8b", b"ab\0c"] {
            assert!(matches!(
                TableReader::new(bytes, Path::new("x.csv")).err(),
                Some(CohortError::NotATable { .. })
            ));
        }
    }

    #[test]
    fn rows_of_the_wrong_length_name_their_line() {
        let mut table =
            TableReader::new(&b"# note\r\na,b\r\n\r\n1,\"2\"\r\n,\r\n1,2,3\r\n"[..], Path::new("x.csv"))
                .unwrap();
        assert_eq!(table.next_row().unwrap().unwrap().get(1), Some("2"));
        let message = table.next_row().err().unwrap().to_string();
        assert_eq!(message, "x.csv, line 6: the row has 3 cells, the header has 2");
    }

    #[test]
    fn quotes_hold_delimiters_line_breaks_and_quotes() {
        let text = &b"a;b\n\"1;2\n3\" ; x\"y\n\"say \"\"so\"\"\";\n\"open;"[..];
        let mut table = TableReader::new(text, Path::new("x.csv")).unwrap();
        let row = table.next_row().unwrap().unwrap();
        assert_eq!((row.get(0), row.get(1), row.line), (Some("1;2\n3"), Some("x\"y"), 2));
        let row = table.next_row().unwrap().unwrap();
        assert_eq!((row.get(0), row.get(1), row.line), (Some("say \"so\""), None, 4));
        assert_eq!(table.next_row().err().unwrap().to_string(), "x.csv, line 5: a quoted cell is not closed");
    }

    #[test]
    fn alike_names_are_found() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        let columns = ["Subjct".to_owned(), "Age".to_owned()];
        assert_eq!(nearest(&columns, &["Subject"]).as_deref(), Some("Subjct"));
        assert_eq!(nearest(&columns, &["Image Data ID"]), None);
    }
}
