//! Selects the algorithm of a convolution.

use brainreel_kernels::{
    ConvShape, DirectConv, InstructionSet, LANES, NarrowConv, PlanarConv, TileSize, WinogradConv,
    planar_scratch_len, suits_winograd, winograd_scratch_len,
};

/// Trade-off between speed and accuracy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Policy {
    /// Rounding errors similar to direct convolution in single precision.
    Accurate,
    /// Up to three times those errors (still five digits), for a quarter to a third less time.
    #[default]
    Fast,
}

/// Storage of transformed weights, which are up to eight times as many as the network's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WeightFormat {
    /// In single precision.
    #[default]
    Single,
    /// With an 8-bit mantissa (two bytes per number), and only with the smallest tiles. For the output of
    /// R3D-18 the RMS error is 0.6 % and the largest error 4 % of its RMS (measured with `engine_bench`).
    Bf16,
}

/// Algorithm of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Direct, from the planar input with one or few channels.
    Planar,
    /// Direct convolution.
    Direct,
    /// Winograd convolution with tiles of this size.
    Winograd(TileSize),
    /// For few output channels.
    Narrow,
}

/// Largest number of output channels for which [`Algorithm::Narrow`] is faster.
const NARROW: usize = 2;
/// Largest number of input channels for which larger tiles are accurate enough for [`Policy::Accurate`].
const SHORT_SUM: usize = 64;
/// Cost of transforming one number of a tile, in multiply-adds of a matrix product.
const TRANSFORM_COST: f64 = 14.0;
/// Cost of reading a transformed weight from main memory, in the same unit.
const WEIGHT_COST: f64 = 12.0;
/// Bytes of transformed weights that stay in cache.
const CACHED_WEIGHTS: usize = 16 << 20;

impl Algorithm {
    /// The cheapest algorithm that `policy` allows for an output of `dims`.
    ///
    /// `planar` means that the input is the network input; `last` means that the output must be planar.
    #[must_use]
    pub fn choose(
        shape: &ConvShape,
        dims: [usize; 3],
        n_images: usize,
        (policy, format): (Policy, WeightFormat),
        planar: bool,
        last: bool,
    ) -> Self {
        if planar {
            return Self::Planar;
        }
        if last && shape.channels_out <= NARROW && shape.stride == [1; 3] {
            return Self::Narrow;
        }
        if !suits_winograd(shape) {
            return Self::Direct;
        }
        let sizes: &[TileSize] = match (policy, format) {
            (_, WeightFormat::Bf16) => &[TileSize::Two],
            (Policy::Accurate, _) if shape.channels_in > SHORT_SUM => &[TileSize::Two],
            (Policy::Accurate, _) => &[TileSize::Two, TileSize::TwoFour],
            (Policy::Fast, WeightFormat::Single) => &[TileSize::Two, TileSize::TwoFour, TileSize::Four],
        };
        let mut best = (Self::Direct, direct_cost(shape, dims, n_images));
        for &size in sizes {
            let cost = winograd_cost(shape, dims, n_images, size);
            if cost < best.1 {
                best = (Self::Winograd(size), cost);
            }
        }
        best.0
    }

    /// Number of multiplications for an output of `dims`, with other work in the same unit.
    pub(crate) fn cost(self, shape: &ConvShape, dims: [usize; 3], n_images: usize) -> f64 {
        match self {
            Self::Winograd(size) => winograd_cost(shape, dims, n_images, size),
            Self::Direct | Self::Planar | Self::Narrow => direct_cost(shape, dims, n_images),
        }
    }

    /// Scratch memory for an input of `dims`, in elements.
    pub(crate) fn scratch_len(
        self,
        shape: &ConvShape,
        isa: InstructionSet,
        dims: [usize; 3],
        n_images: usize,
    ) -> usize {
        match self {
            Self::Planar => planar_scratch_len(shape, dims),
            Self::Winograd(size) => winograd_scratch_len(shape, size, isa, dims, n_images),
            Self::Direct | Self::Narrow => 0,
        }
    }
}

fn channels(shape: &ConvShape) -> (f64, f64) {
    let full = |channels: usize| channels.next_multiple_of(LANES) as f64;
    (full(shape.channels_in), full(shape.channels_out))
}

fn direct_cost(shape: &ConvShape, dims: [usize; 3], n_images: usize) -> f64 {
    let (c, k) = channels(shape);
    let voxels = (n_images * dims.iter().product::<usize>()) as f64;
    voxels * shape.n_taps() as f64 * c * k
}

fn winograd_cost(shape: &ConvShape, dims: [usize; 3], n_images: usize, size: TileSize) -> f64 {
    let (c, k) = channels(shape);
    let outputs = size.outputs(shape);
    let products = size.n_products(shape);
    let tiles: usize = (0..3).map(|axis| dims[axis].div_ceil(outputs[axis])).product();
    let (tiles, products) = ((n_images * tiles) as f64, products as f64);
    let weights = products * c * k;
    let reading = if weights * 4.0 > CACHED_WEIGHTS as f64 { weights * WEIGHT_COST } else { 0.0 };
    tiles * products * (c * k + TRANSFORM_COST * (c + k)) + reading
}

/// A convolution with weights packed for its algorithm.
#[derive(Debug, Clone)]
pub(crate) enum Packed {
    Planar(PlanarConv),
    Direct(DirectConv),
    Winograd(WinogradConv),
    Narrow(NarrowConv),
}

impl Packed {
    pub(crate) fn new(algorithm: Algorithm, shape: ConvShape, format: WeightFormat, weights: &[f32]) -> Self {
        match algorithm {
            Algorithm::Planar => Self::Planar(PlanarConv::new(shape, weights)),
            Algorithm::Direct => Self::Direct(DirectConv::new(shape, weights)),
            Algorithm::Winograd(size) => {
                let conv = WinogradConv::new(shape, size, weights);
                Self::Winograd(if format == WeightFormat::Bf16 { conv.in_bf16() } else { conv })
            }
            Algorithm::Narrow => Self::Narrow(NarrowConv::new(shape, weights)),
        }
    }
}

/// Halo that `algorithm` needs around an input of `dims`: low, high.
pub(crate) fn halo(algorithm: Algorithm, shape: &ConvShape, dims: [usize; 3]) -> ([usize; 3], [usize; 3]) {
    match algorithm {
        Algorithm::Planar => ([0; 3], [0; 3]),
        Algorithm::Direct | Algorithm::Narrow => brainreel_kernels::direct_halo(shape, dims),
        Algorithm::Winograd(size) => brainreel_kernels::winograd_halo(shape, size, dims),
    }
}
