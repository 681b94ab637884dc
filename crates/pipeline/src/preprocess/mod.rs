//! A BIDS dataset to network inputs.
//!
//! Every T1-weighted image becomes a network input with a sidecar, a brain mask and a picture. Scans are
//! worked on side by side as far as memory allows. A rerun does only what is not up to date.

mod extractor;
mod files;
mod folder;
mod gallery;
mod keep;
mod people;
mod picture;
mod quality;
mod scan;
mod sidecar;

use std::path::PathBuf;

use brainreel_artifact::{FolderLock, write_atomic};
use brainreel_cohort::ScanTable;
use brainreel_formats::bids::{self, BidsImage, T1wListing};
use brainreel_formats::nifti;
use brainreel_preprocess::{ExtractorChoice, PreprocessConfig, ValidPreprocessConfig};
use serde::Serialize;

use crate::batch::{self, Limits};
use crate::failures::{self, Failure};
use crate::folders::{self, Kind};
use crate::{Detail, Observer, Reporter, Stage, StageError};

pub use extractor::check_extractor;
pub use keep::Keep;
pub use sidecar::hash_of_settings;

use extractor::Extractors;
use files::Companion;
use gallery::Shown;
use people::People;
use quality::Graded;
use scan::Done;

/// Where to read, where to write and how.
#[derive(Debug, Clone)]
pub struct PreprocessRequest {
    /// The BIDS dataset.
    pub bids: PathBuf,
    /// The folder to write to.
    pub derivatives: PathBuf,
    /// What is computed. Default: SynthStrip, 1 mm, N4, a cube of 128 voxels.
    pub config: PreprocessConfig,
    /// Folder with brain masks, laid out like the dataset, for the extractor `mask`. Default: none.
    pub masks: Option<PathBuf>,
    /// File with SynthStrip's weights. Default: those in the cache.
    pub weights: Option<PathBuf>,
    /// Images between the steps that are written too. Default: none.
    pub keep: Vec<Keep>,
    /// Whether to draw pictures. Default: yes.
    pub pictures: bool,
    /// Whether network inputs of another dataset may be removed from the folder. Default: no.
    pub replace: bool,
    /// Scans and memory at a time. Default: one scan for each thread, at most 8, in four fifths of the free
    /// memory.
    pub limits: Limits,
}

impl PreprocessRequest {
    /// A request with the defaults.
    pub fn new(bids: impl Into<PathBuf>, derivatives: impl Into<PathBuf>) -> Self {
        Self {
            bids: bids.into(),
            derivatives: derivatives.into(),
            config: PreprocessConfig::default(),
            masks: None,
            weights: None,
            keep: Vec::new(),
            pictures: true,
            replace: false,
            limits: Limits { n_jobs: batch::default_jobs(), max_bytes: batch::default_bytes() },
        }
    }
}

/// What `preprocess` did.
#[derive(Debug, Serialize)]
pub struct PreprocessSummary {
    /// The folder that was written.
    pub derivatives: PathBuf,
    /// The brain extractor, as the settings name it.
    pub brain_extractor: &'static str,
    /// Scans in `scans.tsv`.
    pub n_scans: usize,
    /// Of those, scans that an earlier run had already done.
    pub n_up_to_date: usize,
    /// Scans of an earlier run that are no longer in the dataset, whose files were removed.
    pub n_removed: usize,
    /// Scans that a person should look at, and why.
    pub warnings: Vec<Failure>,
    /// Scans that stand out from the others, and in what; also in `qc.tsv`.
    pub outliers: Vec<Failure>,
    /// Scans that failed, all listed in `failures.csv`.
    pub failures: Vec<Failure>,
}

