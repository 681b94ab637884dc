//! The driver of direct convolutions.
//!
//! A task is a box of outputs small enough for the cache, for one group of output blocks. It is
//! worked off in passes over a few kernel taps each, the output itself being the accumulator. Each
//! pass sums in registers and is added as a whole, which also keeps rounding errors small.

use super::epilogue::Finish;
use super::micro::{Operands, even_runs, multiply, with_pixels};
use super::parallel::{Shared, for_each_task};
use crate::LANES;
use crate::simd::{InstructionSet, Kernel, Lanes16};

/// Numbers of output that a task holds in cache: a quarter of a megabyte.
const TASK_NUMBERS: usize = 64 << 10;
/// Fewest taps of a pass that pay for reading and writing the output.
const PASS_TAPS: usize = 9;

/// One of the inputs of a convolution.
pub(crate) struct Source {
    /// The first voxel under the first tap of the first output.
    pub(crate) x: *const f32,
    /// Numbers to the voxel of the next output in depth, height, width.
    pub(crate) steps: [usize; 3],
    /// Offset of each tap, in the order of the weights.
    pub(crate) taps: Vec<usize>,
    /// Taps that share a depth: a pass does not stop within them.
    pub(crate) plane_taps: usize,
}

// SAFETY: the pointer is only read.
unsafe impl Sync for Source {}

/// A direct convolution of one image.
pub(crate) struct Job<'a> {
    pub(crate) sources: &'a [Source],
    /// `[block out][tap of all sources][channel in][channel out]`.
    pub(crate) weights: &'a [f32],
    /// First output of the first block.
    pub(crate) output: Shared,
    /// Numbers from one output to the next in depth, height, width.
    pub(crate) output_steps: [usize; 3],
    pub(crate) output_block: usize,
    pub(crate) output_blocks: usize,
    pub(crate) output_dims: [usize; 3],
    /// Bias, residual, activation; without it the sums are stored as they are.
    pub(crate) finish: Option<Finish>,
}

/// A run of taps of one source.
struct Pass<'a> {
    source: &'a Source,
    taps: &'a [usize],
    /// Where its weights begin within those of an output block.
    weights: usize,
    first: bool,
    last: bool,
}

/// A part of the output.
struct Task<'a> {
    job: &'a Job<'a>,
    passes: &'a [Pass<'a>],
    /// Numbers of weights of one output block.
    weights_block: usize,
    /// First output block.
    block: usize,
    n_blocks: usize,
    depths: (usize, usize),
    heights: (usize, usize),
}

impl Job<'_> {
    /// Computes the whole output.
    ///
    /// # Safety
    /// All taps of all outputs are readable, `CHANNELS` numbers each; all outputs are writable and
    /// nobody else touches them; `isa` is available.
    pub(crate) unsafe fn run<const CHANNELS: usize>(&self, isa: InstructionSet) {
        let passes = self.passes::<CHANNELS>();
        let n_taps: usize = self.sources.iter().map(|source| source.taps.len()).sum();
        let (group, _) = isa.tile();
        let n_groups = self.output_blocks.div_ceil(group);
        let [depth, height, width] = self.output_dims;
        let n_heights = (TASK_NUMBERS / (group * LANES * width.max(1))).clamp(1, height);
        let (height_runs, ..) = even_runs(height, n_heights);
        let n_depths = if self.sources[0].steps[2] > LANES || height_runs > 1 {
            1
        } else {
            (TASK_NUMBERS / (group * LANES * width * height)).clamp(1, depth)
        };
        let (depth_runs, ..) = even_runs(depth, n_depths);
        for_each_task(n_groups * height_runs * depth_runs, |task, _| {
            let (part, first_group) = (task / n_groups, task % n_groups);
            let block = first_group * group;
            let task = Task {
                job: self,
                passes: &passes,
                weights_block: n_taps * CHANNELS * LANES,
                block,
                n_blocks: group.min(self.output_blocks - block),
                depths: run(depth, depth_runs, part / height_runs),
                heights: run(height, height_runs, part % height_runs),
            };
            // SAFETY: the caller vouches for the extents; tasks write disjoint outputs.
            unsafe { isa.run(TaskKernel::<CHANNELS>(&task)) };
        });
    }

    fn passes<const CHANNELS: usize>(&self) -> Vec<Pass<'_>> {
        let mut passes = Vec::new();
        let mut weights = 0;
        for source in self.sources {
            let length = PASS_TAPS.div_ceil(source.plane_taps) * source.plane_taps;
            // One channel a tap: sixteen times as many taps do the same work.
            let length = if CHANNELS == 1 { length * LANES } else { length };
            for taps in source.taps.chunks(length) {
                passes.push(Pass { source, taps, weights, first: false, last: false });
                weights += taps.len() * CHANNELS * LANES;
            }
        }
        if let Some(first) = passes.first_mut() {
            first.first = true;
        }
        if let Some(last) = passes.last_mut() {
            last.last = true;
        }
        passes
    }
}

/// Start and end of run `i` when `n` is split into `n_runs`.
fn run(n: usize, n_runs: usize, i: usize) -> (usize, usize) {
    (i * n / n_runs, (i + 1) * n / n_runs)
}

