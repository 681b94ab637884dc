//! Compiles a network to a program.

use std::sync::Arc;

use brainreel_kernels::{Buffer, Layout};

use crate::EngineError;
use crate::algorithm::{Algorithm, Packed, halo};
use crate::arena::{Need, place};
use crate::compiler::Compiler;
use crate::graph::{Network, Node, Op};
use crate::program::{NormMode, Options, Output, Program};
use crate::schedule::{Schedule, Task, Tiling};
use crate::step::{ConvStep, Layer, Place, Source, Step, Target, Work};

/// Number of largest map sizes that may be computed slab by slab.
const MOST_LEVELS: usize = 3;
/// Planes of a slab: whole Winograd tiles.
const SLABS: [usize; 5] = [64, 32, 16, 8, 4];

impl Program {
    /// Compiles the part of `network` that leads to `output`, for `n_images` of `dims` voxels.
    ///
    /// # Errors
    /// [`EngineError`] if map sizes are inconsistent with each other or the input, or need more memory than
    /// allowed.
    pub fn new(
        network: &Network,
        output: Node,
        dims: [usize; 3],
        n_images: usize,
        options: &Options,
    ) -> Result<Self, EngineError> {
        Compiler::new(network, output, dims, n_images, options)?.compile()
    }
}

impl Compiler<'_> {
    /// Compiles with whole maps, or, if that exceeds the memory limit, with the cheapest slab-by-slab plan
    /// for the largest maps that fits.
    pub(crate) fn compile(self) -> Result<Program, EngineError> {
        let whole = self.plan(&Tiling { tiled: vec![false; self.network.ops.len()], slab: 1 });
        let fits = |plan: &Plan| self.options.max_memory_bytes.is_none_or(|limit| plan.n_bytes() <= limit);
        if fits(&whole) {
            return self.assemble(&whole);
        }
        let tilings = self.tilings();
        let plans: Vec<Plan> = tilings.iter().map(|tiling| self.plan(tiling)).collect();
        let need_bytes = plans.iter().chain([&whole]).map(Plan::n_bytes).min().unwrap_or(0);
        let cheapest = plans.iter().filter(|plan| fits(plan)).min_by(|a, b| a.cost.total_cmp(&b.cost));
        match cheapest {
            Some(plan) => self.assemble(plan),
            None => {
                let limit_bytes = self.options.max_memory_bytes.unwrap_or(usize::MAX);
                Err(EngineError::Memory { need_bytes, limit_bytes })
            }
        }
    }

    /// Tilings that save memory. Batch statistics need whole maps.
    fn tilings(&self) -> Vec<Tiling> {
        if self.options.norm == NormMode::Batch && self.network.norms().next().is_some() {
            return Vec::new();
        }
        let n_voxels = |node: usize| self.dims[node].iter().product::<usize>();
        let mut levels: Vec<usize> = self.computed().into_iter().map(n_voxels).collect();
        levels.sort_unstable_by(|a, b| b.cmp(a));
        levels.dedup();
        let mut tilings = Vec::new();
        for &least in levels.iter().take(MOST_LEVELS) {
            let mut tiled: Vec<bool> = (0..self.network.ops.len())
                .map(|node| n_voxels(node) >= least && self.can_be_tiled(node))
                .collect();
            for node in self.computed().into_iter().filter(|&node| !self.has_slabs(node)) {
                self.reads(node).iter().for_each(|(source, _)| tiled[*source] = false);
            }
            for slab in SLABS {
                tilings.push(Tiling { tiled: tiled.clone(), slab });
            }
        }
        tilings
    }

    /// Memory layout and cost of a tiling.
    fn plan(&self, tiling: &Tiling) -> Plan {
        let schedule = Schedule::new(self, tiling);
        let mut halos = vec![([0; 3], [0; 3]); schedule.held.len()];
        let (mut scratch_len, mut cost) = (0, 0.0);
        for task in &schedule.tasks {
            for (source, upsampled) in self.sources_of(task.node) {
                let Some(held) = schedule.of(task, source) else { continue };
                let (first, n) = self.view(task, source, upsampled);
                let Some((low, high)) = self.halo(task, source, upsampled, n) else { continue };
                let planes = schedule.held[held].planes;
                let (to_low, to_high) = &mut halos[held];
                for axis in 0..3 {
                    // Planes that exist anyway count.
                    let (before, behind) = if axis == 0 { (first, planes - first - n) } else { (0, 0) };
                    to_low[axis] = to_low[axis].max(low[axis].saturating_sub(before));
                    to_high[axis] = to_high[axis].max(high[axis].saturating_sub(behind));
                }
            }
            if let (Op::Conv { input, conv }, Some(algorithm)) =
                (self.op(task.node), self.algorithms[task.node])
            {
                let [_, height, width] = self.dims[input.0];
                let depth = if task.group.is_some() {
                    (task.depths.len() - 1) * conv.shape.stride[0] + 1
                } else {
                    self.depth(input.0)
                };
                let dims = [depth, height, width];
                scratch_len = scratch_len.max(algorithm.scratch_len(
                    &conv.shape,
                    self.options.isa,
                    dims,
                    self.n_images,
                ));
                let [_, height, width] = self.dims[task.node];
                cost += algorithm.cost(&conv.shape, [task.depths.len(), height, width], self.n_images);
            }
        }
        let layouts: Vec<Layout> = schedule
            .held
            .iter()
            .zip(halos)
            .map(|(held, (low, high))| {
                let [_, height, width] = self.dims[held.node];
                let channels = self.network.channels(Node(held.node));
                Layout::new(channels, [held.planes, height, width]).with_halo(low, high)
            })
            .collect();
        let needs: Vec<Need> = schedule
            .held
            .iter()
            .zip(&layouts)
            .map(|(held, layout)| held.need(self.n_images * layout.image()))
            .collect();
        let (ranges, arena_len) = place(&needs);
        let places = layouts.into_iter().zip(ranges).map(|(layout, range)| Place { range, layout }).collect();
        Plan { schedule, places, arena_len, scratch_len, cost }
    }

    /// First plane, counted from the first in memory, and number of planes of a source that a task has under
    /// the middle of its kernel.
    fn view(&self, task: &Task, source: usize, upsampled: bool) -> (usize, usize) {
        if task.group.is_none() {
            return (0, self.depth(source));
        }
        let (first, n) = match self.op(task.node) {
            Op::Conv { conv, .. } => {
                let stride = conv.shape.stride[0];
                let (first, n) = (task.depths.start * stride, (task.depths.len() - 1) * stride + 1);
                if upsampled { (first / 2, n.div_ceil(2)) } else { (first, n) }
            }
            Op::MaxPool { size, .. } => (task.depths.start * size[0], task.depths.len() * size[0]),
            Op::Upsample { .. } => (task.depths.start / 2, task.depths.len() / 2),
            Op::Input | Op::Concat { .. } => (task.depths.start, task.depths.len()),
        };
        (first - task.held_from(source), n)
    }

    /// Halo of a convolution around `n` planes of a source.
    fn halo(
        &self,
        task: &Task,
        source: usize,
        upsampled: bool,
        n: usize,
    ) -> Option<([usize; 3], [usize; 3])> {
        let (Op::Conv { conv, .. }, Some(algorithm)) = (self.op(task.node), self.algorithms[task.node])
        else {
            return None;
        };
        let [_, height, width] = self.dims[source];
        let seen = [n, height, width].map(|n| n << u32::from(upsampled));
        let needed = |halo: [usize; 3]| halo.map(|n| if upsampled { n.div_ceil(2) } else { n });
        let (low, high) = halo(algorithm, &conv.shape, seen);
        Some((needed(low), needed(high)))
    }

    fn assemble(&self, plan: &Plan) -> Result<Program, EngineError> {
        let mut layers: Vec<Option<Arc<Layer>>> = vec![None; self.network.ops.len()];
        let mut cleared = vec![false; plan.places.len()];
        let mut steps = Vec::new();
        for task in &plan.schedule.tasks {
            let to = plan.slab(
                task,
                task.node,
                (task.depths.start - task.held_from(task.node), task.depths.len()),
            );
            // A halo is cleared before its map is written; for a map in slabs, before every slab.
            let clear = plan.schedule.of(task, task.node).and_then(|held| {
                let whole = plan.schedule.held[held].group.is_none();
                let done = std::mem::replace(&mut cleared[held], true);
                if whole { (!done).then(|| plan.places[held].clone()) } else { to.clone() }
            });
            if let Some(step) = self.step(plan, task, to, &mut layers[task.node]) {
                steps.push(Work { clear, step });
            }
        }
        let channels = self.network.channels(self.output);
        let output = match plan.schedule.find(self.output.0, None) {
            Some(held) => Output::Map(plan.places[held].clone()),
            None if self.algorithms[self.output.0] == Some(Algorithm::Narrow) => {
                let n_voxels: usize = self.dims[self.output.0].iter().product();
                Output::Planar { values: vec![0.0; self.n_images * channels * n_voxels], channels }
            }
            None => return Err(EngineError::Build { what: "maps of the output", got: 0, expected: 1 }),
        };
        Ok(Program {
            isa: self.options.isa,
            steps,
            algorithms: self.algorithms.iter().copied().flatten().collect(),
            input_len: self.n_images
                * self.network.channels(Node(0))
                * self.dims[0].iter().product::<usize>(),
            input_dims: self.dims[0],
            output_dims: self.dims[self.output.0],
            output_channels: channels,
            n_images: self.n_images,
            output,
            arena: Buffer::zeroed(plan.arena_len),
            scratch: Buffer::zeroed(plan.scratch_len),
            moments: Vec::new(),
        })
    }

    /// The operation of a task. Slabs of a convolution share its packed weights.
    fn step(
        &self,
        plan: &Plan,
        task: &Task,
        to: Option<Place>,
        layer: &mut Option<Arc<Layer>>,
    ) -> Option<Step> {
        let read = |(source, upsampled): (usize, bool)| {
            let place = plan.slab(task, source, self.view(task, source, upsampled))?;
            Some(Source { place, upsampled })
        };
        let first = || self.sources_of(task.node).into_iter().find_map(read).map(|source| source.place);
        Some(match (self.op(task.node), to) {
            (Op::Input, Some(to)) => Step::Load { to },
            (Op::MaxPool { size, .. }, Some(to)) => Step::MaxPool { from: first()?, size: *size, to },
            (Op::Upsample { .. }, Some(to)) => Step::Upsample { from: first()?, to },
            (Op::Conv { conv, .. }, to) => {
                let layer = layer.get_or_insert_with(|| Arc::new(self.layer(task.node)));
                let residual = conv.residual.and_then(|residual| {
                    let first = task.depths.start - task.held_from(residual.0);
                    plan.slab(task, residual.0, (first, task.depths.len()))
                });
                Step::Conv(Box::new(ConvStep {
                    layer: Arc::clone(layer),
                    sources: self.sources_of(task.node).into_iter().filter_map(read).collect(),
                    to: to.map_or(Target::Output, Target::Blocked),
                    first: task.depths.start,
                    residual,
                }))
            }
            _ => return None,
        })
    }

    fn layer(&self, node: usize) -> Layer {
        let (Op::Conv { conv, .. }, Some(algorithm)) = (self.op(node), self.algorithms[node]) else {
            unreachable!("node {node} is a convolution and has an algorithm");
        };
        let per_output = conv.shape.channels_in * conv.shape.n_taps();
        let (packed, bias, batch_norm) = match (&conv.norm, self.options.norm) {
            (None, _) => (
                Packed::new(algorithm, conv.shape, self.options.weights, &conv.weights),
                conv.bias.clone(),
                None,
            ),
            (Some(norm), NormMode::Batch) => (
                Packed::new(algorithm, conv.shape, self.options.weights, &conv.weights),
                Vec::new(),
                Some(norm.clone()),
            ),
            (Some(norm), NormMode::Running) => {
                let (scale, shift) = norm.running();
                let folded: Vec<f32> = conv
                    .weights
                    .chunks_exact(per_output)
                    .zip(&scale)
                    .flat_map(|(weights, scale)| weights.iter().map(move |weight| weight * scale))
                    .collect();
                (Packed::new(algorithm, conv.shape, self.options.weights, &folded), shift, None)
            }
        };
        Layer { packed, bias, batch_norm, activation: conv.activation }
    }
}

/// A schedule with its memory layout.
struct Plan {
    schedule: Schedule,
    /// For each memory block.
    places: Vec<Place>,
    arena_len: usize,
    scratch_len: usize,
    /// Approximate number of multiplications.
    cost: f64,
}

impl Plan {
    /// Planes of a node from the view of a task, if it has a map.
    fn slab(&self, task: &Task, node: usize, (first, n): (usize, usize)) -> Option<Place> {
        let place = &self.places[self.schedule.of(task, node)?];
        Some(Place { range: place.range.clone(), layout: place.layout.slab(first, n) })
    }

    const fn n_bytes(&self) -> usize {
        (self.arena_len + self.scratch_len) * size_of::<f32>()
    }
}
