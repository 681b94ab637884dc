//! Claimed splits from any source: a table of scans with their partitions.
//!
//! Unlike [`Split`](crate::Split), a claimed split may contain errors: it is the input of an audit.

use std::io::BufRead;
use std::path::Path;

use crate::columns::{DIAGNOSIS_OR_GROUP, Field};
use crate::split::PARTITION_SPELLINGS;
use crate::table::{Row, TableReader, YEARS, parse_years};
use crate::{
    CohortError, Diagnosis, FieldStrength, ImageId, Partition, Scan, ScanId, Scanner, SessionId, Sex, Split,
    SubjectId,
};

/// One scan of a claimed split.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedScan {
    /// Its partition.
    pub partition: Partition,
    /// The subject, as spelt in the table.
    pub name: String,
    /// The subject.
    pub subject: SubjectId,
    /// The visit, if the table gives it.
    pub session: Option<SessionId>,
    /// The run: number of the scan within the visit.
    pub run: Option<u32>,
    /// The class.
    pub diagnosis: Option<Diagnosis>,
    /// Age, in years.
    pub age_years: Option<f64>,
    /// Sex.
    pub sex: Option<Sex>,
    /// Study site, or the site in an ADNI subject id if there is no column.
    pub site: Option<String>,
    /// Scanner.
    pub scanner: Scanner,
    /// The archive's image id.
    pub image_id: Option<ImageId>,
    /// The image file, as written in the table.
    pub image: Option<String>,
    /// SHA-256 of the image file.
    pub sha256: Option<String>,
    /// One-based line in the table. 0 for a brainreel split.
    pub line: u64,
}

impl ClaimedScan {
    /// The scan for messages, with the subject spelt as in the table.
    #[must_use]
    pub fn describe(&self) -> String {
        let session = self.session.as_ref().map(|session| format!(" {session}")).unwrap_or_default();
        let image = self.image_id.as_ref().map(|id| format!(" {id}")).unwrap_or_default();
        format!("{}{session}{image}", self.name)
    }
}

/// The scans of a split, in table order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClaimedSplit {
    /// The scans.
    pub scans: Vec<ClaimedScan>,
}

/// A participant's id, which may be a number alone.
const SUBJECT: [&[&str]; 3] = [Field::Subject.names(), Field::Rid.names(), &["ID"]];
/// Column names of the class besides those of a diagnosis.
const CLASS: &[&str] = &["label", "class", "target"];
/// `image` is the file, as in `scans.tsv`.
const IMAGE: [&[&str]; 2] = [&["image"], Field::Path.names()];

const REMEDY: &str = "the table of a split has a row a scan, with the subject (or scan_id) and the partition: train, \
                      validation or test; for a table without partitions use --train, --validation, --test";

impl ClaimedSplit {
    /// Converts a brainreel split and adds metadata from the scan table. `find` returns the scan with an id.
    pub fn of_split<'a>(split: &Split, find: impl Fn(&ScanId) -> Option<&'a Scan>) -> Self {
        let scans = split.rows().iter().map(|row| {
            let scan = find(&row.scan_id);
            ClaimedScan {
                partition: row.partition,
                name: row.subject().to_string(),
                subject: row.subject().clone(),
                session: Some(row.scan_id.session().clone()),
                run: row.scan_id.run(),
                diagnosis: Some(row.diagnosis),
                age_years: scan.and_then(|scan| scan.age_years),
                sex: scan.and_then(|scan| scan.sex),
                site: scan.and_then(|scan| scan.site.clone()).or_else(|| row.subject().adni_site()),
                scanner: scan.map(|scan| scan.scanner.clone()).unwrap_or_default(),
                image_id: None,
                image: scan.map(|scan| scan.image.clone()),
                sha256: scan.and_then(|scan| scan.sha256.clone()),
                line: 0,
            }
        });
        Self { scans: scans.collect() }
    }

    /// Reads a table. If `partition` is given, all rows belong to it. Otherwise a column gives the partition.
    ///
    /// # Errors
    /// [`CohortError`] if the file cannot be read or is not a table, a column for subject or partition is
    /// missing, or a word is not a partition.
    pub fn read(path: &Path, partition: Option<Partition>) -> Result<Self, CohortError> {
        Self::from_table(TableReader::open(path)?, partition)
    }

    /// Reads a table from any reader; `path` is for messages.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn from_reader<R: BufRead>(
        reader: R,
        path: &Path,
        partition: Option<Partition>,
    ) -> Result<Self, CohortError> {
        Self::from_table(TableReader::new(reader, path)?, partition)
    }

    fn from_table<R: BufRead>(
        mut table: TableReader<R>,
        partition: Option<Partition>,
    ) -> Result<Self, CohortError> {
        let columns = Columns::of(&table, partition)?;
        let mut scans = Vec::new();
        while let Some(row) = table.next_row()? {
            scans.push(columns.scan(&row, partition)?);
        }
        Ok(Self { scans })
    }
}

