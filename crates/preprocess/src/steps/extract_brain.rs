//! Brain mask at the native spacing. Every voxel outside becomes zero.

use brainreel_named::named;
use brainreel_volume::crop::mask_box;
use brainreel_volume::{Mask, Volume};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Step;
use super::qc::Metric;
use super::scan::Scan;
use crate::numbers::as_f64;
use crate::numbers::clear_outside;
use crate::{BrainExtractor, ExtractionError, PreprocessError};

named! {
    /// How the brain is cut out of the head.
    #[non_exhaustive]
    pub enum ExtractorChoice {
        /// The SynthStrip network. It needs its weights.
        SynthStrip = "synthstrip",
        /// A classical deformable surface, as in BET. It needs no weights.
        Bet = "bet",
        /// No extraction: for whole heads, or for images that are stripped already.
        None = "none",
        /// Brain masks from files.
        Mask = "mask",
    }
}

/// Settings of SynthStrip.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SynthStripSettings {
    /// Distance from the brain's surface that the mask includes, in mm.
    pub border_mm: f64,
}

impl Default for SynthStripSettings {
    fn default() -> Self {
        Self { border_mm: 1.0 }
    }
}

/// The preprocessing step.
pub(super) struct ExtractBrain<'a> {
    extractor: &'a dyn BrainExtractor,
}

impl<'a> ExtractBrain<'a> {
    pub(super) fn new(extractor: &'a dyn BrainExtractor) -> Self {
        Self { extractor }
    }
}

impl Step for ExtractBrain<'_> {
    fn name(&self) -> &'static str {
        "extract_brain"
    }

    fn apply(&self, scan: &mut Scan<'_>) -> Result<(), PreprocessError> {
        let mask = extract(self.extractor, &scan.head)?;
        clear_outside(scan.image.to_mut(), &mask);
        scan.extractor = Some(self.extractor.name().to_owned());
        scan.summaries.brain = Some(BrainSummary::of(&mask));
        scan.brain = Some(mask.clone());
        scan.brain_mask = Some(mask);
        Ok(())
    }
}

fn extract(extractor: &dyn BrainExtractor, head: &Volume<f32>) -> Result<Mask, PreprocessError> {
    let mask = extractor.extract(head)?;
    let (extractor, got, expected) = (extractor.name().to_owned(), mask.dims(), head.dims());
    if got != expected {
        return Err(ExtractionError::Shape { extractor, got, expected }.into());
    }
    if !mask.as_slice().contains(&true) {
        return Err(ExtractionError::Empty { extractor }.into());
    }
    Ok(mask)
}

/// The faces of a RAS volume, low end before high end, by axis.
const FACES: [[&str; 2]; 3] = [["left", "right"], ["posterior", "anterior"], ["inferior", "superior"]];

/// The brain mask at the scan's own spacing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrainSummary {
    /// Volume of the mask, in ml.
    pub volume_ml: f64,
    /// Extent from left to right, posterior to anterior, inferior to superior, in mm.
    pub extent_mm: [f64; 3],
    /// Faces of the field of view that the mask touches.
    #[serde(rename = "cut_off_mm2")]
    pub cut_off: Vec<FaceArea>,
}

/// A face of the field of view and how much of the mask lies on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, from = "FaceAreaForm")]
pub struct FaceArea {
    /// `left`, `right`, `posterior`, `anterior`, `inferior` or `superior`.
    pub face: String,
    /// Area of the mask on that face, in mm².
    pub area_mm2: f64,
}

/// Serialised forms of records. Older records have pairs.
#[derive(Deserialize)]
#[serde(untagged)]
enum FaceAreaForm {
    Named { face: String, area_mm2: f64 },
    Pair(String, f64),
}

impl From<FaceAreaForm> for FaceArea {
    fn from(form: FaceAreaForm) -> Self {
        let (FaceAreaForm::Named { face, area_mm2 } | FaceAreaForm::Pair(face, area_mm2)) = form;
        Self { face, area_mm2 }
    }
}

