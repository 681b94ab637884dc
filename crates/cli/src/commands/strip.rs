//! `brainreel strip`: heads to brain masks.

use std::path::{Path, PathBuf};

use anyhow::Context;
use brainreel_artifact::TOOL_VERSION;
use brainreel_formats::nifti;
use brainreel_preprocess::bet::{Bet, BetConfig};
use brainreel_preprocess::{BrainExtractor, ExtractorChoice};
use brainreel_synthstrip::{Extracted, SynthStrip, SynthStripConfig, SynthStripWeights};
use brainreel_volume::reorient::{from_closest_canonical, to_closest_canonical};
use brainreel_volume::{Mask, Volume};
use brainreel_weights::Cache;
use clap::Args;
use serde::Serialize;

use crate::commands::weights::locate;
use crate::failures::Failure;
use crate::finish::Finish;
use crate::named;
use crate::ui::{Progress, Ui};
use brainreel_pipeline::catalogue::catalogue;

const EXAMPLES: &str = "\
Examples:
  brainreel weights fetch synthstrip
  brainreel strip sub-01_T1w.nii.gz --mask sub-01_mask.nii.gz
  brainreel strip sub-01_T1w.nii.gz --mask m.nii.gz --brain brain.nii.gz --distance distance.nii.gz --border 2
  brainreel strip a.nii.gz b.nii.gz --out-dir masks

With --out-dir each NAME.nii.gz gives NAME_mask.nii.gz (and NAME_brain.nii.gz with --with-brain).
synthstrip is the SynthStrip network, which needs its weights; bet is a classical method without weights.";

/// Cut the brain out of heads: a mask for each NIfTI file
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StripArgs {
    /// T1-weighted heads, NIfTI
    #[arg(required = true, value_name = "IN")]
    inputs: Vec<PathBuf>,
    /// The mask to write (one input)
    #[arg(long, value_name = "OUT", required_unless_present = "out_dir", conflicts_with = "out_dir")]
    mask: Option<PathBuf>,
    /// Also write the head with zero outside of the brain (one input)
    #[arg(long, value_name = "OUT", conflicts_with = "out_dir")]
    brain: Option<PathBuf>,
    /// Also write the distance from the brain's surface in mm, negative inside (one input, synthstrip)
    #[arg(long, value_name = "OUT", conflicts_with = "out_dir")]
    distance: Option<PathBuf>,
    /// Folder for the masks of several inputs
    #[arg(long, value_name = "FOLDER")]
    out_dir: Option<PathBuf>,
    /// With --out-dir, also write the brains
    #[arg(long, requires = "out_dir")]
    with_brain: bool,
    /// How the brain is found
    #[arg(long, value_name = "NAME", value_parser = named::one_of(&EXTRACTORS), default_value_t = ExtractorChoice::SynthStrip)]
    extractor: ExtractorChoice,
    /// Distance from the brain's surface that still belongs to the mask, in mm (synthstrip)
    #[arg(long, value_name = "MM", default_value_t = SynthStripConfig::default().border_mm, allow_negative_numbers = true)]
    border: f64,
    /// File with the weights instead of those in the cache (synthstrip)
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long)]
    overwrite: bool,
}

/// The extractors that need nothing but the head.
const EXTRACTORS: [ExtractorChoice; 2] = [ExtractorChoice::SynthStrip, ExtractorChoice::Bet];

/// What `strip` reports.
#[derive(Debug, Serialize)]
struct StripReport {
    tool: &'static str,
    extractor: String,
    border_mm: Option<f64>,
    scans: Vec<ScanReport>,
    failures: Vec<Failure>,
}

/// What was found in one head.
#[derive(Debug, Serialize)]
struct ScanReport {
    input: PathBuf,
    mask: PathBuf,
    n_voxels: usize,
    volume_ml: f64,
}

/// The files of one head.
struct Job {
    input: PathBuf,
    mask: PathBuf,
    brain: Option<PathBuf>,
    distance: Option<PathBuf>,
}

