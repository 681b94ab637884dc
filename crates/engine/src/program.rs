//! Networks compiled for a size of input, and their execution.

use std::ops::Range;

use brainreel_kernels::{
    Buffer, Epilogue, Input, InstructionSet, Layout, Map, MapMut, average, channel_moments, clear_halo,
    from_blocked, max_pool, scale_in_place, to_blocked, upsample,
};

use crate::EngineError;
use crate::algorithm::{Algorithm, Packed, Policy, halo};
use crate::arena::{Need, carve, place};
use crate::graph::{Network, Node, Op};
use crate::step::{ConvStep, Place, Source, Step, Target};

/// Input channels up to which the first convolution reads the planar input.
const PLANAR_CHANNELS: usize = 4;

/// Which statistics batch normalisation uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NormMode {
    /// The running ones, folded into the weights.
    #[default]
    Running,
    /// Those of the batch; the program hands them out ([`Program::moments`]).
    Batch,
}

/// How a network is compiled.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Speed or digits.
    pub policy: Policy,
    /// Statistics of batch normalisation.
    pub norm: NormMode,
    /// The vector instructions.
    pub isa: InstructionSet,
    /// Most bytes of maps and scratch memory (not weights).
    pub max_memory_bytes: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            norm: NormMode::default(),
            isa: InstructionSet::detect(),
            max_memory_bytes: None,
        }
    }
}

/// Mean and biased variance of each channel in front of a batch normalisation, and how many numbers
/// of a channel they were taken over.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// Mean and variance of each channel.
    pub channels: Vec<(f64, f64)>,
    /// Numbers of a channel: images times voxels.
    pub n: usize,
}

/// Where a running program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The layer that comes next.
    pub layer: usize,
    /// Layers in all.
    pub n_layers: usize,
}

/// A network compiled for a size of input and a number of images.
#[derive(Debug)]
pub struct Program {
    isa: InstructionSet,
    steps: Vec<Step>,
    algorithms: Vec<Algorithm>,
    input_len: usize,
    input_dims: [usize; 3],
    output_dims: [usize; 3],
    output_channels: usize,
    n_images: usize,
    output: Output,
    arena: Buffer,
    scratch: Buffer,
    moments: Vec<Moments>,
}

#[derive(Debug)]
enum Output {
    /// A blocked map in the arena.
    Map(Place),
    /// Planar numbers of a map of so many channels.
    Planar { values: Vec<f32>, channels: usize },
}

impl Program {
    /// Compiles the part of `network` that leads to `output`, for `n_images` of `dims` voxels.
    ///
    /// # Errors
    /// [`EngineError`] if maps do not fit each other or the input, or need more memory than allowed.
    pub fn new(
        network: &Network,
        output: Node,
        dims: [usize; 3],
        n_images: usize,
        options: &Options,
    ) -> Result<Self, EngineError> {
        Compiler::new(network, output, dims, n_images, options)?.compile()
    }

    /// Runs the network on planar images `[image][channel][depth][height][width]` and gives back the
    /// output in the same order.
    ///
    /// # Errors
    /// [`EngineError::Input`] if the input has another length.
    ///
    /// # Determinism
    /// The same bits for any number of threads; in [`NormMode::Running`] also for an image alone and in a batch
    /// of a program with the same algorithms.
    pub fn run(&mut self, input: &[f32]) -> Result<Vec<f32>, EngineError> {
        self.execute(input, |_| true)?;
        Ok(self.output())
    }

    /// As [`Program::run`], but stops before the next layer when `go_on` says so, and leaves the output to
    /// [`Program::output`] and [`Program::averaged`].
    ///
    /// # Errors
    /// [`EngineError::Input`] if the input has another length, [`EngineError::Cancelled`] if `go_on` said no.
    pub fn execute(
        &mut self,
        input: &[f32],
        mut go_on: impl FnMut(Progress) -> bool,
    ) -> Result<(), EngineError> {
        if input.len() != self.input_len {
            return Err(EngineError::Input { got: input.len(), expected: self.input_len });
        }
        self.moments.clear();
        let n_layers = self.steps.len();
        let steps = std::mem::take(&mut self.steps);
        let stopped = steps.iter().enumerate().find(|(layer, step)| {
            let go_on = go_on(Progress { layer: *layer, n_layers });
            if go_on {
                self.step(step, input);
            }
            !go_on
        });
        let stopped = stopped.map(|(layer, _)| layer);
        self.steps = steps;
        stopped.map_or(Ok(()), |layer| Err(EngineError::Cancelled { layer, n_layers }))
    }

