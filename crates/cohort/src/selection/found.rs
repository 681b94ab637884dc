//! Images found on disk, matched with table rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::choice::visit_key;
use super::{CohortImage, Rule, SelectionConfig, number};
use crate::merge::fill;
use crate::records::ImageInfo;
use crate::{DiagnosisBasis, ImageId, ImageRecord, Place, Records, Scanner, SubjectId, Visit};

/// An image of a download or of a dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundImage {
    /// The archive's image id, from its path or from the dataset's ledger.
    pub image_id: Option<ImageId>,
    /// Path of its folder or file, relative to the root, with forward slashes.
    pub path: String,
    /// Other paths that a table may use: the files of a series.
    pub other_paths: Vec<String>,
    /// The subject, from path or header.
    pub subject: Option<SubjectId>,
    /// Its visit: BIDS session and day of the scan.
    pub visit: Visit,
    /// The scanner.
    pub scanner: Scanner,
    /// Series description from the header. Used for patterns, never shown.
    pub description: Option<String>,
    /// Why it is not a T1-weighted head image, according to its header.
    pub objection: Option<String>,
}

impl FoundImage {
    /// An image with a path but no other metadata.
    #[must_use]
    pub fn at(path: &str) -> Self {
        Self {
            image_id: None,
            path: path.to_owned(),
            other_paths: Vec::new(),
            subject: None,
            visit: Visit::default(),
            scanner: Scanner::default(),
            description: None,
            objection: None,
        }
    }
}

/// Index of a row in [`Records::images`].
type RowIdx = usize;

/// Joins all listed and found images. Some already have an outcome.
pub(super) fn gather(
    records: &Records,
    found: Option<&[FoundImage]>,
    config: &SelectionConfig,
) -> Vec<CohortImage> {
    let rule = config.join_rule();
    let Some(found) = found else {
        return records.join(&rule).map(|joined| CohortImage::of(&joined)).collect();
    };
    let rows = match_rows(records, found);
    let mut images: Vec<CohortImage> = found
        .iter()
        .zip(&rows)
        .map(|(found, row)| of_found(records, found, row.map(|idx| &records.images()[idx]), config))
        .collect();
    let matched: BTreeSet<RowIdx> = rows.into_iter().flatten().collect();
    for (idx, joined) in records.join(&rule).enumerate().filter(|(idx, _)| !matched.contains(idx)) {
        let mut image = CohortImage::of(&joined);
        let id = records.images()[idx].image.id.as_ref().map_or("it", ImageId::as_str);
        image.drop_by(Rule::NoImage, format!("{id} is in the table but not in the folder of images"));
        images.push(image);
    }
    images
}

/// Finds the row of each image: by id, then by path. If one side has no id, by subject and day, then by
/// subject and visit, provided that there are as many rows as images of that day or visit.
fn match_rows(records: &Records, found: &[FoundImage]) -> Vec<Option<RowIdx>> {
    let by_id: BTreeMap<&ImageId, RowIdx> = rows_by(records, |row| row.image.id.as_ref()).collect();
    let by_path: BTreeMap<&str, RowIdx> = rows_by(records, |row| row.image.path.as_deref()).collect();
    let mut rows: Vec<Option<RowIdx>> = found
        .iter()
        .map(|image| {
            let paths = std::iter::once(&image.path).chain(&image.other_paths);
            let by_id = image.image_id.as_ref().and_then(|id| by_id.get(id));
            by_id.copied().or_else(|| paths.into_iter().find_map(|path| by_path.get(path.as_str()).copied()))
        })
        .collect();
    match_by_time(records, found, &mut rows, |visit| visit.date.map(|date| date.to_string()));
    match_by_time(records, found, &mut rows, |visit| visit.code.as_ref().map(|code| visit_key(Some(code))));
    rows
}

