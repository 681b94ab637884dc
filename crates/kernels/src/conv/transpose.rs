//! Converts between `[image][channel][depth][height][width]` and the blocked layout.

use super::parallel::{Shared, for_each_task};
use super::{Layout, Map, MapMut};
use crate::LANES;

/// Writes planar images into `output`; its halo and the lanes that fill up the last block become zero.
///
/// # Panics
/// If `input` does not hold as many images of the same size.
pub fn to_blocked(input: &[f32], output: &mut MapMut<'_>) {
    let layout = *output.layout();
    let n_voxels = layout.n_voxels();
    assert_eq!(input.len(), output.n_images() * layout.channels * n_voxels, "numbers of the planar images");
    clear_halo(output);
    let [_, height, width] = layout.dims;
    let target = Shared(output.data().as_mut_ptr());
    for_each_row(&layout, output.n_images(), |image, block, row, start| {
        let n_lanes = LANES.min(layout.channels - block * LANES);
        let first = (image * layout.channels + block * LANES) * n_voxels + row * width;
        debug_assert!(row < layout.dims[0] * height);
        // SAFETY: `start` is that of a row of the layout, and every row has one task.
        let row = unsafe { std::slice::from_raw_parts_mut(target.get().add(start), width * LANES) };
        row.fill(0.0);
        for lane in 0..n_lanes {
            let channel = &input[first + lane * n_voxels..][..width];
            for (voxel, &value) in row.chunks_exact_mut(LANES).zip(channel) {
                voxel[lane] = value;
            }
        }
    });
}

/// Writes blocked images into planar `output`.
///
/// # Panics
/// If `output` has not the size of as many images.
pub fn from_blocked(input: &Map<'_>, output: &mut [f32]) {
    let layout = *input.layout();
    let n_voxels = layout.n_voxels();
    assert_eq!(output.len(), input.n_images() * layout.channels * n_voxels, "numbers of the planar images");
    let width = layout.dims[2];
    let target = Shared(output.as_mut_ptr());
    for_each_row(&layout, input.n_images(), |image, block, row, start| {
        let n_lanes = LANES.min(layout.channels - block * LANES);
        let voxels = &input.data()[start..start + width * LANES];
        for lane in 0..n_lanes {
            let first = (image * layout.channels + block * LANES + lane) * n_voxels + row * width;
            // SAFETY: the row of one channel, within the size checked above, written by one task.
            let channel = unsafe { std::slice::from_raw_parts_mut(target.get().add(first), width) };
            for (value, voxel) in channel.iter_mut().zip(voxels.chunks_exact(LANES)) {
                *value = voxel[lane];
            }
        }
    });
}

/// Calls `work(image, block, row, start)` for every row, a task for every depth.
fn for_each_row(layout: &Layout, n_images: usize, work: impl Fn(usize, usize, usize, usize) + Sync) {
    let [depth, height, _] = layout.dims;
    let blocks = layout.blocks();
    for_each_task(n_images * blocks * depth, |task, _| {
        let (image, block, d) = (task / (blocks * depth), task / depth % blocks, task % depth);
        let plane = image * layout.image() + block * layout.block() + layout.origin() + d * layout.plane();
        for h in 0..height {
            work(image, block, d * height + h, plane + h * layout.row());
        }
    });
}

/// Sets the halo of every block to zero: what was in the memory before must not be read as padding.
pub fn clear_halo(map: &mut MapMut<'_>) {
    let layout = *map.layout();
    if layout.image() == 0 {
        return;
    }
    let [depth, height, width] = layout.dims;
    let (row, plane) = (layout.row(), layout.plane());
    let target = Shared(map.data().as_mut_ptr());
    let planes = layout.block() / plane;
    for_each_task(map.n_images() * layout.blocks() * planes, |task, _| {
        // SAFETY: each task has a plane of its own.
        let data = unsafe { std::slice::from_raw_parts_mut(target.get().add(task * plane), plane) };
        let d = task % planes;
        if d < layout.low[0] || d >= layout.low[0] + depth {
            data.fill(0.0);
            return;
        }
        data[..layout.low[1] * row].fill(0.0);
        data[(layout.low[1] + height) * row..].fill(0.0);
        for row in data.chunks_exact_mut(row).skip(layout.low[1]).take(height) {
            row[..layout.low[2] * LANES].fill(0.0);
            row[(layout.low[2] + width) * LANES..].fill(0.0);
        }
    });
}
