//! Reads rows of any known kind of table.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::layout::{Layout, RowsAre};
use super::{ImageInfo, ImageRecord, ImageType, PersonRecord, Place, Records, TableNote, VisitRecord};
use crate::columns::Field;
use crate::error::shorten;
use crate::merge::fill;
use crate::table::{Row, TableReader, parse_years};
use crate::{
    CohortError, Date, Diagnosis, FieldStrength, Group, ImageId, Person, Scanner, Sex, SubjectId, Visit,
    VisitCode,
};

/// Reads tables one by one, then resolves participant numbers to subjects.
#[derive(Default)]
pub(super) struct Reader {
    records: Records,
    words: BTreeSet<Arc<str>>,
    /// Interned names.
    subjects: BTreeSet<SubjectId>,
    /// Subjects by study number (RID): 413 for `002_S_0413`.
    by_rid: BTreeMap<u32, SubjectId>,
    /// Series by image, from tables without a subject column.
    series: BTreeMap<ImageId, ImageId>,
    /// Visits of subjects known by number only.
    unnamed: Vec<Unnamed>,
}

/// A visit of a subject known by number only.
struct Unnamed {
    rid: u32,
    layout: &'static Layout,
    facts: Facts,
}

/// Facts from one row.
struct Facts {
    subject: Option<SubjectId>,
    rid: Option<u32>,
    sex: Option<Sex>,
    site: Option<Arc<str>>,
    baseline_age_years: Option<f64>,
    days_since_entry: Option<i64>,
    image: ImageInfo,
    visit: Visit,
    group: Option<Group>,
    scanner: Scanner,
    place: Place,
}

/// Column indices of a table by field.
struct Columns(Vec<(Field, usize)>);

impl Columns {
    fn of<R: BufRead>(layout: &Layout, table: &TableReader<R>) -> Self {
        let found = layout.columns().filter_map(|(field, names)| Some((field, table.find(names)?)));
        Self(found.collect())
    }

    fn get(&self, field: Field) -> Option<usize> {
        self.0.iter().find(|(of, _)| *of == field).map(|&(_, column)| column)
    }
}

impl Records {
    /// Reads tables of any known kind and joins their facts. The kind of a table is recognised by its
    /// columns.
    ///
    /// # Errors
    /// [`CohortError`] if a file cannot be read, has an unknown kind or lacks a column, if a cell does not
    /// hold what its column requires, or if two rows describe an image differently.
    pub fn read(paths: &[PathBuf]) -> Result<Self, CohortError> {
        let mut reader = Reader::default();
        for path in paths {
            reader.add(TableReader::open(path)?, path)?;
        }
        Ok(reader.finish())
    }

    /// Reads one table from any reader; `path` is for messages, and for the subject of a BIDS
    /// `sub-*_sessions.tsv`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn from_reader<R: BufRead>(reader: R, path: &Path) -> Result<Self, CohortError> {
        let mut records = Reader::default();
        records.add(TableReader::new(reader, path)?, path)?;
        Ok(records.finish())
    }
}

impl Reader {
    pub(super) fn add<R: BufRead>(
        &mut self,
        mut table: TableReader<R>,
        path: &Path,
    ) -> Result<(), CohortError> {
        let layout = Layout::of(&table)?;
        let columns = Columns::of(layout, &table);
        let number = u32::try_from(self.records.tables.len()).unwrap_or(u32::MAX);
        let of_file = if layout.subject_in_file_name { subject_of_file(path) } else { None };
        let note = TableNote { path: path.to_owned(), kind: layout.kind, n_rows: 0, n_unknown_people: 0 };
        self.records.tables.push(note);
        while let Some(row) = table.next_row()? {
            self.records.tables[number as usize].n_rows += 1;
            let line = u32::try_from(row.line).unwrap_or(u32::MAX);
            let mut facts = self.facts(&row, &columns, Place { table: number, line })?;
            facts.subject = facts.subject.or_else(|| of_file.clone());
            self.take(facts, layout, &row, &columns)?;
        }
        Ok(())
    }

