//! Winograd's convolution for kernels of three taps an axis and stride 1 or 2.
//!
//! The map is cut into tiles. Each is transformed along every axis; for each entry of the transformed
//! tile the products over channels are a matrix product, `[tiles, channels in]` times
//! `[channels in, channels out]`; the sums are transformed back. Lavin and Gray, *Fast Algorithms for
//! Convolutional Neural Networks* (2016), arXiv:1509.09308, here in three dimensions.

mod gemm;
mod gradient;
mod input;
mod output;
mod tiles;
mod transform;
mod weights;

use half::bf16;
use rayon::prelude::*;

pub(crate) use gradient::{grad_weight_winograd, halos as grad_weight_winograd_halos};
pub use tiles::{TileSize, suits_winograd};

use self::gemm::GemmTask;
use self::input::InputTask;
use self::output::OutputTask;
use self::tiles::{Product, Segment, Tiles};
use self::weights::transform_weights;
use super::epilogue::Finish;
use super::micro::Weight;
use super::pack::{pack_block, pack_turned_block};
use super::parallel::{Shared, for_each_task, n_workers};
use super::{Buffer, ConvShape, Epilogue, Layout, Map, MapMut};
use crate::LANES;
use crate::simd::InstructionSet;

/// Transformed weights above this size are read once for many tiles, which all threads share.
const SHARED_WEIGHTS: usize = 4 << 20;
/// Tiles of a round that all threads share, at most.
const SHARED_ROUND: usize = 144;
/// Numbers between the products of a tile beside those needed: powers of two would all fall into
/// one set of the cache.
const STAGGER: usize = LANES;

/// One of several inputs with concatenated channels.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The map.
    pub map: Map<'a>,
    /// Whether the map is virtually upsampled by 2 on each axis (nearest neighbour), without creating the
    /// larger map.
    pub upsampled: bool,
}

impl Input<'_> {
    /// Size as the convolution sees it.
    fn dims(&self) -> [usize; 3] {
        self.map.layout().dims.map(|n| n << u32::from(self.upsampled))
    }
}

/// A convolution with its weights transformed for [`WinogradConv::forward`].
#[derive(Debug, Clone)]
pub struct WinogradConv {
    shape: ConvShape,
    size: TileSize,
    /// `[transformed tap][block out][block in][channel in][channel out]`.
    weights: Weights,
}

/// Transformed weights.
#[derive(Debug, Clone)]
enum Weights {
    Single(Buffer),
    Half(Vec<bf16>),
}

/// Halo that a Winograd convolution needs around an input of `dims`: low, high. Tiles extend beyond the end
/// of the map.
#[must_use]
pub fn winograd_halo(shape: &ConvShape, size: TileSize, dims: [usize; 3]) -> ([usize; 3], [usize; 3]) {
    let tiles = Tiles::new(size, shape, shape.output_dims(dims), 1);
    let high = std::array::from_fn(|axis| {
        let kind = tiles.axes[axis];
        let end = tiles.counts[axis].saturating_sub(1) * kind.step() + kind.inputs() - shape.padding[axis];
        end.saturating_sub(dims[axis])
    });
    (shape.padding, high)
}

/// Scratch memory that [`WinogradConv::forward`] needs for `n_images` of `dims`, in elements.
#[must_use]
pub fn winograd_scratch_len(
    shape: &ConvShape,
    size: TileSize,
    isa: InstructionSet,
    dims: [usize; 3],
    n_images: usize,
) -> usize {
    Plan::new(shape, size, isa, shape.output_dims(dims), n_images).scratch_len()
}

/// Schedule of the tiles.
#[derive(Debug, Clone, Copy)]
struct Plan {
    tiles: Tiles,
    /// Number of tiles per round.
    round: usize,
    /// Whether all threads share a round, or each has its own.
    shared: bool,
    blocks_in: usize,
    blocks_out: usize,
}

