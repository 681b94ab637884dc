//! Facts about images, visits and subjects from tables of archives and studies, of any generation.

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

/// Source of a fact: index of a table in [`Records::tables`], and a one-based line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Index of the table.
    pub table: u32,
    /// One-based line.
    pub line: u32,
}

named! {
    /// Whether an image is original or processed.
    pub enum ImageType {
        /// As acquired by the scanner.
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

/// Facts about an image file. Repeated strings are shared.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImageInfo {
    /// The archive's image id.
    pub id: Option<ImageId>,
    /// The series. An original and its processed copies share it.
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
    /// Fills in unknown facts.
    pub fn fill_missing(&mut self, other: Self) {
        fill(&mut self.id, other.id);
        fill(&mut self.series_id, other.series_id);
        fill(&mut self.path, other.path);
        fill(&mut self.modality, other.modality);
        fill(&mut self.description, other.description);
        fill(&mut self.image_type, other.image_type);
    }
}

/// Facts about one image from all tables.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageRecord {
    /// The image file.
    pub image: ImageInfo,
    /// The participant.
    pub person: Person,
    /// The visit. Its diagnosis is set if the table itself gives one for this image (a user-made table).
    pub visit: Visit,
    /// The participant's research group from the archive's tables. It is not necessarily the diagnosis at
    /// this visit.
    pub group: Option<Group>,
    /// The scanner.
    pub scanner: Scanner,
    /// Where it was first read.
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

    /// Fills in unknown facts.
    fn fill_missing(&mut self, other: Self) {
        self.image.fill_missing(other.image);
        self.person.fill_missing(other.person);
        self.visit.fill_missing(other.visit);
        fill(&mut self.group, other.group);
        self.scanner.fill_missing(other.scanner);
    }
}

/// Facts about a visit of a participant.
#[derive(Debug, Clone, PartialEq)]
pub struct VisitRecord {
    /// The visit.
    pub visit: Visit,
    /// Days since the participant entered the study (OASIS-3, whose dates are hidden).
    pub days_since_entry: Option<i64>,
    /// Study site of this visit.
    pub site: Option<Arc<str>>,
    /// The scanner of this visit.
    pub scanner: Scanner,
    /// Where it was read.
    pub place: Place,
}

/// Facts about a participant from all tables.
#[derive(Debug, Clone, PartialEq)]
pub struct PersonRecord {
    /// Facts that are identical at every visit.
    pub person: Person,
    /// Age at the first visit, in years.
    pub baseline_age_years: Option<f64>,
    /// All visits, in table order.
    pub visits: Vec<VisitRecord>,
}

/// A table that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableNote {
    /// The file.
    pub path: PathBuf,
    /// Its kind.
    pub kind: TableKind,
    /// Number of rows.
    pub n_rows: u64,
    /// Rows about visits of subjects known only by a number (RID) that no other table resolves.
    pub n_unknown_people: u64,
}

/// The joined facts of a set of tables.
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
    /// The tables, in the given order.
    #[must_use]
    pub fn tables(&self) -> &[TableNote] {
        &self.tables
    }

    /// Every image, in table order.
    #[must_use]
    pub fn images(&self) -> &[ImageRecord] {
        &self.images
    }

    /// Finds an image by id, with or without the letter before its number.
    #[must_use]
    pub fn image(&self, image_id: &ImageId) -> Option<&ImageRecord> {
        self.by_image.get(image_id).map(|&idx| &self.images[idx])
    }

    /// Finds an image by its path as written in a table.
    #[must_use]
    pub fn image_at(&self, path: &str) -> Option<&ImageRecord> {
        self.by_path.get(path).map(|&idx| &self.images[idx])
    }

    /// Facts about a subject.
    #[must_use]
    pub fn person(&self, subject: &SubjectId) -> Option<&PersonRecord> {
        self.people.get(&subject.person_key())
    }

    /// All subjects, by [`SubjectId::person_key`].
    pub fn people(&self) -> impl Iterator<Item = (&str, &PersonRecord)> {
        self.people.iter().map(|(key, person)| (key.as_str(), person))
    }

    /// Formats the place for messages: `DXSUM.csv, line 7`.
    #[must_use]
    pub fn describe(&self, place: Place) -> String {
        let table = self.tables.get(place.table as usize);
        let path = table.map_or(Path::new("?"), |table| table.path.as_path());
        format!("{}, line {}", path.display(), place.line)
    }
}
