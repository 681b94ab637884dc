//! What layers of convolutions cost.

use brainreel_engine::{Algorithm, ConvShape, Policy, WeightFormat};
use brainreel_kernels::{InstructionSet, Layout, TileSize, planar_scratch_len, winograd_scratch_len};

use super::spec::{ConvLayer, ConvNormSpec, MaxPoolSpec, Part};
use crate::backbone::{LayerSpec, Step};
use crate::cost::{Ledger, NUMBER, Parts, Work};

/// Maps of the size of its output that a convolution with norm and rectifier keeps for the way back: what goes
/// into the norm, comes out of it, and comes out of the rectifier. A shortcut has no rectifier.
const KEPT_MAPS: u64 = 3;
/// Maps of the size of its output that a batch norm makes on the way back beside the gradient.
const NORM_MAPS: u64 = 2;
/// How often a trained convolution with norm and rectifier reads or writes a map of the size of its output,
/// forward and backward, in units of the probe's traffic: fitted to measured steps.
const TRAFFIC: f64 = 30.0;
/// The same of bytes for a trained weight, which is packed anew in every step.
const WEIGHT_TRAFFIC: f64 = 70.0;

/// A convolution at its place in the network.
struct Case {
    shape: ConvShape,
    dims: [usize; 3],
    n_images: usize,
}

impl Case {
    fn new(spec: &ConvNormSpec, dims: [usize; 3], n_images: usize) -> Self {
        let ConvNormSpec { channels_in, channels_out, kernel, stride, padding, .. } = *spec;
        Self { shape: ConvShape { channels_in, channels_out, kernel, stride, padding }, dims, n_images }
    }

    fn dims_out(&self) -> [usize; 3] {
        [0, 1, 2].map(|axis| {
            let padded = self.dims[axis] + 2 * self.shape.padding[axis];
            padded.saturating_sub(self.shape.kernel[axis]) / self.shape.stride[axis] + 1
        })
    }

    fn map_out(&self) -> u64 {
        bytes(self.n_images * self.shape.channels_out * self.dims_out().iter().product::<usize>())
    }

    fn map_in(&self) -> u64 {
        bytes(self.n_images * self.shape.channels_in * self.dims.iter().product::<usize>())
    }

    /// Input and output as the kernels lay them out.
    fn blocked(&self) -> [u64; 2] {
        let map = |channels, dims| {
            let layout = Layout::new(channels, dims).with_halo([1; 3], [1; 3]);
            bytes(self.n_images * layout.image())
        };
        [map(self.shape.channels_in, self.dims), map(self.shape.channels_out, self.dims_out())]
    }

    fn algorithm(&self, policy: Policy) -> Algorithm {
        let planar = self.shape.channels_in == 1;
        let how = (policy, WeightFormat::Single);
        Algorithm::choose(&self.shape, self.dims_out(), self.n_images, how, planar, false)
    }

    /// Packed weights.
    fn packed(&self, policy: Policy) -> u64 {
        let products = match self.algorithm(policy) {
            Algorithm::Winograd(size) => size.n_products(&self.shape),
            _ => self.shape.n_taps(),
        };
        bytes(products * self.shape.channels_in * self.shape.channels_out)
    }

    fn scratch(&self, policy: Policy) -> u64 {
        bytes(match self.algorithm(policy) {
            Algorithm::Winograd(size) => {
                let isa = InstructionSet::detect();
                winograd_scratch_len(&self.shape, size, isa, self.dims, self.n_images)
            }
            Algorithm::Planar => planar_scratch_len(&self.shape, self.dims),
            _ => 0,
        })
    }

    /// Floating-point operations of one pass, as a plain convolution does them.
    fn flops(&self) -> f64 {
        let n_outputs = (self.map_out() / NUMBER) as f64;
        2.0 * n_outputs * (self.shape.channels_in * self.shape.n_taps()) as f64
    }

