//! Compiled networks and their execution.

use std::ops::Range;

use brainreel_kernels::{
    Buffer, Epilogue, Input, InstructionSet, Map, MapMut, average, channel_moments, clear_halo, from_blocked,
    max_pool, scale_in_place, to_blocked, upsample,
};

use crate::EngineError;
use crate::algorithm::{Algorithm, Packed, Policy, WeightFormat};
use crate::arena::carve;
use crate::step::{ConvStep, Place, Step, Target, Work};

/// Statistics for batch normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NormMode {
    /// Running statistics, folded into the weights.
    #[default]
    Running,
    /// Batch statistics, available from [`Program::moments`].
    Batch,
}

/// Compiler options.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Speed or accuracy.
    pub policy: Policy,
    /// Storage of transformed weights.
    pub weights: WeightFormat,
    /// Statistics of batch normalisation.
    pub norm: NormMode,
    /// The instruction set.
    pub isa: InstructionSet,
    /// Memory limit in bytes for maps and scratch memory (without weights). If whole maps need more, the
    /// largest are computed slab by slab, which changes only rounding errors.
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

/// Mean and biased variance of each channel before a batch normalisation, and the number of values per
/// channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// Mean and variance of each channel.
    pub channels: Vec<(f64, f64)>,
    /// Values per channel: images times voxels.
    pub n: usize,
}

/// Progress of a running program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The next layer.
    pub layer: usize,
    /// Total number of layers.
    pub n_layers: usize,
}

/// A network compiled for one input size and number of images.
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
    /// Planar size of a map with this many channels, in elements.
    Planar { values: Vec<f32>, channels: usize },
}

impl Program {
    /// Runs the network on planar images `[image][channel][depth][height][width]` and returns the output in
    /// the same layout.
    ///
    /// # Errors
    /// [`EngineError::Input`] if the input has another length.
    ///
    /// # Determinism
    /// Bit-identical for any number of threads. In [`NormMode::Running`] also for an image alone and in a
    /// batch, if the programs use the same algorithms.
    pub fn run(&mut self, input: &[f32]) -> Result<Vec<f32>, EngineError> {
        self.execute(input, |_| true)?;
        Ok(self.output())
    }

    /// As [`Program::run`], but stops before the next layer when `go_on` returns false. Read the output with
    /// [`Program::output`] and [`Program::averaged`].
    ///
    /// # Errors
    /// [`EngineError::Input`] if the input has another length, [`EngineError::Cancelled`] if `go_on` returned
    /// false.
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

    /// Batch statistics before every batch normalisation that leads to the output, in the order of
    /// [`Network::norms`](crate::Network::norms). Empty unless compiled with [`NormMode::Batch`].
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

    /// The algorithm of each convolution.
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