/// Column indices of a table.
struct Columns {
    partition: Option<usize>,
    scan: Option<usize>,
    /// The subject, or a scan id or file that contains it.
    name: usize,
    /// Whether this is a subject column.
    spells_subject: bool,
    session: Option<usize>,
    diagnosis: Option<usize>,
    age: Option<usize>,
    sex: Option<usize>,
    site: Option<usize>,
    scanner: Option<usize>,
    field_strength: Option<usize>,
    image_id: Option<usize>,
    image: Option<usize>,
    sha256: Option<usize>,
}

impl Columns {
    fn of<R: BufRead>(table: &TableReader<R>, partition: Option<Partition>) -> Result<Self, CohortError> {
        let find = |names: &[&[&str]]| names.iter().find_map(|names| table.find(names));
        let (scan, image) = (table.find(&["scan_id"]), find(&IMAGE));
        let subject = find(&SUBJECT);
        let named = subject.or(scan).or(image);
        Ok(Self {
            partition: match partition {
                None => Some(table.require(Field::Partition.names(), REMEDY)?),
                Some(_) => None,
            },
            scan,
            spells_subject: subject.is_some(),
            name: named.map_or_else(|| table.require(Field::Subject.names(), REMEDY), Ok)?,
            session: table.find(Field::Visit.names()),
            diagnosis: find(&[DIAGNOSIS_OR_GROUP, CLASS]),
            age: table.find(Field::AgeYears.names()),
            sex: table.find(Field::Sex.names()),
            site: table.find(Field::Site.names()),
            scanner: find(&[Field::Scanner.names(), Field::Manufacturer.names()]),
            field_strength: table.find(Field::FieldStrength.names()),
            image_id: table.find(Field::ImageId.names()),
            image,
            sha256: table.find(Field::Sha256.names()),
        })
    }

    fn scan(&self, row: &Row<'_>, partition: Option<Partition>) -> Result<ClaimedScan, CohortError> {
        let partition = match (partition, self.partition) {
            (Some(partition), _) => partition,
            (None, column) => {
                row.required(column.unwrap_or(self.name), PARTITION_SPELLINGS, Partition::from_any_spelling)?
            }
        };
        let scan_id = row.get_in(self.scan).and_then(|cell| ScanId::parse(cell).ok());
        let (name, subject) = row.required(self.name, "a subject, or a file that names one", |cell| {
            let subject = subject_in(cell)?;
            let name = if self.spells_subject { cell.to_owned() } else { subject.to_string() };
            Some((name, subject))
        })?;
        let session = row.get_in(self.session).and_then(|cell| SessionId::parse(cell).ok());
        Ok(ClaimedScan {
            partition,
            run: scan_id.as_ref().and_then(ScanId::run),
            session: session.or_else(|| scan_id.map(|id| id.session().clone())),
            diagnosis: row.get_in(self.diagnosis).and_then(diagnosis_of),
            age_years: row.optional(self.age, YEARS, parse_years)?,
            sex: row.get_in(self.sex).and_then(Sex::parse),
            site: row.get_in(self.site).map(str::to_owned).or_else(|| subject.adni_site()),
            scanner: Scanner {
                manufacturer: None,
                model: row.get_in(self.scanner).map(Into::into),
                field_strength: row.get_in(self.field_strength).and_then(FieldStrength::parse),
            },
            image_id: row.get_in(self.image_id).and_then(|cell| ImageId::parse(cell).ok()),
            image: row.get_in(self.image).map(str::to_owned),
            sha256: row.get_in(self.sha256).map(str::to_ascii_lowercase),
            name,
            subject,
            line: row.line,
        })
    }
}

/// Parses a diagnosis in words, or 0 for CN and 1 for AD, as in many training tables.
fn diagnosis_of(cell: &str) -> Option<Diagnosis> {
    match cell.trim() {
        "0" => Some(Diagnosis::Cn),
        "1" => Some(Diagnosis::Ad),
        word => Diagnosis::parse(word),
    }
}

/// Parses the subject of a cell: a subject id, a scan id, or a path that contains an archive's or BIDS
/// subject id.
fn subject_in(cell: &str) -> Option<SubjectId> {
    if let Ok(scan) = ScanId::parse(cell) {
        return Some(scan.subject().clone());
    }
    if !cell.contains(['/', '\\']) && !cell.contains(".nii") && !cell.contains(".dcm") {
        // Numbers that were stored as floats: 413.0.
        let number = cell.strip_suffix(".0").unwrap_or(cell);
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let plain = if is_number { number } else { cell };
        return adni_subject_in(cell).or_else(|| SubjectId::parse(plain).ok());
    }
    cell.split(['/', '\\']).find_map(subject_in_component)
}

