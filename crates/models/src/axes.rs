//! The one place where the axes of a volume become the axes of a network's input.

use brainreel_volume::Volume;
use burn::tensor::{Device, Tensor, TensorData};

/// Turns a RAS volume `[x, y, z]`, first axis fastest, into the network's memory order, last axis
/// fastest: `[D = x, H = y, W = z]`. Sagittal slices thus play the part of video frames.
#[must_use]
pub fn network_order(volume: &Volume<f32>) -> Vec<f32> {
    let [nx, ny, nz] = volume.dims();
    let voxels = volume.as_slice();
    let mut out = Vec::with_capacity(voxels.len());
    for x in 0..nx {
        for y in 0..ny {
            out.extend((0..nz).map(|z| voxels[x + nx * (y + ny * z)]));
        }
    }
    out
}

/// A network input on `device` from values in [`network_order`].
///
/// # Shapes
/// `dims` is `[x, y, z]` of the volume; the result is `[N = 1, C = 1, D = x, H = y, W = z]`.
///
/// # Panics
/// If the number of values is not the product of `dims`.
#[must_use]
pub fn volume_tensor(ordered: Vec<f32>, dims: [usize; 3], device: &Device) -> Tensor<5> {
    let [depth, height, width] = dims;
    Tensor::from_data(TensorData::new(ordered, [1, 1, depth, height, width]), device)
}

#[cfg(test)]
mod tests {
    use brainreel_volume::{Affine, Grid, Volume};

    use super::*;

    #[test]
    fn sagittal_slices_become_frames() {
        let grid = Grid::new([2, 3, 4], Affine::IDENTITY).unwrap();
        let volume = Volume::from_fn(grid, |[x, y, z]| f32::from((100 * x + 10 * y + z) as u16));
        let tensor = volume_tensor(network_order(&volume), volume.dims(), &Device::flex());
        assert_eq!(tensor.dims(), [1, 1, 2, 3, 4]);
        let voxel: f32 = tensor.slice([0..1, 0..1, 1..2, 2..3, 3..4]).into_scalar();
        assert!((voxel - 123.0).abs() < 1e-6);
    }
}
