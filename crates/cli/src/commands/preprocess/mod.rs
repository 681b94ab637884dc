//! `brainreel preprocess`: a BIDS dataset to network inputs.

mod extractor;
mod folder;
mod gallery;
pub(crate) mod people;
mod picture;
mod quality;
mod scan;

use std::path::{Path, PathBuf};

use brainreel_artifact::{ContentHash, FolderLock, hash_json, write_atomic};
use brainreel_cohort::ScanTable;
use brainreel_formats::bids::{self, BidsImage, T1wListing};
use brainreel_formats::nifti;
use brainreel_preprocess::{
    BiasCorrection, BiasRegion, ExtractorChoice, PreprocessConfig, ValidPreprocessConfig,
};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::batch::{self, Limits};
use crate::failures::{self, Failure};
use crate::finish::Finish;
use crate::folders::{self, Kind};
use crate::named;
use crate::ui::Ui;

pub(crate) use extractor::{Extractors, Sources};
use gallery::Shown;
use people::People;
use quality::Graded;
use scan::Done;

const EXAMPLES: &str = "\
Examples:
  brainreel preprocess bids derivatives                               # SynthStrip, whose weights must be there
  brainreel preprocess bids derivatives --extractor bet               # the classical extractor, without weights
  brainreel preprocess bids derivatives --extractor mask --masks masks
  brainreel preprocess stripped derivatives --extractor none --bias-region foreground
  brainreel preprocess bids derivatives --extractor none --bias none --size 96 --spacing 1.5

Each scan is brought to RAS+; the brain is cut out, resampled to cubic voxels, freed of its bias field (N4),
cropped and zoomed to a cube. Look at qc.html in the derivatives before you train.
Run the same command again after an interruption: only unfinished scans are done.";

/// Turn a BIDS dataset into network inputs: RAS+, brain only, cubic voxels, even brightness, one size
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PreprocessArgs {
    /// BIDS dataset, as `brainreel convert` writes it or any other with T1w images
    bids_dir: PathBuf,
    /// Folder to write to
    derivatives_dir: PathBuf,
    /// Who finds the brain
    #[arg(long, value_name = "NAME", value_parser = named::any::<ExtractorChoice>(), default_value = "synthstrip")]
    extractor: ExtractorChoice,
    /// Folder with brain masks, laid out like the dataset: sub-*/ses-*/anat/*_desc-brain_mask.nii.gz on the
    /// voxels of the scans
    #[arg(long, value_name = "DIR")]
    masks: Option<PathBuf>,
    /// File with SynthStrip's weights instead of those in the cache
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// How far beyond the brain's surface SynthStrip's mask reaches, in mm
    #[arg(long, value_name = "MM", allow_negative_numbers = true,
          default_value_t = PreprocessConfig::default().synthstrip.border_mm)]
    border: f64,
    /// How the bias field is taken out
    #[arg(long, value_name = "NAME", value_parser = named::any::<BiasCorrection>(), default_value = "n4")]
    bias: BiasCorrection,
    /// From which voxels the bias field is estimated; `foreground` is for images that are stripped already
    #[arg(long, value_name = "NAME", value_parser = named::any::<BiasRegion>(), default_value = "brain")]
    bias_region: BiasRegion,
    /// Edge of the cubic network input, in voxels
    #[arg(long, value_name = "VOXELS", default_value_t = PreprocessConfig::default().size_voxels)]
    size: usize,
    /// Voxel size before cropping, in mm
    #[arg(long, value_name = "MM", default_value_t = PreprocessConfig::default().spacing_mm)]
    spacing: f64,
    /// Voxels kept around the brain
    #[arg(long, value_name = "VOXELS", default_value_t = PreprocessConfig::default().padding_voxels)]
    padding: usize,
    /// Also keep images between the steps, at the resampled spacing: brain (before bias correction), field,
    /// corrected, or all. The brain mask is always kept
    #[arg(long, value_name = "IMAGE", value_delimiter = ',')]
    keep: Vec<KeepArg>,
    /// Draw no pictures (figures/ and qc.html)
    #[arg(long)]
    no_pictures: bool,
    /// Remove the network inputs of another dataset that the folder holds
    #[arg(long)]
    replace: bool,
    /// Scans to work on at a time [default: one for each thread, at most 8, and what the memory holds]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Memory that scans may take together, in GB [default: four fifths of what is free]
    #[arg(long, value_name = "GB")]
    memory: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KeepArg {
    Brain,
    Field,
    Corrected,
    All,
}

/// An image between the steps that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Keep {
    /// The brain before bias correction.
    Brain,
    /// The bias field.
    Field,
    /// The image that is cropped.
    Corrected,
}

impl Keep {
    const ALL: [Self; 3] = [Self::Brain, Self::Field, Self::Corrected];

    /// The BIDS entity `desc`.
    const fn description(self) -> &'static str {
        match self {
            Self::Brain => "brain",
            Self::Field => "biasfield",
            Self::Corrected => "corrected",
        }
    }
}