    /// The output of the last run, planar.
    #[must_use]
    pub fn output(&self) -> Vec<f32> {
        match &self.output {
            Output::Map(place) => {
                let layout = place.layout;
                let mut planar = vec![0.0; self.n_images * layout.channels * layout.n_voxels()];
                from_blocked(&self.map(place), &mut planar);
                planar
            }
            Output::Planar { values, .. } => values.clone(),
        }
    }

    /// The mean of each channel of the output of the last run, `[image][channel]`.
    #[must_use]
    pub fn averaged(&self) -> Vec<f32> {
        match &self.output {
            Output::Map(place) => average(&self.map(place)),
            Output::Planar { values, channels } => values
                .chunks_exact(values.len() / (self.n_images * channels))
                .map(|map| (map.iter().map(|&x| f64::from(x)).sum::<f64>() / map.len() as f64) as f32)
                .collect(),
        }
    }

    /// Statistics of the batch in front of every batch normalisation, in the order of
    /// [`Network::norms`]; empty unless compiled with [`NormMode::Batch`].
    #[must_use]
    pub fn moments(&self) -> &[Moments] {
        &self.moments
    }

    /// Size of the output.
    #[must_use]
    pub const fn output_dims(&self) -> [usize; 3] {
        self.output_dims
    }

    /// Channels of the output.
    #[must_use]
    pub const fn output_channels(&self) -> usize {
        self.output_channels
    }

    /// Which algorithm each convolution got.
    #[must_use]
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    /// Bytes of maps and scratch memory.
    #[must_use]
    pub const fn memory_bytes(&self) -> usize {
        (self.arena.len() + self.scratch.len()) * size_of::<f32>()
    }

    fn map(&self, place: &Place) -> Map<'_> {
        Map::new(&self.arena.as_slice()[place.range.clone()], place.layout)
    }

    fn step(&mut self, step: &Step, input: &[f32]) {
        match step {
            Step::Load { to } => {
                let data = &mut self.arena.as_mut_slice()[to.range.clone()];
                to_blocked(input, &mut MapMut::new(data, to.layout));
            }
            Step::Conv(conv) => self.conv(conv, input),
            Step::MaxPool { from, size, to } => {
                let (mut target, reads) = borrow(self.arena.as_mut_slice(), to, &[from]);
                clear_halo(&mut target);
                max_pool(self.isa, &reads[0], *size, &mut target);
            }
            Step::Upsample { from, to } => {
                let (mut target, reads) = borrow(self.arena.as_mut_slice(), to, &[from]);
                clear_halo(&mut target);
                upsample(&reads[0], 2, &mut target);
            }
        }
    }

    fn conv(&mut self, step: &ConvStep, input: &[f32]) {
        let to = match &step.to {
            Target::Blocked(to) => to,
            Target::Output => {
                let Output::Planar { values, .. } = &mut self.output else { return };
                let from = &step.sources[0].place;
                let map = Map::new(&self.arena.as_slice()[from.range.clone()], from.layout);
                if let Packed::Narrow(conv) = &step.packed {
                    conv.forward(self.isa, &map, values, &step.bias);
                }
                return;
            }
        };
        let places: Vec<&Place> =
            step.sources.iter().map(|source| &source.place).chain(&step.residual).collect();
        let (mut target, reads) = borrow(self.arena.as_mut_slice(), to, &places);
        clear_halo(&mut target);
        let residual = step.residual.as_ref().and_then(|_| reads.last().copied());
        let maps = &reads[..step.sources.len()];
        let whole = Epilogue { bias: &step.bias, residual, activation: step.activation };
        let epilogue = if step.batch_norm.is_some() { Epilogue::default() } else { whole };
        let scratch = self.scratch.as_mut_slice();
        match &step.packed {
            Packed::Planar(conv) => {
                conv.forward(self.isa, (input, self.input_dims), &mut target, &epilogue, scratch);
            }
            Packed::Winograd(conv) => {
                let inputs: Vec<Input<'_>> = maps
                    .iter()
                    .zip(&step.sources)
                    .map(|(&map, source)| Input { map, upsampled: source.upsampled })
                    .collect();
                conv.forward(self.isa, &inputs, &mut target, &epilogue, scratch);
            }
            Packed::Direct(conv) => conv.forward(self.isa, maps, &mut target, &epilogue),
            Packed::Narrow(_) => unreachable!("a narrow convolution writes the planar output"),
        }
        if let Some(norm) = &step.batch_norm {
            let layout = *target.layout();
            let n = target.n_images() * layout.n_voxels();
            let channels = channel_moments(&Map::new(target.data(), layout));
            let (scale, shift) = norm.affine(channels.iter().copied());
            scale_in_place(self.isa, &mut target, &scale, &Epilogue { bias: &shift, ..whole });
            self.moments.push(Moments { channels, n });
        }
    }
}