    /// How many times what a plain convolution does is more than what is done, beside a cubic kernel of three.
    fn effort(&self, policy: Policy) -> f64 {
        let saving = |size: TileSize, shape: &ConvShape| {
            let n_outputs: usize = size.outputs(shape).iter().product();
            (n_outputs * shape.n_taps()) as f64 / size.n_products(shape) as f64
        };
        let cube = ConvShape { kernel: [3; 3], stride: [1; 3], padding: [1; 3], ..self.shape };
        let usual = saving(if policy == Policy::Fast { TileSize::TwoFour } else { TileSize::Two }, &cube);
        match self.algorithm(policy) {
            Algorithm::Winograd(size) => self.flops() * usual / saving(size, &self.shape),
            _ => self.flops() * usual,
        }
    }

    fn n_weights(&self) -> u64 {
        (self.shape.channels_in * self.shape.channels_out * self.shape.n_taps()) as u64
    }
}

const fn bytes(numbers: usize) -> u64 {
    numbers as u64 * NUMBER
}

/// Trunk and head, with the maps of the last frozen layer in between. The classifier costs next to nothing.
pub(crate) fn walk(layers: &[Box<dyn LayerSpec>], step: &Step, ledger: &mut Ledger) -> Parts {
    let (frozen, trained) = layers.split_at(step.n_frozen);
    let mut parts = Parts::default();
    let input = Maps { channels: 1, dims: step.dims };
    let convolutions = |layers: &[Box<dyn LayerSpec>]| -> Vec<ConvLayer> {
        layers.iter().filter_map(|layer| layer.convolutions().cloned()).collect()
    };
    let output = if frozen.iter().all(|layer| layer.for_engine().is_some()) {
        engine_trunk(&convolutions(frozen), input, step.n_trunk, ledger, &mut parts)
    } else {
        let mut trunk = BurnTrunk { n_images: step.n_trunk, ledger, work: Work::default() };
        let output = trunk.layers(&convolutions(frozen), input);
        parts.trunk = trunk.work * (1.0 / step.n_trunk as f64);
        output
    };
    parts.features = output.bytes(1);
    let mut head = Head { n_images: step.n_images, ledger, way_back: Vec::new() };
    head.ledger.hold(output.bytes(step.n_images));
    head.layers(&convolutions(trained), output);
    head.backward(&mut parts);
    parts
}

/// Channels and size of maps.
#[derive(Debug, Clone, Copy)]
struct Maps {
    channels: usize,
    dims: [usize; 3],
}

impl Maps {
    fn bytes(&self, n_images: usize) -> u64 {
        bytes(n_images * self.channels * self.dims.iter().product::<usize>())
    }

    fn pooled(&self, pool: &MaxPoolSpec) -> Self {
        Self { dims: pool.dims_out(self.dims), ..*self }
    }
}

/// The frozen layers on the engine, which keeps its memory between runs. Returns their output.
fn engine_trunk(
    layers: &[ConvLayer],
    input: Maps,
    n_images: usize,
    ledger: &mut Ledger,
    parts: &mut Parts,
) -> Maps {
    let policy = Policy::Fast;
    let mut maps = Ledger::default();
    let (Maps { mut channels, mut dims }, mut map) = (input, 0);
    let (mut packed, mut scratch, mut n_weights) = (0, 0, 0);
    for part in layers.iter().flat_map(|layer| &layer.parts) {
        let (main, shortcut) = match part {
            Part::Conv(conv) => (std::slice::from_ref(conv), None),
            Part::Residual { main, shortcut } => (main.as_slice(), shortcut.as_ref()),
            Part::MaxPool(_) | Part::Branches(_) => continue, // not on the engine
        };
        let input = dims;
        let mut visit = |spec: &ConvNormSpec, dims: [usize; 3]| {
            let case = Case::new(spec, dims, n_images);
            packed += case.packed(policy);
            scratch = case.scratch(policy).max(scratch);
            n_weights += case.n_weights();
            parts.trunk.engine_effort += case.effort(policy) / n_images as f64;
            parts.trunk.engine_flops += case.flops() / n_images as f64;
            let [_, out] = case.blocked();
            (case.dims_out(), out)
        };
        let kept = shortcut.map_or(0, |spec| visit(spec, input).1);
        maps.hold(kept);
        let (entry, mut previous) = (map, map);
        for (idx, spec) in main.iter().enumerate() {
            let (dims_out, out) = visit(spec, dims);
            maps.hold(out);
            if idx > 0 || kept > 0 {
                maps.release(previous);
            }
            (channels, dims, map, previous) = (spec.channels_out, dims_out, out, out);
        }
        maps.release(if kept > 0 {
            kept
        } else if main.len() > 1 {
            entry
        } else {
            0
        });
    }
    if !layers.is_empty() {
        let kept = packed + maps.peak().activations + scratch;
        // While it is compiled the weights exist two times more.
        ledger.pass(0, (2 * n_weights * NUMBER).max(n_weights * NUMBER + packed));
        ledger.now.workspace += kept;
        ledger.note();
    }
    Maps { channels, dims }
}

