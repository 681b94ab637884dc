//! What in the output folder is ours: nothing that brainreel did not write is overwritten, and the images
//! of another download are not removed unasked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use anyhow::Context;
use brainreel_artifact::{ContentHash, HashBuilder, hash_bytes, hash_file, write_atomic, write_json};
use brainreel_formats::bids::{RawSidecar, list_t1w, read_sidecar, sidecar_path};
use serde::{Deserialize, Serialize};

use super::plan::Planned;
use super::{Request, bids_name, series_hash};
use crate::batch;
use crate::ui::Ui;

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
    /// Refuses to overwrite files of other hands or to remove the images of another download; then notes
    /// what is about to be written.
    pub(super) fn begin(
        request: &Request<'_>,
        kept: &[Planned<'_>],
        files: &[(String, Vec<u8>)],
        ui: &Ui,
    ) -> anyhow::Result<Self> {
        let mut origin = Self::read(request.bids);
        let images = kept
            .iter()
            .map(|planned| Ok(bids_name(planned)?.relative_path_text()))
            .collect::<anyhow::Result<BTreeSet<String>>>()?;
        origin.refuse_foreign(request.bids, &images, files)?;
        let source = source(request)?;
        if !request.replace && origin.source.as_ref() != Some(&source) {
            refuse_losses(request, kept, ui)?;
        }
        origin.source = Some(source);
        // Those of an earlier run stay ours until they are removed.
        origin.images.extend(images);
        origin.write(request.bids)?;
        Ok(origin)
    }

    /// Writes tables and texts, and removes those that an earlier run wrote and this one does not; killed at
    /// any moment, both the old and the new ones count as ours.
    pub(super) fn write_files(
        &mut self,
        bids: &Path,
        files: &[(String, Vec<u8>)],
        ui: &Ui,
    ) -> anyhow::Result<()> {
        for (name, content) in files {
            self.files.entry(name.clone()).or_default().insert(hash_bytes(content));
        }
        self.write(bids)?;
        for (name, content) in files {
            write_atomic(&bids.join(name), content)?;
        }
        let listed: BTreeSet<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        for (name, hashes) in self.files.iter().filter(|(name, _)| !listed.contains(name.as_str())) {
            let Some(path) = inside(bids, name).filter(|path| path.exists()) else { continue };
            if hashes.contains(&hash_file(&path)?) {
                remove(&path)?;
                remove_empty_folders(bids, &path);
            } else {
                ui.warn(format!(
                    "convert: {} is of no scan any more, but is not as brainreel wrote it: it stays",
                    path.display()
                ));
            }
        }
        self.files =
            files.iter().map(|(name, content)| (name.clone(), [hash_bytes(content)].into())).collect();
        self.write(bids)
    }

    /// Removes images and sidecars that an earlier conversion left and that this download no longer gives:
    /// they would go on into the next stages. Images of other hands stay. Both are worth a warning.
    pub(super) fn remove_leftovers(
        &mut self,
        bids: &Path,
        converted: &[&Planned<'_>],
        ui: &Ui,
    ) -> anyhow::Result<()> {
        let mut listed = BTreeSet::new();
        for planned in converted {
            listed.insert(bids_name(planned)?.relative_path_text());
        }
        let ours: BTreeSet<PathBuf> = listed.iter().map(|name| bids.join(name)).collect();
        let noted: BTreeSet<PathBuf> =
            self.images.difference(&listed).filter_map(|name| inside(bids, name)).collect();
        let found = list_t1w(bids)?.images.into_iter().map(|image| image.path);
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
        warn(&leftovers, "removed: this download gives it no longer, or under another name", ui);
        warn(&foreign, "does not come from this download; it will be preprocessed as well", ui);
        self.images = listed;
        self.write(bids)
    }

    fn read(bids: &Path) -> Self {
        let bytes = std::fs::read(bids.join(FILE)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    fn write(&self, bids: &Path) -> anyhow::Result<()> {
        Ok(write_json(&bids.join(FILE), self)?)
    }

    fn refuse_foreign(
        &self,
        bids: &Path,
        images: &BTreeSet<String>,
        files: &[(String, Vec<u8>)],
    ) -> anyhow::Result<()> {
        for (name, content) in files {
            let path = bids.join(name);
            if !path.exists() {
                continue;
            }
            let found = hash_file(&path)?;
            let ours = found == hash_bytes(content)
                || self.files.get(name).is_some_and(|hashes| hashes.contains(&found));
            anyhow::ensure!(
                ours,
                "{} is not as brainreel wrote it and would be overwritten; move it away, or convert into \
                 another folder",
                path.display()
            );
        }
        for name in images.difference(&self.images) {
            let path = bids.join(name);
            anyhow::ensure!(
                !path.exists() || is_ours(&path),
                "{} was not made by brainreel and would be overwritten; convert into another folder",
                path.display()
            );
        }
        Ok(())
    }
}

/// Which download: the same tree with other tables may give other images.
fn source(request: &Request<'_>) -> anyhow::Result<ContentHash> {
    let tree = std::fs::canonicalize(request.dicom)
        .with_context(|| format!("cannot read {}", request.dicom.display()))?;
    let mut tables = request.labels.iter().map(|table| hash_file(table)).collect::<Result<Vec<_>, _>>()?;
    // Another choice of images would remove some.
    tables.extend(request.cohort.map(hash_file).transpose()?);
    tables.sort_unstable();
    let builder = HashBuilder::new().part(tree.to_string_lossy().as_bytes());
    Ok(tables.iter().fold(builder, |builder, table| builder.part(table.as_str())).finish())
}

/// Refuses if images would be removed or replaced that are of no series of this download.
fn refuse_losses(request: &Request<'_>, kept: &[Planned<'_>], ui: &Ui) -> anyhow::Result<()> {
    let existing: Vec<(PathBuf, ContentHash)> = list_t1w(request.bids)?
        .images
        .into_iter()
        .filter_map(|image| {
            let record: RawSidecar = read_sidecar(&sidecar_path(&image.path))?;
            Some((image.path, record.provenance.inputs))
        })
        .collect();
    if existing.is_empty() {
        return Ok(());
    }
    let bar = ui.progress("compare", kept.len());
    let series: BTreeSet<ContentHash> = batch::map(kept, request.n_jobs, |planned| {
        let hash = series_hash(planned);
        bar.inc();
        hash
    })
    .into_iter()
    .flatten()
    .collect();
    bar.finish();
    let lost: Vec<&(PathBuf, ContentHash)> =
        existing.iter().filter(|(_, inputs)| !series.contains(inputs)).collect();
    let Some((first, _)) = lost.first() else { return Ok(()) };
    anyhow::bail!(
        "{} holds the conversion of another download (or of other label tables): {} of its {} images would be \
         lost, the first is {}; convert into another folder, or pass --replace to lose them",
        request.bids.display(),
        lost.len(),
        existing.len(),
        first.display()
    )
}

fn warn(paths: &[PathBuf], what: &str, ui: &Ui) {
    for path in paths.iter().take(SHOWN) {
        ui.warn(format!("convert: {} {what}", path.display()));
    }
    if paths.len() > SHOWN {
        ui.warn(format!("convert: and {} more", paths.len() - SHOWN));
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

fn remove(path: &Path) -> anyhow::Result<()> {
    std::fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))
}

/// Whether the sidecar says that `brainreel convert` made the image.
fn is_ours(image: &Path) -> bool {
    read_sidecar(&sidecar_path(image)).is_some_and(|record: RawSidecar| record.provenance.stage == "convert")
}
