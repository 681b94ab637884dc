//! `brainreel preprocess`: a BIDS dataset to network inputs.

use std::path::{Path, PathBuf};

use anyhow::Context;
use brainreel_artifact::{
    ContentHash, FolderLock, Provenance, hash_file, hash_json, write_atomic, write_json,
};
use brainreel_cohort::{
    ParticipantTable, Scan, ScanId, ScanTable, SessionId, SessionRow, SessionTable, SubjectId,
};
use brainreel_formats::bids::{self, BidsImage, DatasetDescription, DatasetKind};
use brainreel_formats::nifti;
use brainreel_preprocess::{
    NetworkTransform, PreprocessConfig, Preprocessed, QcRecord, QcWarning, preprocess,
};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::batch;
use crate::failures::{self, Failure};
use crate::finish::Finish;
use crate::folders::{self, Kind};
use crate::ui::Ui;

/// Raise whenever the same scan and configuration give other numbers.
pub(crate) const STAGE_REVISION: u32 = 1;

/// The name of the dataset, by which the folder is known again.
const DATASET_NAME: &str = "Network inputs made by brainreel; for research use only";

const EXAMPLES: &str = "\
Examples:
  brainreel preprocess bids derivatives
  brainreel preprocess bids derivatives --size 96 --spacing 1.5

Each scan is brought to RAS+, resampled to cubic voxels, cropped to the head and zoomed to a cube.
Run the same command again after an interruption: only unfinished scans are done.";

/// Turn a BIDS dataset into network inputs: RAS+, cubic voxels, cropped to the head, one size
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PreprocessArgs {
    /// BIDS dataset, as `brainreel convert` writes it or any other with T1w images
    bids_dir: PathBuf,
    /// Folder to write to
    derivatives_dir: PathBuf,
    /// Edge of the cubic network input, in voxels
    #[arg(long, value_name = "VOXELS", default_value_t = PreprocessConfig::default().size_voxels)]
    size: usize,
    /// Voxel size before cropping, in mm
    #[arg(long, value_name = "MM", default_value_t = PreprocessConfig::default().spacing_mm)]
    spacing: f64,
    /// Voxels of air kept around the head
    #[arg(long, value_name = "VOXELS", default_value_t = PreprocessConfig::default().padding_voxels)]
    padding: usize,
    /// Also keep each whole resampled volume (`desc-resampled`), before crop and zoom
    #[arg(long)]
    keep_resampled: bool,
    /// Scans to work on at a time (about half a gigabyte each) [default: one for each thread, at most 8]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

impl PreprocessArgs {
    fn config(&self) -> PreprocessConfig {
        PreprocessConfig {
            size_voxels: self.size,
            spacing_mm: self.spacing,
            padding_voxels: self.padding,
            ..PreprocessConfig::default()
        }
    }
}

/// What `preprocess` reports.
#[derive(Debug, Serialize)]
pub(crate) struct PreprocessReport {
    /// The folder that was written.
    pub(crate) derivatives: PathBuf,
    /// Scans in `scans.tsv`.
    pub(crate) n_scans: usize,
    /// Of those, scans that an earlier run had already done.
    pub(crate) n_up_to_date: usize,
    /// Scans that a person should look at, and why.
    pub(crate) warnings: Vec<Failure>,
    /// Scans that failed, all listed in `failures.csv`.
    pub(crate) failures: Vec<Failure>,
}

/// Where to read, where to write and how.
pub(crate) struct Request<'a> {
    /// The BIDS dataset.
    pub(crate) bids: &'a Path,
    /// The folder to write to.
    pub(crate) derivatives: &'a Path,
    /// What is computed.
    pub(crate) config: &'a PreprocessConfig,
    /// Whether to keep the resampled volumes.
    pub(crate) keep_resampled: bool,
    /// Scans in memory at a time.
    pub(crate) n_jobs: usize,
}

/// The JSON beside each network input.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sidecar {
    description: String,
    sources: Vec<String>,
    skull_stripped: bool,
    transform: NetworkTransform,
    quality: QcRecord,
    image_sha256: ContentHash,
    /// The whole resampled volume, where it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resampled_sha256: Option<ContentHash>,
    provenance: Provenance,
}

/// Runs the subcommand.
pub(crate) fn execute(args: &PreprocessArgs, ui: &Ui) -> anyhow::Result<Finish> {
    let request = Request {
        bids: &args.bids_dir,
        derivatives: &args.derivatives_dir,
        config: &args.config(),
        keep_resampled: args.keep_resampled,
        n_jobs: args.jobs.unwrap_or_else(batch::default_jobs),
    };
    let report = perform(&request, ui)?;
    ui.summary(&report)?;
    Ok(Finish::from_failures(report.failures.len()))
}