/// Frozen layers that the engine cannot compute: each convolution by our kernels, all else by Burn.
struct BurnTrunk<'a> {
    n_images: usize,
    ledger: &'a mut Ledger,
    work: Work,
}

impl BurnTrunk<'_> {
    fn layers(&mut self, layers: &[ConvLayer], input: Maps) -> Maps {
        layers.iter().flat_map(|layer| &layer.parts).fold(input, |maps, part| self.part(part, maps))
    }

    fn part(&mut self, part: &Part, input: Maps) -> Maps {
        self.ledger.hold(input.bytes(self.n_images));
        let output = match part {
            Part::Conv(conv) => self.convolution(conv, input),
            Part::Residual { main, shortcut } => {
                let held = shortcut.as_ref().map_or(0, |spec| {
                    let shortcut = self.convolution(spec, input);
                    shortcut.bytes(self.n_images)
                });
                self.ledger.hold(held);
                let output = main.iter().fold(input, |maps, conv| self.convolution(conv, maps));
                self.ledger.release(held);
                output
            }
            Part::MaxPool(pool) => {
                let output = input.pooled(pool);
                self.ledger.pass(2 * output.bytes(self.n_images), 0);
                self.work.bytes += (input.bytes(self.n_images) * 3) as f64;
                output
            }
            Part::Branches(branches) => {
                let mut all = Maps { channels: 0, ..input };
                for branch in branches {
                    let output = branch.iter().fold(input, |maps, part| self.part(part, maps));
                    self.ledger.hold(output.bytes(self.n_images));
                    all = Maps { channels: all.channels + output.channels, dims: output.dims };
                }
                self.ledger.pass(all.bytes(self.n_images), 0);
                self.ledger.release(all.bytes(self.n_images));
                all
            }
        };
        self.ledger.release(input.bytes(self.n_images));
        output
    }

    fn convolution(&mut self, spec: &ConvNormSpec, input: Maps) -> Maps {
        let case = Case::new(spec, input.dims, self.n_images);
        let policy = Policy::Accurate;
        let [blocked_in, blocked_out] = case.blocked();
        let workspace = blocked_in + blocked_out + case.packed(policy) + case.scratch(policy);
        self.ledger.pass(2 * case.map_out(), workspace);
        self.work.conv_flops += case.flops();
        self.work.conv_effort += case.effort(policy);
        self.work.bytes += TRAFFIC * case.map_out() as f64 / 3.0;
        Maps { channels: spec.channels_out, dims: case.dims_out() }
    }
}

/// The trained layers: forward, keeping what the way back needs, and backward.
struct Head<'a> {
    n_images: usize,
    ledger: &'a mut Ledger,
    way_back: Vec<Kept>,
}

/// What is kept for the way back.
enum Kept {
    /// Maps of a convolution; whether a rectifier follows.
    Convolution(Case, bool),
    /// Bytes of a pooling or a concatenation.
    Maps(u64),
}

