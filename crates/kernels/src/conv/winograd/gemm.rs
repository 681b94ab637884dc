//! The matrix products between the transforms.

use super::super::micro::{Operands, Weight, even_runs, multiply, with_pixels};
use crate::LANES;
use crate::simd::{Kernel, Lanes16};

/// `[tiles, channels in]` times `[channels in, channels out]`, all in blocks of sixteen channels.
pub(crate) struct GemmTask<T> {
    /// `[block in][tile][channel in]`.
    pub(crate) x: *const f32,
    pub(crate) block_in: usize,
    pub(crate) blocks_in: usize,
    /// `[block out][block in][channel in][channel out]`.
    pub(crate) weights: *const T,
    /// `[block out][tile][channel out]`.
    pub(crate) y: *mut f32,
    pub(crate) block_out: usize,
    pub(crate) blocks_out: usize,
    pub(crate) n_tiles: usize,
}

/// Blocks of input channels in a matrix product, at most; more go in several sums.
const MOST_BLOCKS: usize = 128;

impl<T: Weight> Kernel for GemmTask<T> {
    #[inline(always)]
    unsafe fn run<V: Lanes16>(self) {
        let mut taps = [0; MOST_BLOCKS];
        assert!(self.blocks_in <= MOST_BLOCKS, "{} blocks of channels", self.blocks_in);
        for (block, tap) in taps.iter_mut().enumerate().take(self.blocks_in) {
            *tap = block * self.block_in;
        }
        let taps = &taps[..self.blocks_in];
        let mut block = 0;
        // SAFETY: the driver vouches for the extents.
        unsafe {
            while block < self.blocks_out {
                if V::OUTPUT_BLOCKS == 2 && block + 1 < self.blocks_out {
                    self.group::<V, 2>(taps, block);
                    block += 2;
                } else {
                    self.group::<V, 1>(taps, block);
                    block += 1;
                }
            }
        }
    }
}

impl<T: Weight> GemmTask<T> {
    /// All tiles of a group of output blocks.
    #[inline(always)]
    unsafe fn group<V: Lanes16, const BLOCKS: usize>(&self, taps: &[usize], block: usize) {
        let (n_runs, short, n_long) = even_runs(self.n_tiles, V::PIXELS);
        let mut tile = 0;
        for i in 0..n_runs {
            let n = short + usize::from(i < n_long);
            // SAFETY: the run lies within the tiles.
            unsafe {
                with_pixels!(n, [1 2 3 4 5 6 7 8 9 10 11 12 13 14], |N| self.tiles::<V, BLOCKS, N>(
                    taps, block, tile
                ));
            }
            tile += n;
        }
    }

    #[inline(always)]
    unsafe fn tiles<V: Lanes16, const BLOCKS: usize, const TILES: usize>(
        &self,
        taps: &[usize],
        block: usize,
        tile: usize,
    ) {
        let weights_block = self.blocks_in * LANES * LANES;
        // SAFETY: the caller vouches for tiles and blocks.
        unsafe {
            let sums = multiply::<V, T, BLOCKS, TILES, LANES, LANES>(Operands {
                x: self.x.add(tile * LANES),
                taps,
                pixel: LANES,
                weights: self.weights.add(block * weights_block),
                weights_block,
            });
            let y = self.y.add(block * self.block_out + tile * LANES);
            for (tile, sums) in sums.into_iter().enumerate() {
                for (block, sum) in sums.into_iter().enumerate() {
                    sum.store(y.add(block * self.block_out + tile * LANES));
                }
            }
        }
    }
}