impl BrainSummary {
    /// Measures a closest-canonical mask.
    pub(crate) fn of(mask: &Mask) -> Self {
        let (dims, spacing_mm) = (mask.dims(), mask.grid().spacing_mm());
        let n_voxels = mask.as_slice().iter().filter(|inside| **inside).count();
        let extent = mask_box(mask).map_or([0; 3], |found| found.dims());
        let mut cut_off = Vec::new();
        for (axis, faces) in FACES.iter().enumerate() {
            let area = spacing_mm.iter().product::<f64>() / spacing_mm[axis];
            for (face, at) in faces.iter().zip([0, dims[axis] - 1]) {
                let n = count_in_plane(mask, axis, at);
                if n > 0 {
                    cut_off.push(FaceArea { face: (*face).to_owned(), area_mm2: as_f64(n) * area });
                }
            }
        }
        Self {
            volume_ml: as_f64(n_voxels) * spacing_mm.iter().product::<f64>() / 1000.0,
            extent_mm: [0, 1, 2].map(|axis| as_f64(extent[axis]) * spacing_mm[axis]),
            cut_off,
        }
    }
}

fn count_in_plane(mask: &Mask, axis: usize, at: usize) -> usize {
    let [nx, ny, nz] = mask.dims();
    let data = mask.as_slice();
    let row = |y: usize, z: usize| &data[nx * (y + ny * z)..nx * (y + ny * z + 1)];
    let in_row = |y, z| row(y, z).iter().filter(|inside| **inside).count();
    match axis {
        0 => (0..ny * nz).filter(|&row| data[row * nx + at]).count(),
        1 => (0..nz).map(|z| in_row(at, z)).sum(),
        _ => (0..ny).map(|y| in_row(y, at)).sum(),
    }
}

/// Columns of the quality-control table.
pub(super) const METRICS: &[Metric] = &[
    Metric::new("brain_ml", "ml", "Volume of the brain mask on the scan's own voxels", |qc| {
        Some(qc.summaries.brain.as_ref()?.volume_ml)
    })
    .marking_outliers(),
    Metric::new("brain_lr_mm", "mm", "Extent of the brain mask from left to right", |qc| {
        Some(qc.summaries.brain.as_ref()?.extent_mm[0])
    })
    .marking_outliers(),
    Metric::new("brain_pa_mm", "mm", "Extent of the brain mask from posterior to anterior", |qc| {
        Some(qc.summaries.brain.as_ref()?.extent_mm[1])
    })
    .marking_outliers(),
    Metric::new("brain_is_mm", "mm", "Extent of the brain mask from inferior to superior", |qc| {
        Some(qc.summaries.brain.as_ref()?.extent_mm[2])
    })
    .marking_outliers(),
    Metric::new("cut_off_mm2", "mm2", "Area of the brain mask on the edges of the field of view", |qc| {
        Some(qc.summaries.brain.as_ref()?.cut_off.iter().map(|part| part.area_mm2).sum())
    }),
];

#[cfg(test)]
mod tests {
    use super::*;
    use brainreel_volume::{Affine, Grid};

    #[test]
    fn a_box_at_two_faces_is_measured() {
        let grid = Grid::new([10, 12, 9], Affine::from_diagonal([1.0, 2.0, 0.5])).unwrap();
        // 4 x 3 x 9 voxels: at the right face, and from the inferior face to the superior one.
        let mask = Volume::from_fn(grid, |[x, y, _]| x >= 6 && (4..7).contains(&y));
        let found = BrainSummary::of(&mask);
        assert!((found.volume_ml - 0.108).abs() < 1e-12);
        assert_eq!(found.extent_mm.map(f64::to_bits), [4.0_f64, 6.0, 4.5].map(f64::to_bits));
        let expected = [("right", 27.0), ("inferior", 24.0), ("superior", 24.0)];
        assert_eq!(
            found.cut_off,
            expected.map(|(face, area_mm2)| FaceArea { face: face.to_owned(), area_mm2 })
        );
    }

    #[test]
    fn areas_are_written_with_names_and_older_pairs_are_read() {
        let text = r#"{"volume_ml":1.0,"extent_mm":[1.0,2.0,3.0],"cut_off_mm2":[["left",2.5]]}"#;
        let read: BrainSummary = serde_json::from_str(text).unwrap();
        let written = serde_json::to_string(&read).unwrap();
        assert!(written.ends_with(r#""cut_off_mm2":[{"face":"left","area_mm2":2.5}]}"#), "{written}");
        assert_eq!(serde_json::from_str::<BrainSummary>(&written).unwrap(), read);
    }
}