impl Head<'_> {
    fn layers(&mut self, layers: &[ConvLayer], input: Maps) -> Maps {
        layers.iter().flat_map(|layer| &layer.parts).fold(input, |maps, part| self.part(part, maps))
    }

    fn part(&mut self, part: &Part, input: Maps) -> Maps {
        match part {
            Part::Conv(conv) => self.row(std::slice::from_ref(conv), input),
            Part::Residual { main, shortcut } => {
                let output = self.row(main, input);
                if let Some(spec) = shortcut {
                    let case = Case::new(spec, input.dims, self.n_images);
                    forward(&case, self.ledger, false);
                    self.ledger.release(case.map_out());
                    self.way_back.push(Kept::Convolution(case, false));
                }
                output
            }
            Part::MaxPool(pool) => {
                // The values, and eight bytes of the position of each.
                let output = input.pooled(pool);
                self.keep(3 * output.bytes(self.n_images));
                output
            }
            Part::Branches(branches) => {
                let outputs = branches
                    .iter()
                    .map(|branch| branch.iter().fold(input, |maps, part| self.part(part, maps)));
                let outputs: Vec<Maps> = outputs.collect();
                let channels = outputs.iter().map(|maps| maps.channels).sum();
                let all = Maps { channels, dims: outputs.first().map_or(input.dims, |maps| maps.dims) };
                self.keep(all.bytes(self.n_images));
                all
            }
        }
    }

    fn keep(&mut self, bytes: u64) {
        self.ledger.hold(bytes);
        self.way_back.push(Kept::Maps(bytes));
    }

    fn row(&mut self, convolutions: &[ConvNormSpec], input: Maps) -> Maps {
        let mut maps = input;
        for (idx, spec) in convolutions.iter().enumerate() {
            let case = Case::new(spec, maps.dims, self.n_images);
            maps = Maps { channels: spec.channels_out, dims: case.dims_out() };
            forward(&case, self.ledger, idx + 1 == convolutions.len());
            self.way_back.push(Kept::Convolution(case, true));
        }
        maps
    }

    fn backward(self, parts: &mut Parts) {
        for (idx, kept) in self.way_back.iter().enumerate() {
            match kept {
                Kept::Convolution(case, _) => add_work(case, idx == 0, parts),
                Kept::Maps(bytes) => {
                    parts.head_forward.bytes += *bytes as f64;
                    parts.head.bytes += 3.0 * *bytes as f64;
                }
            }
        }
        let n_kept = self.way_back.len();
        for (idx, kept) in self.way_back.into_iter().enumerate().rev() {
            match kept {
                Kept::Convolution(case, rectified) => {
                    backward(&case, self.ledger, rectified, idx + 1 == n_kept);
                }
                Kept::Maps(bytes) => self.ledger.release(bytes),
            }
        }
    }
}

/// Work of a trained convolution; the first has no gradient of its input.
fn add_work(case: &Case, is_first: bool, parts: &mut Parts) {
    let to_input = if is_first { 0.0 } else { 1.0 };
    let effort = case.effort(Policy::Accurate);
    let bytes = TRAFFIC * case.map_out() as f64 + WEIGHT_TRAFFIC * case.n_weights() as f64;
    parts.head_forward += Work { conv_flops: case.flops(), conv_effort: effort, ..Work::default() };
    parts.head_forward.bytes += bytes / 3.0;
    parts.head.conv_flops += case.flops() * (2.0 + to_input);
    parts.head.conv_effort += effort * (2.0 + to_input);
    parts.head.bytes += bytes;
}

/// Convolution, norm and rectifier.
fn forward(case: &Case, ledger: &mut Ledger, joins: bool) {
    let [blocked_in, blocked_out] = case.blocked();
    let policy = Policy::Accurate;
    let workspace = blocked_in + blocked_out + case.packed(policy) + case.scratch(policy);
    ledger.pass(case.map_out(), workspace);
    ledger.hold(case.map_out() * KEPT_MAPS);
    ledger.pass(case.map_out() * u64::from(joins), 0);
}

/// The other way round: what was kept for the convolution is given back.
fn backward(case: &Case, ledger: &mut Ledger, rectified: bool, last: bool) {
    let out = case.map_out();
    if last {
        ledger.hold(out); // the gradient that comes in
    }
    ledger.pass(out * NORM_MAPS, 0);
    let policy = Policy::Accurate;
    let [blocked_in, blocked_out] = case.blocked();
    let weights = case.packed(policy) + case.scratch(policy);
    ledger.pass(case.map_in(), blocked_in + blocked_out + weights);
    ledger.now.gradients += case.n_weights() * NUMBER;
    ledger.note();
    ledger.release(out * if rectified { KEPT_MAPS } else { KEPT_MAPS - 1 });
    if rectified {
        ledger.release(out); // the gradient that came in
        ledger.hold(case.map_in());
    }
}
