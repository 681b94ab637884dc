//! `brainreel preprocess`: a BIDS dataset to network inputs.

use std::path::PathBuf;

use brainreel_pipeline::batch::{self, Limits};
use brainreel_pipeline::preprocess::{self, Keep, PreprocessRequest};
use brainreel_preprocess::{BiasCorrection, BiasRegion, ExtractorChoice, PreprocessConfig};
use clap::Args;

use crate::finish::Finish;
use crate::hints;
use crate::named::{self, OneOrAll};
use crate::observer::TerminalObserver;
use crate::ui::Ui;

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
    #[arg(long, value_name = "NAME", value_parser = named::any::<ExtractorChoice>(), default_value = "synthstrip")]
    extractor: ExtractorChoice,
    #[arg(long, value_name = "DIR")]
    masks: Option<PathBuf>,
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    #[arg(long, value_name = "MM", allow_negative_numbers = true,
          default_value_t = PreprocessConfig::default().synthstrip.border_mm)]
    border: f64,
    #[arg(long, value_name = "NAME", value_parser = named::any::<BiasCorrection>(), default_value = "n4")]
    bias: BiasCorrection,
    #[arg(long, value_name = "NAME", value_parser = named::any::<BiasRegion>(), default_value = "brain")]
    bias_region: BiasRegion,
    #[arg(long, value_name = "VOXELS", default_value_t = PreprocessConfig::default().size_voxels)]
    size: usize,
    #[arg(long, value_name = "MM", default_value_t = PreprocessConfig::default().spacing_mm)]
    spacing: f64,
    #[arg(long, value_name = "VOXELS", default_value_t = PreprocessConfig::default().padding_voxels)]
    padding: usize,
    #[arg(long, value_name = "IMAGE", value_delimiter = ',', value_parser = named::one_or_all::<Keep>())]
    keep: Vec<OneOrAll<Keep>>,
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
        Keep::ALL.into_iter().filter(|keep| self.keep.iter().any(|given| given.includes(*keep))).collect()
    }

    fn request(&self) -> anyhow::Result<PreprocessRequest> {
        Ok(PreprocessRequest {
            config: self.config(),
            masks: self.masks.clone(),
            weights: self.weights.clone(),
            keep: self.keep(),
            pictures: !self.no_pictures,
            replace: self.replace,
            limits: self.limits()?,
            ..PreprocessRequest::new(&self.bids_dir, &self.derivatives_dir)
        })
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

/// Runs the subcommand.
pub(crate) fn execute(args: &PreprocessArgs, ui: &Ui) -> anyhow::Result<Finish> {
    let summary = preprocess::run(&args.request()?, &mut TerminalObserver::new(ui))?;
    hints::show_for_failures(&summary.failures, ui);
    ui.summary(&summary)?;
    Ok(Finish::from_failures(summary.failures.len()))
}
