//! Symmetric filters along one axis: blur and ghosts.

use std::f64::consts::PI;

use brainreel_volume::Volume;
use rayon::prelude::*;

/// Number of lines processed together.
const WIDTH: usize = 16;
/// Truncation of the Gaussian in standard deviations, as in scipy.
const TRUNCATE: f64 = 4.0;
/// Widest blur, in voxels to one side.
pub(crate) const MAX_RADIUS: f64 = 4096.0;

/// Boundary mode of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beyond {
    /// Mirrored, with the end voxel repeated.
    Mirror,
    /// Periodic.
    Wrap,
}

impl Beyond {
    fn index(self, i: isize, n: usize) -> usize {
        let n = n.cast_signed();
        let inside = match self {
            Self::Wrap => i.rem_euclid(n),
            Self::Mirror => match i.rem_euclid(2 * n) {
                j if j < n => j,
                j => 2 * n - 1 - j,
            },
        };
        inside.cast_unsigned()
    }
}

/// Gaussian blur; standard deviations in voxels for each axis.
///
/// # Reference
/// `scipy.ndimage.gaussian_filter` with its defaults, which TorchIO's `Blur` calls.
pub(crate) fn blur(volume: &mut Volume<f32>, std_voxels: [f64; 3]) {
    for (axis, std) in std_voxels.into_iter().enumerate() {
        if std > 1e-15 {
            filter(volume, axis, &gaussian(std), Beyond::Mirror);
        }
    }
}

/// Voxels to each side that a Gaussian reaches.
pub(crate) fn gaussian_radius(std_voxels: f64) -> f64 {
    (TRUNCATE * std_voxels + 0.5).floor()
}

/// The centre and one side of a Gaussian of sum 1.
#[expect(clippy::cast_possible_truncation, reason = "weights are single precision, the radius is bounded")]
#[expect(clippy::cast_sign_loss, reason = "not negative")]
fn gaussian(std: f64) -> Vec<f32> {
    let radius = gaussian_radius(std).min(MAX_RADIUS) as usize;
    let side: Vec<f64> =
        (0..=radius).map(|k| libm::exp(-0.5 * (k as f64 / std) * (k as f64 / std))).collect();
    let total = 2.0 * side.iter().sum::<f64>() - 1.0;
    side.iter().map(|weight| (weight / total) as f32).collect()
}

/// Weakens every `n_ghosts`-th plane of k-space across `axis` by `intensity`, except around its centre: the
/// central plane, or the central fraction `restore`.
///
/// The effect depends only on the position along `axis`, so this is a circular convolution along that axis,
/// with a kernel in closed form.
///
/// # Reference
/// TorchIO's `Ghosting`.
pub(crate) fn ghosts(
    volume: &mut Volume<f32>,
    axis: usize,
    n_ghosts: usize,
    intensity: f64,
    restore: Option<f64>,
) {
    let n = volume.dims()[axis];
    if n_ghosts > 0 && intensity > 0.0 {
        filter(volume, axis, &ghost_kernel(n, n_ghosts, intensity, restore), Beyond::Wrap);
    }
}

/// The centre and one side of the kernel.
#[expect(clippy::cast_possible_truncation, reason = "weights are single precision")]
fn ghost_kernel(n: usize, n_ghosts: usize, intensity: f64, restore: Option<f64>) -> Vec<f32> {
    let centre = n / 2;
    let restored = restored_planes(n, restore);
    let weakened: Vec<usize> = (0..n).step_by(n_ghosts).filter(|plane| !restored.contains(plane)).collect();
    let weight = |shift: usize| {
        let waves = weakened.iter().map(|&plane| {
            // Full turns are dropped, which keeps the angle small and exact.
            let turns = (plane.abs_diff(centre) * shift) % n;
            libm::cos(2.0 * PI * turns as f64 / n as f64)
        });
        let weight = f64::from(u8::from(shift == 0)) - intensity / n as f64 * waves.sum::<f64>();
        // Half a line away, both sides are the same voxel.
        if 2 * shift == n { weight / 2.0 } else { weight }
    };
    (0..=n / 2).map(|shift| weight(shift) as f32).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "a share of n")]
#[expect(clippy::cast_sign_loss, reason = "not negative")]
fn restored_planes(n: usize, restore: Option<f64>) -> std::ops::Range<usize> {
    let centre = n / 2;
    match restore {
        None => centre..centre + 1,
        Some(share) => {
            let half = (share * n as f64).round_ties_even() as usize / 2;
            centre.saturating_sub(half)..centre + half
        }
    }
}