impl PreprocessArgs {
    fn config(&self) -> PreprocessConfig {
        let mut config = PreprocessConfig {
            brain_extractor: self.extractor,
            bias_correction: self.bias,
            bias_region: self.bias_region,
            size_voxels: self.size,
            spacing_mm: self.spacing,
            padding_voxels: self.padding,
            ..PreprocessConfig::default()
        };
        config.synthstrip.border_mm = self.border;
        config
    }

    fn keep(&self) -> Vec<Keep> {
        let chosen = |keep: &Keep| {
            let own = match keep {
                Keep::Brain => KeepArg::Brain,
                Keep::Field => KeepArg::Field,
                Keep::Corrected => KeepArg::Corrected,
            };
            self.keep.iter().any(|&arg| arg == own || arg == KeepArg::All)
        };
        Keep::ALL.into_iter().filter(chosen).collect()
    }

    fn limits(&self) -> anyhow::Result<Limits> {
        let max_bytes = match self.memory {
            None => batch::default_bytes(),
            Some(gb) if gb.is_finite() && gb > 0.0 => bytes_of(gb),
            Some(gb) => anyhow::bail!("--memory is {gb} GB, expected a positive number"),
        };
        Ok(Limits { n_jobs: self.jobs.unwrap_or_else(batch::default_jobs), max_bytes })
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive; saturates")]
fn bytes_of(gb: f64) -> u64 {
    (gb * 1e9) as u64
}

/// What `preprocess` reports.
#[derive(Debug, Serialize)]
pub(crate) struct PreprocessReport {
    /// The folder that was written.
    pub(crate) derivatives: PathBuf,
    /// Who found the brains, as the settings name it.
    pub(crate) brain_extractor: &'static str,
    /// Scans in `scans.tsv`.
    pub(crate) n_scans: usize,
    /// Of those, scans that an earlier run had already done.
    pub(crate) n_up_to_date: usize,
    /// Scans of an earlier run that are no longer in the dataset, whose files were removed.
    pub(crate) n_removed: usize,
    /// Scans that a person should look at, and why.
    pub(crate) warnings: Vec<Failure>,
    /// Scans that stand out from the others, and in what; also in `qc.tsv`.
    pub(crate) outliers: Vec<Failure>,
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
    pub(crate) config: &'a ValidPreprocessConfig,
    /// Files that the extractor needs.
    pub(crate) sources: Sources<'a>,
    /// Images between the steps that are kept.
    pub(crate) keep: &'a [Keep],
    /// Whether to draw pictures.
    pub(crate) pictures: bool,
    /// Whether network inputs of another dataset may be removed.
    pub(crate) replace: bool,
    /// Scans and memory at a time.
    pub(crate) limits: Limits,
}

/// Runs the subcommand.
pub(crate) fn execute(args: &PreprocessArgs, ui: &Ui) -> anyhow::Result<Finish> {
    let config = args.config().validated()?;
    let request = Request {
        bids: &args.bids_dir,
        derivatives: &args.derivatives_dir,
        sources: Sources { masks: args.masks.as_deref(), weights: args.weights.as_deref() },
        config: &config,
        keep: &args.keep(),
        pictures: !args.no_pictures,
        replace: args.replace,
        limits: args.limits()?,
    };
    let report = perform(&request, ui)?;
    ui.summary(&report)?;
    Ok(Finish::from_failures(report.failures.len()))
}

/// Preprocesses every T1-weighted image of a dataset.
pub(crate) fn perform(request: &Request<'_>, ui: &Ui) -> anyhow::Result<PreprocessReport> {
    let images = prepare(request, ui)?;
    let extractors = Extractors::open(request.config, request.sources)?;
    let derivatives = request.derivatives;
    let lock = FolderLock::acquire(derivatives)?;
    lock.remove_litter();
    let orphans = folder::find_orphans(derivatives, &images, request.replace)?;
    folder::write_dataset_description(derivatives)?;
    let people = People::read(request.bids)?;
    let bar = ui.progress("preprocess", images.len());
    let bytes = |image: &BidsImage| estimated_bytes(image, request.config);
    let mut limits = request.limits;
    if request.config.brain_extractor == ExtractorChoice::SynthStrip {
        limits.max_bytes = limits.max_bytes.saturating_sub(NETWORK_BYTES);
    }
    let outcomes = batch::map_within(&images, limits, bytes, |image| {
        let outcome = scan::preprocess_scan(image, request, &extractors);
        bar.inc();
        outcome
    });
    bar.finish();
    let (mut scans, mut done, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    for (image, outcome) in images.iter().zip(outcomes) {
        match outcome.and_then(|done| Ok((people.describe(image, &done)?, done))) {
            Ok((scan, of_scan)) => {
                scans.push(scan);
                done.push((image, of_scan));
            }
            Err(error) => failures.push(Failure::new(image.name.scan_id(), &error)),
        }
    }
    failures::report(&derivatives.join("failures.csv"), "preprocess", &failures, ui)?;
    if scans.is_empty() {
        anyhow::bail!("none of the {} scans could be preprocessed", images.len());
    }
    let n_removed = orphans.remove(derivatives)?;
    let graded = grade_all(request, &done, &failures)?;
    let (warnings, outliers) = things_to_look_at(&graded);
    let table = derivatives.join("qc.tsv");
    failures::warn("preprocess", &warnings, &table.display().to_string(), ui);
    failures::warn("preprocess", &outliers, &table.display().to_string(), ui);
    write_atomic(&derivatives.join("scans.tsv"), ScanTable::new(scans)?.to_tsv().as_bytes())?;
    let report = PreprocessReport {
        derivatives: derivatives.to_owned(),
        brain_extractor: request.config.brain_extractor.name(),
        n_scans: done.len(),
        n_up_to_date: done.iter().filter(|(_, done)| done.up_to_date).count(),
        n_removed,
        warnings,
        outliers,
        failures,
    };
    tell(&report, request.pictures, ui);
    Ok(report)
}

/// Checks everything that can be checked before the first scan, and lists the scans.
fn prepare(request: &Request<'_>, ui: &Ui) -> anyhow::Result<Vec<BidsImage>> {
    folders::check_input(request.bids, "a BIDS dataset")?;
    folders::check_apart(request.bids, request.derivatives)?;
    if let Some(masks) = request.sources.masks {
        folders::check_input(masks, "brain masks")?;
        folders::check_apart(masks, request.derivatives)?;
    }
    folder::refuse_derivatives(request.bids)?;
    folders::check_kind(request.bids, Kind::Bids)?;
    folders::check_output(request.derivatives)?;
    folder::refuse_foreign(request.derivatives)?;
    let T1wListing { images, skipped } = bids::list_t1w(request.bids)?;
    for skipped in &skipped {
        ui.warn(format!("preprocess: {skipped}"));
    }
    anyhow::ensure!(
        !images.is_empty(),
        "{} holds no T1-weighted image: expected sub-*/ses-*/anat/*_T1w.nii.gz, as `brainreel convert` writes them",
        request.bids.display()
    );
    Ok(images)
}

/// Bytes for a scan's own voxels, and for those after resampling: generous, since allocators keep some. A
/// head of 9.1 million voxels, 6.3 million after resampling, peaked at 279 MB where this says 410.
const BYTES_A_NATIVE_VOXEL: f64 = 20.0;
const BYTES_A_RESAMPLED_VOXEL: f64 = 36.0;

/// What the network of SynthStrip takes, once for all scans: `strip` peaked at 1.17 GB for a head of
/// 188x256x190 voxels, and at 1.69 GB for the largest grid, 320³.
const NETWORK_BYTES: u64 = 1_700_000_000;

/// What a scan takes while it is worked on, by its header; nothing for one that cannot be read, which
/// fails soon.
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
    (n_native * BYTES_A_NATIVE_VOXEL + n_resampled * BYTES_A_RESAMPLED_VOXEL) as u64
}

/// Writes the tables of quality and the page of pictures.
fn grade_all<'a>(
    request: &Request<'_>,
    done: &'a [(&BidsImage, Done)],
    failures: &[Failure],
) -> anyhow::Result<Vec<Graded<'a>>> {
    let graded = quality::grade(done.iter().map(|(image, done)| (image.name.scan_id(), &done.quality)));
    quality::write(request.derivatives, &graded)?;
    if request.pictures {
        let shown: Vec<Shown<'_>> = graded
            .iter()
            .zip(done)
            .map(|(graded, (image, _))| Shown { graded, picture: picture::path(&image.name) })
            .collect();
        gallery::write(request.derivatives, &shown, failures)?;
    } else {
        folder::remove_page(request.derivatives)?;
    }
    Ok(graded)
}

