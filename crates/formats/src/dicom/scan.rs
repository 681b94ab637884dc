//! Finds the series in a folder tree.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use brainreel_artifact::{ContentHash, HashBuilder, hash_json};
use brainreel_cohort::Date;
use rayon::prelude::*;
use walkdir::WalkDir;

use super::FileFault;
use super::header::{FileSlices, SeriesFacts, SliceHeader, read_header};
use super::numbering::{self, MissingSlices};
use super::sidecar::Sidecar;

/// Number of headers read before grouping into series. Bounds the memory.
const BATCH: usize = 2048;

/// Contents of a folder tree.
#[derive(Debug, Default)]
pub struct SeriesTree {
    /// The series, ordered by the path of their first file.
    pub series: Vec<SeriesIndex>,
    /// Files that are not slices of a series, in path order.
    pub problems: Vec<FileProblem>,
    /// Number of files examined.
    pub n_files: usize,
}

/// An unusable file, with the reason.
#[derive(Debug)]
pub struct FileProblem {
    /// The file (or folder, if it could not be listed).
    pub path: PathBuf,
    /// The reason.
    pub fault: FileFault,
}

/// One series: attributes of its first file, and the locations of its slices. Contains no pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesIndex {
    /// Folder of the first file.
    pub folder: PathBuf,
    /// SeriesInstanceUID.
    pub series_uid: String,
    /// StudyInstanceUID.
    pub study_uid: String,
    /// The ADNI subject (`002_S_0413`) if the path has one, else PatientID.
    pub subject: String,
    /// PatientID from the files.
    pub patient_id: String,
    /// The ADNI image id (`I13893`) if a folder on the path is one, or the file names end in one.
    pub image_id: Option<String>,
    /// StudyDate, if present and valid.
    pub study_date: Option<Date>,
    /// AcquisitionDate (or SeriesDate), if present and valid.
    pub acquisition_date: Option<Date>,
    /// SeriesDescription.
    pub description: String,
    /// SeriesNumber.
    pub series_number: Option<i64>,
    /// Modality: `MR`, `CT`...
    pub modality: String,
    /// ImageType, its values separated by backslashes.
    pub image_type: String,
    /// ScanningSequence, its values separated by backslashes: `GR`, `SE`, `EP`, `IR`...
    pub scanning_sequence: String,
    /// Whether other volumes have the same SeriesInstanceUID: echoes, or kinds of image.
    pub shares_uid: bool,
    /// De-identified acquisition parameters.
    pub sidecar: Sidecar,
    pub(super) slices: Vec<SliceHeader>,
}

impl SeriesIndex {
    /// Day of the scan: acquisition date, otherwise study date.
    #[must_use]
    pub fn scan_date(&self) -> Option<Date> {
        self.acquisition_date.or(self.study_date)
    }

    /// Number of files.
    #[must_use]
    pub fn n_files(&self) -> usize {
        self.paths().count()
    }

    /// Number of slices: files, or frames of multi-frame files.
    #[must_use]
    pub fn n_slices(&self) -> usize {
        self.slices.len()
    }

    /// The largest angle between slice planes, in degrees. `None` if a slice has no orientation.
    #[must_use]
    pub fn largest_turn_degrees(&self) -> Option<f64> {
        super::geometry::largest_turn_degrees(&self.slices)
    }

    /// A digest of the headers: UIDs, geometry, pixel formats, acquisition parameters and file lengths. It
    /// needs no reading and does not depend on file locations. It changes when files are added, removed or
    /// truncated. It does not detect a change of pixels alone.
    #[must_use]
    pub fn fingerprint(&self) -> ContentHash {
        let texts = [&self.series_uid, &self.study_uid, &self.subject, &self.description, &self.image_type];
        let start = texts.iter().fold(HashBuilder::new(), |hash, text| hash.part(text));
        let start = start.part(hash_json(&self.sidecar).as_str());
        let mut slices: Vec<&SliceHeader> = self.slices.iter().collect();
        slices
            .sort_by(|a, b| (&a.sop_uid, a.frame, a.file_length).cmp(&(&b.sop_uid, b.frame, b.file_length)));
        slices.into_iter().fold(start, |hash, slice| slice.add_to(hash)).finish()
    }

    /// Slices that are missing according to the numbering in the headers. `None` for volumes that share their
    /// series with others, because those are numbered together.
    #[must_use]
    pub fn missing_slices(&self) -> Option<MissingSlices> {
        if self.shares_uid { None } else { numbering::missing_slices(&self.slices) }
    }