impl Job {
    fn outputs(&self) -> impl Iterator<Item = &PathBuf> {
        [Some(&self.mask), self.brain.as_ref(), self.distance.as_ref()].into_iter().flatten()
    }
}

/// Runs the subcommand.
pub(crate) fn execute(args: &StripArgs, ui: &Ui) -> anyhow::Result<Finish> {
    let jobs = jobs(args)?;
    check_outputs(&jobs, args.overwrite)?;
    let extractor = Extractor::open(args)?;
    let is_single = jobs.len() == 1;
    let bar = ui.progress("strip", jobs.len());
    let (mut scans, mut failures) = (Vec::new(), Vec::new());
    for job in &jobs {
        match strip(job, &extractor, is_single.then_some(&bar)) {
            Ok(report) => scans.push(report),
            Err(error) if is_single => return Err(error),
            Err(error) => {
                let failure = Failure::new(job.input.display().to_string(), &error);
                ui.warn(format!("strip: {}: {}", failure.scan, failure.error));
                failures.push(failure);
            }
        }
        if !is_single {
            bar.inc();
        }
    }
    bar.finish();
    anyhow::ensure!(!scans.is_empty(), "no brain was found in any of the {} images", jobs.len());
    for scan in &scans {
        ui.result(format!(
            "{}: {:.1} ml of brain in {}",
            scan.input.display(),
            scan.volume_ml,
            scan.mask.display()
        ));
    }
    let n_failed = failures.len();
    let border_mm = matches!(extractor, Extractor::SynthStrip(_)).then_some(args.border);
    let extractor = extractor.name().to_owned();
    ui.summary(&StripReport { tool: TOOL_VERSION, extractor, border_mm, scans, failures })?;
    Ok(Finish::from_failures(n_failed))
}

/// The extractor that was asked for.
enum Extractor {
    SynthStrip(Box<SynthStrip>),
    /// An extractor that gives a mask and nothing else.
    Other(Box<dyn BrainExtractor>),
}

impl Extractor {
    fn open(args: &StripArgs) -> anyhow::Result<Self> {
        match args.extractor {
            ExtractorChoice::SynthStrip => {
                let extractor = synthstrip(args.weights.as_deref(), args.border)?;
                Ok(Self::SynthStrip(Box::new(extractor)))
            }
            _ => {
                anyhow::ensure!(
                    args.distance.is_none(),
                    "bet knows no distances: --distance needs synthstrip"
                );
                anyhow::ensure!(args.weights.is_none(), "bet has no weights: --weights is for synthstrip");
                Ok(Self::Other(Box::new(Bet::new(BetConfig::default())?)))
            }
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::SynthStrip(extractor) => extractor.name(),
            Self::Other(extractor) => extractor.name(),
        }
    }

    fn extract(
        &self,
        head: &Volume<f32>,
        progress: Option<&Progress>,
    ) -> anyhow::Result<(Mask, Option<Volume<f32>>)> {
        match self {
            Self::SynthStrip(extractor) => {
                let layer = |done, total| {
                    if let Some(bar) = progress {
                        bar.set(done, total);
                    }
                };
                let Extracted { mask, distance_mm } = extractor.extract_all(head, layer)?;
                Ok((mask, Some(distance_mm)))
            }
            Self::Other(extractor) => {
                let mask = extractor.extract(&to_closest_canonical(head))?;
                Ok((from_closest_canonical(&mask, head.grid()), None))
            }
        }
    }
}

/// SynthStrip with the weights of a file, or those in the cache.
pub(crate) fn synthstrip(weights: Option<&Path>, border_mm: f64) -> anyhow::Result<SynthStrip> {
    let model = catalogue().find(brainreel_synthstrip::PUBLISHED.name)?;
    let (path, cached) = locate(model, weights)?;
    let weights = SynthStripWeights::read(&path)?;
    if let Some(cached) = cached {
        Cache::check_digest(model, &cached, weights.sha256().as_str())?;
    }
    Ok(SynthStrip::new(&weights, SynthStripConfig { border_mm })?)
}

