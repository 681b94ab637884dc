//! `participants.tsv` and `sub-*_sessions.tsv` of a BIDS dataset.
//!
//! Reading ignores columns that other tools add. Writing uses a fixed set of columns.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::path::Path;

use crate::columns::{DIAGNOSIS_OR_GROUP, Field};
use crate::table::{TableReader, YEARS, cell, parse_years, to_tsv};
use crate::{CohortError, Date, Diagnosis, Group, Person, SessionId, Sex, SubjectId};

/// The participants of a dataset, sorted by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParticipantTable {
    rows: Vec<Person>,
}

impl ParticipantTable {
    /// Creates a table. Of several rows of one subject, the first one with a known sex is used.
    #[must_use]
    pub fn new(mut rows: Vec<Person>) -> Self {
        rows.sort_by(|a, b| (&a.subject, a.sex.is_none(), a).cmp(&(&b.subject, b.sex.is_none(), b)));
        rows.dedup_by(|later, earlier| later.subject == earlier.subject);
        Self { rows }
    }

    /// The rows.
    #[must_use]
    pub fn rows(&self) -> &[Person] {
        &self.rows
    }

    /// The row of a subject.
    #[must_use]
    pub fn get(&self, subject: &SubjectId) -> Option<&Person> {
        let found = self.rows.binary_search_by(|row| row.subject.cmp(subject));
        found.ok().map(|idx| &self.rows[idx])
    }

    /// The table as tab-separated text.
    #[must_use]
    pub fn to_tsv(&self) -> String {
        let rows =
            self.rows.iter().map(|row| vec![row.subject.to_string(), cell(row.sex), cell(row.site.as_ref())]);
        to_tsv(&["participant_id", "sex", "site"], rows)
    }

    /// Reads `participants.tsv`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, has no `participant_id`, or lists a subject twice.
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
        let id = table.require(&["participant_id"], "it is the first column of BIDS' participants.tsv")?;
        let sex = table.find(Field::Sex.names());
        let site = table.find(Field::Site.names());
        let (mut rows, mut seen) = (Vec::new(), BTreeSet::new());
        while let Some(row) = table.next_row()? {
            let subject =
                row.required(id, "a participant such as sub-01", |cell| SubjectId::parse(cell).ok())?;
            if !seen.insert(subject.clone()) {
                return Err(row.duplicate(&subject));
            }
            let site = row.get_in(site).map(Into::into);
            rows.push(Person { subject, sex: row.get_in(sex).and_then(Sex::parse), site });
        }
        Ok(Self::new(rows))
    }
}

/// One visit of one subject.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionRow {
    /// The session.
    pub session: SessionId,
    /// Age at the visit, in years.
    pub age_years: Option<f64>,
    /// Diagnosis or research group at the visit.
    pub group: Option<Group>,
    /// Day of the scan.
    pub acquisition_date: Option<Date>,
    /// The study's code for the visit.
    pub visit: Option<String>,
}

impl SessionRow {
    /// The diagnosis, if the group is a diagnosis.
    #[must_use]
    pub fn diagnosis(&self) -> Option<Diagnosis> {
        self.group.as_ref().and_then(Group::diagnosis)
    }
}

/// The visits of one subject, by day, then by id.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SessionTable {
    rows: Vec<SessionRow>,
}

impl SessionTable {
    /// Creates a table. Of several rows of one session, the first one is used.
    #[must_use]
    pub fn new(rows: Vec<SessionRow>) -> Self {
        let mut seen = BTreeSet::new();
        let mut rows: Vec<_> = rows.into_iter().filter(|row| seen.insert(row.session.clone())).collect();
        rows.sort_by(|a, b| (a.acquisition_date, &a.session).cmp(&(b.acquisition_date, &b.session)));
        Self { rows }
    }

    /// The rows.
    #[must_use]
    pub fn rows(&self) -> &[SessionRow] {
        &self.rows
    }

    /// The row of a session.
    #[must_use]
    pub fn get(&self, session: &SessionId) -> Option<&SessionRow> {
        self.rows.iter().find(|row| row.session == *session)
    }

    /// The table as tab-separated text.
    #[must_use]
    pub fn to_tsv(&self) -> String {
        let rows = self.rows.iter().map(|row| {
            vec![
                row.session.to_string(),
                cell(row.age_years),
                cell(row.group.as_ref()),
                cell(row.acquisition_date),
                cell(row.visit.as_ref()),
            ]
        });
        to_tsv(&["session_id", "age", "diagnosis", "acq_date", "visit"], rows)
    }

    /// Reads `sub-*_sessions.tsv`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, has no `session_id`, lists a session twice, or holds an
    /// invalid age or date.
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
        let id = table.require(&["session_id"], "it is the first column of BIDS' sessions.tsv")?;
        let age = table.find(Field::AgeYears.names());
        let group = table.find(DIAGNOSIS_OR_GROUP);
        let date = table.find(Field::Date.names());
        let visit = table.find(&["visit"]);
        let (mut rows, mut seen) = (Vec::new(), BTreeSet::new());
        while let Some(row) = table.next_row()? {
            let session =
                row.required(id, "a session such as ses-m06", |cell| SessionId::parse(cell).ok())?;
            if !seen.insert(session.clone()) {
                return Err(row.duplicate(&session));
            }
            rows.push(SessionRow {
                session,
                age_years: row.optional(age, YEARS, parse_years)?,
                group: row.get_in(group).and_then(Group::parse),
                acquisition_date: row.optional(date, "a date such as 2006-04-18", Date::parse)?,
                visit: row.get_in(visit).map(crate::error::shorten),
            });
        }
        Ok(Self::new(rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn participants_round_trip_and_ignore_foreign_columns() {
        let text = "participant_id\thandedness\tsex\tsite\nsub-02\tright\tM\t011\nsub-01\tleft\tn/a\tn/a\n";
        let table = ParticipantTable::from_reader(text.as_bytes(), Path::new("participants.tsv")).unwrap();
        let written = table.to_tsv();
        assert_eq!(written, "participant_id\tsex\tsite\nsub-01\tn/a\tn/a\nsub-02\tM\t011\n");
        assert_eq!(ParticipantTable::from_reader(written.as_bytes(), Path::new("p")).unwrap(), table);
        assert_eq!(table.get(&SubjectId::parse("02").unwrap()).unwrap().sex, Some(Sex::M));
    }

    #[test]
    fn a_participant_under_two_names_is_one_too_many() {
        let text = "participant_id\nsub-002S0413\nsub-ADNI002S0413\n";
        let error =
            ParticipantTable::from_reader(text.as_bytes(), Path::new("participants.tsv")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "participants.tsv: sub-002S0413 is listed twice (line 3 again); remove one of the rows"
        );
    }

    #[test]
    fn sessions_round_trip_in_order_of_time() {
        let row = |name: &str, date: &str, group: &str| SessionRow {
            session: SessionId::parse(name).unwrap(),
            age_years: Some(74.3),
            group: Group::parse(group),
            acquisition_date: Date::parse(date),
            visit: Some("Month 6".into()),
        };
        let table = SessionTable::new(vec![row("m06", "2006-10-18", "SMC"), row("sc", "2006-04-18", "CN")]);
        let text = table.to_tsv();
        assert!(text.starts_with(
            "session_id\tage\tdiagnosis\tacq_date\tvisit\nses-sc\t74.3\tCN\t2006-04-18\tMonth 6\n"
        ));
        assert_eq!(SessionTable::from_reader(text.as_bytes(), Path::new("s.tsv")).unwrap(), table);
    }
}
