//! Network graph, independent of the input size.

use std::sync::Arc;

use brainreel_kernels::{Activation, ConvShape};

use crate::EngineError;

/// A map in a [`Network`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(pub(crate) usize);

/// Batch normalisation after a convolution.
#[derive(Debug, Clone)]
pub struct Norm {
    /// Scale of each channel.
    pub gamma: Vec<f32>,
    /// Shift of each channel.
    pub beta: Vec<f32>,
    /// Running mean of each channel.
    pub mean: Vec<f32>,
    /// Running variance of each channel.
    pub variance: Vec<f32>,
    /// Epsilon, added to the variance before the square root.
    pub epsilon: f64,
}

impl Norm {
    /// Scale and shift equivalent to normalisation with `moments` (mean, variance).
    pub(crate) fn affine(&self, moments: impl Iterator<Item = (f64, f64)>) -> (Vec<f32>, Vec<f32>) {
        moments
            .zip(self.gamma.iter().zip(&self.beta))
            .map(|((mean, variance), (&gamma, &beta))| {
                let scale = f64::from(gamma) / (variance + self.epsilon).sqrt();
                (scale as f32, (f64::from(beta) - mean * scale) as f32)
            })
            .unzip()
    }

    /// Scale and shift from the running statistics.
    pub(crate) fn running(&self) -> (Vec<f32>, Vec<f32>) {
        let mean = self.mean.iter().map(|&x| f64::from(x));
        self.affine(mean.zip(self.variance.iter().map(|&x| f64::from(x))))
    }
}

/// A convolution with its fused operations: normalisation or bias, residual, activation, in this order.
#[derive(Debug, Clone)]
pub struct Conv {
    /// Its shape.
    pub shape: ConvShape,
    /// `[channels_out, channels_in, depth, height, width]`.
    pub weights: Arc<[f32]>,
    /// One number per output channel, or empty.
    pub bias: Vec<f32>,
    /// Normalisation. Must not be combined with a bias.
    pub norm: Option<Norm>,
    /// A map of the output's size to add (residual).
    pub residual: Option<Node>,
    /// Applied last.
    pub activation: Activation,
}

#[derive(Debug, Clone)]
pub(crate) enum Op {
    Input,
    Conv { input: Node, conv: Box<Conv> },
    MaxPool { input: Node, size: [usize; 3] },
    Upsample { input: Node },
    Concat { inputs: Vec<Node> },
}

impl Op {
    /// The residual map.
    pub(crate) fn residual(&self) -> Option<Node> {
        match self {
            Self::Conv { conv, .. } => conv.residual,
            _ => None,
        }
    }

    /// The maps read by the kernel, without the residual.
    pub(crate) fn inputs(&self) -> &[Node] {
        match self {
            Self::Input => &[],
            Self::Conv { input, .. } | Self::MaxPool { input, .. } | Self::Upsample { input } => {
                std::slice::from_ref(input)
            }
            Self::Concat { inputs } => inputs,
        }
    }
}

/// A network of convolutions, pooling, upsampling and skip connections.
///
/// It is built node by node from earlier nodes, and can be compiled for any input size
/// ([`crate::Program::new`]).
#[derive(Debug, Clone)]
pub struct Network {
    pub(crate) ops: Vec<Op>,
    /// Channels of each node.
    channels: Vec<usize>,
}

