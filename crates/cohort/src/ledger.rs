//! The conversion ledger: every series that was found, and its outcome.

use std::io::BufRead;
use std::path::Path;

use brainreel_named::named;
use serde::{Deserialize, Serialize};

use crate::CohortError;
use crate::table::{TableReader, cell, to_tsv};

named! {
    /// Outcome of a series.
    pub enum Outcome {
        /// Converted.
        Kept = "kept",
        /// Excluded by a rule.
        Dropped = "dropped",
        /// Conversion failed.
        Failed = "failed",
    }
}

/// One series of the download. Callers must pass de-identified text without patient names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LedgerRow {
    /// Short hash of the series UID, or another stable id of the series.
    pub series: String,
    /// The archive's image id.
    pub image_id: Option<String>,
    /// The subject, `sub-...`.
    pub subject: Option<String>,
    /// Series description.
    pub description: Option<String>,
    /// Number of files in the series.
    pub n_files: usize,
    /// Its outcome.
    pub outcome: Outcome,
    /// Short name of the deciding rule, for example `not_t1`.
    pub rule: String,
    /// The reason in words.
    pub reason: String,
    /// The written file, relative to the dataset.
    pub output: Option<String>,
}

const COLUMNS: [&str; 9] =
    ["series", "image_id", "subject", "description", "n_files", "outcome", "rule", "reason", "output"];

/// All rows. They are written in order of subject, then series.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The rows.
    pub rows: Vec<LedgerRow>,
}

impl Ledger {
    /// Number of rows with this outcome.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.rows.iter().filter(|row| row.outcome == outcome).count()
    }

    /// The ledger as tab-separated text.
    ///
    /// # Determinism
    /// Independent of the order of [`Self::rows`].
    #[must_use]
    pub fn to_tsv(&self) -> String {
        let mut rows: Vec<&LedgerRow> = self.rows.iter().collect();
        rows.sort_by(|a, b| (&a.subject, &a.image_id, a).cmp(&(&b.subject, &b.image_id, b)));
        to_tsv(
            &COLUMNS,
            rows.into_iter().map(|row| {
                vec![
                    cell(Some(&row.series)),
                    cell(row.image_id.as_ref()),
                    cell(row.subject.as_ref()),
                    cell(row.description.as_ref()),
                    row.n_files.to_string(),
                    row.outcome.to_string(),
                    cell(Some(&row.rule)),
                    cell(Some(&row.reason)),
                    cell(row.output.as_ref()),
                ]
            }),
        )
    }

    /// Reads `conversion_ledger.tsv`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, a column is missing, or a cell does not hold what its
    /// column requires.
    pub fn read(path: &Path) -> Result<Self, CohortError> {
        Self::from_table(TableReader::open(path)?)
    }

    fn from_table<R: BufRead>(mut table: TableReader<R>) -> Result<Self, CohortError> {
        let mut columns = [0; COLUMNS.len()];
        for (column, name) in columns.iter_mut().zip(COLUMNS) {
            *column = table.require(&[name], "`brainreel convert` writes this table: run it again")?;
        }
        let [series, image_id, subject, description, n_files, outcome, rule, reason, output] = columns;
        let mut rows = Vec::new();
        while let Some(row) = table.next_row()? {
            let text = |column| row.get(column).map(str::to_owned);
            rows.push(LedgerRow {
                series: text(series).unwrap_or_else(|| "n/a".to_owned()),
                image_id: text(image_id),
                subject: text(subject),
                description: text(description),
                n_files: row.required(n_files, "a number of files", |cell| cell.parse().ok())?,
                outcome: row.required(outcome, "kept, dropped or failed", |word| word.parse().ok())?,
                rule: text(rule).unwrap_or_default(),
                reason: text(reason).unwrap_or_default(),
                output: text(output),
            });
        }
        Ok(Self { rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_cells_stay_in_their_columns() {
        let row = |series: &str, subject: Option<&str>| LedgerRow {
            series: series.into(),
            image_id: None,
            subject: subject.map(Into::into),
            description: Some("two\tcells\nand lines".into()),
            n_files: 3,
            outcome: Outcome::Dropped,
            rule: "localizer".into(),
            reason: "3 slices".into(),
            output: None,
        };
        let ledger = Ledger { rows: vec![row("b", Some("sub-2")), row("a", Some("sub-2")), row("c", None)] };
        let text = ledger.to_tsv();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines.iter().all(|line| line.split('\t').count() == 9));
        assert_eq!(lines[2], "a\tn/a\tsub-2\ttwo cells and lines\t3\tdropped\tlocalizer\t3 slices\tn/a");
        assert_eq!(ledger.count(Outcome::Dropped), 3);
        let read =
            Ledger::from_table(TableReader::new(text.as_bytes(), Path::new("l.tsv")).unwrap()).unwrap();
        assert_eq!((read.to_tsv(), read.rows[0].output.clone()), (text, None));
    }
}
