//! What batch normalisation needs: moments of channels, and scaling in place.

use super::epilogue::Finish;
use super::parallel::{Shared, for_each_task};
use super::{Epilogue, Layout, Map, MapMut};
use crate::LANES;
use crate::simd::{InstructionSet, Kernel, Lanes16};

/// Mean and biased variance of each channel over all images and voxels.
///
/// # Determinism
/// Double precision; rows are summed first, then planes, in order: the same bits for any number of threads.
#[must_use]
pub fn channel_moments(input: &Map<'_>) -> Vec<(f64, f64)> {
    let layout = *input.layout();
    let n = (input.n_images() * layout.n_voxels()) as f64;
    let sums = channel_sums(input, vec![0.0; layout.blocks() * LANES]);
    let means: Vec<f64> = sums.iter().map(|(sum, _)| sum / n).collect();
    // A second pass around the mean: sums of squares would cancel.
    let centred = channel_sums(input, means.clone());
    let moments = means.into_iter().zip(centred);
    moments
        .map(|(mean, (sum, squares))| (mean, ((squares - sum * sum / n) / n).max(0.0)))
        .take(layout.channels)
        .collect()
}

/// Sum and sum of squares of each channel less its `centre`.
fn channel_sums(input: &Map<'_>, centres: Vec<f64>) -> Vec<(f64, f64)> {
    let layout = *input.layout();
    let planes = input.n_images() * layout.dims[0];
    let mut partial = vec![(0.0, 0.0); layout.blocks() * planes * LANES];
    let target = SharedSums(partial.as_mut_ptr());
    for_each_task(layout.blocks() * planes, |task, _| {
        let (block, plane) = (task / planes, task % planes);
        let (image, depth) = (plane / layout.dims[0], plane % layout.dims[0]);
        let start =
            image * layout.image() + block * layout.block() + layout.origin() + depth * layout.plane();
        let centres: [f64; LANES] = std::array::from_fn(|lane| centres[block * LANES + lane]);
        let mut sums = [(0.0, 0.0); LANES];
        for height in 0..layout.dims[1] {
            let row = &input.data()[start + height * layout.row()..][..layout.dims[2] * LANES];
            for voxel in row.chunks_exact(LANES) {
                for ((sum, &x), centre) in sums.iter_mut().zip(voxel).zip(centres) {
                    let x = f64::from(x) - centre;
                    sum.0 += x;
                    sum.1 += x * x;
                }
            }
        }
        for (lane, sum) in sums.into_iter().enumerate() {
            // SAFETY: each task has sixteen places of its own.
            unsafe { *target.get().add(task * LANES + lane) = sum };
        }
    });
    let add = |a: (f64, f64), b: (f64, f64)| (a.0 + b.0, a.1 + b.1);
    (0..layout.blocks() * LANES)
        .map(|channel| {
            let (block, lane) = (channel / LANES, channel % LANES);
            let of_plane = |plane: usize| partial[(block * planes + plane) * LANES + lane];
            (0..planes).map(of_plane).fold((0.0, 0.0), add)
        })
        .collect()
}

#[derive(Clone, Copy)]
struct SharedSums(*mut (f64, f64));

// SAFETY: tasks write disjoint places.
unsafe impl Sync for SharedSums {}

impl SharedSums {
    const fn get(self) -> *mut (f64, f64) {
        self.0
    }
}

/// `activation(scale * x + bias + residual)` in place, for every channel its own scale; the rest as in
/// [`Epilogue`].
///
/// # Panics
/// If there is not one scale a channel, or the epilogue does not fit the map.
pub fn scale_in_place(isa: InstructionSet, map: &mut MapMut<'_>, scale: &[f32], epilogue: &Epilogue<'_>) {
    let layout = *map.layout();
    let n_images = map.n_images();
    assert_eq!(scale.len(), layout.channels, "one scale a channel");
    let bias = epilogue.check_and_pad_bias(&layout, n_images);
    let mut padded = scale.to_vec();
    padded.resize(layout.blocks() * LANES, 0.0);
    let finishes: Vec<Finish> =
        (0..n_images).map(|image| Finish::new(epilogue, &bias, &layout, image)).collect();
    let target = Shared(map.data().as_mut_ptr());
    let depths = layout.dims[0];
    for_each_task(n_images * layout.blocks() * depths, |task, _| {
        let (image, block, depth) =
            (task / (layout.blocks() * depths), task / depths % layout.blocks(), task % depths);
        // SAFETY: each task has a plane of its own, and the epilogue was checked.
        unsafe {
            isa.run(Plane {
                y: target.get().add(image * layout.image() + layout.origin()),
                layout,
                block,
                depth,
                scale: padded.as_ptr(),
                finish: &finishes[image],
            });
        }
    });
}

struct Plane<'a> {
    y: *mut f32,
    layout: Layout,
    block: usize,
    depth: usize,
    scale: *const f32,
    finish: &'a Finish,
}

impl Kernel for Plane<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes16>(self) {
        let layout = self.layout;
        // SAFETY: the caller vouches for the plane.
        unsafe {
            let scale = V::load(self.scale.add(self.block * LANES));
            for height in 0..layout.dims[1] {
                let row = self
                    .y
                    .add(self.block * layout.block() + self.depth * layout.plane() + height * layout.row());
                for width in 0..layout.dims[2] {
                    let y = row.add(width * LANES);
                    let offset = self.finish.residual_offset(self.block, [self.depth, height, width]);
                    self.finish.apply(V::load(y).mul(scale), self.block, offset).store(y);
                }
            }
        }
    }
}
