//! Label tables: which image shows whom, when, and with which diagnosis.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use crate::table::{Row, TableReader, parse_years};
use crate::{CohortError, Date, Diagnosis, Group, ImageId, SessionId, Sex, SubjectId};

/// One image as a label table describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelRow {
    /// The archive's number of the image.
    pub image_id: Option<ImageId>,
    /// Path of the image, as written in the table; only plain tables have it.
    pub image_path: Option<String>,
    /// Who it shows.
    pub subject: SubjectId,
    /// The visit code, for example `sc`, `m06`.
    pub session: Option<SessionId>,
    /// The group column; `None` if the cell is empty.
    pub group: Option<Group>,
    /// Sex, if it is one of the two the tables use.
    pub sex: Option<Sex>,
    /// Age at the visit, in years.
    pub age_years: Option<f64>,
    /// For example `MRI`.
    pub modality: Option<String>,
    /// The series description.
    pub description: Option<String>,
    /// Day of the scan.
    pub acquisition_date: Option<Date>,
    /// The table it comes from.
    pub source: PathBuf,
    /// One-based line in that table.
    pub line: u64,
}

impl LabelRow {
    /// The diagnosis, if the group is one.
    #[must_use]
    pub fn diagnosis(&self) -> Option<Diagnosis> {
        self.group.as_ref().and_then(Group::diagnosis)
    }

    fn has_same_label(&self, other: &Self) -> bool {
        let date_agrees = match (self.acquisition_date, other.acquisition_date) {
            (Some(one), Some(two)) => one == two,
            _ => true,
        };
        self.subject == other.subject && self.group == other.group && date_agrees
    }

    fn describe(&self) -> String {
        let group = self.group.as_ref().map_or_else(|| "no group".to_owned(), Group::to_string);
        let date = self.acquisition_date.map(|date| format!(" on {date}")).unwrap_or_default();
        format!("{} {group}{date} ({}, line {})", self.subject, self.source.display(), self.line)
    }
}

/// The rows of one or more label tables, found by image id, by path, or by subject and date.
///
/// Two kinds of table are read, told apart by their header (any column order, any case): the CSV of
/// an IDA image collection (`Image Data ID`, `Subject`, `Group`, `Sex`, `Age`, `Visit`, `Acq Date`,
/// ...), and a plain table with `image_id` or `path`, `subject`, `diagnosis` and perhaps `session`,
/// `age`, `sex`, `date`.
#[derive(Debug, Clone, Default)]
pub struct LabelTable {
    rows: Vec<LabelRow>,
    by_image: BTreeMap<ImageId, usize>,
    by_path: BTreeMap<String, usize>,
    by_subject_and_date: BTreeMap<(SubjectId, Date), Vec<usize>>,
}

const REMEDY: &str = "labels come from the IDA collection table (IDA: Advanced Search (beta) > your collection > \
     CSV), or from a CSV with the columns image_id or path, subject, diagnosis and perhaps session";

struct Columns {
    image: Option<usize>,
    path: Option<usize>,
    subject: usize,
    group: usize,
    session: Option<usize>,
    sex: Option<usize>,
    age: Option<usize>,
    modality: Option<usize>,
    description: Option<usize>,
    date: Option<usize>,
}

impl Columns {
    fn of<R: BufRead>(table: &TableReader<R>) -> Result<Self, CohortError> {
        const IMAGE: [&str; 4] = ["Image Data ID", "image_id", "Image UID", "image"];
        const PATH: [&str; 3] = ["path", "file", "filename"];
        let path = table.find(&PATH);
        let image = if path.is_some() { table.find(&IMAGE) } else { Some(table.require(&IMAGE, REMEDY)?) };
        Ok(Self {
            image,
            path,
            subject: table.require(&["Subject", "Subject ID", "participant_id", "PTID"], REMEDY)?,
            group: table.require(&["Group", "Research Group", "diagnosis", "DX"], REMEDY)?,
            session: table.find(&["Visit", "session", "session_id", "VISCODE"]),
            sex: table.find(&["Sex", "Gender"]),
            age: table.find(&["Age", "age_years"]),
            modality: table.find(&["Modality"]),
            description: table.find(&["Description"]),
            date: table.find(&["Acq Date", "Study Date", "date", "acq_date"]),
        })
    }