    /// The files, in path order.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        // Frames of one file are adjacent.
        self.slices.chunk_by(|a, b| a.path == b.path).map(|slices| slices[0].path.as_path())
    }
}

/// Reads the headers of all files under `root` (in parallel, up to the pixels) and groups them into series:
/// by SeriesInstanceUID and, within it, by subject, ADNI image id, ImageType (FrameType), echo, stack,
/// component of a complex image and b-value.
///
/// `progress` receives the number of files processed and the total. A file that is not DICOM or is damaged is
/// recorded, and the scan continues. The same applies to a `root` that cannot be listed.
///
/// # Determinism
/// The result depends only on the tree. Files are visited in path order. Links are followed once, and never
/// out of the tree.
#[must_use]
pub fn scan_tree(root: &Path, progress: &(dyn Fn(usize, usize) + Sync)) -> SeriesTree {
    let mut tree = SeriesTree::default();
    let files = list_files(root, &mut tree.problems);
    tree.n_files = files.len();
    let mut groups = BTreeMap::new();
    for (idx, batch) in files.chunks(BATCH).enumerate() {
        let headers: Vec<_> = batch.par_iter().map(|path| read_header(path)).collect();
        for (path, header) in batch.iter().zip(headers) {
            match header {
                Ok(volumes) => volumes.into_iter().for_each(|slices| sort_in(root, &mut groups, slices)),
                Err(fault) => tree.problems.push(FileProblem { path: path.clone(), fault }),
            }
        }
        progress((idx * BATCH + batch.len()).min(files.len()), files.len());
    }
    tree.problems.sort_by(|a, b| a.path.cmp(&b.path));
    tree.series = groups.into_values().flat_map(by_echo).collect();
    mark_shared(&mut tree.series);
    tree.series.sort_by(|a, b| a.slices[0].path.cmp(&b.slices[0].path));
    tree
}

/// All files of a tree, in path order.
fn list_files(root: &Path, problems: &mut Vec<FileProblem>) -> Vec<PathBuf> {
    let inside = root.canonicalize().ok();
    let leads_out = |path: &Path| match (path.canonicalize(), &inside) {
        (Ok(target), Some(inside)) => !target.starts_with(inside),
        _ => false,
    };
    let mut files = Vec::new();
    let mut entries = WalkDir::new(root).follow_links(true).sort_by_file_name().into_iter();
    while let Some(entry) = entries.next() {
        let mut problem = |path: PathBuf, fault| problems.push(FileProblem { path, fault });
        match entry {
            Ok(entry) if entry.depth() > 0 && entry.path_is_symlink() && leads_out(entry.path()) => {
                if entry.file_type().is_dir() {
                    entries.skip_current_dir();
                }
                problem(entry.into_path(), FileFault::LinkOut);
            }
            // Skip the folders of version control systems: their contents have names in the tree.
            Ok(entry) if entry.file_type().is_dir() && entry.depth() > 0 && entry.file_name() == ".git" => {
                entries.skip_current_dir();
            }
            Ok(entry) if entry.file_type().is_dir() => {}
            Ok(entry) if entry.file_type().is_file() => files.push(entry.into_path()),
            // Opening a pipe would block until a writer appears.
            Ok(entry) => problem(entry.into_path(), FileFault::NotDicom { found: "no plain file" }),
            Err(error) => {
                let path = error.path().unwrap_or(root).to_owned();
                problem(path, FileFault::Read(error.into()));
            }
        }
    }
    files
}

/// Separates unnumbered echoes of a series by echo time, if slices would otherwise share a position.
fn by_echo(series: SeriesIndex) -> Vec<SeriesIndex> {
    let place = |slice: &SliceHeader| slice.position.map(|position| position.map(f64::to_bits));
    let places: BTreeSet<_> = series.slices.iter().map(place).collect();
    let mut echoes: BTreeMap<Option<i64>, Vec<SliceHeader>> = BTreeMap::new();
    if places.len() == series.slices.len() {
        return vec![series];
    }
    for slice in &series.slices {
        echoes.entry(slice.echo_us).or_default().push(slice.clone());
    }
    if echoes.len() == 1 {
        return vec![series];
    }
    let volume = |(echo_us, slices): (Option<i64>, Vec<SliceHeader>)| {
        let echo_time = echo_us.map(|us| us as f64 / 1e6);
        let sidecar = Sidecar { echo_time, ..series.sidecar.clone() };
        SeriesIndex { sidecar, slices, ..series.clone() }
    };
    echoes.into_iter().map(volume).collect()
}