/// Preprocesses every T1-weighted image of a dataset.
pub(crate) fn perform(request: &Request<'_>, ui: &Ui) -> anyhow::Result<PreprocessReport> {
    request.config.validated()?;
    folders::check_input(request.bids, "a BIDS dataset")?;
    folders::check_apart(request.bids, request.derivatives)?;
    refuse_derivatives(request.bids)?;
    folders::check_kind(request.bids, Kind::Bids)?;
    folders::check_output(request.derivatives)?;
    refuse_foreign(request.derivatives)?;
    let images = bids::list_t1w(request.bids)?;
    if images.is_empty() {
        anyhow::bail!(
            "{} holds no T1-weighted image: expected sub-*/ses-*/anat/*_T1w.nii.gz, as `brainreel convert` writes them",
            request.bids.display()
        );
    }
    let lock = FolderLock::acquire(request.derivatives)?;
    lock.remove_litter();
    write_dataset_description(request.derivatives)?;
    let people = People::read(request.bids)?;
    let bar = ui.progress("preprocess", images.len());
    let outcomes = batch::map(&images, request.n_jobs, |image| {
        let outcome = preprocess_scan(image, request);
        bar.inc();
        outcome
    });
    bar.finish();
    let (mut scans, mut warnings, mut failures, mut n_up_to_date) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for (image, outcome) in images.iter().zip(outcomes) {
        match outcome.and_then(|done| Ok((people.describe(image, &done)?, done.up_to_date, done.warnings))) {
            Ok((scan, up_to_date, of_scan)) => {
                let named = |warning: &QcWarning| Failure::noted(image.name.scan_id(), warning);
                warnings.extend(of_scan.iter().map(named));
                n_up_to_date += usize::from(up_to_date);
                scans.push(scan);
            }
            Err(error) => failures.push(Failure::new(image.name.scan_id(), &error)),
        }
    }
    failures::warn("preprocess", &warnings, ui);
    failures::report(&request.derivatives.join("failures.csv"), "preprocess", &failures, ui)?;
    if scans.is_empty() {
        anyhow::bail!("none of the {} scans could be preprocessed", images.len());
    }
    let n_scans = scans.len();
    write_atomic(&request.derivatives.join("scans.tsv"), ScanTable::new(scans)?.to_tsv().as_bytes())?;
    ui.note(format!(
        "{:>12} {n_scans} network inputs ({n_up_to_date} were up to date), {} failed, in {}",
        "preprocess",
        failures.len(),
        request.derivatives.display()
    ));
    Ok(PreprocessReport {
        derivatives: request.derivatives.to_owned(),
        n_scans,
        n_up_to_date,
        warnings,
        failures,
    })
}

/// A network input that is on the disk.
struct Done {
    image: String,
    sha256: ContentHash,
    up_to_date: bool,
    warnings: Vec<QcWarning>,
}

fn preprocess_scan(image: &BidsImage, request: &Request<'_>) -> anyhow::Result<Done> {
    let folder = request.derivatives;
    let output = image.name.derivative("network", "preproc");
    let sidecar_path = folder.join(output.with_extension_json());
    let provenance = Provenance::new("preprocess", STAGE_REVISION, request.config, hash_file(&image.path)?);
    let relative = output.relative_path_text();
    let image_path = folder.join(&relative);
    let resampled = folder.join(image.name.derivative("native", "resampled").relative_path_text());
    let wanted = request.keep_resampled.then_some(resampled.as_path());
    if let Some(earlier) = finished_before(&sidecar_path, &image_path, wanted, &provenance) {
        let (sha256, warnings) = (earlier.image_sha256, earlier.quality.warnings);
        return Ok(Done { image: relative, sha256, up_to_date: true, warnings });
    }
    let native = nifti::read_f32(&image.path)?;
    let Preprocessed { network_input, native_1mm, transform, qc } =
        preprocess(&native, request.config).with_context(|| image.path.display().to_string())?;
    nifti::write(&image_path, &network_input)?;
    if let Some(path) = wanted {
        nifti::write(path, &native_1mm)?;
    }
    let sha256 = hash_file(&image_path)?;
    let sidecar = Sidecar {
        description: "Network input of brainreel; for research use only".to_owned(),
        sources: vec![format!("bids:raw:{}", image.name.relative_path_text())],
        skull_stripped: false,
        transform,
        quality: qc,
        image_sha256: sha256.clone(),
        resampled_sha256: wanted.map(hash_file).transpose()?,
        provenance,
    };
    write_json(&sidecar_path, &sidecar)?;
    Ok(Done { image: relative, sha256, up_to_date: false, warnings: sidecar.quality.warnings })
}

