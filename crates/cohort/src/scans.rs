//! `scans.tsv` of the derivatives: one row per preprocessed image.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;

use crate::table::{Row, TableReader, YEARS, cell, parse_years, to_tsv};
use crate::{CohortError, Diagnosis, FieldStrength, ScanId, Scanner, SessionId, Sex, SubjectId};

/// One preprocessed image with its metadata.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan {
    /// Its id, which contains subject, session and run.
    pub scan_id: ScanId,
    /// Diagnosis at that session. `None` if it is unknown or not one of the three.
    pub diagnosis: Option<Diagnosis>,
    /// Age at that session, in years.
    pub age_years: Option<f64>,
    /// Sex of the subject.
    pub sex: Option<Sex>,
    /// The image, relative to the folder of the table, with forward slashes. Empty if there is none.
    pub image: String,
    /// SHA-256 of the image file, 64 hexadecimal digits.
    pub sha256: Option<String>,
    /// Site of the study.
    pub site: Option<String>,
    /// The scanner. The table has manufacturer and model in one column, which is stored as the model.
    pub scanner: Scanner,
}

impl Scan {
    /// A scan with a diagnosis but no other metadata.
    #[must_use]
    pub fn new(scan_id: ScanId, diagnosis: Option<Diagnosis>) -> Self {
        Self {
            scan_id,
            diagnosis,
            age_years: None,
            sex: None,
            image: String::new(),
            sha256: None,
            site: None,
            scanner: Scanner::default(),
        }
    }

    /// The subject.
    #[must_use]
    pub fn subject(&self) -> &SubjectId {
        self.scan_id.subject()
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> &SessionId {
        self.scan_id.session()
    }
}

/// All scans, sorted by id and unique.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScanTable {
    scans: Vec<Scan>,
}

const COLUMNS: [&str; 9] =
    ["scan_id", "participant_id", "session_id", "run", "diagnosis", "age", "sex", "image", "sha256"];
/// Columns missing from tables of earlier versions.
const FURTHER: [&str; 3] = ["site", "scanner", "field_strength_t"];
const REMEDY: &str = "`brainreel preprocess` writes this table: run it again";

impl ScanTable {
    /// Creates a table of these scans.
    ///
    /// # Errors
    /// [`CohortError::Duplicate`] if two have the same id.
    pub fn new(mut scans: Vec<Scan>) -> Result<Self, CohortError> {
        scans.sort_by(|a, b| a.scan_id.cmp(&b.scan_id));
        match scans.windows(2).find(|pair| pair[0].scan_id == pair[1].scan_id) {
            None => Ok(Self { scans }),
            Some(pair) => Err(CohortError::Duplicate {
                path: "scans.tsv".into(),
                key: pair[0].scan_id.to_string(),
                line: 0,
            }),
        }
    }

    /// The scans.
    #[must_use]
    pub fn scans(&self) -> &[Scan] {
        &self.scans
    }

    /// The scan with this id.
    #[must_use]
    pub fn get(&self, scan_id: &ScanId) -> Option<&Scan> {
        self.scans.binary_search_by(|scan| scan.scan_id.cmp(scan_id)).ok().map(|idx| &self.scans[idx])
    }

    /// The table as tab-separated text.
    #[must_use]
    pub fn to_tsv(&self) -> String {
        let rows = self.scans.iter().map(|scan| {
            vec![
                scan.scan_id.to_string(),
                scan.subject().to_string(),
                scan.session().to_string(),
                cell(scan.scan_id.run()),
                cell(scan.diagnosis),
                cell(scan.age_years),
                cell(scan.sex),
                cell(Some(&scan.image)),
                cell(scan.sha256.as_ref()),
                cell(scan.site.as_ref()),
                cell(scan.scanner.name()),
                cell(scan.scanner.field_strength),
            ]
        });
        to_tsv(&[&COLUMNS[..], &FURTHER].concat(), rows)
    }

    /// Reads `scans.tsv`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, a column is missing or unknown, a cell does not hold what
    /// its column requires (including an `image` outside the folder), or a scan is listed twice.
    pub fn read(path: &Path) -> Result<Self, CohortError> {
        Self::from_table(TableReader::open(path)?)
    }

    /// Reads the table from any reader; `path` is for messages.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn from_reader<R: BufRead>(reader: R, path: &Path) -> Result<Self, CohortError> {
        Self::from_table(TableReader::new(reader, path)?)
    }

    fn from_table<R: BufRead>(mut table: TableReader<R>) -> Result<Self, CohortError> {
        let mut columns = [0; COLUMNS.len()];
        for (column, name) in columns.iter_mut().zip(COLUMNS) {
            *column = table.require(&[name], REMEDY)?;
        }
        table.refuse_unknown_columns(&[&COLUMNS[..], &FURTHER].concat())?;
        let further = FURTHER.map(|name| table.find(&[name]));
        let mut scans = BTreeMap::new();
        while let Some(row) = table.next_row()? {
            let scan = read_scan(&row, columns, further)?;
            if scans.contains_key(&scan.scan_id) {
                return Err(row.duplicate(&scan.scan_id));
            }
            scans.insert(scan.scan_id.clone(), scan);
        }
        Ok(Self { scans: scans.into_values().collect() })
    }
}

