//! Tiling of a feature map.

use super::ConvShape;
use super::transform::AxisKind;

/// Outputs of a Winograd tile; 1 along an axis on which the kernel has size 1, and 2 along one with
/// stride 2 whatever the name says.
///
/// Larger tiles need fewer multiplications and lose more digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TileSize {
    /// 2 x 2 x 2: 3.4 times fewer multiplications, the accuracy of a direct convolution.
    Two,
    /// 2 x 4 x 4: 6 times fewer.
    TwoFour,
    /// 4 x 4 x 4: 8 times fewer.
    Four,
}

impl TileSize {
    /// How each axis of a tile is transformed.
    pub(crate) fn axes(self, shape: &ConvShape) -> [AxisKind; 3] {
        use AxisKind::{Four, Half, Keep, Two};
        let whole = match self {
            Self::Two => [Two; 3],
            // A kernel along the depth alone has no other axis for the larger tile.
            Self::TwoFour if shape.kernel[1] == 1 && shape.kernel[2] == 1 => [Four; 3],
            Self::TwoFour => [Two, Four, Four],
            Self::Four => [Four; 3],
        };
        std::array::from_fn(|axis| match (shape.kernel[axis], shape.stride[axis]) {
            (1, _) => Keep,
            (_, 1) => whole[axis],
            _ => Half,
        })
    }

    /// Outputs of a tile along each axis.
    #[must_use]
    pub fn outputs(self, shape: &ConvShape) -> [usize; 3] {
        self.axes(shape).map(AxisKind::outputs)
    }

    /// Products of a tile.
    #[must_use]
    pub fn n_products(self, shape: &ConvShape) -> usize {
        self.axes(shape).iter().map(|axis| axis.inputs()).product()
    }
}

/// Whether Winograd's algorithm can do the convolution: each axis of size 1, or of size 3 with padding 1
/// and all of those with stride 1 or all with stride 2, and height and width alike.
#[must_use]
pub fn suits_winograd(shape: &ConvShape) -> bool {
    let stride = shape.stride.into_iter().max().unwrap_or(1);
    let axis = |axis: usize| match (shape.kernel[axis], shape.padding[axis]) {
        (1, 0) => shape.stride[axis] == 1,
        (3, 1) => shape.stride[axis] == stride,
        _ => false,
    };
    stride <= 2 && (0..3).all(axis) && shape.kernel[1] == shape.kernel[2] && shape.n_taps() > 1
}

/// The tiles of all images of a map, numbered along the width first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiles {
    pub(crate) axes: [AxisKind; 3],
    /// Tiles of an image.
    pub(crate) counts: [usize; 3],
    pub(crate) n_images: usize,
}

/// An entry of the transformed tiles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Product {
    pub(crate) number: usize,
    /// The transformed tap that it is multiplied with.
    pub(crate) tap: usize,
}

/// Tiles next to each other in a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) image: usize,
    /// The first tile's place among those of the image.
    pub(crate) tile: [usize; 3],
    pub(crate) n_tiles: usize,
}

impl Tiles {
    /// For an output of `dims`.
    pub(crate) fn new(size: TileSize, shape: &ConvShape, dims: [usize; 3], n_images: usize) -> Self {
        let axes = size.axes(shape);
        let counts = std::array::from_fn(|axis| dims[axis].div_ceil(axes[axis].outputs()));
        Self { axes, counts, n_images }
    }

    /// Products of a tile.
    pub(crate) const fn n_products(&self) -> usize {
        self.axes[0].inputs() * self.axes[1].inputs() * self.axes[2].inputs()
    }

    /// Transformed taps.
    pub(crate) const fn n_taps(&self) -> usize {
        self.axes[0].n_taps() * self.axes[1].n_taps() * self.axes[2].n_taps()
    }

    /// All products, each with its transformed tap, in the order of the taps.
    pub(crate) fn products(&self) -> Vec<Product> {
        let [depth, height, width] = self.axes;
        let mut products: Vec<Product> = (0..self.n_products())
            .map(|number| {
                let (row, w) = (number / width.inputs(), number % width.inputs());
                let (d, h) = (row / height.inputs(), row % height.inputs());
                let plane = depth.tap_of(d) * height.n_taps() + height.tap_of(h);
                Product { number, tap: plane * width.n_taps() + width.tap_of(w) }
            })
            .collect();
        products.sort_by_key(|product| product.tap);
        products
    }

    /// Tiles of all images.
    pub(crate) const fn len(&self) -> usize {
        self.n_images * self.counts[0] * self.counts[1] * self.counts[2]
    }

    /// The rows, or parts of rows, that make up tiles `from..to`; with each, its place among them.
    pub(crate) fn segments(self, from: usize, to: usize) -> impl Iterator<Item = (usize, Segment)> {
        let mut next = from;
        std::iter::from_fn(move || {
            if next >= to {
                return None;
            }
            let [depths, heights, widths] = self.counts;
            let (row, w) = (next / widths, next % widths);
            let (plane, h) = (row / heights, row % heights);
            let (image, d) = (plane / depths, plane % depths);
            let segment = Segment { image, tile: [d, h, w], n_tiles: (widths - w).min(to - next) };
            let place = next - from;
            next += segment.n_tiles;
            Some((place, segment))
        })
    }
}

impl Segment {
    /// First output voxel of the first tile.
    pub(crate) fn output_voxel(&self, tiles: &Tiles) -> [usize; 3] {
        std::array::from_fn(|axis| self.tile[axis] * tiles.axes[axis].outputs())
    }

    /// First input voxel of the first tile; -1 where the padding begins.
    pub(crate) fn input_voxel(&self, tiles: &Tiles, padding: [usize; 3]) -> [isize; 3] {
        std::array::from_fn(|axis| {
            (self.tile[axis] * tiles.axes[axis].step()) as isize - padding[axis] as isize
        })
    }
}

/// Runs `$call` with `$D`, `$H`, `$W` as the types of `$axes`.
macro_rules! with_axes {
    ($axes:expr, |$D:ident, $H:ident, $W:ident| $call:expr) => {{
        use $crate::conv::winograd::tiles::one_of_axes;
        one_of_axes!($axes, |$D, $H, $W| $call;
            [Two, Two, Two] [Two, Four, Four] [Four, Four, Four] [Half, Half, Half]
            [Keep, Two, Two] [Keep, Four, Four] [Keep, Half, Half]
            [Two, Keep, Keep] [Four, Keep, Keep] [Half, Keep, Keep])
    }};
}
pub(crate) use with_axes;

/// The arms of [`with_axes`].
macro_rules! one_of_axes {
    ($axes:expr, |$D:ident, $H:ident, $W:ident| $call:expr; $([$d:ident, $h:ident, $w:ident])*) => {
        match $axes {
            $([AxisKind::$d, AxisKind::$h, AxisKind::$w] => {
                type $D = $crate::conv::winograd::transform::$d;
                type $H = $crate::conv::winograd::transform::$h;
                type $W = $crate::conv::winograd::transform::$w;
                $call
            })*
            axes => unreachable!("no tile has axes {axes:?}"),
        }
    };
}
pub(crate) use one_of_axes;