/// Pairs the remaining rows and images of one subject and time, in the order of ids and of paths.
fn match_by_time(
    records: &Records,
    found: &[FoundImage],
    rows: &mut [Option<RowIdx>],
    time: impl Fn(&Visit) -> Option<String>,
) {
    let key = |subject: Option<&SubjectId>, visit: &Visit| Some((subject?.person_key(), time(visit)?));
    let taken: BTreeSet<RowIdx> = rows.iter().flatten().copied().collect();
    let mut times: BTreeMap<(String, String), (Vec<RowIdx>, Vec<usize>)> = BTreeMap::new();
    for (idx, image) in found.iter().enumerate().filter(|(idx, _)| rows[*idx].is_none()) {
        if let Some(key) = key(image.subject.as_ref(), &image.visit) {
            times.entry(key).or_default().1.push(idx);
        }
    }
    for (idx, row) in records.images().iter().enumerate().filter(|(idx, _)| !taken.contains(idx)) {
        let key = key(Some(&row.person.subject), &row.visit);
        if let Some((listed, _)) = key.and_then(|key| times.get_mut(&key)) {
            listed.push(idx);
        }
    }
    for (mut listed, mut lying) in times.into_values().filter(|(rows, images)| rows.len() == images.len()) {
        listed.sort_by_cached_key(|&idx| number(records.images()[idx].image.id.as_ref()));
        lying.sort_by(|&a, &b| found[a].path.cmp(&found[b].path));
        for (row, image) in listed.into_iter().zip(lying) {
            // Different ids are different images, even on the same day.
            if records.images()[row].image.id.is_none() || found[image].image_id.is_none() {
                rows[image] = Some(row);
            }
        }
    }
}

fn rows_by<'a, K: 'a>(
    records: &'a Records,
    key: impl Fn(&'a ImageRecord) -> Option<K> + 'a,
) -> impl Iterator<Item = (K, RowIdx)> + 'a {
    records.images().iter().enumerate().filter_map(move |(idx, row)| Some((key(row)?, idx)))
}

fn of_found(
    records: &Records,
    found: &FoundImage,
    row: Option<&ImageRecord>,
    config: &SelectionConfig,
) -> CohortImage {
    let subject = row.map(|row| &row.person.subject).or(found.subject.as_ref());
    let Some(subject) = subject else { return unknown(found) };
    let nowhere = Place { table: u32::MAX, line: 0 };
    let mut record = row.cloned().unwrap_or_else(|| ImageRecord::new(subject.clone(), nowhere));
    record.visit.fill_missing(found.visit.clone());
    record.scanner.fill_missing(found.scanner.clone());
    let mut image = CohortImage::of(&records.join_image(&record, &config.join_rule()));
    image.image.path = Some(found.path.as_str().into());
    fill(&mut image.image.id, found.image_id.clone());
    image.place = row.map(|row| row.place);
    image.header_description.clone_from(&found.description);
    if let Some(objection) = &found.objection {
        image.drop_by(Rule::NotT1, objection.clone());
    }
    let other = found.subject.as_ref().filter(|other| {
        // Only the archive's own ids are reliable. A header can contain anything.
        other.adni_rid().is_some() && other.person_key() != subject.person_key()
    });
    if let Some(other) = other {
        let reason = format!("the table gives this image to {subject}, the download to {other}");
        image.drop_by(Rule::SubjectConflict, reason);
    }
    if row.is_none() && records.person(subject).is_none() {
        image.drop_by(Rule::NoRow, format!("no table lists this image, nor visits of {subject}"));
    }
    image
}

/// An image without a known subject.
fn unknown(found: &FoundImage) -> CohortImage {
    let dropped_by = match &found.objection {
        Some(objection) => (Rule::NotT1, objection.clone()),
        None => (Rule::NoRow, "no table lists this image, and it does not say whom it shows".to_owned()),
    };
    let mut image = CohortImage {
        image: ImageInfo {
            id: found.image_id.clone(),
            path: Some(found.path.as_str().into()),
            ..ImageInfo::default()
        },
        person: None,
        visit: found.visit.clone(),
        basis: DiagnosisBasis::None,
        scanner: found.scanner.clone(),
        place: None,
        dropped: None,
        header_description: found.description.clone(),
    };
    image.drop_by(dropped_by.0, dropped_by.1);
    image
}

/// Drops archive images that were found at several paths, except the first. Images are in order of subject,
/// time, id and path.
pub(super) fn drop_repeated(images: &mut [CohortImage]) {
    let mut first: BTreeMap<ImageId, Arc<str>> = BTreeMap::new();
    for image in images.iter_mut() {
        let listed_only = image.dropped.as_ref().is_some_and(|why| why.rule == Rule::NoImage);
        let (Some(id), Some(path), false) = (&image.image.id, &image.image.path, listed_only) else {
            continue;
        };
        if image.dropped.as_ref().is_some_and(|why| why.rule < Rule::Repeated) {
            continue;
        }
        match first.get(id) {
            None => {
                first.insert(id.clone(), path.clone());
            }
            Some(place) => {
                let reason = format!("{id} was found at {place} as well");
                image.dropped = Some(super::Dropped { rule: Rule::Repeated, reason });
            }
        }
    }
}