/// Replaces each value by `kernel[0]` times itself plus `kernel[d]` times its two neighbours at
/// distance `d` along `axis`.
fn filter(volume: &mut Volume<f32>, axis: usize, kernel: &[f32], beyond: Beyond) {
    let dims @ [nx, ny, _] = volume.dims();
    let (n, radius) = (dims[axis], kernel.len() - 1);
    let places: Vec<usize> =
        (0..n + 2 * radius).map(|i| beyond.index(i.cast_signed() - radius.cast_signed(), n)).collect();
    let mut sheets: Vec<Vec<&mut [f32]>> = Vec::new();
    sheets.resize_with(dims[if axis == 2 { 1 } else { 2 }], Vec::new);
    for (row, values) in volume.as_mut_slice().chunks_mut(nx).enumerate() {
        sheets[if axis == 2 { row % ny } else { row / ny }].push(values);
    }
    sheets.par_iter_mut().for_each_init(Vec::new, |scratch, rows| {
        if axis == 0 {
            // The lines are the rows themselves.
            let n_lines = rows.len().next_multiple_of(WIDTH);
            scratch.clear();
            scratch.resize(n * n_lines, 0.0);
            for (line, row) in rows.iter().enumerate() {
                row.iter().enumerate().for_each(|(i, &value)| scratch[i * n_lines + line] = value);
            }
            convolve(scratch, n_lines, &places, kernel, |i, first, values| {
                for (row, value) in rows.iter_mut().skip(first).zip(values) {
                    row[i] = value;
                }
            });
        } else {
            let n_lines = nx.next_multiple_of(WIDTH);
            scratch.clear();
            scratch.resize(n * n_lines, 0.0);
            for (from, to) in rows.iter().zip(scratch.chunks_mut(n_lines)) {
                to[..nx].copy_from_slice(from);
            }
            convolve(scratch, n_lines, &places, kernel, |i, first, values| {
                let row = &mut rows[i][first..];
                row.iter_mut().zip(values).for_each(|(to, value)| *to = value);
            });
        }
    });
}

/// Filters `n_lines` adjacent lines, and passes the results of sixteen at a time to `write(position along the
/// line, first line, values)`.
fn convolve(
    lines: &[f32],
    n_lines: usize,
    places: &[usize],
    kernel: &[f32],
    mut write: impl FnMut(usize, usize, [f32; WIDTH]),
) {
    let radius = kernel.len() - 1;
    let chunks: &[[f32; WIDTH]] = lines.as_chunks().0;
    let per_place = n_lines / WIDTH;
    for (i, window) in places.windows(2 * radius + 1).enumerate() {
        for chunk in 0..per_place {
            let mut sums = [0.0_f32; WIDTH];
            for (distance, &weight) in kernel.iter().enumerate().skip(1) {
                let before = &chunks[window[radius - distance] * per_place + chunk];
                let after = &chunks[window[radius + distance] * per_place + chunk];
                for lane in 0..WIDTH {
                    sums[lane] += weight * (before[lane] + after[lane]);
                }
            }
            let centre = &chunks[window[radius] * per_place + chunk];
            for lane in 0..WIDTH {
                sums[lane] += kernel[0] * centre[lane];
            }
            write(i, chunk * WIDTH, sums);
        }
    }
}

#[cfg(test)]
mod tests {
    use brainreel_volume::{Affine, Grid};

    use super::*;

    fn image(dims: [usize; 3]) -> Volume<f32> {
        let grid = Grid::new(dims, Affine::IDENTITY).unwrap();
        Volume::from_fn(grid, |[i, j, k]| ((i * 7 + j * 13 + k * 31) % 17) as f32)
    }

    #[test]
    fn beyond_the_ends() {
        let of = |beyond: Beyond| (-4..7).map(|i| beyond.index(i, 3)).collect::<Vec<_>>();
        assert_eq!(of(Beyond::Mirror), [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0]);
        assert_eq!(of(Beyond::Wrap), [2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn every_axis_is_filtered_along_itself() {
        let kernel = [0.5_f32, 0.125, 0.0625];
        for axis in 0..3 {
            let before = image([5, 19, 3]);
            let mut after = before.clone();
            filter(&mut after, axis, &kernel, Beyond::Mirror);
            for (i, j, k) in [(0, 0, 0), (4, 18, 2), (2, 17, 1)] {
                let at = |shift: isize| {
                    let mut index: [usize; 3] = [i, j, k];
                    index[axis] =
                        Beyond::Mirror.index(index[axis].cast_signed() + shift, before.dims()[axis]);
                    *before.at(index)
                };
                let want = 0.5 * at(0) + 0.125 * (at(1) + at(-1)) + 0.0625 * (at(2) + at(-2));
                assert!((after.at([i, j, k]) - want).abs() < 1e-4, "axis {axis} at {i} {j} {k}");
            }
        }
    }

    #[test]
    fn a_blur_keeps_the_mean_and_a_ghost_too() {
        let mean = |volume: &Volume<f32>| {
            volume.as_slice().iter().map(|&v| f64::from(v)).sum::<f64>() / volume.as_slice().len() as f64
        };
        let mut volume = image([12, 11, 10]);
        let before = mean(&volume);
        blur(&mut volume, [1.5, 0.0, 7.0]);
        assert!((mean(&volume) - before).abs() < 1e-4);
        for axis in 0..3 {
            // The central plane of k-space, which holds the mean, is unchanged.
            ghosts(&mut volume, axis, 3, 0.8, None);
            assert!((mean(&volume) - before).abs() < 1e-4);
        }
    }
}
