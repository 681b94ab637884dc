//! Warnings for visual inspection.

use serde::{Deserialize, Serialize};

use super::QcRecord;

/// Warning about a scan for visual inspection. Processing continues.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum QcWarning {
    /// The field of view is too small for a whole head. Slices may be missing.
    #[error(
        "the field of view is {extent_mm:.0} mm from {axis}, expected at least {least_mm:.0} mm for a head; \
         slices may be missing"
    )]
    SmallFieldOfView {
        /// `left to right`, `posterior to anterior` or `inferior to superior`.
        axis: String,
        /// The extent.
        extent_mm: f64,
        /// Smallest extent without a warning.
        least_mm: f64,
    },
    /// The brain extends beyond the field of view.
    #[error(
        "{area_mm2:.0} mm² of the brain mask lie on the {face} edge of the field of view; the brain may be cut off"
    )]
    CutOff {
        /// `left`, `right`, `posterior`, `anterior`, `inferior` or `superior`.
        face: String,
        /// Area of the mask on that edge.
        area_mm2: f64,
    },
    /// The brain volume is implausible for an adult.
    #[error(
        "the brain mask has {volume_ml:.0} ml, expected {least_ml:.0} to {most_ml:.0} ml; look at the mask"
    )]
    BrainVolume {
        /// Volume of the mask.
        volume_ml: f64,
        /// Smallest volume without a warning.
        least_ml: f64,
        /// Largest volume without a warning.
        most_ml: f64,
    },
    /// The bias field is stronger than coils cause.
    #[error(
        "the bias field goes from {minimum:.2} to {maximum:.2}, more than {most_ratio:.0} times; look at the corrected image"
    )]
    BiasRange {
        /// Smallest gain, relative to the median.
        minimum: f64,
        /// Largest gain.
        maximum: f64,
        /// Largest ratio without a warning.
        most_ratio: f64,
    },
    /// The header does not define the directions of the axes.
    #[error(
        "the header has neither sform nor qform, so that left, right, front and top are guessed from the voxel order"
    )]
    NoOrientation,
    /// Another axis is more symmetric than left to right.
    #[error(
        "the brain is more like its mirror image from {axis} (correlation {other:.2}) than from left to right \
         ({left_right:.2}); are the axes of the header right?"
    )]
    Axes {
        /// The axis that is more symmetric.
        axis: String,
        /// Its correlation.
        other: f64,
        /// The correlation from left to right.
        left_right: f64,
    },
}

const AXES: [&str; 3] = ["left to right", "posterior to anterior", "inferior to superior"];

/// Smallest field of view that can contain a brain, in mm. Adult brains measure 125 to 180 mm along each
/// axis, and protocols for whole heads are far larger.
const LEAST_FIELD_OF_VIEW_MM: f64 = 100.0;

/// Area of the mask on an edge of the field of view that is tolerated as mask error, in mm². A choice: a
/// square of 10 mm.
const CUT_OFF_MM2: f64 = 100.0;

/// Volumes without a warning. A choice with a wide margin around the 1100 to 1700 ml of adult brains with
/// their fluid.
const BRAIN_ML: [f64; 2] = [700.0, 2200.0];

/// A choice: the available real and simulated heads have 1.2 to 1.6.
const MOST_BIAS_RATIO: f64 = 4.0;

/// Required excess in symmetry of another axis. A choice: in the 215 heads of the demo left-right leads by at
/// least 0.07.
const SYMMETRY_MARGIN: f64 = 0.05;

/// All warnings of a record.
pub(crate) fn find_warnings(qc: &QcRecord) -> Vec<QcWarning> {
    let mut warnings: Vec<_> = check_field_of_view(qc).collect();
    warnings.extend(check_brain(qc));
    warnings.extend(check_bias(qc));
    warnings.extend(check_axes(qc));
    warnings
}

fn check_field_of_view(qc: &QcRecord) -> impl Iterator<Item = QcWarning> {
    AXES.into_iter()
        .zip(qc.field_of_view_mm)
        .filter(|(_, extent_mm)| *extent_mm < LEAST_FIELD_OF_VIEW_MM)
        .map(|(axis, extent_mm)| QcWarning::SmallFieldOfView {
            axis: axis.to_owned(),
            extent_mm,
            least_mm: LEAST_FIELD_OF_VIEW_MM,
        })
}

fn check_brain(qc: &QcRecord) -> Vec<QcWarning> {
    let Some(brain) = &qc.summaries.brain else { return Vec::new() };
    let [least_ml, most_ml] = BRAIN_ML;
    let volume_ml = brain.volume_ml;
    let unlikely = !(least_ml..=most_ml).contains(&volume_ml);
    let volume = unlikely.then_some(QcWarning::BrainVolume { volume_ml, least_ml, most_ml });
    let cut_off = brain.cut_off.iter().filter(|part| part.area_mm2 > CUT_OFF_MM2);
    let cut_off = cut_off.map(|part| QcWarning::CutOff { face: part.face.clone(), area_mm2: part.area_mm2 });
    volume.into_iter().chain(cut_off).collect()
}

fn check_bias(qc: &QcRecord) -> Option<QcWarning> {
    let bias = qc.summaries.bias.as_ref()?;
    let (minimum, maximum) = (bias.p01, bias.p99);
    (maximum > MOST_BIAS_RATIO * minimum).then_some(QcWarning::BiasRange {
        minimum,
        maximum,
        most_ratio: MOST_BIAS_RATIO,
    })
}

/// Checks only brains. A head is cut off at the neck, so its symmetry is meaningless.
fn check_axes(qc: &QcRecord) -> Option<QcWarning> {
    qc.summaries.brain.as_ref()?;
    let symmetry = qc.symmetry;
    let left_right = symmetry.left_right;
    [symmetry.posterior_anterior, symmetry.inferior_superior]
        .into_iter()
        .zip(&AXES[1..])
        .find(|(other, _)| *other > left_right + SYMMETRY_MARGIN)
        .map(|(other, axis)| QcWarning::Axes { axis: (*axis).to_owned(), other, left_right })
}
