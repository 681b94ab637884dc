//! `brainreel strip`: heads to brain masks.

use std::path::PathBuf;

use anyhow::Context;
use brainreel_pipeline::strip::{self, StripOutputs, StripRequest};
use brainreel_preprocess::ExtractorChoice;
use brainreel_synthstrip::SynthStripConfig;
use clap::Args;

use crate::finish::Finish;
use crate::named;
use crate::observer::TerminalObserver;
use crate::ui::Ui;

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

impl StripArgs {
    fn request(&self) -> anyhow::Result<StripRequest> {
        let outputs = match (&self.mask, &self.out_dir) {
            (Some(mask), _) => {
                let (brain, distance) = (self.brain.clone(), self.distance.clone());
                StripOutputs::Files { mask: mask.clone(), brain, distance }
            }
            (None, folder) => {
                let folder = folder.clone().context("--mask or --out-dir is needed")?;
                StripOutputs::Folder { folder, with_brain: self.with_brain }
            }
        };
        Ok(StripRequest {
            extractor: self.extractor,
            border_mm: self.border,
            weights: self.weights.clone(),
            overwrite: self.overwrite,
            ..StripRequest::new(self.inputs.clone(), outputs)
        })
    }
}

/// Runs the subcommand.
pub(crate) fn execute(args: &StripArgs, ui: &Ui) -> anyhow::Result<Finish> {
    let summary = strip::run(&args.request()?, &mut TerminalObserver::new(ui))?;
    for scan in &summary.scans {
        ui.result(format!(
            "{}: {:.1} ml of brain in {}",
            scan.input.display(),
            scan.volume_ml,
            scan.mask.display()
        ));
    }
    ui.summary(&summary)?;
    Ok(Finish::from_failures(summary.failures.len()))
}
