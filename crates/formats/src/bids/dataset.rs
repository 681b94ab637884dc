//! Layout of a dataset.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{BidsError, BidsName};

/// A T1-weighted image of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BidsImage {
    /// Where it is.
    pub path: PathBuf,
    /// Its name. If several images of a session would share a scan id (for example, they differ in `acq`),
    /// they get runs 1, 2... in path order.
    pub name: BidsName,
}

/// The T1-weighted images of a dataset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct T1wListing {
    /// The images, in path order.
    pub images: Vec<BidsImage>,
    /// Files that look like T1-weighted images but violate BIDS names or layout.
    pub skipped: Vec<SkippedImage>,
}

/// A rejected file, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedImage {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl std::fmt::Display for SkippedImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is skipped: {}", self.path.display(), self.reason)
    }
}

/// Lists `sub-*/[ses-*/]anat/*_T1w.nii[.gz]` of a dataset, in path order.
///
/// # Errors
/// [`BidsError::List`] if the folder, or one in it, cannot be listed.
pub fn list_t1w(root: &Path) -> Result<T1wListing, BidsError> {
    let mut listing = T1wListing::default();
    for subject in entries(root, "sub-")? {
        let anat = subject.join("anat");
        if anat.is_dir() {
            collect(&anat, &mut listing)?;
        }
        for session in entries(&subject, "ses-")? {
            let anat = session.join("anat");
            if anat.is_dir() {
                collect(&anat, &mut listing)?;
            }
        }
    }
    listing.images.sort_by(|a, b| a.path.cmp(&b.path));
    number_runs(&mut listing.images);
    Ok(listing)
}

/// Folders in `folder` whose names start with `prefix`.
fn entries(folder: &Path, prefix: &str) -> Result<Vec<PathBuf>, BidsError> {
    let mut paths = list(folder)?;
    paths.retain(|path| {
        let name = path.file_name().map(|name| name.to_string_lossy());
        name.is_some_and(|name| name.starts_with(prefix)) && path.is_dir()
    });
    Ok(paths)
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, BidsError> {
    let failed = |source| BidsError::List { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    Ok(paths)
}

fn collect(anat: &Path, listing: &mut T1wListing) -> Result<(), BidsError> {
    for path in list(anat)? {
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !file.ends_with("_T1w.nii.gz") && !file.ends_with("_T1w.nii") {
            continue;
        }
        let reason = match BidsName::parse(&file) {
            Ok(name) if lies_where_it_belongs(anat, &name) => {
                listing.images.push(BidsImage { path, name });
                continue;
            }
            Ok(_) => "it lies in another subject's or session's folder".to_owned(),
            Err(error) => error.to_string(),
        };
        listing.skipped.push(SkippedImage { path, reason });
    }
    Ok(())
}

fn lies_where_it_belongs(anat: &Path, name: &BidsName) -> bool {
    name.relative_path().parent().is_some_and(|folder| anat.ends_with(folder))
}

fn number_runs(images: &mut [BidsImage]) {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for image in images.iter() {
        *counts.entry(image.name.scan_id()).or_default() += 1;
    }
    if counts.values().all(|&count| count == 1) {
        return;
    }
    // If a session has any clash, all its images are renumbered, so that no new run equals an old one.
    let session_of = |name: &BidsName| name.clone().with_run(None).scan_id();
    let clashing: Vec<String> = images
        .iter()
        .filter(|image| counts[&image.name.scan_id()] > 1)
        .map(|image| session_of(&image.name))
        .collect();
    let mut next: BTreeMap<String, u32> = BTreeMap::new();
    for image in images.iter_mut() {
        let session = session_of(&image.name);
        if clashing.contains(&session) {
            let run = next.entry(session).or_insert(0);
            *run += 1;
            image.name = image.name.clone().with_run(Some(*run));
        }
    }
}

/// Raw or derivative dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DatasetKind {
    /// Raw data.
    Raw,
    /// Derivatives.
    Derivative,
}

/// The content of `dataset_description.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DatasetDescription {
    /// Name of the dataset.
    pub name: String,
    /// Version of the specification.
    #[serde(rename = "BIDSVersion")]
    pub bids_version: String,
    /// Raw or derivative.
    pub dataset_type: DatasetKind,
    /// Its generator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub generated_by: Vec<GeneratedBy>,
}

/// A program that generated a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GeneratedBy {
    /// The program.
    pub name: String,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl DatasetDescription {
    /// Description of a dataset generated by brainreel.
    #[must_use]
    pub fn new(name: &str, kind: DatasetKind) -> Self {
        let version = Some(brainreel_artifact::TOOL_VERSION.to_owned());
        Self {
            name: name.to_owned(),
            bids_version: "1.10.0".to_owned(),
            dataset_type: kind,
            generated_by: vec![GeneratedBy { name: "brainreel".to_owned(), version }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        root
    }

    fn ids(root: &Path) -> Vec<String> {
        list_t1w(root).unwrap().images.iter().map(|image| image.name.scan_id()).collect()
    }

    #[test]
    fn images_are_listed_in_order_and_nothing_else() {
        let root = dataset(&[
            "sub-02/anat/sub-02_T1w.nii",
            "sub-01/ses-m06/anat/sub-01_ses-m06_T1w.nii.gz",
            "sub-01/ses-m06/anat/sub-01_ses-m06_T1w.json",
            "sub-01/ses-m06/anat/sub-01_ses-m06_T2w.nii.gz",
            "sub-01/ses-m06/anat/sub-09_ses-m06_T1w.nii.gz",
            "sub-01/ses-bl/anat/sub-01_ses-bl_run-2_T1w.nii.gz",
            "sub-01/ses-bl/anat/nonsense_T1w.nii.gz",
            "derivatives/sub-01/anat/sub-01_T1w.nii.gz",
            "participants.tsv",
        ]);
        let skipped: Vec<String> =
            list_t1w(root.path()).unwrap().skipped.iter().map(ToString::to_string).collect();
        assert!(skipped[0].contains("nonsense_T1w.nii.gz is skipped: file name"), "{skipped:?}");
        assert!(skipped[1].contains("sub-09_ses-m06_T1w.nii.gz is skipped: it lies in another subject's"));
        assert_eq!(skipped.len(), 2);
        assert_eq!(ids(root.path()), ["sub-01_ses-bl_run-2", "sub-01_ses-m06", "sub-02_ses-1"]);
        assert!(list_t1w(&root.path().join("nowhere")).is_err());
    }

    #[test]
    fn clashing_scan_ids_become_runs() {
        let root = dataset(&[
            "sub-01/anat/sub-01_acq-a_T1w.nii.gz",
            "sub-01/anat/sub-01_acq-b_T1w.nii.gz",
            "sub-01/anat/sub-01_run-1_T1w.nii.gz",
        ]);
        assert_eq!(ids(root.path()), ["sub-01_ses-1_run-1", "sub-01_ses-1_run-2", "sub-01_ses-1_run-3"]);
    }

    #[test]
    fn the_description_has_the_keys_of_the_specification() {
        let json = serde_json::to_string(&DatasetDescription::new("ADNI", DatasetKind::Derivative)).unwrap();
        assert!(
            json.starts_with(r#"{"Name":"ADNI","BIDSVersion":"1.10.0","DatasetType":"derivative""#),
            "{json}"
        );
    }
}
