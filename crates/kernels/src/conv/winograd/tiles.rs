//! Which tiles a map is cut into.

use super::ConvShape;
use super::transform::{Axis, Four, Keep, Two};

/// Outputs of a Winograd tile; 1 along an axis on which the kernel has size 1.
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
    /// Outputs of a tile along each axis, for a kernel of `kernel`.
    #[must_use]
    pub fn outputs(self, kernel: [usize; 3]) -> [usize; 3] {
        let whole = match self {
            Self::Two => [2, 2, 2],
            // A kernel along the depth alone has no other axis for the larger tile.
            Self::TwoFour if kernel[1] == 1 && kernel[2] == 1 => [4, 4, 4],
            Self::TwoFour => [2, 4, 4],
            Self::Four => [4, 4, 4],
        };
        std::array::from_fn(|axis| if kernel[axis] == 1 { 1 } else { whole[axis] })
    }
}

/// Whether Winograd's algorithm can do the convolution: stride 1, each axis of size 1 or of size 3
/// with padding 1, and height and width alike.
#[must_use]
pub fn suits_winograd(shape: &ConvShape) -> bool {
    let axis = |axis: usize| {
        shape.stride[axis] == 1 && matches!((shape.kernel[axis], shape.padding[axis]), (1, 0) | (3, 1))
    };
    (0..3).all(axis) && shape.kernel[1] == shape.kernel[2] && shape.n_taps() > 1
}

/// The tiles of all images of a map, numbered along the width first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiles {
    /// Outputs of a tile.
    pub(crate) outputs: [usize; 3],
    /// Inputs, and so products, of a tile.
    pub(crate) inputs: [usize; 3],
    /// Tiles of an image.
    pub(crate) counts: [usize; 3],
    pub(crate) n_images: usize,
}

/// Tiles next to each other in a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) image: usize,
    /// First output voxel of the first tile.
    pub(crate) voxel: [usize; 3],
    pub(crate) n_tiles: usize,
}

impl Tiles {
    pub(crate) fn new(size: TileSize, kernel: [usize; 3], dims: [usize; 3], n_images: usize) -> Self {
        let outputs = size.outputs(kernel);
        Self {
            outputs,
            inputs: outputs.map(|n| if n == 1 { 1 } else { n + 2 }),
            counts: std::array::from_fn(|axis| dims[axis].div_ceil(outputs[axis])),
            n_images,
        }
    }

    /// Products of a tile.
    pub(crate) const fn n_products(&self) -> usize {
        self.inputs[0] * self.inputs[1] * self.inputs[2]
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
            let segment = Segment {
                image,
                voxel: [d * self.outputs[0], h * self.outputs[1], w * self.outputs[2]],
                n_tiles: (widths - w).min(to - next),
            };
            let place = next - from;
            next += segment.n_tiles;
            Some((place, segment))
        })
    }
}

/// Runs `$call` with `$D`, `$H`, `$W` as the axes of a tile with `$outputs`.
macro_rules! with_axes {
    ($outputs:expr, |$D:ident, $H:ident, $W:ident| $call:expr) => {{
        use $crate::conv::winograd::transform::{Four, Keep, Two};
        match $outputs {
            [2, 2, 2] => {
                type $D = Two;
                type $H = Two;
                type $W = Two;
                $call
            }
            [2, 4, 4] => {
                type $D = Two;
                type $H = Four;
                type $W = Four;
                $call
            }
            [4, 4, 4] => {
                type $D = Four;
                type $H = Four;
                type $W = Four;
                $call
            }
            [1, 2, 2] => {
                type $D = Keep;
                type $H = Two;
                type $W = Two;
                $call
            }
            [1, 4, 4] => {
                type $D = Keep;
                type $H = Four;
                type $W = Four;
                $call
            }
            [2, 1, 1] => {
                type $D = Two;
                type $H = Keep;
                type $W = Keep;
                $call
            }
            [4, 1, 1] => {
                type $D = Four;
                type $H = Keep;
                type $W = Keep;
                $call
            }
            outputs => unreachable!("no tile has {outputs:?} outputs"),
        }
    }};
}
pub(crate) use with_axes;

const _: () = assert!(Keep::IN == 1 && Two::IN == Two::OUT + 2 && Four::IN == Four::OUT + 2);