impl Network {
    /// Creates a network with only an input.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self { ops: vec![Op::Input], channels: vec![channels] }
    }

    /// The input.
    #[must_use]
    pub const fn input(&self) -> Node {
        Node(0)
    }

    /// Channels of a node.
    #[must_use]
    pub fn channels(&self, node: Node) -> usize {
        self.channels[node.0]
    }

    /// The map before the last `n_convs` convolutions up to `node`, in order of addition.
    ///
    /// # Panics
    /// If there are fewer convolutions, or `n_convs` is zero.
    #[must_use]
    pub fn before(&self, node: Node, n_convs: usize) -> Node {
        let mut convs = self.ops[..=node.0].iter().rev().filter_map(|op| match op {
            Op::Conv { input, .. } => Some(*input),
            _ => None,
        });
        let first = n_convs.checked_sub(1).and_then(|n| convs.nth(n));
        first.expect("the network has that many convolutions")
    }

    /// The convolutions with batch normalisation, in order of addition.
    pub fn norms(&self) -> impl Iterator<Item = &Norm> {
        self.ops.iter().filter_map(|op| match op {
            Op::Conv { conv, .. } => conv.norm.as_ref(),
            _ => None,
        })
    }

    /// Adds a convolution.
    ///
    /// # Errors
    /// [`EngineError::Build`] if weights, bias, normalisation or residual do not match its shape, or the
    /// shape has a kernel or stride of size zero.
    ///
    /// # Panics
    /// Like all functions that take a [`Node`], if it belongs to another, larger network.
    pub fn conv(&mut self, input: Node, conv: Conv) -> Result<Node, EngineError> {
        let shape = conv.shape;
        let refuse = |what: &'static str, got: usize, expected: usize| {
            if got == expected { Ok(()) } else { Err(EngineError::Build { what, got, expected }) }
        };
        let n_zeros = shape.kernel.iter().chain(&shape.stride).filter(|n| **n == 0).count();
        refuse("kernel sizes or strides of zero", n_zeros, 0)?;
        refuse("channels of the input", self.channels(input), shape.channels_in)?;
        refuse("weights", conv.weights.len(), shape.n_weights())?;
        if !conv.bias.is_empty() {
            refuse("biases", conv.bias.len(), shape.channels_out)?;
            refuse("normalisations of a convolution with bias", usize::from(conv.norm.is_some()), 0)?;
        }
        if let Some(norm) = &conv.norm {
            for part in [&norm.gamma, &norm.beta, &norm.mean, &norm.variance] {
                refuse("numbers of a normalisation", part.len(), shape.channels_out)?;
            }
        }
        if let Some(residual) = conv.residual {
            refuse("channels of the residual", self.channels(residual), shape.channels_out)?;
        }
        Ok(self.push(Op::Conv { input, conv: Box::new(conv) }, shape.channels_out))
    }

    /// Adds a max pooling over `size` voxels.
    ///
    /// # Panics
    /// If a size is zero.
    pub fn max_pool(&mut self, input: Node, size: [usize; 3]) -> Node {
        assert!(!size.contains(&0), "a pooling of {size:?} voxels");
        self.push(Op::MaxPool { input, size }, self.channels(input))
    }

    /// Adds a nearest-neighbour upsampling by 2 along each axis.
    pub fn upsample(&mut self, input: Node) -> Node {
        self.push(Op::Upsample { input }, self.channels(input))
    }

    /// Adds a concatenation of the channels of all `inputs`. It is free: the following convolution reads each
    /// input in place.
    ///
    /// # Errors
    /// [`EngineError::Build`] if there is no input, or any input except the last has a number of channels
    /// that is not a multiple of sixteen.
    pub fn concat(&mut self, inputs: &[Node]) -> Result<Node, EngineError> {
        if inputs.is_empty() {
            return Err(EngineError::Build { what: "maps to concatenate", got: 0, expected: 1 });
        }
        for &input in inputs.iter().rev().skip(1) {
            let channels = self.channels(input);
            let expected = channels.next_multiple_of(brainreel_kernels::LANES);
            if channels != expected {
                return Err(EngineError::Build {
                    what: "channels of a concatenated map",
                    got: channels,
                    expected,
                });
            }
        }
        let channels = inputs.iter().map(|&input| self.channels(input)).sum();
        Ok(self.push(Op::Concat { inputs: inputs.to_vec() }, channels))
    }

    fn push(&mut self, op: Op, channels: usize) -> Node {
        self.ops.push(op);
        self.channels.push(channels);
        Node(self.ops.len() - 1)
    }

    /// Size of every node for an input of `dims`.
    pub(crate) fn dims(&self, dims: [usize; 3]) -> Result<Vec<[usize; 3]>, EngineError> {
        let mut all: Vec<[usize; 3]> = Vec::with_capacity(self.ops.len());
        for op in &self.ops {
            let dims = match op {
                Op::Input => dims,
                Op::Conv { input, conv } => conv_dims(&conv.shape, all[input.0])?,
                Op::MaxPool { input, size } => std::array::from_fn(|axis| all[input.0][axis] / size[axis]),
                Op::Upsample { input } => all[input.0].map(|n| 2 * n),
                Op::Concat { inputs } => {
                    let first = all[inputs[0].0];
                    if let Some(other) = inputs.iter().find(|input| all[input.0] != first) {
                        return Err(EngineError::Size { got: all[other.0], expected: first });
                    }
                    first
                }
            };
            if let Some(residual) = op.residual()
                && all[residual.0] != dims
            {
                return Err(EngineError::Size { got: all[residual.0], expected: dims });
            }
            if dims.contains(&0) {
                return Err(EngineError::TooSmall { dims: all[0] });
            }
            all.push(dims);
        }
        Ok(all)
    }
}

fn conv_dims(shape: &ConvShape, dims: [usize; 3]) -> Result<[usize; 3], EngineError> {
    if (0..3).any(|axis| dims[axis] + 2 * shape.padding[axis] < shape.kernel[axis]) {
        return Err(EngineError::TooSmall { dims });
    }
    Ok(shape.output_dims(dims))
}
