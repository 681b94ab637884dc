//! Convolutions to one or two channels: the last layer of a segmentation network.
//!
//! Sixteen output lanes would be nearly all idle. Here the lanes are the input channels, summed at the
//! end, and the output is planar.

use super::direct::tap_offsets;
use super::parallel::{Shared, for_each_task};
use super::{Buffer, ConvShape, Map};
use crate::LANES;
use crate::simd::{InstructionSet, Kernel, Lanes16};

/// Voxels held in registers.
const PIXELS: usize = 8;
/// Numbers of input that stay in cache.
const CACHED: usize = 128 << 10;
/// Planes of a task.
const DEPTHS: usize = 32;

/// A convolution of stride 1 to few channels.
#[derive(Debug, Clone)]
pub struct NarrowConv {
    shape: ConvShape,
    /// `[channel out][block in][tap][channel in]`.
    weights: Buffer,
}

impl NarrowConv {
    /// Packs weights `[channels_out, channels_in, depth, height, width]`.
    ///
    /// # Panics
    /// If their number is not [`ConvShape::n_weights`] or the stride is not 1.
    #[must_use]
    pub fn new(shape: ConvShape, weights: &[f32]) -> Self {
        assert_eq!(weights.len(), shape.n_weights(), "weights of {shape:?}");
        assert_eq!(shape.stride, [1; 3], "stride of a convolution to few channels");
        let (blocks, n_taps) = (shape.channels_in.div_ceil(LANES), shape.n_taps());
        let mut packed = Buffer::zeroed(shape.channels_out * blocks * n_taps * LANES);
        let target = packed.as_mut_slice();
        for (i, &weight) in weights.iter().enumerate() {
            let (tap, channel) = (i % n_taps, i / n_taps);
            let (c, k) = (channel % shape.channels_in, channel / shape.channels_in);
            target[((k * blocks + c / LANES) * n_taps + tap) * LANES + c % LANES] = weight;
        }
        Self { shape, weights: packed }
    }

    /// Its shape.
    #[must_use]
    pub const fn shape(&self) -> &ConvShape {
        &self.shape
    }

    /// Halo that [`NarrowConv::forward`] needs around an input of `dims`: low, high.
    #[must_use]
    pub fn halo(&self, dims: [usize; 3]) -> ([usize; 3], [usize; 3]) {
        super::direct::direct_halo(&self.shape, dims)
    }

    /// Convolves `input` into planar `output` `[image][channel][depth][height][width]`, adding one bias a
    /// channel (or none).
    ///
    /// # Panics
    /// If sizes are inconsistent or the halo is too narrow.
    ///
    /// # Determinism
    /// Bit-identical for any number of threads and images.
    pub fn forward(&self, isa: InstructionSet, input: &Map<'_>, output: &mut [f32], bias: &[f32]) {
        let [depth, ..] = self.shape.output_dims(input.layout().dims);
        self.forward_slab(isa, input, (output, depth), 0, bias);
    }