/// Finds `002_S_0413` or `sub-01` at the start of a file or folder name, or `002_S_0413` within it.
fn subject_in_component(component: &str) -> Option<SubjectId> {
    if component.starts_with("sub-") {
        let label = component.split(['_', '.']).next().unwrap_or_default();
        return SubjectId::parse(label).ok();
    }
    if component.starts_with("OAS") {
        return SubjectId::parse(component.split('.').next().unwrap_or_default()).ok();
    }
    adni_subject_in(component)
}

/// Finds an ADNI subject id within a word: `002_S_0413`, also `002S413`. Anything but digits may surround it.
fn adni_subject_in(word: &str) -> Option<SubjectId> {
    let bytes = word.as_bytes();
    let digits_from = |start: usize| bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let underscore = |at: usize| usize::from(bytes.get(at) == Some(&b'_'));
    (0..bytes.len()).find_map(|start| {
        let follows_digit = start > 0 && bytes[start - 1].is_ascii_digit();
        if follows_digit || digits_from(start) != 3 {
            return None;
        }
        let letter = start + 3 + underscore(start + 3);
        if !bytes.get(letter)?.eq_ignore_ascii_case(&b'S') {
            return None;
        }
        let number = letter + 1 + underscore(letter + 1);
        let n_digits = digits_from(number);
        let rid: u32 =
            word.get(number..number + n_digits).filter(|_| (3..=4).contains(&n_digits))?.parse().ok()?;
        SubjectId::parse(&format!("{}_S_{rid:04}", word.get(start..start + 3)?)).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ClaimedSplit, CohortError> {
        ClaimedSplit::from_reader(text.as_bytes(), Path::new("theirs.csv"), None)
    }

    #[test]
    fn tables_of_others_are_understood() {
        let bids = read("participant_id,session_id,diagnosis,split\nsub-ADNI002S0413,ses-M006,AD,training\n");
        let path = read("path,label,set\nADNI/002_S_0413/MPRAGE/x_I13893.nii,1,val\n");
        let named = read("\u{feff}Subject;Visit;Group;Subset\r\n002_S_0413;m06;AD;Hold-out\r\n");
        for (claimed, partition) in
            [(bids, Partition::Train), (path, Partition::Validation), (named, Partition::Test)]
        {
            let scan = claimed.unwrap().scans.remove(0);
            assert_eq!(scan.subject.label(), "002S0413", "{scan:?}");
            assert_eq!((scan.partition, scan.diagnosis), (partition, Some(Diagnosis::Ad)));
            assert_eq!((scan.site.as_deref(), scan.line), (Some("002"), 2));
        }
    }

    #[test]
    fn subjects_are_found_in_paths() {
        for (path, expected) in [
            ("ADNI/002_S_0413/a.nii", "002S0413"),
            ("ADNI_002_S_0413_MR_MPRAGE.nii.gz", "002S0413"),
            ("bids/sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz", "01"),
            ("C:\\data\\OAS1_0001_MR2.nii", "OAS10001"),
        ] {
            assert_eq!(subject_in(path).unwrap().label(), expected, "{path}");
        }
        assert_eq!(subject_in("images/0001.nii.gz"), None);
        for name in ["002_S_0413_m06", "002_S_0413_I13893", "002S413", "002_S_413", "sub-ADNI002S0413"] {
            assert_eq!(subject_in(name).unwrap().label(), "002S0413", "{name}");
        }
        assert_eq!(subject_in("413.0").unwrap().label(), "413");
        for other in ["1002_S_0413", "002_S_04133", "patient7"] {
            assert_ne!(subject_in(other).unwrap().label(), "002S0413", "{other}");
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let message = |text: &str| read(text).unwrap_err().to_string();
        assert!(message("subject,diagnosis\na,AD\n").contains("no column `partition`"));
        assert!(message("partition,diagnosis\ntrain,AD\n").contains("no column `participant_id`"));
        let odd = message("subject,partition\na,train\nb,external\n");
        assert!(odd.contains("line 3") && odd.contains("external"), "{odd}");
        let all = ClaimedSplit::from_reader(
            "subject\na\n".as_bytes(),
            Path::new("test.csv"),
            Some(Partition::Test),
        );
        assert_eq!(all.unwrap().scans[0].partition, Partition::Test);
    }
}
