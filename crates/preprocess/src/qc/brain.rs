//! The brain mask and the bias field in numbers.

use brainreel_kernels::percentiles;
use brainreel_volume::Mask;
use brainreel_volume::crop::mask_box;
use serde::{Deserialize, Serialize};

use crate::config::as_f64;
use crate::n4::N4Output;
use crate::pipeline::inside;

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
    /// Area of the mask that lies on the edge of the field of view, by face, in mm²; only faces that it
    /// touches.
    pub cut_off_mm2: Vec<(String, f64)>,
}

impl BrainSummary {
    /// Of a closest-canonical mask.
    pub(crate) fn of(mask: &Mask) -> Self {
        let (dims, spacing_mm) = (mask.dims(), mask.grid().spacing_mm());
        let n_voxels = mask.as_slice().iter().filter(|inside| **inside).count();
        let extent = mask_box(mask).map_or([0; 3], |found| found.dims());
        let mut cut_off_mm2 = Vec::new();
        for (axis, faces) in FACES.iter().enumerate() {
            let area = spacing_mm.iter().product::<f64>() / spacing_mm[axis];
            for (name, at) in faces.iter().zip([0, dims[axis] - 1]) {
                let n = count_in_plane(mask, axis, at);
                if n > 0 {
                    cut_off_mm2.push(((*name).to_owned(), as_f64(n) * area));
                }
            }
        }
        Self {
            volume_ml: as_f64(n_voxels) * spacing_mm.iter().product::<f64>() / 1000.0,
            extent_mm: [0, 1, 2].map(|axis| as_f64(extent[axis]) * spacing_mm[axis]),
            cut_off_mm2,
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

/// The bias field inside its region, scaled so that its median is one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BiasSummary {
    /// Least gain.
    pub minimum: f64,
    /// 1st percentile.
    pub p01: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest gain.
    pub maximum: f64,
    /// Iterations done at each level.
    pub n_iterations: Vec<usize>,
}

impl BiasSummary {
    /// The summary, and the field's median before scaling.
    pub(crate) fn of(done: &N4Output, region: &Mask) -> (Self, f32) {
        let found = percentiles(&mut inside(&done.field, region), &[0.0, 1.0, 50.0, 99.0, 100.0]);
        let [minimum, p01, median, p99, maximum] = found[..] else {
            unreachable!("N4 refuses an empty region")
        };
        let n_iterations = done.n_iterations.clone();
        let summary = Self {
            minimum: minimum / median,
            p01: p01 / median,
            p99: p99 / median,
            maximum: maximum / median,
            n_iterations,
        };
        (summary, narrow(median))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a gain near one")]
const fn narrow(gain: f64) -> f32 {
    gain as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use brainreel_volume::{Affine, Grid, Volume};

    #[test]
    fn a_box_at_two_faces_is_measured() {
        let grid = Grid::new([10, 12, 9], Affine::from_diagonal([1.0, 2.0, 0.5])).unwrap();
        // 4 x 3 x 9 voxels: at the right face, and from the inferior face to the superior one.
        let mask = Volume::from_fn(grid, |[x, y, _]| x >= 6 && (4..7).contains(&y));
        let found = BrainSummary::of(&mask);
        assert!((found.volume_ml - 0.108).abs() < 1e-12);
        assert_eq!(found.extent_mm.map(f64::to_bits), [4.0_f64, 6.0, 4.5].map(f64::to_bits));
        let expected = [("right", 27.0), ("inferior", 24.0), ("superior", 24.0)];
        assert_eq!(found.cut_off_mm2, expected.map(|(face, area)| (face.to_owned(), area)));
    }
}
