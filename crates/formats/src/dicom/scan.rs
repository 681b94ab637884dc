//! Finding the series of a folder tree.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use brainreel_artifact::{ContentHash, HashBuilder, hash_json};
use rayon::prelude::*;
use walkdir::WalkDir;

use super::FileFault;
use super::header::{SeriesFacts, SliceHeader, read_header};
use super::numbering::{self, MissingSlices};
use super::sidecar::Sidecar;

/// Files whose headers are read before they are sorted into series; bounds the memory.
const BATCH: usize = 2048;

/// What a folder tree holds.
#[derive(Debug, Default)]
pub struct SeriesTree {
    /// The series, ordered by the path of their first file.
    pub series: Vec<SeriesIndex>,
    /// Files that are no slice of a series, in path order.
    pub problems: Vec<FileProblem>,
    /// Files looked at.
    pub n_files: usize,
}

/// A file that could not be used, and why.
#[derive(Debug)]
pub struct FileProblem {
    /// The file (or folder, if it could not be listed).
    pub path: PathBuf,
    /// The reason.
    pub fault: FileFault,
}

/// One series: what its first file says about it, and where its slices are. No pixels.
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
    /// PatientID as it is in the files.
    pub patient_id: String,
    /// The ADNI image id (`I13893`) if a folder on the path is one, or the file names end in one.
    pub image_id: Option<String>,
    /// StudyDate as `YYYYMMDD`, if the files have a well-formed one.
    pub study_date: Option<String>,
    /// AcquisitionDate (or SeriesDate) as `YYYYMMDD`, if the files have a well-formed one.
    pub acquisition_date: Option<String>,
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
    /// Whether other volumes of the tree have the same SeriesInstanceUID: echoes, or kinds of image.
    pub shares_uid: bool,
    /// De-identified acquisition parameters.
    pub sidecar: Sidecar,
    pub(super) slices: Vec<SliceHeader>,
}

impl SeriesIndex {
    /// Number of files.
    #[must_use]
    pub fn n_files(&self) -> usize {
        self.slices.len()
    }

    /// A digest of what the headers say: UIDs, geometry, pixel formats, acquisition parameters and the
    /// lengths of the files. It costs no reading and does not depend on where the files lie. It changes
    /// when files are added, lost or cut; it does not see a change of pixels alone.
    #[must_use]
    pub fn fingerprint(&self) -> ContentHash {
        let texts = [&self.series_uid, &self.study_uid, &self.subject, &self.description, &self.image_type];
        let start = texts.iter().fold(HashBuilder::new(), |hash, text| hash.part(text));
        let start = start.part(hash_json(&self.sidecar).as_str());
        let mut slices: Vec<&SliceHeader> = self.slices.iter().collect();
        slices.sort_by(|a, b| (&a.sop_uid, a.file_length).cmp(&(&b.sop_uid, b.file_length)));
        slices.into_iter().fold(start, |hash, slice| slice.add_to(hash)).finish()
    }

    /// Slices that are missing though the headers number them. `None` for volumes that share their
    /// series with others: those are numbered together.
    #[must_use]
    pub fn missing_slices(&self) -> Option<MissingSlices> {
        if self.shares_uid { None } else { numbering::missing_slices(&self.slices) }
    }

    /// The files, in path order.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.slices.iter().map(|slice| slice.path.as_path())
    }
}

/// Reads the headers of all files under `root` (in parallel, up to the pixels) and groups them into
/// series: by SeriesInstanceUID and, within it, by subject, ADNI image id,
/// ImageType and EchoNumbers.
///
/// `progress` is called with the files done and the files in all. A file that is not DICOM or is broken
/// is recorded, and the rest goes on; so is a `root` that cannot be listed.
///
/// # Determinism
/// The result depends on the tree only: files are taken in path order, links are followed once.
#[must_use]
pub fn scan_tree(root: &Path, progress: &(dyn Fn(usize, usize) + Sync)) -> SeriesTree {
    let mut tree = SeriesTree::default();
    let mut files = Vec::new();
    for entry in WalkDir::new(root).follow_links(true).sort_by_file_name() {
        match entry {
            Ok(entry) if entry.file_type().is_dir() => {}
            Ok(entry) if entry.file_type().is_file() => files.push(entry.into_path()),
            // Opening a pipe would wait for somebody to write into it.
            Ok(entry) => {
                let fault = FileFault::NotDicom { found: "no plain file" };
                tree.problems.push(FileProblem { path: entry.into_path(), fault });
            }
            Err(error) => {
                let path = error.path().unwrap_or(root).to_owned();
                let fault = FileFault::Read(error.into());
                tree.problems.push(FileProblem { path, fault });
            }
        }
    }
    tree.n_files = files.len();
    let mut groups = BTreeMap::new();
    for (idx, batch) in files.chunks(BATCH).enumerate() {
        let headers: Vec<_> = batch.par_iter().map(|path| read_header(path)).collect();
        for (path, header) in batch.iter().zip(headers) {
            match header {
                Ok((slice, facts)) => sort_in(root, &mut groups, slice, facts),
                Err(fault) => tree.problems.push(FileProblem { path: path.clone(), fault }),
            }
        }
        progress((idx * BATCH + batch.len()).min(files.len()), files.len());
    }
    tree.problems.sort_by(|a, b| a.path.cmp(&b.path));
    tree.series = groups.into_values().collect();
    mark_shared(&mut tree.series);
    tree.series.sort_by(|a, b| a.slices[0].path.cmp(&b.slices[0].path));
    tree
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

/// What the slices of a volume have in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct GroupKey {
    series_uid: String,
    subject: String,
    image_id: Option<String>,
    image_type: String,
    echo: String,
}

fn sort_in(
    root: &Path,
    groups: &mut BTreeMap<GroupKey, SeriesIndex>,
    slice: SliceHeader,
    facts: SeriesFacts,
) {
    let adni = AdniPath::of(&slice.path);
    // Without a series UID, files of one folder belong together.
    let series_uid = if facts.series_uid.is_empty() {
        slice.path.parent().unwrap_or(root).to_string_lossy().into_owned()
    } else {
        facts.series_uid.clone()
    };
    let subject = adni.subject.unwrap_or_else(|| facts.patient_id.clone());
    let key = GroupKey {
        series_uid,
        subject: subject.clone(),
        image_id: adni.image_id.clone(),
        image_type: facts.image_type.clone(),
        echo: facts.echo.clone(),
    };
    groups
        .entry(key)
        .or_insert_with(|| new_series(root, &slice, facts, subject, adni.image_id))
        .slices
        .push(slice);
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
        study_date: date(&facts.study_date),
        acquisition_date: date(&facts.acquisition_date),
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

/// `YYYYMMDD`, also out of the old `YYYY.MM.DD`.
fn date(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|&c| c != '.').collect();
    let month = digits.get(4..6)?.parse::<u8>().ok()?;
    let day = digits.get(6..8)?.parse::<u8>().ok()?;
    let well_formed = digits.len() == 8
        && digits.bytes().all(|b| b.is_ascii_digit())
        && (1..=12).contains(&month)
        && (1..=31).contains(&day);
    well_formed.then_some(digits)
}

/// What the ADNI download layout `ADNI/<subject>/<description>/<date>/<image id>/` says.
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

    #[test]
    fn dates_are_checked() {
        assert_eq!(date("20060418").as_deref(), Some("20060418"));
        assert_eq!(date("2006.04.18").as_deref(), Some("20060418"));
        for bad in ["", "2006", "20061318", "20060400", "2006041x", "../../..", "200604188"] {
            assert_eq!(date(bad), None, "{bad}");
        }
    }
}
