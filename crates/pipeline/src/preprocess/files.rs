//! The files of one scan: their names, which of them may be replaced or removed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use brainreel_artifact::{ContentHash, hash_file};
use brainreel_formats::bids::BidsName;
use brainreel_formats::nifti;
use brainreel_preprocess::steps::StepSummaries;
use brainreel_volume::Volume;

use super::sidecar::Sidecar;
use super::{Keep, PreprocessRequest};
use crate::{IoContext, Remedy, StageError};

/// Hashes of the files of one scan, by their path in the dataset.
pub(super) type Hashes = BTreeMap<String, ContentHash>;

/// A file that belongs to a scan, beside the network input and its sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Companion {
    /// The brain mask, on the scan's own voxels.
    BrainMask,
    /// An image between the steps.
    Kept(Keep),
    /// The picture for `qc.html`.
    Picture,
}

impl Companion {
    /// Every kind.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        [Self::BrainMask].into_iter().chain(Keep::ALL.map(Self::Kept)).chain([Self::Picture])
    }

    /// Path in the dataset.
    pub(super) fn path(self, scan: &BidsName) -> String {
        match self {
            Self::BrainMask => scan.brain_mask().relative_path_text(),
            Self::Kept(keep) => scan.derivative("native", keep.description()).relative_path_text(),
            Self::Picture => format!("figures/{}_qc.svg", stem(scan)),
        }
    }

    /// Path of the JSON file beside it in the dataset, if it has one.
    pub(super) fn json(self, scan: &BidsName) -> Option<PathBuf> {
        (self == Self::BrainMask).then(|| scan.brain_mask().with_extension_json())
    }

    /// Whether a person may have changed it by hand, and would lose that work.
    fn may_be_edited(self) -> bool {
        self != Self::Picture
    }
}

/// The name of a scan without its suffix: `sub-01_ses-m06`.
fn stem(scan: &BidsName) -> String {
    scan.brain_mask().file_name().replace("_desc-brain_mask.nii.gz", "")
}

/// The network input of a scan.
pub(super) fn network_input(scan: &BidsName) -> BidsName {
    scan.derivative("network", "preproc")
}

/// The scan whose network input has this sidecar, if it lies where brainreel writes it.
pub(super) fn scan_of_sidecar(derivatives: &Path, sidecar: &Path) -> Option<BidsName> {
    let file = sidecar.file_name()?.to_str()?;
    let stem = file.strip_suffix("_space-network_desc-preproc_T1w.json")?;
    let scan = BidsName::parse(&format!("{stem}_T1w.nii.gz")).ok()?;
    let expected = derivatives.join(network_input(&scan).with_extension_json());
    (expected == sidecar).then_some(scan)
}

/// The files of one scan.
pub(super) struct Files<'a> {
    pub(super) root: &'a Path,
    pub(super) scan: &'a BidsName,
    keep: &'a [Keep],
    pictures: bool,
}

impl<'a> Files<'a> {
    pub(super) fn new(scan: &'a BidsName, request: &'a PreprocessRequest) -> Self {
        let PreprocessRequest { derivatives, keep, pictures, .. } = request;
        Self { root: derivatives, scan, keep, pictures: *pictures }
    }

    pub(super) fn sidecar(&self) -> PathBuf {
        self.root.join(network_input(self.scan).with_extension_json())
    }

    /// What is written beside the network input, after the steps with these numbers.
    pub(super) fn wanted(&self, summaries: &StepSummaries) -> Vec<Companion> {
        let is_wanted = |companion: &Companion| match companion {
            Companion::BrainMask => summaries.brain.is_some(),
            Companion::Kept(keep) => self.keep.contains(keep) && keep.is_made(summaries),
            Companion::Picture => self.pictures,
        };
        Companion::all().filter(is_wanted).collect()
    }