struct TaskKernel<'a, const CHANNELS: usize>(&'a Task<'a>);

impl<const CHANNELS: usize> Kernel for TaskKernel<'_, CHANNELS> {
    #[inline(always)]
    unsafe fn run<V: Lanes16>(self) {
        let task = self.0;
        // SAFETY: the caller of `Job::run` vouches for the extents.
        unsafe {
            match (CHANNELS, task.job.sources[0].steps[2], task.n_blocks) {
                (LANES, LANES, 2) => task.walk::<V, 2, LANES, CHANNELS>(),
                (LANES, LANES, _) => task.walk::<V, 1, LANES, CHANNELS>(),
                (LANES, 32, 2) => task.walk::<V, 2, 32, CHANNELS>(),
                (LANES, 32, _) => task.walk::<V, 1, 32, CHANNELS>(),
                (1, 2, 2) => task.walk::<V, 2, 2, CHANNELS>(),
                (1, 2, _) => task.walk::<V, 1, 2, CHANNELS>(),
                (1, 1, 2) => task.walk::<V, 2, 1, CHANNELS>(),
                (1, 1, _) => task.walk::<V, 1, 1, CHANNELS>(),
                (_, _, 2) => task.walk::<V, 2, 0, CHANNELS>(),
                _ => task.walk::<V, 1, 0, CHANNELS>(),
            }
        }
    }
}

impl Task<'_> {
    /// All passes over all rows.
    ///
    /// # Safety
    /// As [`Job::run`].
    #[inline(always)]
    unsafe fn walk<V: Lanes16, const BLOCKS: usize, const STEP: usize, const CHANNELS: usize>(&self) {
        let most = match STEP {
            LANES => V::PIXELS * V::OUTPUT_BLOCKS / BLOCKS.min(V::OUTPUT_BLOCKS),
            0 => 4,
            _ => V::PIXELS.min(8),
        };
        let most = most.min(14);
        for pass in self.passes {
            for depth in self.depths.0..self.depths.1 {
                for height in self.heights.0..self.heights.1 {
                    // SAFETY: the row lies in the output.
                    unsafe { self.row::<V, BLOCKS, STEP, CHANNELS>(pass, depth, height, most) };
                }
            }
        }
    }

    /// One pass over one row of outputs.
    #[inline(always)]
    unsafe fn row<V: Lanes16, const BLOCKS: usize, const STEP: usize, const CHANNELS: usize>(
        &self,
        pass: &Pass<'_>,
        depth: usize,
        height: usize,
        most: usize,
    ) {
        let job = self.job;
        let width = job.output_dims[2];
        let (n_runs, short, n_long) = even_runs(width, most);
        let mut start = 0;
        for i in 0..n_runs {
            let n = short + usize::from(i < n_long);
            let voxel = [depth, height, start];
            // SAFETY: the run lies in the row, so that its taps are readable and its outputs writable.
            unsafe {
                if STEP == LANES {
                    with_pixels!(n, [1 2 3 4 5 6 7 8 9 10 11 12 13 14], |N| self.tile::<V, BLOCKS, N, STEP, CHANNELS>(pass, voxel));
                } else if STEP == 0 {
                    with_pixels!(n, [1 2 3 4], |N| self.tile::<V, BLOCKS, N, STEP, CHANNELS>(pass, voxel));
                } else {
                    with_pixels!(n, [1 2 3 4 5 6 7 8], |N| self.tile::<V, BLOCKS, N, STEP, CHANNELS>(pass, voxel));
                }
            }
            start += n;
        }
    }

    /// One pass over a few outputs of a row.
    #[inline(always)]
    unsafe fn tile<
        V: Lanes16,
        const BLOCKS: usize,
        const PIXELS: usize,
        const STEP: usize,
        const CHANNELS: usize,
    >(
        &self,
        pass: &Pass<'_>,
        voxel: [usize; 3],
    ) {
        let job = self.job;
        let at = |steps: [usize; 3]| voxel[0] * steps[0] + voxel[1] * steps[1] + voxel[2] * steps[2];
        // SAFETY: the caller vouches for the pixels, their taps and the weights.
        unsafe {
            let operands = Operands {
                x: pass.source.x.add(at(pass.source.steps)),
                taps: pass.taps,
                pixel: pass.source.steps[2],
                weights: job.weights.as_ptr().add(self.block * self.weights_block + pass.weights),
                weights_block: self.weights_block,
            };
            let sums = multiply::<V, f32, BLOCKS, PIXELS, STEP, CHANNELS>(operands);
            let out = job.output.get().add(self.block * job.output_block + at(job.output_steps));
            for (pixel, sums) in sums.into_iter().enumerate() {
                for (block, mut sum) in sums.into_iter().enumerate() {
                    let to = out.add(block * job.output_block + pixel * job.output_steps[2]);
                    if !pass.first {
                        sum = V::load(to).add(sum);
                    }
                    if let (true, Some(finish)) = (pass.last, &job.finish) {
                        let block = self.block + block;
                        let voxel = [voxel[0], voxel[1], voxel[2] + pixel];
                        sum = finish.apply(sum, block, finish.residual_offset(block, voxel));
                    }
                    sum.store(to);
                }
            }
        }
    }
}
