//! Which files of the output folder brainreel wrote: it overwrites no others, and removes the images of another
//! download only on request.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use brainreel_artifact::{ContentHash, HashBuilder, hash_bytes, hash_file, write_atomic, write_json};
use brainreel_formats::bids::{BidsError, RawSidecar, list_t1w, read_sidecar, sidecar_path};
use serde::{Deserialize, Serialize};

use super::ConvertRequest;
use super::plan::Planned;
use super::series::hash_files;
use super::tables::TextFile;
use crate::batch;
use crate::{IoContext, Remedy, Reporter, StageError};

/// Hidden, since it belongs to one machine: the dataset is the same without it.
const FILE: &str = ".brainreel_origin.json";

/// How many images a message names.
const SHOWN: usize = 5;

/// What brainreel has written into a dataset, and from which download.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(super) struct Origin {
    /// Hash of the place of the DICOM tree and of the content of the label tables.
    source: Option<ContentHash>,
    /// Hashes that the tables and texts may have.
    files: BTreeMap<String, BTreeSet<ContentHash>>,
    /// Images that were written, or are about to be.
    images: BTreeSet<String>,
}

impl Origin {
    /// Refuses to overwrite files that brainreel did not write, or to remove the images of another download. Then
    /// records what is about to be written.
    pub(super) fn begin(
        request: &ConvertRequest,
        kept: &[Planned<'_>],
        files: &[TextFile],
        reporter: &Reporter<'_>,
    ) -> Result<Self, StageError> {
        let mut origin = Self::read(&request.bids);
        let images = image_paths(kept)?;
        origin.refuse_foreign(&request.bids, &images, files)?;
        let source = hash_source(request)?;
        if !request.config.replace && origin.source.as_ref() != Some(&source) {
            refuse_losses(request, kept, reporter)?;
        }
        origin.source = Some(source);
        // Those of an earlier run stay ours until they are removed.
        origin.images.extend(images);
        origin.write(&request.bids)?;
        Ok(origin)
    }

    /// Writes tables and texts, and removes those that an earlier run wrote and this one does not; killed at
    /// any moment, both the old and the new ones count as ours.
    pub(super) fn write_files(
        &mut self,
        bids: &Path,
        files: &[TextFile],
        reporter: &Reporter<'_>,
    ) -> Result<(), StageError> {
        for TextFile { path, content } in files {
            self.files.entry(path.clone()).or_default().insert(hash_bytes(content));
        }
        self.write(bids)?;
        for TextFile { path, content } in files {
            write_atomic(&bids.join(path), content)?;
        }
        let listed: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
        for (name, hashes) in self.files.iter().filter(|(name, _)| !listed.contains(name.as_str())) {
            let Some(path) = inside(bids, name).filter(|path| path.exists()) else { continue };
            if hashes.contains(&hash_file(&path)?) {
                remove(&path)?;
                remove_empty_folders(bids, &path);
            } else {
                reporter.warn(format!(
                    "{} belongs to no scan of this download, but was changed since brainreel wrote it: it stays",
                    path.display()
                ));
            }
        }
        self.files =
            files.iter().map(|file| (file.path.clone(), [hash_bytes(&file.content)].into())).collect();
        self.write(bids)
    }

    /// Removes images and sidecars of an earlier conversion that this download no longer has: the next stages would
    /// use them. Images that brainreel did not write stay. Warns about both.
    pub(super) fn remove_leftovers(
        &mut self,
        bids: &Path,
        converted: &[&Planned<'_>],
        reporter: &Reporter<'_>,
    ) -> Result<(), StageError> {
        let listed = image_paths(converted.iter().copied())?;
        let ours: BTreeSet<PathBuf> = listed.iter().map(|name| bids.join(name)).collect();
        let noted: BTreeSet<PathBuf> =
            self.images.difference(&listed).filter_map(|name| inside(bids, name)).collect();
        let listing = list_t1w(bids)?;
        for skipped in &listing.skipped {
            reporter.warn(skipped.to_string());
        }
        let found = listing.images.into_iter().map(|image| image.path);
        let others: BTreeSet<PathBuf> =
            found.filter(|path| !ours.contains(path)).chain(noted.clone()).collect();
        let (leftovers, foreign): (Vec<PathBuf>, Vec<PathBuf>) = others
            .into_iter()
            .filter(|path| path.exists() || sidecar_path(path).exists())
            .partition(|path| is_ours(path) || (noted.contains(path) && !sidecar_path(path).exists()));
        for path in &leftovers {
            for file in [path, &sidecar_path(path)].into_iter().filter(|file| file.exists()) {
                remove(file)?;
            }
            remove_empty_folders(bids, path);
        }
        warn(&leftovers, "removed: this download no longer has it, or has it under another name", reporter);
        warn(&foreign, "does not come from this download; it will be preprocessed too", reporter);
        self.images = listed;
        self.write(bids)
    }

    fn read(bids: &Path) -> Self {
        let bytes = std::fs::read(bids.join(FILE)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    fn write(&self, bids: &Path) -> Result<(), StageError> {
        Ok(write_json(&bids.join(FILE), self)?)
    }

    fn refuse_foreign(
        &self,
        bids: &Path,
        images: &BTreeSet<String>,
        files: &[TextFile],
    ) -> Result<(), StageError> {
        for TextFile { path: name, content } in files {
            let path = bids.join(name);
            if !path.exists() {
                continue;
            }
            let found = hash_file(&path)?;
            let ours = found == hash_bytes(content)
                || self.files.get(name).is_some_and(|hashes| hashes.contains(&found));
            if !ours {
                let found = "is not as brainreel wrote it and would be overwritten";
                return Err(StageError::output(path, found, "move it away, or convert into another folder"));
            }
        }
        for name in images.difference(&self.images) {
            let path = bids.join(name);
            if path.exists() && !is_ours(&path) {
                let found = "was not made by brainreel and would be overwritten";
                return Err(StageError::output(path, found, "convert into another folder"));
            }
        }
        Ok(())
    }
}

/// Paths of the images of series, in the dataset.
fn image_paths<'p, 'a: 'p>(
    planned: impl IntoIterator<Item = &'p Planned<'a>>,
) -> Result<BTreeSet<String>, BidsError> {
    planned.into_iter().map(|planned| Ok(planned.bids_name()?.relative_path_text())).collect()
}

/// Which download: the same tree with other tables may give other images.
fn hash_source(request: &ConvertRequest) -> Result<ContentHash, StageError> {
    let tree = std::fs::canonicalize(&request.dicom).io_context("read", &request.dicom)?;
    let mut tables = request.labels.iter().map(|table| hash_file(table)).collect::<Result<Vec<_>, _>>()?;
    // Another choice of images would remove some.
    tables.extend(request.cohort.as_deref().map(hash_file).transpose()?);
    tables.sort_unstable();
    let builder = HashBuilder::new().part(tree.to_string_lossy().as_bytes());
    Ok(tables.iter().fold(builder, |builder, table| builder.part(table.as_str())).finish())
}

/// An image of the dataset, and the hash of the files that it was made from.
struct Existing {
    path: PathBuf,
    inputs: ContentHash,
}

/// Refuses if images would be removed or replaced that come from no series of this download.
fn refuse_losses(
    request: &ConvertRequest,
    kept: &[Planned<'_>],
    reporter: &Reporter<'_>,
) -> Result<(), StageError> {
    let existing: Vec<Existing> = list_t1w(&request.bids)?
        .images
        .into_iter()
        .filter_map(|image| {
            let record: RawSidecar = read_sidecar(&sidecar_path(&image.path))?;
            Some(Existing { path: image.path, inputs: record.provenance.inputs })
        })
        .collect();
    if existing.is_empty() {
        return Ok(());
    }
    let progress = reporter.progress("compare", kept.len());
    let series: BTreeSet<ContentHash> = batch::map(kept, request.n_jobs, |planned| {
        let hash = hash_files(planned);
        progress.inc();
        hash
    })
    .into_iter()
    .flatten()
    .collect();
    progress.finish();
    let lost: Vec<&Existing> = existing.iter().filter(|image| !series.contains(&image.inputs)).collect();
    let Some(first) = lost.first() else { return Ok(()) };
    let found = format!(
        "holds the conversion of another download (or of other label tables): {} of its {} images would be lost, the \
         first is {}",
        lost.len(),
        existing.len(),
        first.path.display()
    );
    let error = StageError::output(&request.bids, found, "convert into another folder, or allow the loss");
    Err(error.with_remedy(Remedy::ReplaceDataset))
}

fn warn(paths: &[PathBuf], what: &str, reporter: &Reporter<'_>) {
    for path in paths.iter().take(SHOWN) {
        reporter.warn(format!("{} {what}", path.display()));
    }
    if paths.len() > SHOWN {
        reporter.warn(format!("and {} more", paths.len() - SHOWN));
    }
}

/// A path that the origin file names, unless it leads out of the dataset: the file may have been edited.
fn inside(bids: &Path, name: &str) -> Option<PathBuf> {
    let is_plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    (is_plain && !name.is_empty()).then(|| bids.join(name))
}

/// Removes the folders above `path` that hold nothing any more, up to the dataset.
fn remove_empty_folders(bids: &Path, path: &Path) {
    for folder in path.ancestors().skip(1).take_while(|folder| *folder != bids && folder.starts_with(bids)) {
        // Fails on the first folder that holds something.
        if std::fs::remove_dir(folder).is_err() {
            break;
        }
    }
}

fn remove(path: &Path) -> Result<(), StageError> {
    std::fs::remove_file(path).io_context("remove", path)
}

/// Whether the sidecar says that `brainreel convert` made the image.
fn is_ours(image: &Path) -> bool {
    read_sidecar(&sidecar_path(image)).is_some_and(|record: RawSidecar| record.provenance.stage == "convert")
}