fn borrow<'a>(arena: &'a mut [f32], to: &Place, from: &[&Place]) -> (MapMut<'a>, Vec<Map<'a>>) {
    let ranges: Vec<Range<usize>> = from.iter().map(|place| place.range.clone()).collect();
    let (target, reads) = carve(arena, &to.range, &ranges);
    let reads = reads.into_iter().zip(from).map(|(data, place)| Map::new(data, place.layout)).collect();
    (MapMut::new(target, to.layout), reads)
}

/// What is known of every node on the way to a program.
struct Compiler<'a> {
    network: &'a Network,
    options: &'a Options,
    output: Node,
    n_images: usize,
    dims: Vec<[usize; 3]>,
    /// Whether a node leads to the output.
    used: Vec<bool>,
    /// The algorithm of each convolution.
    algorithms: Vec<Option<Algorithm>>,
    /// Upsamplings that the convolutions behind them do on the way.
    virtual_upsampling: Vec<bool>,
}

impl<'a> Compiler<'a> {
    fn new(
        network: &'a Network,
        output: Node,
        dims: [usize; 3],
        n_images: usize,
        options: &'a Options,
    ) -> Result<Self, EngineError> {
        let dims = network.dims(dims)?;
        let mut used = vec![false; network.ops.len()];
        used[output.0] = true;
        for (i, op) in network.ops.iter().enumerate().rev() {
            if used[i] {
                op.inputs().iter().chain(&op.residual()).for_each(|node| used[node.0] = true);
            }
        }
        let mut compiler = Self {
            network,
            options,
            output,
            n_images,
            dims,
            used,
            algorithms: vec![None; network.ops.len()],
            virtual_upsampling: vec![false; network.ops.len()],
        };
        compiler.choose_algorithms();
        compiler.find_virtual_upsampling();
        Ok(compiler)
    }

    fn choose_algorithms(&mut self) {
        for (i, op) in self.network.ops.iter().enumerate().filter(|(i, _)| self.used[*i]) {
            if let Op::Conv { input, conv } = op {
                let planar =
                    *input == self.network.input() && self.network.channels(*input) <= PLANAR_CHANNELS;
                let plain = conv.norm.is_none()
                    && conv.residual.is_none()
                    && conv.activation == brainreel_kernels::Activation::None
                    && !matches!(self.network.ops[input.0], Op::Concat { .. } | Op::Upsample { .. });
                let last = Node(i) == self.output && plain;
                let dims = self.dims[i];
                self.algorithms[i] = Some(Algorithm::choose(
                    &conv.shape,
                    dims,
                    self.n_images,
                    self.options.policy,
                    planar,
                    last,
                ));
            }
        }
    }

