//! Label tables: subject, date and diagnosis of each image.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use crate::records::{ImageInfo, JoinRule, JoinedImage, Place, Records, VisitRecord};
use crate::{CohortError, Date, Diagnosis, Group, ImageId, Person, SubjectId, Visit};

/// One image or visit of the label tables.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelRow {
    /// The image file. Empty for the row of a visit.
    pub image: ImageInfo,
    /// The participant.
    pub person: Person,
    /// The visit.
    pub visit: Visit,
    /// The diagnosis, or another word from the group column. `None` if the cell is empty.
    pub group: Option<Group>,
    /// The source table.
    pub source: PathBuf,
    /// One-based line in that table.
    pub line: u64,
}

impl LabelRow {
    /// The diagnosis, if the group is a diagnosis.
    #[must_use]
    pub fn diagnosis(&self) -> Option<Diagnosis> {
        self.group.as_ref().and_then(Group::diagnosis)
    }
}

/// Labels, searchable by image id, by path, or by subject and date.
///
/// Reads every kind of table that [`Records`] knows. The diagnosis of an image is that of the nearest visit,
/// if visits are listed (ADNIMERGE, DXSUM and the like). Otherwise it is the group in the image's own table.
#[derive(Debug, Clone, Default)]
pub struct LabelTable {
    rows: Vec<LabelRow>,
    by_image: BTreeMap<ImageId, usize>,
    by_path: BTreeMap<String, usize>,
    by_subject_and_date: BTreeMap<(SubjectId, Date), Vec<usize>>,
    /// Visits with a date, for images that no table lists.
    visits: BTreeMap<String, Vec<(Date, LabelRow)>>,
    rule: JoinRule,
}

impl LabelTable {
    /// Reads tables of any known kind and joins their facts.
    ///
    /// # Errors
    /// [`CohortError`], as [`Records::read`].
    pub fn from_files(paths: &[PathBuf]) -> Result<Self, CohortError> {
        Ok(Self::of(&Records::read(paths)?, &JoinRule::default()))
    }

    /// Reads one table from any reader; `path` is for messages.
    ///
    /// # Errors
    /// As [`Self::from_files`].
    pub fn from_reader<R: BufRead>(reader: R, path: &Path) -> Result<Self, CohortError> {
        Ok(Self::of(&Records::from_reader(reader, path)?, &JoinRule::default()))
    }

    /// Converts records to labels.
    #[must_use]
    pub fn of(records: &Records, rule: &JoinRule) -> Self {
        let mut labels = Self { rule: rule.clone(), ..Self::default() };
        for joined in records.join(rule) {
            let idx = labels.rows.len();
            let row = LabelRow::of_image(&joined, records);
            if let Some(id) = &row.image.id {
                labels.by_image.insert(id.clone(), idx);
            }
            if let Some(path) = &row.image.path {
                labels.by_path.insert(path.to_string(), idx);
            }
            if let Some(date) = row.visit.date {
                labels.by_subject_and_date.entry((row.person.subject.clone(), date)).or_default().push(idx);
            }
            labels.rows.push(row);
        }
        for (key, person) in records.people() {
            let rows = person.visits.iter().filter_map(|visit| {
                let row = LabelRow::of_visit(&person.person, visit, records);
                row.group.is_some().then_some((visit.visit.date?, row))
            });
            labels.visits.insert(key.to_owned(), rows.collect());
        }
        labels
    }

    /// Finds an image by id, with or without the `I` before its number.
    #[must_use]
    pub fn lookup(&self, image_id: &str) -> Option<&LabelRow> {
        self.by_image.get(&ImageId::parse(image_id).ok()?).map(|&idx| &self.rows[idx])
    }

    /// Finds an image by its path as written in the table (`/` and `\` are equal).
    #[must_use]
    pub fn lookup_path(&self, path: &str) -> Option<&LabelRow> {
        self.by_path.get(&*crate::records::path_key(path)).map(|&idx| &self.rows[idx])
    }

    /// Finds a row by subject and day, for images whose id is in no table. `None` if the rows of that day
    /// disagree on group or visit. If no image of that day is listed, returns the nearest visit within
    /// [`JoinRule::max_days`], if it is unambiguous.
    #[must_use]
    pub fn lookup_date(&self, subject: &SubjectId, date: Date) -> Option<&LabelRow> {
        let Some(found) = self.by_subject_and_date.get(&(subject.clone(), date)) else {
            return self.nearest_visit(subject, date);
        };
        let first = &self.rows[*found.first()?];
        let agree = |&idx: &usize| {
            let row = &self.rows[idx];
            row.group == first.group && row.visit.session() == first.visit.session()
        };
        found.iter().all(agree).then_some(first)
    }

    fn nearest_visit(&self, subject: &SubjectId, date: Date) -> Option<&LabelRow> {
        let days = |visit: Date| date.days_since(visit).unsigned_abs();
        let visits = self.visits.get(&subject.person_key())?;
        let (nearest, row) = visits.iter().min_by_key(|(visit, _)| days(*visit))?;
        let rival =
            visits.iter().any(|(visit, other)| days(*visit) == days(*nearest) && other.group != row.group);
        (days(*nearest) <= u64::from(self.rule.max_days) && !rival).then_some(row)
    }

    /// All image rows, in table order.
    #[must_use]
    pub fn rows(&self) -> &[LabelRow] {
        &self.rows
    }

    /// True if there are no labels.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.visits.values().all(Vec::is_empty)
    }
}

impl LabelRow {
    fn of_image(joined: &JoinedImage<'_>, records: &Records) -> Self {
        let record = joined.record;
        // A word that is not a diagnosis is reported too. A diagnosis is the joined one, or `None`.
        let word = record.group.clone().filter(|group| group.diagnosis().is_none());
        Self {
            image: record.image.clone(),
            person: joined.person.clone(),
            group: joined.visit.diagnosis.map(Group::Diagnosis).or(word),
            visit: joined.visit.clone(),
            source: source(record.place, records),
            line: record.place.line.into(),
        }
    }

    fn of_visit(person: &Person, record: &VisitRecord, records: &Records) -> Self {
        Self {
            image: ImageInfo::default(),
            person: person.clone(),
            visit: record.visit.clone(),
            group: record.visit.diagnosis.map(Group::Diagnosis),
            source: source(record.place, records),
            line: record.place.line.into(),
        }
    }
}

fn source(place: Place, records: &Records) -> PathBuf {
    records.tables().get(place.table as usize).map(|table| table.path.clone()).unwrap_or_default()
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
        assert_eq!(row.person.subject.label(), "002S0413");
        assert_eq!(row.diagnosis(), Some(Diagnosis::Cn));
        assert_eq!(row.image.description.as_deref(), Some("MPRAGE, repeat"));
        assert_eq!(row.visit.session().unwrap().label(), "sc");
        let date = Date::new(2006, 4, 18).unwrap();
        assert_eq!(table.lookup_date(&row.person.subject, date).unwrap().line, 2);
        assert_eq!(row.visit.age_years, Some(74.0));
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
