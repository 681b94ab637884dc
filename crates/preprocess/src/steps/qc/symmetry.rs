//! Checks the axes of the header: heads are symmetric from left to right.

use brainreel_volume::{Mask, Volume};
use serde::{Deserialize, Serialize};

use super::Metric;
use crate::numbers::as_f64;

/// Sampling stride in voxels.
const STRIDE: usize = 2;

/// Correlation of the foreground with its mirror image across the plane through its centre.
///
/// A head is most symmetric from left to right. If another axis is more symmetric, the axes of the header are
/// likely wrong. Symmetry cannot distinguish left from right, nor can any property of the image: only the
/// header can.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MirrorSymmetry {
    /// Left-right.
    pub left_right: f64,
    /// Posterior-anterior.
    pub posterior_anterior: f64,
    /// Inferior-superior.
    pub inferior_superior: f64,
}

impl MirrorSymmetry {
    /// Computes the symmetry of a closest-canonical volume. Background counts as zero.
    pub(crate) fn of(volume: &Volume<f32>, foreground: &Mask) -> Self {
        let coarse = Coarse::new(volume, foreground);
        let [left_right, posterior_anterior, inferior_superior] = [0, 1, 2].map(|axis| coarse.mirrored(axis));
        Self { left_right, posterior_anterior, inferior_superior }
    }
}

/// Every [`STRIDE`]th voxel.
struct Coarse {
    dims: [usize; 3],
    values: Vec<f64>,
}

impl Coarse {
    fn new(volume: &Volume<f32>, foreground: &Mask) -> Self {
        let dims = volume.dims().map(|n| n.div_ceil(STRIDE));
        let mut values = Vec::with_capacity(dims.iter().product());
        for z in 0..dims[2] {
            for y in 0..dims[1] {
                for x in 0..dims[0] {
                    let at = volume.grid().offset([x * STRIDE, y * STRIDE, z * STRIDE]);
                    let inside = foreground.as_slice()[at];
                    values.push(if inside { f64::from(volume.as_slice()[at]) } else { 0.0 });
                }
            }
        }
        Self { dims, values }
    }

    fn place(&self, at: usize) -> [usize; 3] {
        let [nx, ny, _] = self.dims;
        [at % nx, at / nx % ny, at / nx / ny]
    }

    /// Pearson's correlation with the mirror image along an axis. Zero for a constant image.
    fn mirrored(&self, axis: usize) -> f64 {
        let step = self.dims[..axis].iter().product::<usize>();
        let (mut weight, mut moment) = (0.0, 0.0);
        for (at, &value) in self.values.iter().enumerate() {
            weight += value.abs();
            moment += value.abs() * as_f64(self.place(at)[axis]);
        }
        let twice_center = round(2.0 * moment / weight.max(f64::MIN_POSITIVE));
        let n = as_f64(self.values.len());
        let mean = self.values.iter().sum::<f64>() / n;
        let (mut shared, mut total) = (0.0, 0.0);
        for (at, &value) in self.values.iter().enumerate() {
            let here = self.place(at)[axis];
            let other = twice_center.checked_sub(here).filter(|&other| other < self.dims[axis]);
            let mirror = other.map_or(0.0, |other| self.values[at - here * step + other * step]);
            shared += (value - mean) * (mirror - mean);
            total += (value - mean) * (value - mean);
        }
        if total > 0.0 { shared / total } else { 0.0 }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "twice an index")]
fn round(x: f64) -> usize {
    x.round() as usize
}

/// Columns of the quality-control table.
pub(crate) const METRICS: &[Metric] = &[
    Metric::new("symmetry_lr", "1", "Correlation with the mirror image, left to right", |qc| {
        Some(qc.symmetry.left_right)
    })
    .marking_outliers(),
    Metric::new("symmetry_pa", "1", "Correlation with the mirror image, posterior to anterior", |qc| {
        Some(qc.symmetry.posterior_anterior)
    }),
    Metric::new("symmetry_is", "1", "Correlation with the mirror image, inferior to superior", |qc| {
        Some(qc.symmetry.inferior_superior)
    }),
];

#[cfg(test)]
mod tests {
    use super::*;
    use brainreel_volume::{Affine, Grid};

    #[test]
    fn the_symmetric_axis_is_found_wherever_it_is() {
        for symmetric in 0..3 {
            let grid = Grid::new([40, 44, 48], Affine::from_diagonal([4.0; 3])).unwrap();
            let volume = Volume::from_fn(grid, |at| {
                let mirror = at[symmetric].abs_diff(20);
                let (a, b) = (at[(symmetric + 1) % 3], at[(symmetric + 2) % 3]);
                if mirror < 13 && a > 4 && b > 8 && a + 2 * b < 70 {
                    (100 + 3 * a + 5 * b + mirror) as f32
                } else {
                    0.0
                }
            });
            let found = MirrorSymmetry::of(&volume, &volume.map(|&value| value > 0.0));
            let found = [found.left_right, found.posterior_anterior, found.inferior_superior];
            let best = (0..3).max_by(|&a, &b| found[a].total_cmp(&found[b])).unwrap();
            assert_eq!(best, symmetric, "{found:?}");
            assert!(found[symmetric] > 0.95, "{found:?}");
        }
    }

    #[test]
    fn nothing_has_no_symmetry() {
        let grid = Grid::new([3, 2, 2], Affine::from_diagonal([1.0; 3])).unwrap();
        let empty = Volume::from_fn(grid, |_| 0.0);
        let found = MirrorSymmetry::of(&empty, &empty.map(|_| false));
        assert_eq!(
            found,
            MirrorSymmetry { left_right: 0.0, posterior_anterior: 0.0, inferior_superior: 0.0 }
        );
    }
}