    /// As [`NarrowConv::forward`], but `output` has maps of `depth` planes, of which only those from `first`
    /// on are computed that `input` has planes for.
    ///
    /// # Panics
    /// As [`NarrowConv::forward`].
    pub fn forward_slab(
        &self,
        isa: InstructionSet,
        input: &Map<'_>,
        (output, depth): (&mut [f32], usize),
        first: usize,
        bias: &[f32],
    ) {
        let layout = *input.layout();
        let out = self.shape.output_dims(layout.dims);
        let (low, high) = self.halo(layout.dims);
        let n_voxels: usize = depth * out[1] * out[2];
        assert!(first + out[0] <= depth, "planes of the output");
        assert_eq!(layout.channels, self.shape.channels_in, "channels of the input");
        assert!(layout.has_halo(low, high), "{layout:?} needs a halo of {low:?}, {high:?}");
        assert_eq!(output.len(), input.n_images() * self.shape.channels_out * n_voxels, "size of the output");
        assert!(bias.is_empty() || bias.len() == self.shape.channels_out, "one bias a channel");
        let corner = layout.origin()
            - self.shape.padding[0] * layout.plane()
            - self.shape.padding[1] * layout.row()
            - self.shape.padding[2] * LANES;
        let taps: Vec<usize> = (0..layout.blocks())
            .flat_map(|block| {
                tap_offsets([layout.plane(), layout.row(), LANES], self.shape.kernel)
                    .map(move |offset| block * layout.block() + offset)
            })
            .collect();
        let target = Shared(output.as_mut_ptr());
        // Few enough rows that three planes of them stay in cache from one depth to the next.
        let rows_len = self.shape.kernel[0] * layout.row() * layout.blocks();
        let n_rows = (CACHED / rows_len).saturating_sub(self.shape.kernel[1] - 1).clamp(1, out[1].max(1));
        let bands = [out[0].div_ceil(DEPTHS), out[1].div_ceil(n_rows)];
        let per_map = bands[0] * bands[1];
        for_each_task(input.n_images() * self.shape.channels_out * per_map, |task, _| {
            let (map, band) = (task / per_map, task % per_map);
            let (image, channel) = (map / self.shape.channels_out, map % self.shape.channels_out);
            let [depths, heights] = [(band / bands[1], DEPTHS, out[0]), (band % bands[1], n_rows, out[1])]
                .map(|(i, n, end)| i * n..((i + 1) * n).min(end));
            for (d, h) in depths.flat_map(|d| heights.clone().map(move |h| (d, h))) {
                let x = image * layout.image() + corner + d * layout.plane() + h * layout.row();
                // SAFETY: halo and sizes were checked; each task has rows of its own.
                unsafe {
                    let y = map * n_voxels + ((first + d) * out[1] + h) * out[2];
                    isa.run(Row {
                        x: input.data()[x..].as_ptr(),
                        taps: &taps,
                        kernel_width: self.shape.kernel[2],
                        weights: self.weights.as_slice()[channel * taps.len() * LANES..].as_ptr(),
                        bias: bias.get(channel).copied().unwrap_or(0.0),
                        y: target.get().add(y),
                        width: out[2],
                    });
                }
            }
        });
    }
}

/// One row of outputs.
struct Row<'a> {
    x: *const f32,
    taps: &'a [usize],
    /// Taps next to each other.
    kernel_width: usize,
    weights: *const f32,
    bias: f32,
    y: *mut f32,
    width: usize,
}

impl Kernel for Row<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes16>(self) {
        let mut start = 0;
        // SAFETY: the caller vouches for the row and its taps.
        unsafe {
            while start + PIXELS <= self.width {
                if V::OUTPUT_BLOCKS == 2 && self.kernel_width == 3 {
                    self.shared::<V>(start);
                } else {
                    self.pixels::<V, PIXELS>(start);
                }
                start += PIXELS;
            }
            (start..self.width).for_each(|pixel| self.pixels::<V, 1>(pixel));
        }
    }
}

impl Row<'_> {
    /// Three taps side by side: each voxel is loaded once for the three. Needs a register for every voxel.
    #[inline(always)]
    unsafe fn shared<V: Lanes16>(&self, start: usize) {
        // SAFETY: as `run`.
        unsafe {
            let x = self.x.add(start * LANES);
            let mut sums = [V::zero(); PIXELS];
            for (i, taps) in self.taps.chunks_exact(3).enumerate() {
                let mut voxels = [V::zero(); PIXELS + 2];
                for (pixel, voxel) in voxels.iter_mut().enumerate() {
                    *voxel = V::load(x.add(taps[0] + pixel * LANES));
                }
                for tap in 0..3 {
                    let weights = V::load(self.weights.add((3 * i + tap) * LANES));
                    for (pixel, sum) in sums.iter_mut().enumerate() {
                        *sum = voxels[pixel + tap].mul_add(weights, *sum);
                    }
                }
            }
            for (pixel, sum) in sums.into_iter().enumerate() {
                *self.y.add(start + pixel) = sum.sum() + self.bias;
            }
        }
    }

    #[inline(always)]
    unsafe fn pixels<V: Lanes16, const N: usize>(&self, start: usize) {
        // SAFETY: as `run`.
        unsafe {
            let x = self.x.add(start * LANES);
            let mut sums = [V::zero(); N];
            for (i, &tap) in self.taps.iter().enumerate() {
                let weights = V::load(self.weights.add(i * LANES));
                for (pixel, sum) in sums.iter_mut().enumerate() {
                    *sum = V::load(x.add(tap + pixel * LANES)).mul_add(weights, *sum);
                }
            }
            for (pixel, sum) in sums.into_iter().enumerate() {
                *self.y.add(start + pixel) = sum.sum() + self.bias;
            }
        }
    }
}
