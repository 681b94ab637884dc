//! Tables of archives and studies, whatever their generation: what they say of images, visits and people.

mod join;
mod layout;
mod read;
mod visit;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub(crate) use read::path_key;

pub use join::{DiagnosisBasis, JoinRule, JoinedImage};
pub use layout::TableKind;
pub use visit::Visit;

use crate::{Date, Diagnosis, Group, ImageId, Sex, SubjectId};

/// Where a fact was read: a table by its number in [`Records::tables`], and a line counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Number of the table.
    pub table: u32,
    /// One-based line.
    pub line: u32,
}

/// Whether an image is as the scanner made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageType {
    /// As the scanner made it.
    Original,
    /// Corrected or otherwise derived by the archive.
    Processed,
}

impl ImageType {
    /// Reads `Original`, `Processed`, `Pre-processed` and the like.
    #[must_use]
    pub fn parse(raw: &str) -> Option<Self> {
        let key = raw.trim().to_ascii_lowercase();
        if key.starts_with("orig") {
            Some(Self::Original)
        } else if key.contains("proc") || key.starts_with("post") {
            Some(Self::Processed)
        } else {
            None
        }
    }

    /// `original` or `processed`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::Processed => "processed",
        }
    }
}

/// What tables say of one image. Words that repeat are shared.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageRecord {
    /// The archive's number.
    pub image_id: Option<ImageId>,
    /// The series it belongs to: an original and its processed copies have the same.
    pub series_id: Option<ImageId>,
    /// Path as written in the table, with forward slashes.
    pub path: Option<Arc<str>>,
    /// Who it shows.
    pub subject: SubjectId,
    /// At which visit.
    pub visit: Option<Visit>,
    /// Day of the scan.
    pub date: Option<Date>,
    /// The subject's research group, as the archive's tables have it: not necessarily the diagnosis at this
    /// visit.
    pub group: Option<Group>,
    /// Diagnosis, where the table itself says so of this image (a table of one's own).
    pub diagnosis: Option<Diagnosis>,
    /// Sex.
    pub sex: Option<Sex>,
    /// Age at the scan, in years.
    pub age_years: Option<f64>,
    /// Site of the study.
    pub site: Option<Arc<str>>,
    /// Phase of the study, for example `ADNI2`.
    pub phase: Option<Arc<str>>,
    /// Field strength, in tesla.
    pub field_strength_t: Option<f64>,
    /// Manufacturer of the scanner.
    pub manufacturer: Option<Arc<str>>,
    /// Model of the scanner.
    pub model: Option<Arc<str>>,
    /// For example `MRI`.
    pub modality: Option<Arc<str>>,
    /// Description of the series.
    pub description: Option<Arc<str>>,
    /// As acquired, or processed.
    pub image_type: Option<ImageType>,
    /// Where it was read first.
    pub place: Place,
}

impl ImageRecord {
    /// An image of which nothing but the person is known.
    #[must_use]
    pub fn of(subject: SubjectId, place: Place) -> Self {
        Self {
            image_id: None,
            series_id: None,
            path: None,
            subject,
            visit: None,
            date: None,
            group: None,
            diagnosis: None,
            sex: None,
            age_years: None,
            site: None,
            phase: None,
            field_strength_t: None,
            manufacturer: None,
            model: None,
            modality: None,
            description: None,
            image_type: None,
            place,
        }
    }
}

/// What tables say of a visit of a person.
#[derive(Debug, Clone, PartialEq)]
pub struct VisitRecord {
    /// Its code.
    pub visit: Option<Visit>,
    /// Its day.
    pub date: Option<Date>,
    /// Days since the person entered the study (OASIS-3, whose dates are hidden).
    pub days_since_entry: Option<i64>,
    /// Diagnosis at this visit.
    pub diagnosis: Option<Diagnosis>,
    /// Age at this visit, in years.
    pub age_years: Option<f64>,
    /// Site of the study.
    pub site: Option<Arc<str>>,
    /// Phase of the study.
    pub phase: Option<Arc<str>>,
    /// Field strength of the visit's scanner, in tesla.
    pub field_strength_t: Option<f64>,
    /// Where it was read.
    pub place: Place,
}

/// What tables say of a person, whatever the visit.
#[derive(Debug, Clone, PartialEq)]
pub struct PersonRecord {
    /// Their name.
    pub subject: SubjectId,
    /// Sex.
    pub sex: Option<Sex>,
    /// Age at the first visit, in years.
    pub baseline_age_years: Option<f64>,
    /// Site of the study.
    pub site: Option<Arc<str>>,
    /// All visits, in the order of the tables.
    pub visits: Vec<VisitRecord>,
}

/// A table that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableNote {
    /// The file.
    pub path: PathBuf,
    /// What it is.
    pub kind: TableKind,
    /// Rows in it.
    pub n_rows: u64,
    /// Rows about visits of people known by a number only (RID), whom no other table names.
    pub n_unknown_people: u64,
}

/// Everything that a set of tables says.
#[derive(Debug, Clone, Default)]
pub struct Records {
    tables: Vec<TableNote>,
    images: Vec<ImageRecord>,
    by_image: BTreeMap<ImageId, usize>,
    by_path: BTreeMap<Arc<str>, usize>,
    /// By [`SubjectId::person_key`].
    people: BTreeMap<String, PersonRecord>,
}

impl Records {
    /// The tables, in the order they were given.
    #[must_use]
    pub fn tables(&self) -> &[TableNote] {
        &self.tables
    }

    /// Every image, in the order of the tables.
    #[must_use]
    pub fn images(&self) -> &[ImageRecord] {
        &self.images
    }

    /// The record of an image, with or without the letter before its number.
    #[must_use]
    pub fn image(&self, image_id: &ImageId) -> Option<&ImageRecord> {
        self.by_image.get(image_id).map(|&idx| &self.images[idx])
    }

    /// The record of an image by its path as written in a table.
    #[must_use]
    pub fn image_at(&self, path: &str) -> Option<&ImageRecord> {
        self.by_path.get(path).map(|&idx| &self.images[idx])
    }

    /// What is known of a person.
    #[must_use]
    pub fn person(&self, subject: &SubjectId) -> Option<&PersonRecord> {
        self.people.get(&subject.person_key())
    }

    /// Everybody, by [`SubjectId::person_key`].
    pub fn people(&self) -> impl Iterator<Item = (&str, &PersonRecord)> {
        self.people.iter().map(|(key, person)| (key.as_str(), person))
    }

    /// For people: `DXSUM.csv, line 7`.
    #[must_use]
    pub fn describe(&self, place: Place) -> String {
        let table = self.tables.get(place.table as usize);
        let path = table.map_or(Path::new("?"), |table| table.path.as_path());
        format!("{}, line {}", path.display(), place.line)
    }
}