impl Plan {
    /// For an output of `dims`.
    fn new(
        shape: &ConvShape,
        size: TileSize,
        isa: InstructionSet,
        dims: [usize; 3],
        n_images: usize,
    ) -> Self {
        let tiles = Tiles::new(size, shape, dims, n_images);
        let blocks_in = shape.channels_in.div_ceil(LANES);
        let blocks_out = shape.channels_out.div_ceil(LANES);
        let (_, pixels) = isa.tile();
        let shared = tiles.n_taps() * blocks_in * blocks_out * LANES * LANES > SHARED_WEIGHTS;
        let most = if shared {
            SHARED_ROUND
        } else {
            // About a megabyte of transformed tiles and sums.
            let per_tile = tiles.n_products() * (blocks_in + blocks_out) * LANES;
            pixels * ((256 << 10) / (per_tile * pixels)).clamp(1, 4)
        };
        let n_rounds = tiles.len().div_ceil(most).max(1);
        // Even rounds; those of a thread of its own in whole runs of the micro-kernel.
        let round = tiles.len().div_ceil(n_rounds).max(1);
        let round = if shared { round } else { round.next_multiple_of(pixels).min(tiles.len().max(1)) };
        Self { tiles, round, shared, blocks_in, blocks_out }
    }

    /// Scratch memory in elements.
    fn scratch_len(&self) -> usize {
        self.round_len() * if self.shared { 1 } else { n_workers() }
    }

    /// Numbers from one product of the transformed input to the next.
    const fn input_product(&self) -> usize {
        self.blocks_in * self.round * LANES + STAGGER
    }

    /// Numbers from one product of the sums to the next.
    const fn output_product(&self) -> usize {
        self.blocks_out * self.round * LANES + STAGGER
    }

    /// Numbers of scratch memory of a round.
    const fn round_len(&self) -> usize {
        self.tiles.n_products() * (self.input_product() + self.output_product())
    }
}

impl WinogradConv {
    /// Transforms weights `[channels_out, channels_in, depth, height, width]`.
    ///
    /// # Panics
    /// If their number is not [`ConvShape::n_weights`] or the convolution does not suit
    /// ([`suits_winograd`]).
    #[must_use]
    pub fn new(shape: ConvShape, size: TileSize, weights: &[f32]) -> Self {
        assert!(suits_winograd(&shape), "{shape:?} has no Winograd form");
        assert_eq!(weights.len(), shape.n_weights(), "weights of {shape:?}");
        let fill = |blocks: [usize; 2], part: &mut [f32]| pack_block(&shape, weights, blocks, part);
        Self { shape, size, weights: Weights::Single(transform_weights(&shape, size, fill)) }
    }

    /// The convolution that gives the gradient of the input of `shape`.
    pub(crate) fn turned(shape: &ConvShape, size: TileSize, weights: &[f32]) -> Self {
        assert!(suits_winograd(shape), "{shape:?} has no Winograd form");
        assert_eq!(weights.len(), shape.n_weights(), "weights of {shape:?}");
        let turned = ConvShape { channels_in: shape.channels_out, channels_out: shape.channels_in, ..*shape };
        let fill = |blocks: [usize; 2], part: &mut [f32]| pack_turned_block(shape, weights, blocks, part);
        Self { shape: turned, size, weights: Weights::Single(transform_weights(&turned, size, fill)) }
    }

    /// Stores the transformed weights in bf16: half the memory, three digits.
    #[must_use]
    pub fn in_bf16(self) -> Self {
        let weights = match self.weights {
            Weights::Single(weights) => {
                Weights::Half(weights.as_slice().par_iter().map(|&weight| bf16::from_f32(weight)).collect())
            }
            half @ Weights::Half(_) => half,
        };
        Self { weights, ..self }
    }

    /// Its shape.
    #[must_use]
    pub const fn shape(&self) -> &ConvShape {
        &self.shape
    }

    /// Halo that [`WinogradConv::forward`] needs around an input of `dims`, not upsampled: low, high.
    #[must_use]
    pub fn halo(&self, dims: [usize; 3]) -> ([usize; 3], [usize; 3]) {
        winograd_halo(&self.shape, self.size, dims)
    }

    /// Scratch memory that [`WinogradConv::forward`] needs for `n_images` of `dims`, in elements.
    #[must_use]
    pub fn scratch_len(&self, isa: InstructionSet, dims: [usize; 3], n_images: usize) -> usize {
        winograd_scratch_len(&self.shape, self.size, isa, dims, n_images)
    }