/// The sidecar, if it says that it was made from the same input in the same way, and
/// the image (and the resampled volume, if it is wanted) is still the one that was written.
fn finished_before(
    sidecar: &Path,
    image: &Path,
    resampled: Option<&Path>,
    provenance: &Provenance,
) -> Option<Sidecar> {
    let sidecar: Sidecar = read_sidecar(sidecar)?;
    if let Some(path) = resampled
        && Some(hash_file(path).ok()?) != sidecar.resampled_sha256
    {
        return None;
    }
    let intact = sidecar.provenance == *provenance && hash_file(image).ok()? == sidecar.image_sha256;
    intact.then_some(sidecar)
}

fn read_sidecar(path: &Path) -> Option<Sidecar> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Hash of the settings that a network input was made with, as its sidecar says; nothing if brainreel did
/// not make it.
pub(crate) fn settings_of(image: &Path) -> Option<ContentHash> {
    let text = image.to_string_lossy();
    let stem = text.strip_suffix(".gz").unwrap_or(&text);
    Some(read_sidecar(&PathBuf::from(stem).with_extension("json"))?.provenance.parameters)
}

/// Hash of settings, as sidecars have it.
pub(crate) fn hash_of_settings(config: &PreprocessConfig) -> ContentHash {
    hash_json(config)
}

/// What the dataset's tables say about its people.
struct People<'a> {
    bids: &'a Path,
    participants: ParticipantTable,
}

impl<'a> People<'a> {
    fn read(bids: &'a Path) -> anyhow::Result<Self> {
        let path = bids.join("participants.tsv");
        let participants =
            if path.exists() { ParticipantTable::read(&path)? } else { ParticipantTable::default() };
        Ok(Self { bids, participants })
    }

    /// The row of `scans.tsv`: diagnosis and age belong to the session, sex to the person.
    fn describe(&self, image: &BidsImage, done: &Done) -> anyhow::Result<Scan> {
        // BIDS lets a subject do without sessions: then all is one session.
        let session = SessionId::parse(image.name.session().unwrap_or("1"))?;
        let scan_id = ScanId::new(&SubjectId::parse(image.name.subject())?, &session, image.name.run());
        let folder = format!("sub-{}", image.name.subject());
        let path = self.bids.join(&folder).join(format!("{folder}_sessions.tsv"));
        let sessions = if path.exists() { SessionTable::read(&path)? } else { SessionTable::default() };
        let session = sessions.get(scan_id.session());
        Ok(Scan {
            diagnosis: session.and_then(SessionRow::diagnosis),
            age_years: session.and_then(|row| row.age_years),
            sex: self.participants.get(scan_id.subject()).and_then(|row| row.sex),
            image: done.image.clone(),
            sha256: Some(done.sha256.to_string()),
            scan_id,
        })
    }
}

/// What `dataset_description.json` of a folder says, if it is there and JSON.
fn description_of(folder: &Path) -> Option<serde_json::Value> {
    serde_json::from_slice(&std::fs::read(folder.join("dataset_description.json")).ok()?).ok()
}

/// Network inputs are no scans to start from.
fn refuse_derivatives(bids: &Path) -> anyhow::Result<()> {
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
fn refuse_foreign(derivatives: &Path) -> anyhow::Result<()> {
    let path = derivatives.join("dataset_description.json");
    let ours = description_of(derivatives).is_some_and(|description| {
        description["Name"].as_str() == Some(DATASET_NAME)
            && description["GeneratedBy"][0]["Name"].as_str() == Some("brainreel")
    });
    let foreign = ["dataset_description.json", ".bidsignore", "scans.tsv", "failures.csv"]
        .into_iter()
        .find(|name| !ours && derivatives.join(name).exists());
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

fn write_dataset_description(derivatives: &Path) -> anyhow::Result<()> {
    let description = DatasetDescription::new(DATASET_NAME, DatasetKind::Derivative);
    write_json(&derivatives.join("dataset_description.json"), &description)?;
    Ok(write_atomic(&derivatives.join(".bidsignore"), b"scans.tsv\nfailures.csv\n.brainreel*\n")?)
}
