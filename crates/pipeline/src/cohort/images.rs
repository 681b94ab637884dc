//! The images of a download or of a dataset, as the selection sees them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use brainreel_cohort::{FoundImage, ImageId, Ledger, Records, SessionTable, SubjectId, VisitCode};
use brainreel_formats::bids::{BidsImage, list_t1w, read_scanner};
use brainreel_formats::dicom::{SeriesIndex, scan_tree};

use crate::convert;
use crate::folders::Kind;
use crate::{Reporter, StageError};

/// Whether a folder is a BIDS dataset; else it is a tree of DICOM files.
pub(super) fn is_bids(folder: &Path) -> bool {
    Kind::Bids.is(folder)
}

/// The tables of a dataset that list people and sessions.
pub(super) fn bids_tables(bids: &Path) -> Result<Vec<PathBuf>, StageError> {
    let mut tables: Vec<PathBuf> = Vec::new();
    tables.extend(Some(bids.join("participants.tsv")).filter(|path| path.is_file()));
    for image in list_t1w(bids)?.images {
        let path = sessions_path(bids, image.name.subject());
        if tables.last() != Some(&path) && path.is_file() {
            tables.push(path);
        }
    }
    Ok(tables)
}

/// The images below a folder.
pub(super) fn find(
    folder: &Path,
    records: &Records,
    reporter: &Reporter<'_>,
) -> Result<Vec<FoundImage>, StageError> {
    let found =
        if is_bids(folder) { of_bids(folder, reporter)? } else { of_dicom(folder, records, reporter) };
    if found.is_empty() {
        let expected = "a tree of DICOM files or a BIDS dataset with sub-*/ses-*/anat/*_T1w.nii.gz";
        return Err(StageError::input(folder, "holds no image", expected));
    }
    Ok(found)
}

fn of_dicom(root: &Path, records: &Records, reporter: &Reporter<'_>) -> Vec<FoundImage> {
    let progress = reporter.progress("read headers", 0);
    let tree = scan_tree(root, &|done, total| progress.set(done, total));
    progress.finish();
    let mut in_folder: BTreeMap<&Path, usize> = BTreeMap::new();
    for series in &tree.series {
        *in_folder.entry(&series.folder).or_default() += 1;
    }
    // Files one by one are many, and only a table of paths may name them.
    let by_path = records.images().iter().any(|row| row.image.path.is_some());
    let describe =
        |series: &SeriesIndex| of_series(root, series, in_folder[series.folder.as_path()] == 1, by_path);
    tree.series.iter().map(describe).collect()
}

fn of_series(root: &Path, series: &SeriesIndex, is_alone: bool, by_path: bool) -> FoundImage {
    let first = series.paths().next().unwrap_or(&series.folder);
    let place = inside(root, if is_alone { &series.folder } else { first });
    let mut found = FoundImage::at(&place);
    if by_path {
        found.other_paths = series.paths().map(|path| inside(root, path)).collect();
        found.other_paths.push(inside(root, &series.folder));
    }
    found.image_id = series.image_id.as_deref().and_then(|id| ImageId::parse(id).ok());
    found.subject = SubjectId::parse(&series.subject).ok();
    found.visit.date = series.scan_date();
    found.scanner = series.sidecar.scanner();
    found.description = Some(series.description.clone()).filter(|text| !text.trim().is_empty());
    found.objection = convert::objection(series);
    found
}

/// A path from the folder of images on, with forward slashes.
fn inside(root: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(root).unwrap_or(path);
    let text = relative.to_string_lossy().replace('\\', "/");
    if text.is_empty() { ".".to_owned() } else { text }
}

fn of_bids(bids: &Path, reporter: &Reporter<'_>) -> Result<Vec<FoundImage>, StageError> {
    // The archive's numbers, if brainreel converted the dataset.
    let ledger = bids.join("conversion_ledger.tsv");
    let ledger = if ledger.is_file() { Ledger::read(&ledger)? } else { Ledger::default() };
    let ids: BTreeMap<&str, &str> = ledger
        .rows
        .iter()
        .filter_map(|row| Some((row.output.as_deref()?, row.image_id.as_deref()?)))
        .collect();
    let mut sessions: BTreeMap<String, SessionTable> = BTreeMap::new();
    let mut found = Vec::new();
    let listing = list_t1w(bids)?;
    for skipped in &listing.skipped {
        reporter.warn(skipped.to_string());
    }
    for image in listing.images {
        let subject = image.name.subject().to_owned();
        if !sessions.contains_key(&subject) {
            let path = sessions_path(bids, &subject);
            let table = if path.is_file() { SessionTable::read(&path)? } else { SessionTable::default() };
            sessions.insert(subject.clone(), table);
        }
        found.push(of_image(bids, &image, &ids, &sessions[&subject]));
    }
    Ok(found)
}

fn of_image(
    bids: &Path,
    image: &BidsImage,
    ids: &BTreeMap<&str, &str>,
    sessions: &SessionTable,
) -> FoundImage {
    let path = inside(bids, &image.path);
    let mut found = FoundImage::at(&path);
    found.image_id = ids.get(path.as_str()).and_then(|id| ImageId::parse(id).ok());
    found.subject = SubjectId::parse(image.name.subject()).ok();
    let session = image.name.session();
    found.visit.code = session.and_then(VisitCode::parse);
    let row = sessions.rows().iter().find(|row| Some(row.session.label()) == session);
    found.visit.date = row.and_then(|row| row.acquisition_date);
    found.scanner = read_scanner(&image.path);
    found
}

fn sessions_path(bids: &Path, subject: &str) -> PathBuf {
    bids.join(format!("sub-{subject}")).join(format!("sub-{subject}_sessions.tsv"))
}
