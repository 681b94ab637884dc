//! Geometry of voxels, samples and mesh.

use brainreel_kernels::{LatticeAxis, LatticeGrid};
use brainreel_volume::Grid;

use super::{N4Config, N4Error, N4Mesh};
use crate::numbers::as_f64;

/// The last sample of an axis is this fraction of a step before the end of the half-open domain (the B-spline
/// epsilon of ITK).
const END_STEPS: f64 = 1e-3;

/// Largest plausible number of voxels per mesh element.
const MAX_DISTANCE_VOXELS: f64 = 1e5;

/// Largest number of control points: 4 million, 32 MiB.
const MAX_CONTROL: usize = 1 << 22;

/// One axis: the image, and around it the domain of the mesh.
#[derive(Debug, Clone, Copy)]
struct DomainAxis {
    n_voxels: usize,
    /// Voxels of the domain before the first image voxel.
    n_before: usize,
    n_domain: usize,
    shrink: usize,
    /// Mesh elements of the first level.
    n_spans: usize,
}

impl DomainAxis {
    /// A mesh of `n_spans` elements from the first voxel to the last.
    const fn of_elements(n_voxels: usize, shrink: usize, n_spans: usize) -> Self {
        Self { n_voxels, n_before: 0, n_domain: n_voxels, shrink, n_spans }
    }

    /// The smallest mesh of elements of `distance` voxels that covers the image, which is centred in it.
    fn of_distance(n_voxels: usize, shrink: usize, distance: f64) -> Self {
        if n_voxels == 1 {
            return Self::of_elements(n_voxels, shrink, 1);
        }
        let distance = distance.min(MAX_DISTANCE_VOXELS);
        let length = as_f64(n_voxels - 1);
        let n_spans = (length / distance).ceil().max(1.0);
        let n_more = to_count(n_spans * distance - length + 0.5);
        let n_domain = n_voxels + n_more;
        Self { n_voxels, n_before: n_more / 2, n_domain, shrink, n_spans: to_count(n_spans) }
    }

    /// Samples of the whole domain, as `itk::ShrinkImageFilter` counts them.
    fn n_domain_samples(&self) -> usize {
        (self.n_domain / self.shrink).max(1)
    }

    /// The samples on image voxels: position in the domain and voxel.
    fn samples(&self) -> impl Iterator<Item = (usize, usize)> {
        let (n, shrink) = (self.n_domain_samples(), self.shrink);
        // The samples are centred in the domain. Halves are rounded up.
        let first = (self.n_domain - 1).saturating_sub(shrink * (n - 1)).div_ceil(2);
        let (n_before, n_voxels) = (self.n_before, self.n_voxels);
        (0..n)
            .filter_map(move |sample| Some((sample, (first + sample * shrink).checked_sub(n_before)?)))
            .filter(move |&(_, voxel)| voxel < n_voxels)
    }

    /// Positions `among` `n` evenly spaced ones that span the mesh.
    fn lattice(&self, among: impl Iterator<Item = usize>, n: usize, level: usize) -> LatticeAxis {
        let n_spans = self.n_spans << level;
        let step = as_f64(n_spans) / as_f64((n - 1).max(1));
        let last = as_f64(n_spans) - END_STEPS * step;
        let coordinates: Vec<f64> = among.map(|i| (as_f64(i) * step).min(last)).collect();
        LatticeAxis::new(n_spans, &coordinates)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of voxels, above 0")]
const fn to_count(x: f64) -> usize {
    x as usize
}

/// The three axes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Domain {
    axes: [DomainAxis; 3],
}

impl Domain {
    /// Creates the mesh over the image.
    pub(super) fn new(grid: &Grid, config: &N4Config) -> Result<Self, N4Error> {
        let (dims, spacing_mm, shrink) = (grid.dims(), grid.spacing_mm(), config.shrink_factor);
        let axes = [0, 1, 2].map(|axis| match config.mesh {
            N4Mesh::Elements(elements) => DomainAxis::of_elements(dims[axis], shrink, elements[axis]),
            N4Mesh::SplineDistanceMm(mm) => {
                DomainAxis::of_distance(dims[axis], shrink, mm / spacing_mm[axis])
            }
        });
        let finest = config.n_iterations.len() - 1;
        let n_control = axes.map(|axis| (axis.n_spans << finest) + 3);
        if n_control.iter().fold(1, |product: usize, &n| product.saturating_mul(n)) > MAX_CONTROL {
            return Err(N4Error::Mesh { n_control, max: MAX_CONTROL });
        }
        Ok(Self { axes })
    }

    /// The sampled voxels along each axis.
    pub(super) fn sampled_voxels(&self) -> [Vec<usize>; 3] {
        self.axes.map(|axis| axis.samples().map(|(_, voxel)| voxel).collect())
    }

    /// The samples in the mesh of `level`.
    pub(super) fn sample_grid(&self, level: usize) -> LatticeGrid {
        LatticeGrid::new(self.axes.map(|axis| {
            axis.lattice(axis.samples().map(|(sample, _)| sample), axis.n_domain_samples(), level)
        }))
    }

    /// All voxels in the mesh of `level`. As in ITK and ANTs, the first and last voxel are at the ends of the
    /// mesh, where the first and last sample were during the fit.
    pub(super) fn voxel_grid(&self, level: usize) -> LatticeGrid {
        LatticeGrid::new(
            self.axes
                .map(|axis| axis.lattice(axis.n_before..axis.n_before + axis.n_voxels, axis.n_domain, level)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voxels(axis: DomainAxis) -> Vec<usize> {
        axis.samples().map(|(_, voxel)| voxel).collect()
    }

    /// Voxels that `SimpleITK.Shrink` selects from 0, 1, 2 ...
    #[test]
    fn samples_lie_in_the_middle() {
        assert_eq!(voxels(DomainAxis::of_elements(5, 1, 1)), [0, 1, 2, 3, 4]);
        assert_eq!(voxels(DomainAxis::of_elements(9, 4, 1)), [2, 6]);
        assert_eq!(voxels(DomainAxis::of_elements(10, 4, 1)), [3, 7]);
        assert_eq!(voxels(DomainAxis::of_elements(12, 4, 1)), [2, 6, 10]);
        assert_eq!(voxels(DomainAxis::of_elements(3, 4, 1)), [1]);
        assert_eq!(voxels(DomainAxis::of_elements(1, 4, 1)), [0]);
    }

    #[test]
    fn a_mesh_of_a_given_distance_reaches_over_both_ends() {
        let axis = DomainAxis::of_distance(11, 2, 7.0);
        // 10 voxels long, two elements of 7: 4 voxels more.
        assert_eq!((axis.n_spans, axis.n_domain, axis.n_before), (2, 15, 2));
        // Every other voxel of the 15 from the second on; the image starts at the third.
        assert_eq!(voxels(axis), [1, 3, 5, 7, 9]);
        assert_eq!(voxels(DomainAxis::of_distance(1, 4, 50.0)), [0]);
    }
}
