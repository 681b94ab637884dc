//! Batch normalisation: channel moments and in-place scaling.

use std::ops::Range;

use super::epilogue::Finish;
use super::parallel::{Shared, for_each_task};
use super::{Epilogue, Layout, Map, MapMut};
use crate::LANES;
use crate::simd::{InstructionSet, Kernel, Lanes16};

/// Mean and biased variance of each channel over all images and voxels.
///
/// One pass: sums and sums of squares around a centre near the mean, so that they do not cancel.
///
/// # Determinism
/// Single precision within a row, double from row to row, in order: the same bits for any number of threads.
#[must_use]
pub fn channel_moments(isa: InstructionSet, input: &Map<'_>) -> Vec<(f64, f64)> {
    let layout = *input.layout();
    let n = (input.n_images() * layout.n_voxels()) as f64;
    let middle = layout.dims[1] / 2;
    let n_of_rows = (input.n_images() * layout.dims[0] * layout.dims[2]) as f64;
    let zero = vec![0.0; layout.blocks() * LANES];
    let rows = channel_sums(isa, input, middle..middle + 1, &zero);
    let centres: Vec<f32> = rows.iter().map(|(sum, _)| (sum / n_of_rows) as f32).collect();
    let sums = channel_sums(isa, input, 0..layout.dims[1], &centres);
    let moments = centres.into_iter().zip(sums).map(|(centre, (sum, squares))| {
        let offset = sum / n;
        (f64::from(centre) + offset, (squares / n - offset * offset).max(0.0))
    });
    moments.take(layout.channels).collect()
}

/// Sum and sum of squares of each channel less its centre, over the rows of these `heights`.
fn channel_sums(
    isa: InstructionSet,
    input: &Map<'_>,
    heights: Range<usize>,
    centres: &[f32],
) -> Vec<(f64, f64)> {
    let layout = *input.layout();
    let planes = input.n_images() * layout.dims[0];
    let mut partial = vec![(0.0, 0.0); layout.blocks() * planes * LANES];
    let target = SharedSums(partial.as_mut_ptr());
    for_each_task(layout.blocks() * planes, |task, _| {
        let (block, plane) = (task / planes, task % planes);
        let (image, depth) = (plane / layout.dims[0], plane % layout.dims[0]);
        let first =
            image * layout.image() + block * layout.block() + layout.origin() + depth * layout.plane();
        for height in heights.clone() {
            let row = &input.data()[first + height * layout.row()..][..layout.dims[2] * LANES];
            let (mut sum, mut squares) = ([0.0; LANES], [0.0; LANES]);
            let centre = &centres[block * LANES..][..LANES];
            // SAFETY: the row is whole voxels, and there are sixteen centres.
            unsafe { isa.run(RowSums { row, centre, sum: &mut sum, squares: &mut squares }) };
            for lane in 0..LANES {
                // SAFETY: each task has sixteen places of its own.
                let place = unsafe { &mut *target.get().add(task * LANES + lane) };
                place.0 += f64::from(sum[lane]);
                place.1 += f64::from(squares[lane]);
            }
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

/// Voxels whose sums are kept apart, so that additions do not wait for each other.
const SIDE_BY_SIDE: usize = 4;

/// Sums over the voxels of a row, less `centre`.
struct RowSums<'a> {
    row: &'a [f32],
    centre: &'a [f32],
    sum: &'a mut [f32; LANES],
    squares: &'a mut [f32; LANES],
}

impl Kernel for RowSums<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes16>(self) {
        // SAFETY: the caller vouches for whole voxels and sixteen centres.
        unsafe {
            let centre = V::load(self.centre.as_ptr());
            let mut sums = [V::zero(); SIDE_BY_SIDE];
            let mut squares = [V::zero(); SIDE_BY_SIDE];
            for voxels in self.row.chunks(SIDE_BY_SIDE * LANES) {
                for (i, voxel) in voxels.chunks_exact(LANES).enumerate() {
                    let x = V::load(voxel.as_ptr()).sub(centre);
                    sums[i] = sums[i].add(x);
                    squares[i] = x.mul_add(x, squares[i]);
                }
            }
            let fold = |[a, b, c, d]: [V; SIDE_BY_SIDE]| a.add(b).add(c.add(d));
            fold(sums).store(self.sum.as_mut_ptr());
            fold(squares).store(self.squares.as_mut_ptr());
        }
    }
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
