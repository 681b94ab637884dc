//! Networks compiled for a size of input, and their execution.

use std::ops::Range;

use brainreel_kernels::{
    Buffer, Epilogue, Input, InstructionSet, Map, MapMut, average, channel_moments, clear_halo, from_blocked,
    max_pool, scale_in_place, to_blocked, upsample,
};

use crate::EngineError;
use crate::algorithm::{Algorithm, Packed, Policy, WeightFormat};
use crate::arena::carve;
use crate::step::{ConvStep, Place, Step, Target, Work};

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
    /// How transformed weights are held.
    pub weights: WeightFormat,
    /// Statistics of batch normalisation.
    pub norm: NormMode,
    /// The vector instructions.
    pub isa: InstructionSet,
    /// Most bytes of maps and scratch memory (not weights). Where whole maps take more, the largest are computed
    /// slab by slab, which changes rounding errors only.
    pub max_memory_bytes: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            weights: WeightFormat::default(),
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
    pub(crate) isa: InstructionSet,
    pub(crate) steps: Vec<Work>,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) input_len: usize,
    pub(crate) input_dims: [usize; 3],
    pub(crate) output_dims: [usize; 3],
    pub(crate) output_channels: usize,
    pub(crate) n_images: usize,
    pub(crate) output: Output,
    pub(crate) arena: Buffer,
    pub(crate) scratch: Buffer,
    pub(crate) moments: Vec<Moments>,
}

#[derive(Debug)]
pub(crate) enum Output {
    /// A blocked map in the arena.
    Map(Place),
    /// Planar numbers of a map of so many channels.
    Planar { values: Vec<f32>, channels: usize },
}

impl Program {
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
                self.work(step, input);
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

    /// Statistics of the batch in front of every batch normalisation that leads to the output, in the order of
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

    fn work(&mut self, work: &Work, input: &[f32]) {
        if let Some(place) = &work.clear {
            let data = &mut self.arena.as_mut_slice()[place.range.clone()];
            clear_halo(&mut MapMut::new(data, place.layout));
        }
        match &work.step {
            Step::Load { to } => {
                let data = &mut self.arena.as_mut_slice()[to.range.clone()];
                to_blocked(input, &mut MapMut::new(data, to.layout));
            }
            Step::Conv(conv) => self.conv(conv, input),
            Step::MaxPool { from, size, to } => {
                let (mut target, reads) = borrow(self.arena.as_mut_slice(), to, &[from]);
                max_pool(self.isa, &reads[0], *size, &mut target);
            }
            Step::Upsample { from, to } => {
                let (mut target, reads) = borrow(self.arena.as_mut_slice(), to, &[from]);
                upsample(&reads[0], 2, &mut target);
            }
        }
    }

    fn conv(&mut self, step: &ConvStep, input: &[f32]) {
        let layer = &*step.layer;
        let to = match &step.to {
            Target::Blocked(to) => to,
            Target::Output => {
                let Output::Planar { values, .. } = &mut self.output else { return };
                let from = &step.sources[0].place;
                let map = Map::new(&self.arena.as_slice()[from.range.clone()], from.layout);
                if let Packed::Narrow(conv) = &layer.packed {
                    let depth = self.output_dims[0];
                    conv.forward_slab(self.isa, &map, (values, depth), step.first, &layer.bias);
                }
                return;
            }
        };
        let places: Vec<&Place> =
            step.sources.iter().map(|source| &source.place).chain(&step.residual).collect();
        let (mut target, reads) = borrow(self.arena.as_mut_slice(), to, &places);
        let residual = step.residual.as_ref().and_then(|_| reads.last().copied());
        let maps = &reads[..step.sources.len()];
        let whole = Epilogue { bias: &layer.bias, residual, activation: layer.activation };
        let epilogue = if layer.batch_norm.is_some() { Epilogue::default() } else { whole };
        let scratch = self.scratch.as_mut_slice();
        match &layer.packed {
            Packed::Planar(conv) => {
                let image = (input, self.input_dims);
                conv.forward_slab(self.isa, image, (&mut target, step.first), &epilogue, scratch);
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
        if let Some(norm) = &layer.batch_norm {
            let layout = *target.layout();
            let n = target.n_images() * layout.n_voxels();
            let channels = channel_moments(self.isa, &Map::new(target.data(), layout));
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