fn read_scan(
    row: &Row<'_>,
    columns: [usize; COLUMNS.len()],
    [site, scanner, field_strength]: [Option<usize>; FURTHER.len()],
) -> Result<Scan, CohortError> {
    let [scan_id, participant, session, run, diagnosis, age, sex, image, sha256] = columns;
    let scan_id = read_scan_id(row, scan_id, participant, session)?;
    let run_cell = row.optional(Some(run), "a run number or n/a", |cell| cell.parse().ok())?;
    if run_cell != scan_id.run() {
        return Err(row.bad_value(run, "the run of scan_id"));
    }
    let is_digest = |cell: &str| cell.len() == 64 && cell.bytes().all(|b| b.is_ascii_hexdigit());
    Ok(Scan {
        diagnosis: row.optional(Some(diagnosis), "CN, MCI, AD or n/a", Diagnosis::parse)?,
        age_years: row.optional(Some(age), YEARS, parse_years)?,
        sex: row.optional(Some(sex), "F, M or n/a", Sex::parse)?,
        image: row.required(
            image,
            "a path inside the folder of the table, with forward slashes",
            |cell| is_inside(cell).then(|| cell.to_owned()),
        )?,
        site: row.get_in(site).map(str::to_owned),
        scanner: Scanner {
            manufacturer: None,
            model: row.get_in(scanner).map(Into::into),
            field_strength: row.optional(field_strength, FieldStrength::EXPECTED, FieldStrength::parse)?,
        },
        sha256: row.optional(Some(sha256), "64 hexadecimal digits or n/a", |cell| {
            is_digest(cell).then(|| cell.to_ascii_lowercase())
        })?,
        scan_id,
    })
}

/// Parses a scan id. Contradicting subject or session columns are an error.
pub(crate) fn read_scan_id(
    row: &Row<'_>,
    scan_id: usize,
    participant: usize,
    session: usize,
) -> Result<ScanId, CohortError> {
    let id = row.required(scan_id, "sub-X_ses-Y or sub-X_ses-Y_run-N", |cell| ScanId::parse(cell).ok())?;
    let subject =
        row.required(participant, "a participant such as sub-01", |cell| SubjectId::parse(cell).ok())?;
    if subject != *id.subject() {
        return Err(row.bad_value(participant, &format!("{}, the subject of scan_id", id.subject())));
    }
    let visit = row.required(session, "a session such as ses-m06", |cell| SessionId::parse(cell).ok())?;
    if visit != *id.session() {
        return Err(row.bad_value(session, &format!("{}, the session of scan_id", id.session())));
    }
    Ok(id)
}

/// Whether a path is relative and made of plain names: no root, drive, `..` or backslash.
fn is_inside(image: &str) -> bool {
    let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    !image.contains(['\\', ':', '\0']) && image.split('/').all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(id: &str) -> Scan {
        let mut scan = Scan::new(ScanId::parse(id).unwrap(), Some(Diagnosis::Ad));
        scan.image = format!("{id}/anat/{id}_T1w.nii.gz");
        scan.age_years = Some(74.5);
        scan.sha256 = Some("ab".repeat(32));
        scan.site = Some("002".to_owned());
        scan.scanner.model = Some("SIEMENS Avanto".into());
        scan.scanner.field_strength = FieldStrength::new(1.5);
        scan
    }

    fn read(text: &str) -> Result<ScanTable, CohortError> {
        ScanTable::from_reader(text.as_bytes(), Path::new("scans.tsv"))
    }

    #[test]
    fn round_trip() {
        let table = ScanTable::new(vec![scan("sub-2_ses-b_run-2"), scan("sub-2_ses-a"), scan("sub-1_ses-z")])
            .unwrap();
        assert_eq!(read(&table.to_tsv()).unwrap(), table);
        assert_eq!(table.scans()[0].subject().label(), "1");
        assert!(table.get(&ScanId::parse("sub-2_ses-a").unwrap()).is_some());
        assert!(ScanTable::new(vec![scan("sub-1_ses-a"), scan("sub-1_ses-a")]).is_err());
    }

    #[test]
    fn faults_are_named() {
        let good = ScanTable::new(vec![scan("sub-1_ses-a")]).unwrap().to_tsv();
        let cases = [
            (good.replace("diagnosis", "diagnosys"), "no column `diagnosis` (the nearest is `diagnosys`)"),
            (
                good.replace("strength_t\n", "strength_t\tweight\n").replace("1.5\n", "1.5\t7\n"),
                "unknown column `weight`",
            ),
            (
                good.replace("\tAD\t", "\tSMC\t"),
                "line 2, column `diagnosis`: found `SMC`, expected CN, MCI, AD or n/a",
            ),
            (good.replace("\tsub-1\t", "\tsub-2\t"), "expected sub-1, the subject of scan_id"),
            (good.replace("74.5", "-3"), "column `age`"),
            (
                format!("{good}{}\n", good.lines().nth(1).unwrap()),
                "sub-1_ses-a is listed twice (line 3 again)",
            ),
        ];
        for (text, expected) in cases {
            let message = read(&text).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains("scans.tsv"), "{message}");
        }
    }

    #[test]
    fn tables_of_earlier_versions_are_read() {
        let table = ScanTable::new(vec![scan("sub-1_ses-a")]).unwrap().to_tsv();
        let cut = |line: &str| line.split('\t').take(COLUMNS.len()).collect::<Vec<_>>().join("\t") + "\n";
        let earlier: String = table.lines().map(cut).collect();
        let read = read(&earlier).unwrap();
        let expected = Scan { site: None, scanner: Scanner::default(), ..scan("sub-1_ses-a") };
        assert_eq!(read.scans(), [expected]);
    }

    #[test]
    fn images_outside_the_folder_are_refused() {
        let good = ScanTable::new(vec![scan("sub-1_ses-a")]).unwrap().to_tsv();
        for path in ["/etc/passwd", "../other.nii", "a/../../b", "C:\\x", "a\\b", "a//b", "./a", "n/a"] {
            let text = good.replace("sub-1_ses-a/anat/sub-1_ses-a_T1w.nii.gz", path);
            assert!(matches!(read(&text), Err(CohortError::BadValue { .. })), "{path}");
        }
    }
}
