//! The folder of derivatives as a dataset.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use brainreel_artifact::{write_atomic, write_json};
use brainreel_formats::bids::{BidsImage, BidsName, DatasetDescription, DatasetKind, read_sidecar};
use walkdir::WalkDir;

use super::files;
use super::sidecar::Sidecar;
use crate::{Remedy, Reporter, StageError};

/// The name of the dataset, by which a later run recognises the folder.
const DATASET_NAME: &str = "Network inputs made by brainreel; for research use only";

/// Files in the top folder.
const OWN_FILES: [&str; 7] =
    ["dataset_description.json", ".bidsignore", "scans.tsv", "failures.csv", "qc.tsv", "qc.json", "qc.html"];

/// What `dataset_description.json` of a folder says, if it is there and JSON.
fn description_of(folder: &Path) -> Option<serde_json::Value> {
    serde_json::from_slice(&fs::read(folder.join("dataset_description.json")).ok()?).ok()
}

/// Refuses derivatives as input: network inputs are no scans to start from.
pub(super) fn refuse_derivatives(bids: &Path) -> Result<(), StageError> {
    let is_derivative = description_of(bids)
        .is_some_and(|description| description["DatasetType"].as_str() == Some("derivative"));
    if is_derivative {
        let found = "holds derivatives (its dataset_description.json says DatasetType derivative)";
        return Err(StageError::input(bids, found, "a raw BIDS dataset, as the stage `convert` writes it"));
    }
    Ok(())
}

/// Refuses a folder with a dataset, tables or texts that the stage `preprocess` did not write.
pub(super) fn refuse_foreign(derivatives: &Path) -> Result<(), StageError> {
    let path = derivatives.join("dataset_description.json");
    let ours = description_of(derivatives).is_some_and(|description| {
        description["Name"].as_str() == Some(DATASET_NAME)
            && description["GeneratedBy"][0]["Name"].as_str() == Some("brainreel")
    });
    let foreign = OWN_FILES.into_iter().find(|name| !ours && derivatives.join(name).exists());
    if let Some(name) = foreign {
        let found = format!(
            "was not written by the stage `preprocess` ({} does not say so) and would be overwritten",
            path.display()
        );
        return Err(StageError::output(derivatives.join(name), found, "choose another folder"));
    }
    Ok(())
}

pub(super) fn write_dataset_description(derivatives: &Path) -> Result<(), StageError> {
    let description = DatasetDescription::new(DATASET_NAME, DatasetKind::Derivative);
    write_json(&derivatives.join("dataset_description.json"), &description)?;
    let ignored = b"scans.tsv\nfailures.csv\nqc.*\nfigures/\n.brainreel*\n";
    Ok(write_atomic(&derivatives.join(".bidsignore"), ignored)?)
}

/// Scans of an earlier run that are no longer in the dataset.
pub(super) struct Orphans {
    scans: Vec<(BidsName, Sidecar)>,
}

/// Finds scans of an earlier run that are no longer in the dataset, by the sidecars that brainreel wrote.
///
/// # Errors
/// [`StageError::Output`]: nothing in the folder belongs to this dataset. The network inputs of another dataset are
/// removed only with `replace`.
pub(super) fn find_orphans(
    derivatives: &Path,
    images: &[BidsImage],
    replace: bool,
) -> Result<Orphans, StageError> {
    let wanted: BTreeSet<String> = images.iter().map(|image| image.name.scan_id()).collect();
    let (mut scans, mut n_known) = (Vec::new(), 0_usize);
    for entry in WalkDir::new(derivatives).min_depth(3).max_depth(4).sort_by_file_name() {
        let entry = entry.map_err(|error| StageError::list(derivatives, error))?;
        let Some(scan) = files::scan_of_sidecar(derivatives, entry.path()) else { continue };
        let Some(sidecar) = read_sidecar::<Sidecar>(entry.path()) else { continue };
        if wanted.contains(&scan.scan_id()) {
            n_known += 1;
        } else {
            scans.push((scan, sidecar));
        }
    }
    if !replace && n_known == 0 && !scans.is_empty() {
        let found =
            format!("holds network inputs of {} scans, none of which is in this dataset", scans.len());
        let error = StageError::output(derivatives, found, "choose another folder");
        return Err(error.with_remedy(Remedy::ReplaceNetworkInputs));
    }
    Ok(Orphans { scans })
}

impl Orphans {
    /// Removes their files and returns the number of scans. Files that were changed since brainreel wrote them stay.
    pub(super) fn remove(self, derivatives: &Path, reporter: &Reporter<'_>) -> Result<usize, StageError> {
        for (scan, sidecar) in &self.scans {
            for path in files::remove_recorded(derivatives, scan, &sidecar.files_sha256)? {
                reporter.warn(format!(
                    "{} stays: its scan is no longer in the dataset, but the file was changed since it was written",
                    path.display()
                ));
            }
            let image = files::network_input(scan);
            files::remove_file(&derivatives.join(image.relative_path()))?;
            let sidecar = derivatives.join(image.with_extension_json());
            files::remove_file(&sidecar)?;
            for folder in sidecar.ancestors().skip(1).take_while(|folder| *folder != derivatives) {
                if fs::remove_dir(folder).is_err() {
                    break; // not empty
                }
            }
        }
        Ok(self.scans.len())
    }
}