fn mark_shared(series: &mut [SeriesIndex]) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for index in series.iter() {
        *counts.entry(index.series_uid.clone()).or_default() += 1;
    }
    for index in series {
        index.shares_uid = counts[&index.series_uid] > 1;
    }
}

/// Attributes shared by the slices of a volume.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct GroupKey {
    series_uid: String,
    subject: String,
    image_id: Option<String>,
    image_type: String,
    part: String,
}

fn sort_in(root: &Path, groups: &mut BTreeMap<GroupKey, SeriesIndex>, file: FileSlices) {
    let FileSlices { facts, slices } = file;
    let Some(first) = slices.first() else { return };
    let adni = AdniPath::of(&first.path);
    // Without a series UID, files of one folder belong together.
    let series_uid = if facts.series_uid.is_empty() {
        first.path.parent().unwrap_or(root).to_string_lossy().into_owned()
    } else {
        facts.series_uid.clone()
    };
    let subject = adni.subject.unwrap_or_else(|| facts.patient_id.clone());
    let key = GroupKey {
        series_uid,
        subject: subject.clone(),
        image_id: adni.image_id.clone(),
        image_type: facts.image_type.clone(),
        part: facts.part.clone(),
    };
    groups
        .entry(key)
        .or_insert_with(|| new_series(root, first, facts, subject, adni.image_id))
        .slices
        .extend(slices);
}

fn new_series(
    root: &Path,
    slice: &SliceHeader,
    facts: SeriesFacts,
    subject: String,
    image_id: Option<String>,
) -> SeriesIndex {
    SeriesIndex {
        folder: slice.path.parent().unwrap_or(root).to_owned(),
        series_uid: facts.series_uid,
        study_uid: facts.study_uid,
        subject,
        patient_id: facts.patient_id,
        image_id,
        study_date: facts.study_date,
        acquisition_date: facts.acquisition_date,
        description: facts.description,
        series_number: facts.series_number,
        modality: facts.modality,
        image_type: facts.image_type,
        scanning_sequence: facts.scanning_sequence,
        shares_uid: false,
        sidecar: facts.sidecar,
        slices: Vec::new(),
    }
}

/// Attributes from the ADNI download layout `ADNI/<subject>/<description>/<date>/<image id>/`.
struct AdniPath {
    subject: Option<String>,
    image_id: Option<String>,
}

impl AdniPath {
    fn of(path: &Path) -> Self {
        let folders: Vec<&str> = path
            .parent()
            .into_iter()
            .flat_map(Path::components)
            .filter_map(|component| component.as_os_str().to_str())
            .collect();
        let last =
            |accept: fn(&str) -> bool| folders.iter().rev().find(|name| accept(name)).map(|&n| n.to_owned());
        let from_file_name = || {
            let stem = path.file_stem()?.to_str()?;
            stem.rsplit('_').next().filter(|part| is_image_id(part)).map(str::to_owned)
        };
        Self { subject: last(is_subject), image_id: last(is_image_id).or_else(from_file_name) }
    }
}

/// `I` and digits.
fn is_image_id(name: &str) -> bool {
    name.strip_prefix('I')
        .is_some_and(|rest| (2..=12).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_digit()))
}

/// Three digits, `_S_`, four or five digits.
fn is_subject(name: &str) -> bool {
    let Some((site, number)) = name.split_once("_S_") else { return false };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    site.len() == 3 && (4..=5).contains(&number.len()) && digits(site) && digits(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adni_paths_tell_subject_and_image() {
        let layout =
            Path::new("d/ADNI/002_S_0413/MPRAGE/2006-04-18_08_20_30.0/I13893/x_100_S13408_I13893.dcm");
        let adni = AdniPath::of(layout);
        assert_eq!(adni.subject.as_deref(), Some("002_S_0413"));
        assert_eq!(adni.image_id.as_deref(), Some("I13893"));
        let flat = AdniPath::of(Path::new("d/ADNI_002_S_0413_MR_MPRAGE_S13408_I13893.dcm"));
        assert_eq!(flat.image_id.as_deref(), Some("I13893"));
        let other = AdniPath::of(Path::new("d/IMAGES/I/IM0001"));
        assert_eq!((other.subject, other.image_id), (None, None));
    }
}