fn strip(job: &Job, extractor: &Extractor, progress: Option<&Progress>) -> anyhow::Result<ScanReport> {
    let head = nifti::read_f32(&job.input)?;
    let (mask, distance) =
        extractor.extract(&head, progress).with_context(|| job.input.display().to_string())?;
    if let (Some(path), Some(distance)) = (&job.distance, &distance) {
        nifti::write(path, distance)?;
    }
    if let Some(path) = &job.brain {
        nifti::write(path, &cut_out(head, &mask))?;
    }
    nifti::write(&job.mask, &mask.map(|&inside| u8::from(inside)))?;
    let n_voxels = mask.as_slice().iter().filter(|inside| **inside).count();
    let voxel_mm3 = mask.grid().affine().determinant().abs();
    #[expect(clippy::cast_precision_loss, reason = "at most 2^30 voxels")]
    let volume_ml = n_voxels as f64 * voxel_mm3 / 1000.0;
    Ok(ScanReport { input: job.input.clone(), mask: job.mask.clone(), n_voxels, volume_ml })
}

/// The head with zero outside, or its minimum where that is below zero (as the published tool has it).
fn cut_out(mut head: Volume<f32>, mask: &Mask) -> Volume<f32> {
    let background = head.as_slice().iter().copied().fold(0.0, f32::min);
    for (value, inside) in head.as_mut_slice().iter_mut().zip(mask.as_slice()) {
        if !inside {
            *value = background;
        }
    }
    head
}

fn jobs(args: &StripArgs) -> anyhow::Result<Vec<Job>> {
    if let Some(mask) = &args.mask {
        let [input] = args.inputs.as_slice() else {
            anyhow::bail!("{} inputs and one --mask; several inputs need --out-dir", args.inputs.len());
        };
        let (brain, distance) = (args.brain.clone(), args.distance.clone());
        return Ok(vec![Job { input: input.clone(), mask: mask.clone(), brain, distance }]);
    }
    let folder = args.out_dir.as_deref().context("--mask or --out-dir is needed")?;
    crate::folders::check_output(folder)?;
    let named = |input: &Path| {
        let name = input.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let stem = name.strip_suffix(".gz").unwrap_or(&name);
        let stem = stem.strip_suffix(".nii").or(stem.strip_suffix(".hdr")).unwrap_or(stem);
        let output = |what: &str| folder.join(format!("{stem}_{what}.nii.gz"));
        let brain = args.with_brain.then(|| output("brain"));
        Job { input: input.to_owned(), mask: output("mask"), brain, distance: None }
    };
    Ok(args.inputs.iter().map(|input| named(input)).collect())
}

/// Refuses outputs that are inputs, that are named twice, or that are there already.
fn check_outputs(jobs: &[Job], overwrite: bool) -> anyhow::Result<()> {
    let resolved = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path));
    let inputs: Vec<PathBuf> = jobs.iter().filter_map(|job| resolved(&job.input).ok()).collect();
    let mut seen = std::collections::BTreeSet::new();
    for output in jobs.iter().flat_map(Job::outputs) {
        let shown = output.display();
        let is_nifti =
            output.to_string_lossy().ends_with(".nii.gz") || output.to_string_lossy().ends_with(".nii");
        anyhow::ensure!(is_nifti, "{shown} is no name of a NIfTI file, expected .nii.gz or .nii");
        let path = resolved(output)?;
        anyhow::ensure!(!inputs.contains(&path), "{shown} is an input; choose another name");
        anyhow::ensure!(seen.insert(path), "{shown} would be written twice; choose another name");
        anyhow::ensure!(overwrite || !output.exists(), "{shown} exists; pass --overwrite to replace it");
    }
    Ok(())
}