    /// Refuses to replace or remove a file that an earlier run did not write, or that was changed since, before
    /// anything is written.
    pub(super) fn check_replaceable(
        &self,
        new: &NewImages<'_>,
        earlier: Option<&Sidecar>,
    ) -> Result<(), StageError> {
        let image = network_input(self.scan).relative_path_text();
        let path = self.root.join(&image);
        if earlier.is_none() && path.exists() && !holds(&path, new.network_input) {
            return Err(foreign(&path, None));
        }
        for companion in Companion::all() {
            let relative = companion.path(self.scan);
            let path = self.root.join(&relative);
            let recorded = earlier.and_then(|earlier| earlier.files_sha256.get(&relative));
            let new = new.companions.iter().find(|(kind, _)| *kind == companion);
            let is_touched = new.is_some() || recorded.is_some();
            if !is_touched || !path.exists() || is_unchanged(&path, recorded) {
                continue;
            }
            let is_recorded_picture = recorded.is_some() && !companion.may_be_edited();
            // A run that was killed before it wrote its record left the same image.
            if !is_recorded_picture && !new.is_some_and(|(_, image)| image.is_in(&path)) {
                return Err(foreign(&path, (companion == Companion::BrainMask).then_some(Remedy::UseAsMask)));
            }
        }
        Ok(())
    }

    /// Removes what earlier settings left beside the network input and these do not make.
    pub(super) fn remove_stale(&self, earlier: &Hashes, now: &Hashes) -> Result<(), StageError> {
        let stale: Hashes = earlier
            .iter()
            .filter(|(path, _)| !now.contains_key(*path))
            .map(|(p, h)| (p.clone(), h.clone()))
            .collect();
        remove_recorded(self.root, self.scan, &stale).map(|_| ())
    }
}

/// The images that a run is about to write.
pub(super) struct NewImages<'a> {
    pub(super) network_input: &'a Volume<f32>,
    pub(super) companions: Vec<(Companion, NewImage<'a>)>,
}

/// An image or picture that a run is about to write.
pub(super) enum NewImage<'a> {
    Mask(Volume<u8>),
    Image(&'a Volume<f32>),
    Picture(String),
}

impl NewImage<'_> {
    /// Writes it.
    pub(super) fn write(&self, path: &Path) -> Result<(), StageError> {
        match self {
            Self::Mask(mask) => nifti::write(path, mask)?,
            Self::Image(image) => nifti::write(path, *image)?,
            Self::Picture(svg) => brainreel_artifact::write_atomic(path, svg.as_bytes())?,
        }
        Ok(())
    }

    /// Whether a file holds the same already.
    fn is_in(&self, path: &Path) -> bool {
        match self {
            Self::Mask(mask) => nifti::read_f32(path).is_ok_and(|found| {
                found.dims() == mask.dims()
                    && found.as_slice().iter().zip(mask.as_slice()).all(|(a, &b)| (*a > 0.5) == (b == 1))
            }),
            Self::Image(image) => holds(path, image),
            Self::Picture(svg) => fs::read(path).is_ok_and(|found| found == svg.as_bytes()),
        }
    }
}

fn holds(path: &Path, image: &Volume<f32>) -> bool {
    nifti::read_f32(path).is_ok_and(|found| {
        let same_bits = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits();
        found.dims() == image.dims() && found.as_slice().iter().zip(image.as_slice()).all(same_bits)
    })
}

fn is_unchanged(path: &Path, recorded: Option<&ContentHash>) -> bool {
    recorded.is_some_and(|recorded| hash_file(path).is_ok_and(|now| now == *recorded))
}

fn foreign(path: &Path, remedy: Option<Remedy>) -> StageError {
    StageError::Output {
        path: path.to_owned(),
        found: "was not written by the stage `preprocess`, or was changed since, and would be lost"
            .to_owned(),
        expected: "move it away".to_owned(),
        remedy,
    }
}

/// Removes files of a scan that are still what an earlier run recorded; returns those that were changed since
/// and therefore stay.
pub(super) fn remove_recorded(
    root: &Path,
    scan: &BidsName,
    recorded: &Hashes,
) -> Result<Vec<PathBuf>, StageError> {
    let mut changed = Vec::new();
    for companion in Companion::all() {
        let relative = companion.path(scan);
        let path = root.join(&relative);
        let Some(hash) = recorded.get(&relative).filter(|_| path.exists()) else { continue };
        if companion.may_be_edited() && !is_unchanged(&path, Some(hash)) {
            changed.push(path);
            continue;
        }
        for file in companion.json(scan).map(|json| root.join(json)).into_iter().chain([path]) {
            remove_file(&file)?;
        }
    }
    Ok(changed)
}

/// Removes a file, if it exists.
pub(super) fn remove_file(path: &Path) -> Result<(), StageError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).io_context("remove", path),
        _ => Ok(()),
    }
}
