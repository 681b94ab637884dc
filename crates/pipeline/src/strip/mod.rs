//! Heads to brain masks: single NIfTI files.

mod extractor;
mod files;

use std::path::PathBuf;

use brainreel_artifact::TOOL_VERSION;
use brainreel_formats::nifti;
use brainreel_preprocess::ExtractorChoice;
use brainreel_synthstrip::SynthStripConfig;
use brainreel_volume::{Mask, Volume};
use serde::Serialize;

use crate::failures::Failure;
use crate::{Observer, Progress, Reporter, ResultExt, Stage, StageError};

pub use extractor::open_synthstrip;

use extractor::{Extractor, Found};
use files::Job;

/// Which heads, what to write and how.
#[derive(Debug, Clone)]
pub struct StripRequest {
    /// The heads, NIfTI.
    pub inputs: Vec<PathBuf>,
    /// What is written.
    pub outputs: StripOutputs,
    /// How the brain is found: SynthStrip or BET. Default: SynthStrip.
    pub extractor: ExtractorChoice,
    /// How far beyond the brain's surface SynthStrip's mask reaches, in mm. Default: 1.
    pub border_mm: f64,
    /// File with SynthStrip's weights. Default: those in the cache.
    pub weights: Option<PathBuf>,
    /// Whether existing files may be replaced. Default: no.
    pub overwrite: bool,
}

/// What is written.
#[derive(Debug, Clone)]
pub enum StripOutputs {
    /// Files of one head.
    Files {
        /// The mask.
        mask: PathBuf,
        /// The head with zero outside the brain.
        brain: Option<PathBuf>,
        /// The distance from the brain's surface in mm, negative inside. Only SynthStrip computes it.
        distance: Option<PathBuf>,
    },
    /// A folder for the files of several heads: each `NAME.nii.gz` gives `NAME_mask.nii.gz`.
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Whether `NAME_brain.nii.gz` is written too.
        with_brain: bool,
    },
}

impl StripRequest {
    /// A request with the defaults.
    #[must_use]
    pub fn new(inputs: Vec<PathBuf>, outputs: StripOutputs) -> Self {
        Self {
            inputs,
            outputs,
            extractor: ExtractorChoice::SynthStrip,
            border_mm: SynthStripConfig::default().border_mm,
            weights: None,
            overwrite: false,
        }
    }
}

/// What `strip` did.
#[derive(Debug, Serialize)]
pub struct StripSummary {
    /// Name and version of the program.
    pub tool: &'static str,
    /// Name of the extractor, with a digest of its weights.
    pub extractor: String,
    /// How far beyond the brain's surface the mask reaches, if the extractor has such a setting.
    pub border_mm: Option<f64>,
    /// The heads that were stripped.
    pub scans: Vec<StrippedScan>,
    /// Heads that failed.
    pub failures: Vec<Failure>,
}

/// The brain of one head.
#[derive(Debug, Serialize)]
pub struct StrippedScan {
    /// The head.
    pub input: PathBuf,
    /// The mask.
    pub mask: PathBuf,
    /// Voxels of the mask.
    pub n_voxels: usize,
    /// Volume of the mask.
    pub volume_ml: f64,
}

/// Cuts the brain out of each head.
///
/// # Errors
/// [`StageError`]: outputs collide with inputs or with existing files, the extractor cannot be opened, or no
/// head could be stripped. Heads that fail while others succeed are listed in the summary.
pub fn run(request: &StripRequest, observer: &mut dyn Observer) -> Result<StripSummary, StageError> {
    let reporter = Reporter::new(Stage::Strip, observer);
    let jobs = files::plan(request)?;
    files::check(&jobs, request.overwrite)?;
    let extractor = Extractor::open(request)?;
    let is_single = jobs.len() == 1;
    let progress = reporter.progress("strip", jobs.len());
    let (mut scans, mut failures) = (Vec::new(), Vec::new());
    for job in &jobs {
        reporter.check_cancelled()?;
        match strip(job, &extractor, is_single.then_some(&progress)) {
            Ok(scan) => scans.push(scan),
            Err(error) if is_single => return Err(error),
            Err(error) => {
                let failure = Failure::new(job.input.display().to_string(), &error);
                reporter.failed_item(&failure.scan, &failure.error);
                failures.push(failure);
            }
        }
        if !is_single {
            progress.inc();
        }
    }
    progress.finish();
    if scans.is_empty() {
        let reason = format!("no brain was found in any of the {} images", jobs.len());
        return Err(StageError::NothingLeft { reason });
    }
    let border_mm = matches!(extractor, Extractor::SynthStrip(_)).then_some(request.border_mm);
    let extractor = extractor.name().to_owned();
    Ok(StripSummary { tool: TOOL_VERSION, extractor, border_mm, scans, failures })
}

fn strip(
    job: &Job,
    extractor: &Extractor,
    progress: Option<&Progress<'_>>,
) -> Result<StrippedScan, StageError> {
    let head = nifti::read_f32(&job.input)?;
    let layer = |done, total| {
        if let Some(progress) = progress {
            progress.set(done, total);
        }
    };
    let Found { mask, distance_mm } =
        extractor.extract(&head, &layer).with_context(|| job.input.display())?;
    if let (Some(path), Some(distance_mm)) = (&job.distance, &distance_mm) {
        nifti::write(path, distance_mm)?;
    }
    if let Some(path) = &job.brain {
        nifti::write(path, &cut_out(head, &mask))?;
    }
    nifti::write(&job.mask, &mask.map(|&inside| u8::from(inside)))?;
    let n_voxels = mask.as_slice().iter().filter(|inside| **inside).count();
    let voxel_mm3 = mask.grid().affine().determinant().abs();
    #[expect(clippy::cast_precision_loss, reason = "at most 2^30 voxels")]
    let volume_ml = n_voxels as f64 * voxel_mm3 / 1000.0;
    Ok(StrippedScan { input: job.input.clone(), mask: job.mask.clone(), n_voxels, volume_ml })
}

/// The head with zero outside, or its minimum where that is below zero, as in the published tool.
fn cut_out(mut head: Volume<f32>, mask: &Mask) -> Volume<f32> {
    let background = head.as_slice().iter().copied().fold(0.0, f32::min);
    for (value, inside) in head.as_mut_slice().iter_mut().zip(mask.as_slice()) {
        if !inside {
            *value = background;
        }
    }
    head
}