    /// An upsampling is virtual if all that read it, themselves or through a concatenation, are Winograd
    /// convolutions.
    fn find_virtual_upsampling(&mut self) {
        let mut winograd_only = vec![true; self.network.ops.len()];
        winograd_only[self.output.0] = false;
        for (i, op) in self.network.ops.iter().enumerate().rev().filter(|(i, _)| self.used[*i]) {
            let can = match op {
                Op::Conv { .. } => matches!(self.algorithms[i], Some(Algorithm::Winograd(_))),
                Op::Concat { .. } => winograd_only[i],
                _ => false,
            };
            for input in op.inputs().iter().filter(|_| !can) {
                winograd_only[input.0] = false;
            }
            if let Some(residual) = op.residual() {
                winograd_only[residual.0] = false;
            }
        }
        for (i, op) in self.network.ops.iter().enumerate() {
            self.virtual_upsampling[i] = matches!(op, Op::Upsample { .. }) && winograd_only[i];
        }
    }

    /// The maps that make up a node, each with whether it is upsampled on the way.
    fn sources(&self, node: Node) -> Vec<(Node, bool)> {
        match &self.network.ops[node.0] {
            Op::Concat { inputs } => inputs.iter().flat_map(|&input| self.sources(input)).collect(),
            Op::Upsample { input } if self.virtual_upsampling[node.0] => vec![(*input, true)],
            _ => vec![(node, false)],
        }
    }

    /// Whether a node has a map of its own.
    fn has_map(&self, node: usize) -> bool {
        let planar_output = self.algorithms[node] == Some(Algorithm::Narrow);
        let only_planar = node == 0
            && self.network.ops.iter().enumerate().filter(|(i, _)| self.used[*i]).all(|(i, op)| {
                let reads = op.inputs().contains(&Node(0)) || op.residual() == Some(Node(0));
                !reads || self.algorithms[i] == Some(Algorithm::Planar)
            });
        let op = &self.network.ops[node];
        self.used[node]
            && !planar_output
            && !only_planar
            && !matches!(op, Op::Concat { .. })
            && !self.virtual_upsampling[node]
    }

    /// Halo and last reader of every node.
    fn requirements(&self) -> Vec<([usize; 3], [usize; 3], usize)> {
        let n = self.network.ops.len();
        let mut requirements = vec![([0; 3], [0; 3], 0); n];
        requirements[self.output.0].2 = n;
        for (i, op) in self.network.ops.iter().enumerate().filter(|(i, _)| self.used[*i]) {
            // A concatenation is read by whoever reads it.
            if !matches!(op, Op::Concat { .. }) && !self.virtual_upsampling[i] {
                for (node, upsampled) in op.inputs().iter().flat_map(|&input| self.sources(input)) {
                    let (low, high) = match (op, self.algorithms[i]) {
                        (Op::Conv { input, conv }, Some(algorithm)) => {
                            halo(algorithm, &conv.shape, self.dims[input.0])
                        }
                        _ => ([0; 3], [0; 3]),
                    };
                    let needed = |n: usize| if upsampled { n.div_ceil(2) } else { n };
                    let (to_low, to_high, last) = &mut requirements[node.0];
                    for axis in 0..3 {
                        to_low[axis] = to_low[axis].max(needed(low[axis]));
                        to_high[axis] = to_high[axis].max(needed(high[axis]));
                    }
                    *last = (*last).max(i);
                }
            }
            if let Some(residual) = op.residual() {
                let (_, _, last) = &mut requirements[residual.0];
                *last = (*last).max(i);
            }
        }
        requirements
    }