    /// Convolves `inputs`.
    ///
    /// # Panics
    /// If sizes do not fit each other, a halo is too narrow, or there is less scratch memory than
    /// [`WinogradConv::scratch_len`] asks for.
    ///
    /// # Determinism
    /// Bit-identical for any number of threads and images.
    pub fn forward(
        &self,
        isa: InstructionSet,
        inputs: &[Input<'_>],
        output: &mut MapMut<'_>,
        epilogue: &Epilogue<'_>,
        scratch: &mut [f32],
    ) {
        let layout = *output.layout();
        let n_images = output.n_images();
        self.check(inputs, &layout, n_images);
        let plan = Plan::new(&self.shape, self.size, isa, layout.dims, n_images);
        let n_scratch = plan.scratch_len();
        assert!(
            scratch.len() >= n_scratch,
            "{} numbers of scratch memory, expected {n_scratch}",
            scratch.len()
        );
        let bias = epilogue.check_and_pad_bias(&layout, n_images);
        let pass = Pass {
            isa,
            plan,
            products: plan.tiles.products(),
            padding: self.shape.padding,
            inputs,
            weights: &self.weights,
            output: Shared(output.data().as_mut_ptr()),
            layout,
            finishes: (0..n_images).map(|image| Finish::new(epilogue, &bias, &layout, image)).collect(),
            scratch: Shared(scratch.as_mut_ptr()),
        };
        // SAFETY: sizes, halos and scratch memory were checked above.
        unsafe { pass.run() };
    }

    fn check(&self, inputs: &[Input<'_>], output: &Layout, n_images: usize) {
        let channels: usize = inputs.iter().map(|input| input.map.layout().channels).sum();
        assert_eq!(channels, self.shape.channels_in, "channels of the input");
        assert_eq!(output.channels, self.shape.channels_out, "channels of the output");
        for (number, input) in inputs.iter().enumerate() {
            let layout = input.map.layout();
            let (low, high) = self.halo(input.dims());
            assert_eq!(input.map.n_images(), n_images, "images of input and output");
            assert_eq!(self.shape.output_dims(input.dims()), output.dims, "size of the input");
            let need = |halo: [usize; 3]| halo.map(|n| if input.upsampled { n.div_ceil(2) } else { n });
            let (low, high) = (need(low), need(high));
            assert!(layout.has_halo(low, high), "{layout:?} needs a halo of {low:?}, {high:?}");
            assert!(
                number + 1 == inputs.len() || layout.channels.is_multiple_of(LANES),
                "only the last of several inputs may have a block that is not full"
            );
        }
    }
}

/// One call of [`WinogradConv::forward`].
struct Pass<'a> {
    isa: InstructionSet,
    plan: Plan,
    products: Vec<Product>,
    padding: [usize; 3],
    inputs: &'a [Input<'a>],
    weights: &'a Weights,
    output: Shared,
    layout: Layout,
    finishes: Vec<Finish>,
    scratch: Shared,
}

