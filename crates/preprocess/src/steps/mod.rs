//! The steps of preprocessing: one file each, and this list of them.
//!
//! A step's file holds its settings, its name, what it does ([`Step::apply`]), the numbers that it reports
//! and the columns of `qc.tsv` made from them. This file lists the steps three times: [`plan`] puts them in
//! order, [`StepSummaries`] has a field for the numbers of each, [`METRICS`] has the columns.

pub mod clip;
pub(crate) mod config;
pub mod correct_bias;
pub mod crop;
pub mod extract_brain;
pub(crate) mod foreground;
pub(crate) mod qc;
mod reorient;
mod resample;
pub(crate) mod scan;
mod zoom;

use brainreel_volume::Volume;
use serde::{Deserialize, Serialize};

use crate::{BrainExtractor, PreprocessError};
use clip::{Clip, ClipSummary};
use config::ValidPreprocessConfig;
use correct_bias::{BiasCorrection, BiasGrid, BiasSummary, CorrectBias};
use crop::Crop;
use extract_brain::{BrainSummary, ExtractBrain};
use qc::Metric;
use reorient::Reorient;
use resample::Resample;
use scan::Scan;
use zoom::Zoom;

/// One step of preprocessing.
pub(crate) trait Step {
    /// Its name in the quality-control record.
    fn name(&self) -> &'static str;

    /// Refuses a scan that the step cannot work on, before the first step runs.
    fn check(&self, _: &Volume<f32>) -> Result<(), PreprocessError> {
        Ok(())
    }

    /// Does the step.
    fn apply(&self, scan: &mut Scan<'_>) -> Result<(), PreprocessError>;
}

/// The steps that `config` asks for, in order.
///
/// Brain extraction comes before everything that looks at intensities. The bias field is removed inside the
/// mask before anything depends on a threshold or a percentile. Only bias correction and resampling may
/// change places.
pub(crate) fn plan<'a>(
    config: &'a ValidPreprocessConfig,
    extractor: Option<&'a dyn BrainExtractor>,
) -> Vec<Box<dyn Step + 'a>> {
    let foreground = config.foreground;
    let correct_bias = |grid| {
        let is_on = config.bias_correction == BiasCorrection::N4 && config.bias_grid == grid;
        is_on.then(|| CorrectBias::new(config.n4(), foreground))
    };
    let steps = [
        listed(Some(Reorient)),
        listed(extractor.map(ExtractBrain::new)),
        listed(correct_bias(BiasGrid::Native)),
        listed(config.resample.then(|| Resample::new(config.spacing_mm))),
        listed(correct_bias(BiasGrid::Resampled)),
        listed(config.clip.map(|clip| Clip::new(clip, foreground))),
        listed(config.crop.then(|| Crop::new(config.padding_voxels, foreground))),
        listed(Some(Zoom::new(config.size_voxels, foreground))),
    ];
    steps.into_iter().flatten().collect()
}

fn listed<'a>(step: Option<impl Step + 'a>) -> Option<Box<dyn Step + 'a>> {
    step.map(|step| Box::new(step) as Box<dyn Step + 'a>)
}

/// The numbers that steps report. A step that did not run has none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StepSummaries {
    /// The brain mask.
    pub brain: Option<BrainSummary>,
    /// The bias field.
    pub bias: Option<BiasSummary>,
    /// The intensity limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<ClipSummary>,
}

/// The columns of the table of quality numbers, in order.
pub const METRICS: &[&[Metric]] = &[
    extract_brain::METRICS,
    qc::FIELD_OF_VIEW,
    correct_bias::METRICS,
    qc::FOREGROUND_INTENSITY,
    qc::TISSUE,
    qc::SYMMETRY,
    crop::METRICS,
    clip::METRICS,
];