    fn read(&self, row: &Row<'_>, source: &Path) -> Result<LabelRow, CohortError> {
        let words = |column: Option<usize>| row.get_in(column).map(crate::error::shorten);
        let image_id =
            row.optional(self.image, "an image id such as I13893", |cell| ImageId::parse(cell).ok())?;
        let image_path = row.get_in(self.path).map(path_key);
        if image_id.is_none() && image_path.is_none() {
            let column = self.image.or(self.path).unwrap_or_default();
            return Err(row.bad_value(column, "an image id or a path"));
        }
        Ok(LabelRow {
            image_id,
            image_path,
            subject: row
                .required(self.subject, "a subject such as 002_S_0413", |cell| SubjectId::parse(cell).ok())?,
            session: row.optional(self.session, "a visit such as m06", |cell| SessionId::parse(cell).ok())?,
            group: row.get(self.group).and_then(Group::parse),
            sex: row.get_in(self.sex).and_then(Sex::parse),
            age_years: row.get_in(self.age).and_then(parse_years),
            modality: words(self.modality),
            description: words(self.description),
            acquisition_date: row.optional(
                self.date,
                "a date such as 4/18/2006 or 2006-04-18",
                Date::parse,
            )?,
            source: source.to_owned(),
            line: row.line,
        })
    }
}

impl LabelTable {
    /// Reads tables and joins their rows; the same image in two tables is one row if the labels agree.
    ///
    /// # Errors
    /// A file that cannot be read or is no such table, a cell that cannot be what its column says, or
    /// [`CohortError::ConflictingLabels`].
    pub fn from_files(paths: &[PathBuf]) -> Result<Self, CohortError> {
        let mut labels = Self::default();
        for path in paths {
            labels.add(TableReader::open(path)?, path)?;
        }
        Ok(labels)
    }

    /// Reads one table from any reader; `path` is for messages.
    ///
    /// # Errors
    /// As [`Self::from_files`].
    pub fn from_reader<R: BufRead>(reader: R, path: &Path) -> Result<Self, CohortError> {
        let mut labels = Self::default();
        labels.add(TableReader::new(reader, path)?, path)?;
        Ok(labels)
    }

    fn add<R: BufRead>(&mut self, mut table: TableReader<R>, path: &Path) -> Result<(), CohortError> {
        let columns = Columns::of(&table)?;
        while let Some(row) = table.next_row()? {
            let row = columns.read(&row, path)?;
            self.insert(row)?;
        }
        Ok(())
    }

    fn insert(&mut self, row: LabelRow) -> Result<(), CohortError> {
        let by_image = row.image_id.as_ref().and_then(|id| self.by_image.get(id));
        let by_path = row.image_path.as_ref().and_then(|path| self.by_path.get(path));
        if let Some(&earlier) = by_image.or(by_path) {
            let earlier = &self.rows[earlier];
            if earlier.has_same_label(&row) {
                return Ok(());
            }
            let id = row.image_id.as_ref().map(ImageId::to_string).or_else(|| row.image_path.clone());
            return Err(CohortError::ConflictingLabels {
                image: id.unwrap_or_default(),
                first: earlier.describe(),
                second: row.describe(),
            });
        }
        let idx = self.rows.len();
        if let Some(id) = &row.image_id {
            self.by_image.insert(id.clone(), idx);
        }
        if let Some(path) = &row.image_path {
            self.by_path.insert(path.clone(), idx);
        }
        if let Some(date) = row.acquisition_date {
            self.by_subject_and_date.entry((row.subject.clone(), date)).or_default().push(idx);
        }
        self.rows.push(row);
        Ok(())
    }

    /// The row of an image, with or without the `I` before its number.
    #[must_use]
    pub fn lookup(&self, image_id: &str) -> Option<&LabelRow> {
        self.by_image.get(&ImageId::parse(image_id).ok()?).map(|&idx| &self.rows[idx])
    }

    /// The row of an image by its path as written in the table (`/` and `\` are the same).
    #[must_use]
    pub fn lookup_path(&self, path: &str) -> Option<&LabelRow> {
        self.by_path.get(&path_key(path)).map(|&idx| &self.rows[idx])
    }

    /// A row of that subject and day, for images whose id is in no table; `None` if the rows of that
    /// day do not agree on group and visit.
    #[must_use]
    pub fn lookup_date(&self, subject: &SubjectId, date: Date) -> Option<&LabelRow> {
        let found = self.by_subject_and_date.get(&(subject.clone(), date))?;
        let first = &self.rows[*found.first()?];
        let agree = |&idx: &usize| {
            let row = &self.rows[idx];
            row.group == first.group && row.session == first.session
        };
        found.iter().all(agree).then_some(first)
    }

    /// All rows, in the order of the tables.
    #[must_use]
    pub fn rows(&self) -> &[LabelRow] {
        &self.rows
    }