impl Pass<'_> {
    /// # Safety
    /// Sizes, halos and scratch memory fit the plan.
    unsafe fn run(&self) {
        let plan = &self.plan;
        let n_rounds = plan.tiles.len().div_ceil(plan.round);
        let range = |round: usize| (round * plan.round, ((round + 1) * plan.round).min(plan.tiles.len()));
        // SAFETY: rounds have tiles of their own; the scratch memory of a round is used by one
        // thread, or by all threads between two barriers.
        unsafe {
            if plan.shared {
                (0..n_rounds).for_each(|round| self.shared_round(range(round)));
            } else {
                for_each_task(n_rounds, |round, worker| {
                    let scratch = self.scratch.get().add(worker * plan.round_len());
                    self.private_round(range(round), scratch);
                });
            }
        }
    }

    /// All steps of a round on one thread.
    unsafe fn private_round(&self, (from, to): (usize, usize), scratch: *mut f32) {
        let plan = &self.plan;
        let sums = plan.tiles.n_products() * plan.input_product();
        // SAFETY: as `run`.
        unsafe {
            for (place, segment) in plan.tiles.segments(from, to) {
                (0..plan.blocks_in).for_each(|block| self.input(block, place, &segment, scratch));
            }
            for product in &self.products {
                self.multiply(product, to - from, scratch, scratch.add(sums));
            }
            for (place, segment) in plan.tiles.segments(from, to) {
                (0..plan.blocks_out).for_each(|block| self.output(block, place, &segment, scratch.add(sums)));
            }
        }
    }

    /// Each step of a round on all threads.
    unsafe fn shared_round(&self, (from, to): (usize, usize)) {
        let plan = &self.plan;
        let sums = plan.tiles.n_products() * plan.input_product();
        let segments: Vec<(usize, Segment)> = plan.tiles.segments(from, to).collect();
        let scratch = self.scratch;
        // SAFETY: as `run`; tasks of a step write disjoint places.
        unsafe {
            for_each_task(segments.len() * plan.blocks_in, |task, _| {
                let (place, segment) = &segments[task / plan.blocks_in];
                self.input(task % plan.blocks_in, *place, segment, scratch.get());
            });
            for_each_task(self.products.len(), |i, _| {
                self.multiply(&self.products[i], to - from, scratch.get(), scratch.get().add(sums));
            });
            for_each_task(segments.len() * plan.blocks_out, |task, _| {
                let (place, segment) = &segments[task / plan.blocks_out];
                self.output(task % plan.blocks_out, *place, segment, scratch.get().add(sums));
            });
        }
    }

    /// Transforms the tiles of a segment, of one block of input channels.
    #[inline]
    unsafe fn input(&self, block: usize, place: usize, segment: &Segment, scratch: *mut f32) {
        let plan = &self.plan;
        let mut block_of_input = block;
        let mut inputs = self.inputs.iter();
        let input = loop {
            let input = inputs.next().expect("the blocks of all inputs are those of the plan");
            let blocks = input.map.layout().blocks();
            if block_of_input < blocks {
                break input;
            }
            block_of_input -= blocks;
        };
        let layout = input.map.layout();
        let start = segment.image * layout.image() + block_of_input * layout.block() + layout.origin();
        // SAFETY: as `run`: the halo reaches as far as the tiles.
        unsafe {
            self.isa.run(InputTask {
                x: input.map.data()[start..].as_ptr(),
                plane: layout.plane(),
                row: layout.row(),
                shift: u32::from(input.upsampled),
                voxel: segment.input_voxel(&plan.tiles, self.padding),
                n_tiles: segment.n_tiles,
                axes: plan.tiles.axes,
                to: scratch.add((block * plan.round + place) * LANES),
                product: plan.input_product(),
            });
        }
    }

    /// The matrix product of one entry of the tiles.
    #[inline(always)]
    unsafe fn multiply(&self, product: &Product, n_tiles: usize, scratch: *const f32, sums: *mut f32) {
        // SAFETY: as `run`.
        unsafe {
            match self.weights {
                Weights::Single(weights) => self.product(product, n_tiles, weights.as_slice(), scratch, sums),
                Weights::Half(weights) => self.product(product, n_tiles, weights, scratch, sums),
            }
        }
    }

    #[inline(always)]
    unsafe fn product<T: Weight>(
        &self,
        product: &Product,
        n_tiles: usize,
        weights: &[T],
        scratch: *const f32,
        sums: *mut f32,
    ) {
        let plan = &self.plan;
        let weights_len = plan.blocks_in * LANES * LANES;
        // SAFETY: as `run`.
        unsafe {
            self.isa.run(GemmTask {
                x: scratch.add(product.number * plan.input_product()),
                block_in: plan.round * LANES,
                blocks_in: plan.blocks_in,
                weights: weights[product.tap * plan.blocks_out * weights_len..].as_ptr(),
                y: sums.add(product.number * plan.output_product()),
                block_out: plan.round * LANES,
                blocks_out: plan.blocks_out,
                n_tiles,
            });
        }
    }

    /// Transforms the sums of a segment back, of one block of output channels, and stores them.
    #[inline]
    unsafe fn output(&self, block: usize, place: usize, segment: &Segment, sums: *const f32) {
        let plan = &self.plan;
        let layout = &self.layout;
        // SAFETY: as `run`.
        unsafe {
            self.isa.run(OutputTask {
                from: sums.add((block * plan.round + place) * LANES),
                product: plan.output_product(),
                n_tiles: segment.n_tiles,
                axes: plan.tiles.axes,
                voxel: segment.output_voxel(&plan.tiles),
                block,
                y: self.output.get().add(segment.image * layout.image() + layout.origin()),
                layout,
                finish: &self.finishes[segment.image],
            });
        }
    }
}
