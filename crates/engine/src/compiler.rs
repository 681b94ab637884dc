//! Compiler state of a network.

use std::ops::Range;

use crate::EngineError;
use crate::algorithm::Algorithm;
use crate::graph::{Network, Node, Op};
use crate::program::Options;

/// Input channels up to which the first convolution reads the planar input.
const PLANAR_CHANNELS: usize = 4;
/// Compiler state of all nodes.
pub(crate) struct Compiler<'a> {
    pub(crate) network: &'a Network,
    pub(crate) options: &'a Options,
    pub(crate) output: Node,
    pub(crate) n_images: usize,
    pub(crate) dims: Vec<[usize; 3]>,
    /// Whether a node leads to the output.
    pub(crate) used: Vec<bool>,
    /// The algorithm of each convolution.
    pub(crate) algorithms: Vec<Option<Algorithm>>,
    /// Virtual upsamplings, which the following convolutions perform.
    pub(crate) virtual_upsampling: Vec<bool>,
}

impl<'a> Compiler<'a> {
    pub(crate) fn new(
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
                    (self.options.policy, self.options.weights),
                    planar,
                    last,
                ));
            }
        }
    }

    /// An upsampling is virtual if all its readers, direct or through a concatenation, are Winograd
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

    /// The maps of a node, each with whether it is virtually upsampled.
    pub(crate) fn sources(&self, node: Node) -> Vec<(Node, bool)> {
        match &self.network.ops[node.0] {
            Op::Concat { inputs } => inputs.iter().flat_map(|&input| self.sources(input)).collect(),
            Op::Upsample { input } if self.virtual_upsampling[node.0] => vec![(*input, true)],
            _ => vec![(node, false)],
        }
    }

    /// Whether a node has a map of its own.
    pub(crate) fn has_map(&self, node: usize) -> bool {
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

    /// The nodes that are computed, in order.
    pub(crate) fn computed(&self) -> Vec<usize> {
        let narrow = |node: usize| self.algorithms[node] == Some(Algorithm::Narrow);
        (0..self.network.ops.len())
            .filter(|&node| self.used[node] && (self.has_map(node) || narrow(node)))
            .collect()
    }

    pub(crate) const fn output(&self) -> usize {
        self.output.0
    }

    pub(crate) fn op(&self, node: usize) -> &Op {
        &self.network.ops[node]
    }

    pub(crate) fn depth(&self, node: usize) -> usize {
        self.dims[node][0]
    }
}

impl Compiler<'_> {
    /// The maps that a node reads, each with whether it is virtually upsampled. The residual is last.
    pub(crate) fn reads(&self, node: usize) -> Vec<(usize, bool)> {
        let op = self.op(node);
        let residual = op.residual().map(|residual| (residual.0, false));
        let sources = op.inputs().iter().flat_map(|&input| self.sources(input));
        sources.map(|(source, upsampled)| (source.0, upsampled)).chain(residual).collect()
    }

    /// Planes of `source` that the given planes of `node` depend on.
    pub(crate) fn planes_read(
        &self,
        node: usize,
        source: usize,
        upsampled: bool,
        depths: &Range<usize>,
    ) -> Range<usize> {
        let end = self.depth(source);
        let (start, stop) = match self.op(node) {
            Op::Conv { conv, .. } if !self.sources_of(node).iter().any(|(from, _)| *from == source) => {
                debug_assert_eq!(conv.residual.map(|node| node.0), Some(source));
                (depths.start, depths.end)
            }
            Op::Conv { conv, .. } => {
                let (stride, kernel, padding) =
                    (conv.shape.stride[0], conv.shape.kernel[0], conv.shape.padding[0]);
                let start = (depths.start * stride).saturating_sub(padding);
                let stop = (depths.end.max(1) - 1) * stride + kernel - padding;
                let (start, stop) = if upsampled { (start / 2, stop.div_ceil(2)) } else { (start, stop) };
                if conv.residual.is_some_and(|residual| residual.0 == source) {
                    (start.min(depths.start), stop.max(depths.end))
                } else {
                    (start, stop)
                }
            }
            Op::MaxPool { size, .. } => (depths.start * size[0], depths.end * size[0]),
            Op::Upsample { .. } => (depths.start / 2, depths.end.div_ceil(2)),
            Op::Input | Op::Concat { .. } => (depths.start, depths.end),
        };
        start.min(end)..stop.min(end)
    }

    /// The maps read by the kernel, without the residual.
    pub(crate) fn sources_of(&self, node: usize) -> Vec<(usize, bool)> {
        let sources = self.op(node).inputs().iter().flat_map(|&input| self.sources(input));
        sources.map(|(source, upsampled)| (source.0, upsampled)).collect()
    }

    /// Whether a node can be stored only in slabs.
    pub(crate) fn can_be_tiled(&self, node: usize) -> bool {
        node != self.output() && self.has_slabs(node)
    }

    /// Whether a node can be computed slab by slab.
    pub(crate) fn has_slabs(&self, node: usize) -> bool {
        let upsampled = self.reads(node).iter().any(|(_, upsampled)| *upsampled);
        match self.op(node) {
            Op::Input | Op::Concat { .. } => false,
            Op::MaxPool { .. } | Op::Upsample { .. } => true,
            Op::Conv { conv, .. } => {
                conv.shape.kernel[0] == 2 * conv.shape.padding[0] + 1
                    && (!upsampled || conv.shape.stride[0] == 1)
            }
        }
    }
}