    fn compile(self) -> Result<Program, EngineError> {
        let requirements = self.requirements();
        let with_map: Vec<usize> = (0..self.network.ops.len()).filter(|&i| self.has_map(i)).collect();
        let layouts: Vec<Layout> = with_map
            .iter()
            .map(|&i| {
                let (low, high, _) = requirements[i];
                Layout::new(self.network.channels(Node(i)), self.dims[i]).with_halo(low, high)
            })
            .collect();
        let needs: Vec<Need> = with_map
            .iter()
            .zip(&layouts)
            .map(|(&i, layout)| Need {
                len: self.n_images * layout.image(),
                from: i,
                to: requirements[i].2.max(i),
            })
            .collect();
        let (ranges, arena_len) = place(&needs);
        let mut places: Vec<Option<Place>> = vec![None; self.network.ops.len()];
        for ((&i, layout), range) in with_map.iter().zip(layouts).zip(ranges) {
            places[i] = Some(Place { range, layout });
        }
        self.assemble(&places, arena_len)
    }

    fn assemble(&self, places: &[Option<Place>], arena_len: usize) -> Result<Program, EngineError> {
        let of = |node: Node| places[node.0].clone().expect("what is read has a map");
        let mut steps = Vec::new();
        let mut scratch_len = 0;
        for (i, op) in self.network.ops.iter().enumerate().filter(|(i, _)| self.used[*i]) {
            match (op, &places[i]) {
                (Op::Input, Some(to)) => steps.push(Step::Load { to: to.clone() }),
                (Op::MaxPool { input, size }, Some(to)) => {
                    steps.push(Step::MaxPool { from: of(*input), size: *size, to: to.clone() });
                }
                (Op::Upsample { input }, Some(to)) => {
                    steps.push(Step::Upsample { from: of(*input), to: to.clone() });
                }
                (Op::Conv { input, .. }, to) => {
                    let step = self.conv_step(i, places, to.as_ref());
                    scratch_len = scratch_len.max(step.packed.scratch_len(
                        self.options.isa,
                        self.dims[input.0],
                        self.n_images,
                    ));
                    steps.push(Step::Conv(Box::new(step)));
                }
                _ => {}
            }
        }
        let need_bytes = (arena_len + scratch_len) * size_of::<f32>();
        if let Some(limit_bytes) = self.options.max_memory_bytes.filter(|limit| need_bytes > *limit) {
            return Err(EngineError::Memory { need_bytes, limit_bytes });
        }
        let channels = self.network.channels(self.output);
        let output = match &places[self.output.0] {
            Some(place) => Output::Map(place.clone()),
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
            arena: Buffer::zeroed(arena_len),
            scratch: Buffer::zeroed(scratch_len),
            moments: Vec::new(),
        })
    }

    fn conv_step(&self, i: usize, places: &[Option<Place>], to: Option<&Place>) -> ConvStep {
        let (Op::Conv { input, conv }, Some(algorithm)) = (&self.network.ops[i], self.algorithms[i]) else {
            unreachable!("node {i} is a convolution and has an algorithm");
        };
        let of = |node: Node| places[node.0].clone().expect("what is read has a map");
        let sources = if algorithm == Algorithm::Planar {
            Vec::new()
        } else {
            let sources = self.sources(*input).into_iter();
            sources.map(|(node, upsampled)| Source { place: of(node), upsampled }).collect()
        };
        let per_output = conv.shape.channels_in * conv.shape.n_taps();
        let (packed, bias, batch_norm) = match (&conv.norm, self.options.norm) {
            (None, _) => (Packed::new(algorithm, conv.shape, &conv.weights), conv.bias.clone(), None),
            (Some(norm), NormMode::Batch) => {
                (Packed::new(algorithm, conv.shape, &conv.weights), Vec::new(), Some(norm.clone()))
            }
            (Some(norm), NormMode::Running) => {
                let (scale, shift) = norm.running();
                let folded: Vec<f32> = conv
                    .weights
                    .chunks_exact(per_output)
                    .zip(&scale)
                    .flat_map(|(weights, scale)| weights.iter().map(move |weight| weight * scale))
                    .collect();
                (Packed::new(algorithm, conv.shape, &folded), shift, None)
            }
        };
        ConvStep {
            packed,
            sources,
            to: to.cloned().map_or(Target::Output, Target::Blocked),
            bias,
            batch_norm,
            residual: conv.residual.map(of),
            activation: conv.activation,
        }
    }
}