    fn facts(&mut self, row: &Row<'_>, columns: &Columns, place: Place) -> Result<Facts, CohortError> {
        let at = |field| columns.get(field);
        let id =
            |field| row.optional(at(field), "an image id such as I13893", |cell| ImageId::parse(cell).ok());
        let subject = row
            .optional(at(Field::Subject), "a subject such as 002_S_0413", |cell| SubjectId::parse(cell).ok())?
            .map(|subject| self.shared_subject(subject));
        let mut word = |field| row.get_in(at(field)).map(|cell| self.shared(&shorten(cell)));
        let days = |cell: &str| cell.rsplit_once("_d").map_or(cell, |(_, days)| days).trim().parse().ok();
        let days_since_entry =
            row.optional(at(Field::DaysSinceEntry), "days since entry, such as d0129", days)?;
        let baseline_age_years = row.get_in(at(Field::BaselineAge)).and_then(parse_years);
        let since = row.get_in(at(Field::YearsSinceBaseline)).and_then(|cell| cell.parse::<f64>().ok());
        let age_years = row.get_in(at(Field::AgeYears)).and_then(parse_years);
        Ok(Facts {
            subject,
            rid: row.optional(at(Field::Rid), "a participant's number", |cell| cell.parse().ok())?,
            sex: row.get_in(at(Field::Sex)).and_then(sex),
            site: word(Field::Site),
            baseline_age_years,
            days_since_entry,
            image: ImageInfo {
                id: id(Field::ImageId)?,
                series_id: id(Field::SeriesId)?,
                path: row.get_in(at(Field::Path)).map(path_key),
                modality: word(Field::Modality),
                description: word(Field::Description),
                image_type: row.get_in(at(Field::ImageType)).and_then(ImageType::parse),
            },
            visit: Visit {
                code: row.get_in(at(Field::Visit)).and_then(VisitCode::parse),
                date: date(row, at(Field::Date))?,
                diagnosis: diagnosis(row, columns)?,
                age_years: age_years.or_else(|| Some(baseline_age_years? + since?)),
                phase: word(Field::Phase),
            },
            group: row.get_in(at(Field::Group)).and_then(Group::parse),
            scanner: Scanner {
                manufacturer: word(Field::Manufacturer),
                model: word(Field::Model),
                field_strength: row.get_in(at(Field::FieldStrength)).and_then(FieldStrength::parse),
            },
            place,
        })
    }

    fn take(
        &mut self,
        facts: Facts,
        layout: &'static Layout,
        row: &Row<'_>,
        columns: &Columns,
    ) -> Result<(), CohortError> {
        if let (Some(subject), None) = (&facts.subject, facts.rid)
            && let Some(rid) = subject.adni_rid()
        {
            self.by_rid.entry(rid).or_insert_with(|| subject.clone());
        }
        if let (Some(subject), Some(rid)) = (&facts.subject, facts.rid) {
            self.by_rid.entry(rid).or_insert_with(|| subject.clone());
        }
        match (&facts.subject, facts.rid, &facts.image.id, &facts.image.series_id) {
            (None, None, Some(image), Some(series)) => {
                self.series.insert(image.clone(), series.clone());
                Ok(())
            }
            (None, Some(rid), ..) => {
                self.unnamed.push(Unnamed { rid, layout, facts });
                Ok(())
            }
            (None, None, ..) => {
                let column = columns.get(Field::Subject).or(columns.get(Field::Rid)).unwrap_or_default();
                Err(row.bad_value(column, "a subject such as 002_S_0413"))
            }
            (Some(_), ..) => match layout.rows {
                RowsAre::Images if facts.image.id.is_none() && facts.image.path.is_none() => {
                    let column = columns.get(Field::ImageId).or(columns.get(Field::Path)).unwrap_or_default();
                    Err(row.bad_value(column, "an image id or a path"))
                }
                RowsAre::Images => self.add_image(facts),
                RowsAre::Visits | RowsAre::People => {
                    self.add_visit(facts, layout.rows);
                    Ok(())
                }
            },
        }
    }

