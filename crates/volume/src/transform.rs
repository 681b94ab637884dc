//! Transform from network voxels back to the scan.

use serde::{Deserialize, Serialize};

use crate::{Affine, AffineError, Grid};

/// Location of the network input's voxels in the scan.
///
/// All steps preserve world positions, so the whole chain is one affine from network voxel indices to the
/// scan's RAS+ millimetres. With the scan's own grid it gives native voxels as well.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkTransform {
    /// Dimensions of the network input, in voxels.
    pub network_dims: [usize; 3],
    /// Network voxel indices to native RAS+ mm.
    pub network_voxel_to_native_mm: Affine,
    /// Dimensions of the input scan, in voxels.
    pub native_dims: [usize; 3],
    /// Voxel indices of the input scan to native RAS+ mm.
    pub native_voxel_to_native_mm: Affine,
}

impl NetworkTransform {
    /// The transform between the grids of the network input and the input scan.
    #[must_use]
    pub const fn between(network: &Grid, native: &Grid) -> Self {
        Self {
            network_dims: network.dims(),
            network_voxel_to_native_mm: *network.affine(),
            native_dims: native.dims(),
            native_voxel_to_native_mm: *native.affine(),
        }
    }

    /// Network voxel indices to (fractional) voxel indices of the input scan.
    ///
    /// # Errors
    /// [`AffineError`] if the scan's affine is singular.
    pub fn network_to_native_voxel(&self) -> Result<Affine, AffineError> {
        Ok(self.native_voxel_to_native_mm.inverse()?.compose(&self.network_voxel_to_native_mm))
    }

    /// Voxel indices of the input scan to (fractional) network voxel indices.
    ///
    /// # Errors
    /// [`AffineError`] if the network's affine is singular.
    pub fn native_to_network_voxel(&self) -> Result<Affine, AffineError> {
        Ok(self.network_voxel_to_native_mm.inverse()?.compose(&self.native_voxel_to_native_mm))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_is_identity() {
        let native =
            Affine::new([[0.0, 0.0, 1.2, -80.0], [-1.0, 0.1, 0.0, 90.0], [0.1, -1.0, 0.0, 110.0], [0.0; 4]]);
        let native = Grid::new([256, 256, 166], native.unwrap()).unwrap();
        let network =
            Affine::new([[1.2, 0.1, 0.0, -75.0], [0.1, 1.4, 0.0, -99.0], [0.0, 0.0, 1.5, -60.0], [0.0; 4]]);
        let network = Grid::new([128; 3], network.unwrap()).unwrap();
        let transform = NetworkTransform::between(&network, &native);
        let there = transform.network_to_native_voxel().unwrap();
        let back = transform.native_to_network_voxel().unwrap();
        for point in [[0.0, 0.0, 0.0], [127.0, 3.0, 64.5]] {
            let round_trip = back.apply(there.apply(point));
            assert!((0..3).all(|axis| (round_trip[axis] - point[axis]).abs() < 1e-9));
            let mm = native.affine().apply(there.apply(point));
            let want = network.affine().apply(point);
            assert!((0..3).all(|axis| (mm[axis] - want[axis]).abs() < 1e-9));
        }
    }
}