/// Preprocesses every T1-weighted image of a dataset.
///
/// # Errors
/// [`StageError`]: the dataset is none, the settings contradict each other or name an extractor that is not
/// there, the folder holds something else, or no scan could be preprocessed. Scans that fail while others
/// succeed are listed in the summary.
pub fn run(
    request: &PreprocessRequest,
    observer: &mut dyn Observer,
) -> Result<PreprocessSummary, StageError> {
    let reporter = Reporter::new(Stage::Preprocess, observer);
    let config = request.config.clone().validated()?;
    let images = prepare(request, &reporter)?;
    let extractors = Extractors::open(&config, request.masks.as_deref(), request.weights.as_deref())?;
    let derivatives = &request.derivatives;
    let lock = FolderLock::acquire(derivatives)?;
    lock.remove_litter();
    let orphans = folder::find_orphans(derivatives, &images, request.replace)?;
    folder::write_dataset_description(derivatives)?;
    let people = People::read(&request.bids)?;
    let batch = Batch { request, config: &config, extractors: &extractors, people: &people };
    let Outcome { scans, done, failures } = batch.preprocess_all(&images, &reporter)?;
    failures::write_table(&derivatives.join("failures.csv"), &failures, &reporter)?;
    if scans.is_empty() {
        let reason = format!("none of the {} scans could be preprocessed", images.len());
        return Err(StageError::NothingLeft { reason });
    }
    let n_removed = orphans.remove(derivatives, &reporter)?;
    let graded = grade_all(request, &done, &failures)?;
    let warnings = list_warnings(&graded);
    let outliers = list_outliers(&graded);
    let table = derivatives.join("qc.tsv").display().to_string();
    failures::warn(&warnings, &table, &reporter);
    failures::warn(&outliers, &table, &reporter);
    write_atomic(&derivatives.join("scans.tsv"), ScanTable::new(scans)?.to_tsv().as_bytes())?;
    let summary = PreprocessSummary {
        derivatives: derivatives.clone(),
        brain_extractor: config.brain_extractor.name(),
        n_scans: done.len(),
        n_up_to_date: done.iter().filter(|scan| scan.done.up_to_date).count(),
        n_removed,
        warnings,
        outliers,
        failures,
    };
    report(&summary, request.pictures, &reporter);
    Ok(summary)
}

/// Checks everything that can be checked before the first scan, and lists the scans.
fn prepare(request: &PreprocessRequest, reporter: &Reporter<'_>) -> Result<Vec<BidsImage>, StageError> {
    let PreprocessRequest { bids, derivatives, .. } = request;
    folders::check_input(bids, "a BIDS dataset")?;
    folders::check_apart(bids, derivatives)?;
    if let Some(masks) = &request.masks {
        folders::check_input(masks, "brain masks")?;
        folders::check_apart(masks, derivatives)?;
    }
    folder::refuse_derivatives(bids)?;
    folders::check_kind(bids, Kind::Bids)?;
    folders::check_output(derivatives)?;
    folder::refuse_foreign(derivatives)?;
    let T1wListing { images, skipped } = bids::list_t1w(bids)?;
    for skipped in &skipped {
        reporter.warn(skipped.to_string());
    }
    if images.is_empty() {
        let expected = "sub-*/ses-*/anat/*_T1w.nii.gz, as the stage `convert` writes them";
        return Err(StageError::input(bids, "holds no T1-weighted image", expected));
    }
    Ok(images)
}

/// What all scans share.
struct Batch<'a> {
    request: &'a PreprocessRequest,
    config: &'a ValidPreprocessConfig,
    extractors: &'a Extractors,
    people: &'a People<'a>,
}

/// A scan whose files are on the disk.
struct DoneScan<'a> {
    image: &'a BidsImage,
    done: Done,
}

/// What became of all scans.
#[derive(Default)]
struct Outcome<'a> {
    scans: Vec<brainreel_cohort::Scan>,
    done: Vec<DoneScan<'a>>,
    failures: Vec<Failure>,
}

impl Batch<'_> {
    fn preprocess_all<'a>(
        &self,
        images: &'a [BidsImage],
        reporter: &Reporter<'_>,
    ) -> Result<Outcome<'a>, StageError> {
        let progress = reporter.progress("preprocess", images.len());
        let mut limits = self.request.limits;
        if self.config.brain_extractor == ExtractorChoice::SynthStrip {
            limits.max_bytes = limits.max_bytes.saturating_sub(NETWORK_BYTES);
        }
        let bytes = |image: &BidsImage| estimated_bytes(image, self.config);
        let outcomes = batch::map_within(images, limits, bytes, |image| {
            reporter.check_cancelled()?;
            let outcome = scan::preprocess_scan(image, self.request, self.config, self.extractors);
            progress.inc();
            let how = match &outcome {
                Ok(Done { up_to_date: true, .. }) => "up to date",
                Ok(_) => "preprocessed",
                Err(_) => "failed",
            };
            reporter.detail(Detail::Item, format!("{}: {how}", image.path.display()));
            outcome
        });
        progress.finish();
        reporter.check_cancelled()?;
        let mut all = Outcome::default();
        for (image, outcome) in images.iter().zip(outcomes) {
            match outcome.and_then(|done| Ok((self.people.describe(image, &done)?, done))) {
                Ok((scan, done)) => {
                    all.scans.push(scan);
                    all.done.push(DoneScan { image, done });
                }
                Err(error) => all.failures.push(Failure::new(image.name.scan_id(), &error)),
            }
        }
        Ok(all)
    }
}