/// What single scans warn of, and which stand out from the others.
fn things_to_look_at(graded: &[Graded<'_>]) -> (Vec<Failure>, Vec<Failure>) {
    let warnings = graded.iter().flat_map(|scan| {
        scan.qc.warnings.iter().map(|warning| Failure::noted(scan.scan_id.as_str(), warning))
    });
    let outliers = graded
        .iter()
        .filter(|scan| !scan.outlier_in.is_empty())
        .map(|scan| Failure::noted(scan.scan_id.as_str(), format!("stands out in {}", scan.stands_out())));
    (warnings.collect(), outliers.collect())
}

fn tell(report: &PreprocessReport, pictures: bool, ui: &Ui) {
    let derivatives = report.derivatives.display();
    if report.n_removed > 0 {
        ui.warn(format!(
            "preprocess: removed the files of {} scans that are no longer in the dataset",
            report.n_removed
        ));
    }
    ui.note(format!(
        "{:>12} {} network inputs ({} were up to date), {} failed, in {derivatives} (brain extractor: {})",
        "preprocess",
        report.n_scans,
        report.n_up_to_date,
        report.failures.len(),
        report.brain_extractor,
    ));
    if pictures {
        ui.note(format!("{:>12} look at {}", "", report.derivatives.join("qc.html").display()));
    }
}

/// Hash of settings, as sidecars have it.
pub(crate) fn hash_of_settings(config: &PreprocessConfig) -> ContentHash {
    hash_json(config)
}