    fn add_image(&mut self, facts: Facts) -> Result<(), CohortError> {
        let Some(subject) = facts.subject else { return Ok(()) };
        let records = &mut self.records;
        let by_image = facts.image.id.as_ref().and_then(|id| records.by_image.get(id));
        let by_path = facts.image.path.as_ref().and_then(|path| records.by_path.get(path));
        let new = ImageRecord {
            image: facts.image,
            person: Person { subject, sex: facts.sex, site: facts.site },
            visit: facts.visit,
            group: facts.group,
            scanner: facts.scanner,
            place: facts.place,
        };
        if let Some(&idx) = by_image.or(by_path) {
            if let Some(what) = records.images[idx].contradiction(&new) {
                let old = &records.images[idx];
                let say = |image: &ImageRecord| {
                    let path =
                        records.tables.get(image.place.table as usize).map(|table| table.path.display());
                    let place = path.map_or_else(
                        || format!("line {}", image.place.line),
                        |path| format!("{path}, line {}", image.place.line),
                    );
                    format!("{} ({place})", image.label_for(what))
                };
                let image = old.image.id.as_ref().map(ImageId::to_string);
                return Err(CohortError::ConflictingLabels {
                    image: image.or_else(|| old.image.path.as_deref().map(str::to_owned)).unwrap_or_default(),
                    first: say(old),
                    second: say(&new),
                });
            }
            records.images[idx].fill_missing(new);
            return Ok(());
        }
        let idx = records.images.len();
        if let Some(id) = &new.image.id {
            records.by_image.insert(id.clone(), idx);
        }
        if let Some(path) = &new.image.path {
            records.by_path.insert(path.clone(), idx);
        }
        records.images.push(new);
        Ok(())
    }

    fn add_visit(&mut self, facts: Facts, rows: RowsAre) {
        let Some(subject) = &facts.subject else { return };
        let new = || PersonRecord {
            person: Person::new(subject.clone()),
            baseline_age_years: None,
            visits: Vec::new(),
        };
        let record = self.records.people.entry(subject.person_key()).or_insert_with(new);
        fill(&mut record.person.sex, facts.sex);
        fill(&mut record.person.site, facts.site.clone());
        fill(&mut record.baseline_age_years, facts.baseline_age_years);
        if rows == RowsAre::Visits {
            record.visits.push(VisitRecord {
                visit: facts.visit,
                days_since_entry: facts.days_since_entry,
                site: facts.site,
                scanner: facts.scanner,
                place: facts.place,
            });
        }
    }

    /// Resolves subjects known by number, and assigns series to images.
    pub(super) fn finish(mut self) -> Records {
        for Unnamed { rid, layout, mut facts } in std::mem::take(&mut self.unnamed) {
            facts.subject = if layout.rid_is_name {
                SubjectId::parse(&rid.to_string()).ok()
            } else {
                self.by_rid.get(&rid).cloned()
            };
            let table = facts.place.table as usize;
            if facts.subject.is_some() {
                // Rows of an image table that name only a number describe visits.
                let rows = if layout.rows == RowsAre::People { RowsAre::People } else { RowsAre::Visits };
                self.add_visit(facts, rows);
            } else if let Some(table) = self.records.tables.get_mut(table) {
                table.n_unknown_people += 1;
            }
        }
        for (image, series) in self.series {
            if let Some(&idx) = self.records.by_image.get(&image) {
                self.records.images[idx].image.series_id.get_or_insert(series);
            }
        }
        self.records
    }

    fn shared_subject(&mut self, subject: SubjectId) -> SubjectId {
        if let Some(known) = self.subjects.get(&subject) {
            return known.clone();
        }
        self.subjects.insert(subject.clone());
        subject
    }

    /// Interns a repeated string.
    fn shared(&mut self, word: &str) -> Arc<str> {
        if let Some(known) = self.words.get(word) {
            return known.clone();
        }
        let new: Arc<str> = word.into();
        self.words.insert(new.clone());
        new
    }
}

impl ImageRecord {
    /// The facts in which two rows about one image contradict each other.
    fn contradiction(&self, other: &Self) -> Option<Contradiction> {
        fn differ<T: PartialEq>(one: Option<&T>, two: Option<&T>) -> bool {
            one.zip(two).is_some_and(|(one, two)| one != two)
        }
        if self.person.subject.person_key() != other.person.subject.person_key() {
            Some(Contradiction::Subject)
        } else if differ(self.group.as_ref(), other.group.as_ref())
            || differ(self.visit.diagnosis.as_ref(), other.visit.diagnosis.as_ref())
        {
            Some(Contradiction::Diagnosis)
        } else if differ(self.visit.date.as_ref(), other.visit.date.as_ref()) {
            Some(Contradiction::Date)
        } else {
            None
        }
    }