/// Bytes for a scan's own voxels, and for those after resampling: generous, since allocators keep some. A
/// head of 9.1 million voxels, 6.3 million after resampling, peaked at 279 MB where this says 410.
const BYTES_PER_NATIVE_VOXEL: f64 = 20.0;
const BYTES_PER_RESAMPLED_VOXEL: f64 = 36.0;

/// What the network of SynthStrip takes, once for all scans: `strip` peaked at 1.17 GB for a head of
/// 188x256x190 voxels, and at 1.69 GB for the largest grid, 320³.
const NETWORK_BYTES: u64 = 1_700_000_000;

/// Estimates the memory that a scan takes, from its header. 0 for one that cannot be read, which fails soon.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rough number of bytes"
)]
fn estimated_bytes(image: &BidsImage, config: &PreprocessConfig) -> u64 {
    let Ok(header) = nifti::read_header(&image.path) else { return 0 };
    let grid = header.grid;
    let n_native = grid.n_voxels() as f64;
    let native_mm3: f64 = grid.spacing_mm().iter().product();
    let n_resampled =
        if config.resample { n_native * native_mm3 / config.spacing_mm.powi(3) } else { n_native };
    (n_native * BYTES_PER_NATIVE_VOXEL + n_resampled * BYTES_PER_RESAMPLED_VOXEL) as u64
}

/// Writes the tables of quality and the page of pictures.
fn grade_all<'a>(
    request: &PreprocessRequest,
    done: &'a [DoneScan<'_>],
    failures: &[Failure],
) -> Result<Vec<Graded<'a>>, StageError> {
    let scans = done.iter().map(|scan| (scan.image.name.scan_id(), &scan.done.quality));
    let graded = quality::grade(scans);
    quality::write(&request.derivatives, &graded)?;
    if request.pictures {
        let shown: Vec<Shown<'_>> = graded
            .iter()
            .zip(done)
            .map(|(graded, scan)| Shown { graded, picture: Companion::Picture.path(&scan.image.name) })
            .collect();
        gallery::write(&request.derivatives, &shown, failures)?;
    } else {
        files::remove_file(&request.derivatives.join("qc.html"))?;
    }
    Ok(graded)
}

/// Warnings of single scans.
fn list_warnings(graded: &[Graded<'_>]) -> Vec<Failure> {
    let of_scan = |scan: &Graded<'_>| {
        let scan_id = scan.scan_id.clone();
        let attention = move |warning| Failure::attention(scan_id.as_str(), warning);
        scan.qc.warnings.iter().map(attention).collect::<Vec<_>>()
    };
    graded.iter().flat_map(of_scan).collect()
}

/// Scans that stand out from the others.
fn list_outliers(graded: &[Graded<'_>]) -> Vec<Failure> {
    let outliers = graded.iter().filter(|scan| !scan.outlier_in.is_empty());
    outliers
        .map(|scan| Failure::attention(scan.scan_id.as_str(), format!("stands out in {}", scan.stands_out())))
        .collect()
}

fn report(summary: &PreprocessSummary, pictures: bool, reporter: &Reporter<'_>) {
    if summary.n_removed > 0 {
        reporter.warn(format!(
            "removed the files of {} scans that are no longer in the dataset",
            summary.n_removed
        ));
    }
    reporter.note(format!(
        "{} network inputs ({} were up to date), {} failed, in {} (brain extractor: {})",
        summary.n_scans,
        summary.n_up_to_date,
        summary.failures.len(),
        summary.derivatives.display(),
        summary.brain_extractor,
    ));
    if pictures {
        reporter.note(format!("look at {}", summary.derivatives.join("qc.html").display()));
    }
}

#[cfg(test)]
mod tests;
