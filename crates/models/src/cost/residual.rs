//! What a residual network costs.

use brainreel_engine::{Algorithm, ConvShape, Policy, WeightFormat};
use brainreel_kernels::{InstructionSet, Layout, TileSize, planar_scratch_len, winograd_scratch_len};

use super::ledger::{Ledger, NUMBER};
use super::{Parts, Work};
use crate::architecture::{Architecture, BlockSpec, ConvNormSpec, StageSpec};

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

/// Trunk and head, with the maps of the last stage in between.
pub(super) fn walk(
    architecture: Architecture,
    n_frozen: usize,
    dims: [usize; 3],
    [n_trunk, n_images]: [usize; 2],
    ledger: &mut Ledger,
) -> Parts {
    let stages = architecture.stages();
    let (frozen, trained) = stages.split_at(n_frozen);
    let mut parts = Parts::default();
    let dims = trunk(frozen, dims, n_trunk, ledger, &mut parts);
    let channels = frozen.last().map_or(1, |stage| last_of(stage).channels_out);
    parts.features = bytes(channels * dims.iter().product::<usize>());
    head(trained, dims, n_images, ledger, &mut parts);
    parts
}

fn last_of(stage: &StageSpec) -> &ConvNormSpec {
    match stage {
        StageSpec::Stem(convs) => &convs[convs.len() - 1],
        StageSpec::Layer(blocks) => {
            let block = &blocks[blocks.len() - 1];
            &block.conv2[block.conv2.len() - 1]
        }
    }
}

/// The frozen stages on the engine, which keeps its memory between runs. Gives the size of their output.
fn trunk(
    stages: &[StageSpec],
    dims: [usize; 3],
    n_images: usize,
    ledger: &mut Ledger,
    parts: &mut Parts,
) -> [usize; 3] {
    let policy = Policy::Fast;
    let mut maps = Ledger::default();
    let (mut dims, mut map) = (dims, 0);
    let (mut packed, mut scratch, mut n_weights) = (0, 0, 0);
    for_each_block(stages, |shortcut, main| {
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
            (dims, map, previous) = (dims_out, out, out);
        }
        maps.release(if kept > 0 {
            kept
        } else if main.len() > 1 {
            entry
        } else {
            0
        });
    });
    if stages.is_empty() {
        return dims;
    }
    let kept = packed + maps.peak().activations + scratch;
    // While it is compiled the weights exist two times more.
    ledger.pass(0, (2 * n_weights * NUMBER).max(n_weights * NUMBER + packed));
    ledger.now.workspace += kept;
    ledger.note();
    dims
}

/// Calls `visit` with the shortcut's convolution and the others of each block, or of the stem.
fn for_each_block<'a>(
    stages: &'a [StageSpec],
    mut visit: impl FnMut(Option<&'a ConvNormSpec>, Vec<&'a ConvNormSpec>),
) {
    for stage in stages {
        match stage {
            StageSpec::Stem(convs) => convs.iter().for_each(|conv| visit(None, vec![conv])),
            StageSpec::Layer(blocks) => blocks.iter().for_each(|block: &BlockSpec| {
                visit(block.downsample.as_ref(), block.conv1.iter().chain(&block.conv2).collect());
            }),
        }
    }
}

/// The trained stages: forward, keeping what the way back needs, and backward.
fn head(stages: &[StageSpec], dims: [usize; 3], n_images: usize, ledger: &mut Ledger, parts: &mut Parts) {
    ledger.hold(parts.features * n_images as u64);
    let mut dims = dims;
    let mut way_back = Vec::new();
    for_each_block(stages, |shortcut, main| {
        let input = dims;
        for (idx, spec) in main.iter().enumerate() {
            let case = Case::new(spec, dims, n_images);
            dims = case.dims_out();
            forward(&case, ledger, idx + 1 == main.len());
            way_back.push((case, true));
        }
        if let Some(spec) = shortcut {
            let case = Case::new(spec, input, n_images);
            forward(&case, ledger, false);
            ledger.release(case.map_out());
            way_back.push((case, false));
        }
    });
    let n_convs = way_back.len();
    for (idx, (case, _)) in way_back.iter().enumerate() {
        let to_input = if idx == 0 { 0.0 } else { 1.0 };
        let effort = case.effort(Policy::Accurate);
        let bytes = TRAFFIC * case.map_out() as f64 + WEIGHT_TRAFFIC * case.n_weights() as f64;
        parts.head_forward += Work { conv_flops: case.flops(), conv_effort: effort, ..Work::default() };
        parts.head_forward.bytes += bytes / 3.0;
        parts.head.conv_flops += case.flops() * (2.0 + to_input);
        parts.head.conv_effort += effort * (2.0 + to_input);
        parts.head.bytes += bytes;
    }
    for (idx, (case, rectified)) in way_back.into_iter().enumerate().rev() {
        backward(&case, ledger, rectified, idx + 1 == n_convs);
    }
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