    fn label_for(&self, what: Contradiction) -> String {
        match what {
            Contradiction::Subject => self.person.subject.to_string(),
            Contradiction::Date => self.visit.date.map(|date| date.to_string()).unwrap_or_default(),
            Contradiction::Diagnosis => {
                let group = self.group.as_ref().map(Group::to_string);
                group.or_else(|| self.visit.diagnosis.map(|d| d.to_string())).unwrap_or_default()
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Contradiction {
    Subject,
    Diagnosis,
    Date,
}

/// Parses a date. An impossible date is an error; a masked one (`0000-00-00`, `-4`) is `None`.
fn date(row: &Row<'_>, column: Option<usize>) -> Result<Option<Date>, CohortError> {
    let is_hidden = |cell: &str| matches!(cell, "-4" | "-1" | "0000-00-00");
    if row.get_in(column).is_some_and(is_hidden) {
        return Ok(None);
    }
    row.optional(column, "a date such as 4/18/2006 or 2006-04-18", Date::parse)
}

/// The diagnosis of a row: in words, as an ADNI code, or from the Clinical Dementia Rating.
fn diagnosis(row: &Row<'_>, columns: &Columns) -> Result<Option<Diagnosis>, CohortError> {
    let cell = |field| columns.get(field).and_then(|column| Some((column, row.get(column)?)));
    if let Some((_, words)) = cell(Field::Diagnosis) {
        return Ok(Group::parse(words).and_then(|group| group.diagnosis()));
    }
    if let Some((column, code)) = cell(Field::DiagnosisCode).filter(|(_, code)| *code != "-4") {
        let by_word = Group::parse(code).and_then(|group| group.diagnosis());
        let known = match code.trim_end_matches(".0") {
            "1" => Some(Diagnosis::Cn),
            "2" => Some(Diagnosis::Mci),
            "3" => Some(Diagnosis::Ad),
            // AIBL's other dementias, and undetermined diagnoses.
            "0" | "4" | "5" | "6" | "7" | "-1" => return Ok(None),
            _ => by_word,
        };
        return known.map(Some).ok_or_else(|| row.bad_value(column, "1 (CN), 2 (MCI) or 3 (dementia)"));
    }
    if let Some((column, code)) = cell(Field::DiagnosisChange).filter(|(_, code)| *code != "-4") {
        return match code.trim_end_matches(".0") {
            "1" | "7" | "9" => Ok(Some(Diagnosis::Cn)),
            "2" | "4" | "8" => Ok(Some(Diagnosis::Mci)),
            "3" | "5" | "6" => Ok(Some(Diagnosis::Ad)),
            _ => Err(row.bad_value(column, "1 to 9 (ADNI's DXCHANGE)")),
        };
    }
    match cell(Field::Cdr) {
        None => Ok(None),
        Some((column, cdr)) => match cdr.parse::<f64>() {
            Ok(0.0) => Ok(Some(Diagnosis::Cn)),
            Ok(cdr) if cdr > 0.0 && cdr <= 3.0 => Ok(Some(Diagnosis::Ad)),
            _ => Err(row.bad_value(column, "a Clinical Dementia Rating from 0 to 3")),
        },
    }
}

/// Parses sex in words, or as the code of ADNI and OASIS: 1 male, 2 female.
fn sex(cell: &str) -> Option<Sex> {
    match cell {
        "1" => Some(Sex::M),
        "2" => Some(Sex::F),
        _ => Sex::parse(cell),
    }
}

/// Normalises a path in a table: forward slashes, no leading `./`.
pub(crate) fn path_key(path: &str) -> Arc<str> {
    let forward = path.trim().replace('\\', "/");
    forward.strip_prefix("./").unwrap_or(&forward).into()
}

/// The subject in the file's own name.
fn subject_of_file(path: &Path) -> Option<SubjectId> {
    let name = path.file_name()?.to_str()?;
    let (subject, rest) = name.split_once('_')?;
    (subject.starts_with("sub-") && rest.starts_with("sessions")).then(|| SubjectId::parse(subject).ok())?
}
