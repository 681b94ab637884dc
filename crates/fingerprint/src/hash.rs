//! A digest of the voxels alone.

use std::io::Write;

use brainreel_artifact::{ContentHash, HashBuilder};
use brainreel_volume::Volume;

/// Voxels converted to bytes at a time.
const CHUNK: usize = 1 << 14;

/// SHA-256 of dimensions and voxel values in storage order.
///
/// Independent of header, compression and stored data type. A file and its copy with another name, affine,
/// scale factor or gzip level have the same hash if their values are equal. `-0.0` equals `0.0`, and all NaNs
/// are equal. A copy with reordered axes has another hash.
#[must_use]
pub fn voxel_hash(volume: &Volume<f32>) -> ContentHash {
    let dims: Vec<u8> = volume.dims().iter().flat_map(|&n| (n as u64).to_le_bytes()).collect();
    let mut hash = HashBuilder::new().part(dims);
    let mut bytes = vec![0_u8; 4 * CHUNK];
    for voxels in volume.as_slice().chunks(CHUNK) {
        for (out, &voxel) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(voxels) {
            let plain = if voxel.is_nan() { f32::NAN } else { voxel + 0.0 };
            *out = plain.to_le_bytes();
        }
        hash.write_all(&bytes[..4 * voxels.len()]).expect("a digest takes every byte");
    }
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use brainreel_volume::{Affine, Grid};

    fn volume(dims: [usize; 3], voxels: Vec<f32>) -> Volume<f32> {
        Volume::new(Grid::new(dims, Affine::IDENTITY).unwrap(), voxels).unwrap()
    }

    #[test]
    fn header_and_sign_of_zero_do_not_count() {
        let a = volume([2, 1, 2], vec![0.0, 1.5, f32::NAN, -2.0]);
        let grid = Grid::new([2, 1, 2], Affine::from_diagonal([-2.0, 0.5, 1.0])).unwrap();
        let b = Volume::new(grid, vec![-0.0, 1.5, -f32::NAN, -2.0]).unwrap();
        assert_eq!(voxel_hash(&a), voxel_hash(&b));
    }

    #[test]
    fn shape_and_values_count() {
        let a = volume([2, 3, 1], vec![1.0; 6]);
        assert_ne!(voxel_hash(&a), voxel_hash(&volume([3, 2, 1], vec![1.0; 6])));
        let mut other = a.clone();
        other.as_mut_slice()[5] = 1.000_000_1;
        assert_ne!(voxel_hash(&a), voxel_hash(&other));
    }

    #[test]
    fn chunks_leave_no_seam() {
        let values = |n: usize| (0..n).map(|i| i as f32).collect::<Vec<f32>>();
        let n = CHUNK + 1;
        let a = volume([n, 1, 1], values(n));
        let mut b = a.clone();
        b.as_mut_slice()[CHUNK] += 1.0;
        assert_ne!(voxel_hash(&a), voxel_hash(&b));
        assert_eq!(voxel_hash(&a), voxel_hash(&a.clone()));
    }
}