    /// True if there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

fn path_key(path: &str) -> String {
    let forward = path.trim().replace('\\', "/");
    forward.strip_prefix("./").map(str::to_owned).unwrap_or(forward)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "\"Image Data ID\",\"Subject\",\"Group\",\"Sex\",\"Age\",\"Visit\",\"Modality\",\
                          \"Description\",\"Type\",\"Acq Date\",\"Format\",\"Downloaded\"\n";

    fn read(text: &str) -> Result<LabelTable, CohortError> {
        LabelTable::from_reader(text.as_bytes(), Path::new("labels.csv"))
    }

    #[test]
    fn ida_collection_with_mark_and_quoted_commas() {
        let rows = "\"I13893\",\"002_S_0413\",\"CN\",\"F\",\"74\",\"sc\",\"MRI\",\"MPRAGE, repeat\",\"Original\",\
                    \"4/18/2006\",\"DCM\",\"4/18/2026\"\r\n";
        let table = read(&format!("\u{feff}{}{rows}", HEADER.replace('\n', "\r\n"))).unwrap();
        let row = table.lookup("13893").unwrap();
        assert_eq!(row, table.lookup("I13893").unwrap());
        assert_eq!(row.subject.label(), "002S0413");
        assert_eq!(row.diagnosis(), Some(Diagnosis::Cn));
        assert_eq!(row.description.as_deref(), Some("MPRAGE, repeat"));
        assert_eq!(row.session.as_ref().unwrap().label(), "sc");
        let date = Date::new(2006, 4, 18).unwrap();
        assert_eq!(table.lookup_date(&row.subject, date).unwrap().line, 2);
        assert_eq!(row.age_years, Some(74.0));
    }

    #[test]
    fn columns_in_any_order_and_case() {
        let table = read("GROUP,acq date,subject,image data id\nAD,2006-04-18,002_S_0413,I7\n").unwrap();
        assert_eq!(table.lookup("D7").unwrap().diagnosis(), Some(Diagnosis::Ad));
    }

    #[test]
    fn a_missing_column_says_what_is_there_and_what_to_do() {
        let message = read("Image Data ID,Subjct,Group\nI1,002_S_0413,CN\n").unwrap_err().to_string();
        for part in ["labels.csv", "`Subject`", "`Subjct`", "Image Data ID, Subjct, Group", "Advanced Search"]
        {
            assert!(message.contains(part), "{part} is not in: {message}");
        }
    }

    #[test]
    fn one_image_with_two_diagnoses_is_an_error() {
        let twice = "image_id,subject,diagnosis\nI1,002_S_0413,CN\n1,002S0413,CN\n";
        assert_eq!(read(twice).unwrap().rows().len(), 1);
        let message = read(&format!("{twice}I1,002_S_0413,AD\n")).unwrap_err().to_string();
        assert!(
            message.contains("I1") && message.contains("line 2") && message.contains("line 4"),
            "{message}"
        );
    }

    #[test]
    fn plain_table_by_path() {
        let table =
            read("path;subject;diagnosis;session\n.\\a\\b.nii;p1;Dementia;1\nc.nii;p1;SMC;2\n").unwrap();
        assert_eq!(table.lookup_path("a/b.nii").unwrap().diagnosis(), Some(Diagnosis::Ad));
        let other = table.lookup_path("c.nii").unwrap();
        assert_eq!((other.diagnosis(), &other.group), (None, &Some(Group::Other("SMC".into()))));
    }

    #[test]
    fn days_with_two_labels_are_not_guessed() {
        let text =
            "image_id,subject,diagnosis,date\n1,p1,CN,2006-04-18\n2,p1,AD,2006-04-18\n3,p1,AD,2007-04-18\n";
        let table = read(text).unwrap();
        let subject = SubjectId::parse("p1").unwrap();
        assert!(table.lookup_date(&subject, Date::new(2006, 4, 18).unwrap()).is_none());
        assert_eq!(table.lookup_date(&subject, Date::new(2007, 4, 18).unwrap()).unwrap().line, 4);
    }

    #[test]
    fn a_wrong_cell_is_named() {
        let message = read("image_id,subject,diagnosis,date\n1,../p,CN,x\n").unwrap_err().to_string();
        assert!(message.contains("line 2") && message.contains("../p"), "{message}");
        let message = read("image_id,subject,diagnosis,date\n1,p,CN,31/12/2006\n").unwrap_err().to_string();
        assert!(message.contains("`31/12/2006`"), "{message}");
    }
}
