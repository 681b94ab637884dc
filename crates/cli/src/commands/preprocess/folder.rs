//! The folder of derivatives as a dataset.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use brainreel_artifact::{write_atomic, write_json};
use brainreel_formats::bids::{BidsImage, BidsName, DatasetDescription, DatasetKind};
use walkdir::WalkDir;

use super::scan;

/// The name of the dataset, by which the folder is known again.
const DATASET_NAME: &str = "Network inputs made by brainreel; for research use only";

/// Files in the top folder that are no BIDS.
const OWN_FILES: [&str; 7] =
    ["dataset_description.json", ".bidsignore", "scans.tsv", "failures.csv", "qc.tsv", "qc.json", "qc.html"];

/// What `dataset_description.json` of a folder says, if it is there and JSON.
fn description_of(folder: &Path) -> Option<serde_json::Value> {
    serde_json::from_slice(&fs::read(folder.join("dataset_description.json")).ok()?).ok()
}

/// Network inputs are no scans to start from.
pub(super) fn refuse_derivatives(bids: &Path) -> anyhow::Result<()> {
    let is_derivative = description_of(bids)
        .is_some_and(|description| description["DatasetType"].as_str() == Some("derivative"));
    anyhow::ensure!(
        !is_derivative,
        "{} holds derivatives (its dataset_description.json says DatasetType derivative); expected a raw BIDS \
         dataset, as `brainreel convert` writes it",
        bids.display()
    );
    Ok(())
}

/// Refuses a folder with a dataset, tables or texts that `brainreel preprocess` did not write.
pub(super) fn refuse_foreign(derivatives: &Path) -> anyhow::Result<()> {
    let path = derivatives.join("dataset_description.json");
    let ours = description_of(derivatives).is_some_and(|description| {
        description["Name"].as_str() == Some(DATASET_NAME)
            && description["GeneratedBy"][0]["Name"].as_str() == Some("brainreel")
    });
    let foreign = OWN_FILES.into_iter().find(|name| !ours && derivatives.join(name).exists());
    if let Some(name) = foreign {
        anyhow::bail!(
            "{} was not written by `brainreel preprocess` ({} does not say so) and would be overwritten; \
             choose another folder",
            derivatives.join(name).display(),
            path.display()
        );
    }
    Ok(())
}

pub(super) fn write_dataset_description(derivatives: &Path) -> anyhow::Result<()> {
    let description = DatasetDescription::new(DATASET_NAME, DatasetKind::Derivative);
    write_json(&derivatives.join("dataset_description.json"), &description)?;
    let ignored = b"scans.tsv\nfailures.csv\nqc.*\nfigures/\n.brainreel*\n";
    Ok(write_atomic(&derivatives.join(".bidsignore"), ignored)?)
}

/// What was made earlier of scans that are no longer in the dataset.
pub(super) struct Orphans {
    sidecars: Vec<PathBuf>,
}

/// Looks for what was made earlier of scans that are no longer in the dataset.
///
/// Only files count whose name is one that brainreel gives, beside a sidecar that it wrote.
///
/// # Errors
/// Nothing in the folder is of this dataset: it holds another one's, which is lost only with `replace`.
pub(super) fn find_orphans(
    derivatives: &Path,
    images: &[BidsImage],
    replace: bool,
) -> anyhow::Result<Orphans> {
    let wanted: BTreeSet<String> = images.iter().map(|image| image.name.scan_id()).collect();
    let (mut sidecars, mut n_known) = (Vec::new(), 0_usize);
    for entry in WalkDir::new(derivatives).min_depth(3).max_depth(4).sort_by_file_name() {
        let entry = entry.with_context(|| format!("listing {}", derivatives.display()))?;
        let file_name = entry.file_name().to_string_lossy();
        let Ok(name) = BidsName::parse(&file_name) else { continue };
        let is_sidecar = file_name.ends_with("_space-network_desc-preproc_T1w.json");
        if !is_sidecar || scan::read_sidecar(entry.path()).is_none() {
            continue;
        }
        if wanted.contains(&name.scan_id()) {
            n_known += 1;
        } else {
            sidecars.push(entry.into_path());
        }
    }
    anyhow::ensure!(
        replace || n_known > 0 || sidecars.is_empty(),
        "{} holds network inputs of {} scans, none of which is in this dataset; choose another folder, or pass \
         --replace to have them removed",
        derivatives.display(),
        sidecars.len()
    );
    Ok(Orphans { sidecars })
}

impl Orphans {
    /// Removes the files, and says of how many scans.
    pub(super) fn remove(self, derivatives: &Path) -> anyhow::Result<usize> {
        for sidecar in &self.sidecars {
            remove_files_of(derivatives, sidecar)?;
        }
        Ok(self.sidecars.len())
    }
}

/// Removes a page that earlier settings left and these do not make.
pub(super) fn remove_page(derivatives: &Path) -> anyhow::Result<()> {
    let page = derivatives.join("qc.html");
    if page.exists() {
        fs::remove_file(&page).with_context(|| format!("removing {}", page.display()))?;
    }
    Ok(())
}

/// Removes the files of one scan, its sidecar last, and the folders that this leaves empty.
fn remove_files_of(derivatives: &Path, sidecar: &Path) -> anyhow::Result<()> {
    let stem = sidecar.to_string_lossy().replace("_space-network_desc-preproc_T1w.json", "");
    let endings = [
        "_space-network_desc-preproc_T1w.nii.gz",
        "_space-native_desc-brain_T1w.nii.gz",
        "_space-native_desc-biasfield_T1w.nii.gz",
        "_space-native_desc-corrected_T1w.nii.gz",
        "_desc-brain_mask.nii.gz",
        "_desc-brain_mask.json",
    ];
    let scan = Path::new(&stem).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let picture = derivatives.join("figures").join(format!("{scan}_qc.svg"));
    let files =
        endings.iter().map(|ending| format!("{stem}{ending}").into()).chain([picture, sidecar.to_owned()]);
    for path in files {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", path.display()));
            }
            _ => {}
        }
    }
    for folder in sidecar.ancestors().skip(1).take_while(|folder| *folder != derivatives) {
        if fs::remove_dir(folder).is_err() {
            break; // not empty
        }
    }
    Ok(())
}
