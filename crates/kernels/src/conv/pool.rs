//! Pooling and upsampling.

use super::parallel::{Shared, for_each_task};
use super::{Layout, Map, MapMut};
use crate::LANES;
use crate::simd::{InstructionSet, Kernel, Lanes16};

/// Max pooling over `size` voxels without overlap. Incomplete windows at the end are dropped.
///
/// # Panics
/// If the output does not have the input's channels and images, and its size divided by `size`.
pub fn max_pool(isa: InstructionSet, input: &Map<'_>, size: [usize; 3], output: &mut MapMut<'_>) {
    let (from, to) = (*input.layout(), *output.layout());
    assert_eq!(to.dims, std::array::from_fn(|axis| from.dims[axis] / size[axis]), "size of the output");
    check(input, output);
    let target = Shared(output.data().as_mut_ptr());
    for_each_plane(&to, input.n_images(), |image, block, depth| {
        let row = |height: usize| PoolRow {
            x: input.data()[image * from.image()
                + block * from.block()
                + from.origin()
                + depth * size[0] * from.plane()
                + height * size[1] * from.row()..]
                .as_ptr(),
            from,
            size,
            // SAFETY: a row of the output; every plane has one task.
            y: unsafe {
                let plane = image * to.image() + block * to.block() + to.origin() + depth * to.plane();
                target.get().add(plane + height * to.row())
            },
            width: to.dims[2],
        };
        // SAFETY: the windows of the row lie in the input, as the sizes were checked.
        (0..to.dims[1]).for_each(|height| unsafe { isa.run(row(height)) });
    });
}

/// A row of pooled voxels.
struct PoolRow {
    x: *const f32,
    from: Layout,
    size: [usize; 3],
    y: *mut f32,
    width: usize,
}

impl Kernel for PoolRow {
    #[inline(always)]
    unsafe fn run<V: Lanes16>(self) {
        for width in 0..self.width {
            // SAFETY: the caller vouches for the windows and the row.
            unsafe {
                let x = self.x.add(width * self.size[2] * LANES);
                let mut most = V::load(x);
                for d in 0..self.size[0] {
                    for h in 0..self.size[1] {
                        for w in 0..self.size[2] {
                            let offset = d * self.from.plane() + h * self.from.row() + w * LANES;
                            most = most.max(V::load(x.add(offset)));
                        }
                    }
                }
                most.store(self.y.add(width * LANES));
            }
        }
    }
}

/// Nearest-neighbour upsampling by `factor` along each axis.
///
/// # Panics
/// If the output does not have the input's channels and images, and its size times `factor`.
pub fn upsample(input: &Map<'_>, factor: usize, output: &mut MapMut<'_>) {
    let (from, to) = (*input.layout(), *output.layout());
    assert_eq!(to.dims, from.dims.map(|n| n * factor), "size of the output");
    check(input, output);
    let target = Shared(output.data().as_mut_ptr());
    for_each_plane(&to, input.n_images(), |image, block, depth| {
        let x = image * from.image() + block * from.block() + from.origin() + depth / factor * from.plane();
        let y = image * to.image() + block * to.block() + to.origin() + depth * to.plane();
        for height in 0..to.dims[1] {
            let x = &input.data()[x + height / factor * from.row()..][..from.dims[2] * LANES];
            // SAFETY: a row of the output; every plane has one task.
            let y = unsafe {
                std::slice::from_raw_parts_mut(target.get().add(y + height * to.row()), to.dims[2] * LANES)
            };
            for (voxel, repeated) in x.chunks_exact(LANES).zip(y.chunks_exact_mut(factor * LANES)) {
                repeated.chunks_exact_mut(LANES).for_each(|y| y.copy_from_slice(voxel));
            }
        }
    });
}

/// The mean of every channel: `[image][channel]`, summed in double precision, row after row.
#[must_use]
pub fn average(input: &Map<'_>) -> Vec<f32> {
    let layout = *input.layout();
    let mut means = vec![0.0; input.n_images() * layout.channels];
    let target = Shared(means.as_mut_ptr());
    for_each_task(input.n_images() * layout.blocks(), |task, _| {
        let (image, block) = (task / layout.blocks(), task % layout.blocks());
        let start = image * layout.image() + block * layout.block() + layout.origin();
        let mut sums = [0.0_f64; LANES];
        for depth in 0..layout.dims[0] {
            for height in 0..layout.dims[1] {
                let row = &input.data()[start + depth * layout.plane() + height * layout.row()..];
                for voxel in row[..layout.dims[2] * LANES].chunks_exact(LANES) {
                    sums.iter_mut().zip(voxel).for_each(|(sum, &x)| *sum += f64::from(x));
                }
            }
        }
        let n_lanes = LANES.min(layout.channels - block * LANES);
        for (lane, sum) in sums.into_iter().enumerate().take(n_lanes) {
            let mean = (sum / layout.n_voxels() as f64) as f32;
            // SAFETY: each channel of each image has one task.
            unsafe { *target.get().add(image * layout.channels + block * LANES + lane) = mean };
        }
    });
    means
}

fn check(input: &Map<'_>, output: &MapMut<'_>) {
    assert_eq!(input.layout().channels, output.layout().channels, "channels of input and output");
    assert_eq!(input.n_images(), output.n_images(), "images of input and output");
}

/// Calls `work(image, block, depth)` for every plane of a map.
fn for_each_plane(layout: &Layout, n_images: usize, work: impl Fn(usize, usize, usize) + Sync) {
    let (blocks, depths) = (layout.blocks(), layout.dims[0]);
    for_each_task(n_images * blocks * depths, |task, _| {
        work(task / (blocks * depths), task / depths % blocks, task % depths);
    });
}
