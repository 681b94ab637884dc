//! The preprocessing steps, one file each, and their list.
//!
//! The file of a step contains its settings, name, operation (`Step::apply`), reported numbers and `qc.tsv`
//! columns. This file lists the steps three times: `plan` orders them, [`StepSummaries`] has a field for
//! the numbers of each, and [`METRICS`] has the columns.

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

    /// Checks before the first step runs that the step can process the scan.
    fn check(&self, _: &Volume<f32>) -> Result<(), PreprocessError> {
        Ok(())
    }

    /// Runs the step.
    fn apply(&self, scan: &mut Scan<'_>) -> Result<(), PreprocessError>;
}

/// The configured steps, in order.
///
/// Brain extraction precedes every step that depends on intensities. The bias field is removed inside the
/// mask before any step that depends on a threshold or percentile. Only bias correction and resampling may be
/// swapped.
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

/// Numbers reported by the steps. `None` for steps that did not run.
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

/// The columns of the quality-control table, in order.
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
