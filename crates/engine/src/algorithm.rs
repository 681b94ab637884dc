//! Which algorithm a convolution gets.

use brainreel_kernels::{
    ConvShape, DirectConv, InstructionSet, LANES, NarrowConv, PlanarConv, TileSize, WinogradConv,
    suits_winograd,
};

/// What to favour where speed costs digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Policy {
    /// The rounding errors of a direct convolution in single precision.
    Accurate,
    /// Up to three times those errors (still five digits), for a third less time.
    #[default]
    Fast,
}

/// How a convolution is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// From the planar input: one channel, or few.
    Planar,
    /// Every product for itself.
    Direct,
    /// Winograd's, with tiles of this size.
    Winograd(TileSize),
    /// To few output channels.
    Narrow,
}

/// Output channels up to which [`Algorithm::Narrow`] pays.
const NARROW: usize = 2;
/// Cost of transforming one number of a tile, in multiply-adds of a matrix product.
const TRANSFORM_COST: f64 = 14.0;
/// Cost of reading a transformed weight from main memory, in the same unit.
const WEIGHT_COST: f64 = 12.0;
/// Bytes of transformed weights that stay in cache.
const CACHED_WEIGHTS: usize = 16 << 20;

impl Algorithm {
    /// The cheapest algorithm that `policy` allows for an output of `dims`.
    ///
    /// `planar` tells that the input is the network's; `last` that the output is wanted planar.
    #[must_use]
    pub fn choose(
        shape: &ConvShape,
        dims: [usize; 3],
        n_images: usize,
        policy: Policy,
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
        let sizes: &[TileSize] = match policy {
            Policy::Accurate => &[TileSize::Two],
            Policy::Fast => &[TileSize::Two, TileSize::TwoFour, TileSize::Four],
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

/// A convolution with its weights as its algorithm reads them.
#[derive(Debug, Clone)]
pub(crate) enum Packed {
    Planar(PlanarConv),
    Direct(DirectConv),
    Winograd(WinogradConv),
    Narrow(NarrowConv),
}

impl Packed {
    pub(crate) fn new(algorithm: Algorithm, shape: ConvShape, weights: &[f32]) -> Self {
        match algorithm {
            Algorithm::Planar => Self::Planar(PlanarConv::new(shape, weights)),
            Algorithm::Direct => Self::Direct(DirectConv::new(shape, weights)),
            Algorithm::Winograd(size) => Self::Winograd(WinogradConv::new(shape, size, weights)),
            Algorithm::Narrow => Self::Narrow(NarrowConv::new(shape, weights)),
        }
    }

    /// Numbers of scratch memory for an input of `dims`.
    pub(crate) fn scratch_len(&self, isa: InstructionSet, dims: [usize; 3], n_images: usize) -> usize {
        match self {
            Self::Planar(conv) => conv.scratch_len(dims),
            Self::Winograd(conv) => conv.scratch_len(isa, dims, n_images),
            Self::Direct(_) | Self::Narrow(_) => 0,
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
