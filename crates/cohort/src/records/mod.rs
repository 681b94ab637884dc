//! Tables of archives and studies, whatever their generation: what they say about images, visits and people.

mod join;
mod layout;
mod read;
mod visit;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use brainreel_named::named;
use serde::{Deserialize, Serialize};

pub(crate) use read::path_key;

pub use join::{DiagnosisBasis, JoinRule, JoinedImage};
pub use layout::TableKind;
pub use visit::VisitCode;

use crate::merge::fill;
use crate::{Group, ImageId, Person, Scanner, SubjectId, Visit};

/// Where a fact was read: a table by its number in [`Records::tables`], and a line counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Number of the table.
    pub table: u32,
    /// One-based line.
    pub line: u32,
}

named! {
    /// Whether an image is as the scanner made it.
    pub enum ImageType {
        /// As the scanner made it.
        Original = "original",
        /// Corrected or otherwise derived by the archive.
        Processed = "processed",
    }
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
}

/// Facts about an image file. Words that repeat are shared.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImageInfo {
    /// The archive's number.
    pub id: Option<ImageId>,
    /// The series it belongs to: an original and its processed copies have the same.
    pub series_id: Option<ImageId>,
    /// Path as written in the table, with forward slashes.
    pub path: Option<Arc<str>>,
    /// For example `MRI`.
    pub modality: Option<Arc<str>>,
    /// Description of the series.
    pub description: Option<Arc<str>>,
    /// As acquired, or processed.
    pub image_type: Option<ImageType>,
}

impl ImageInfo {
    /// Takes over what is not known yet.
    pub fn fill_missing(&mut self, other: Self) {
        fill(&mut self.id, other.id);
        fill(&mut self.series_id, other.series_id);
        fill(&mut self.path, other.path);
        fill(&mut self.modality, other.modality);
        fill(&mut self.description, other.description);
        fill(&mut self.image_type, other.image_type);
    }
}

/// What tables say about one image.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageRecord {
    /// The image file.
    pub image: ImageInfo,
    /// The participant.
    pub person: Person,
    /// The visit. Its diagnosis is set where the table itself gives one for this image (a table of your own).
    pub visit: Visit,
    /// The participant's research group, as the archive's tables have it: not necessarily the diagnosis at this
    /// visit.
    pub group: Option<Group>,
    /// The scanner.
    pub scanner: Scanner,
    /// Where it was read first.
    pub place: Place,
}

impl ImageRecord {
    /// An image with a participant but no other metadata.
    #[must_use]
    pub fn new(subject: SubjectId, place: Place) -> Self {
        Self {
            image: ImageInfo::default(),
            person: Person::new(subject),
            visit: Visit::default(),
            group: None,
            scanner: Scanner::default(),
            place,
        }
    }

    /// Takes over what is not known yet.
    fn fill_missing(&mut self, other: Self) {
        self.image.fill_missing(other.image);
        self.person.fill_missing(other.person);
        self.visit.fill_missing(other.visit);
        fill(&mut self.group, other.group);
        self.scanner.fill_missing(other.scanner);
    }
}

/// What tables say about a visit of a participant.
#[derive(Debug, Clone, PartialEq)]
pub struct VisitRecord {
    /// The visit.
    pub visit: Visit,
    /// Days since the participant entered the study (OASIS-3, whose dates are hidden).
    pub days_since_entry: Option<i64>,
    /// Site of the study at this visit.
    pub site: Option<Arc<str>>,
    /// The scanner of this visit.
    pub scanner: Scanner,
    /// Where it was read.
    pub place: Place,
}

/// What tables say about a participant.
#[derive(Debug, Clone, PartialEq)]
pub struct PersonRecord {
    /// Facts that are identical at every visit.
    pub person: Person,
    /// Age at the first visit, in years.
    pub baseline_age_years: Option<f64>,
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
