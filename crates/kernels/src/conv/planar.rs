//! Direct convolution of a planar input `[image][channel][depth][height][width]`: the first layer.
//!
//! With one or three channels the blocked layout would be mostly zeros. Here a tap has one channel,
//! and the same driver runs over it.

use super::direct::tap_offsets;
use super::epilogue::Finish;
use super::job::{Job, Source};
use super::pack::pack_planar;
use super::parallel::Shared;
use super::{Buffer, ConvShape, Epilogue, MapMut};
use crate::LANES;
use crate::simd::InstructionSet;

/// A first-layer convolution with its weights packed.
#[derive(Debug, Clone)]
pub struct PlanarConv {
    shape: ConvShape,
    weights: Buffer,
}

impl PlanarConv {
    /// Packs weights `[channels_out, channels_in, depth, height, width]`.
    ///
    /// # Panics
    /// If their number is not [`ConvShape::n_weights`].
    #[must_use]
    pub fn new(shape: ConvShape, weights: &[f32]) -> Self {
        Self { shape, weights: pack_planar(&shape, weights) }
    }

    /// Its shape.
    #[must_use]
    pub const fn shape(&self) -> &ConvShape {
        &self.shape
    }

    /// Scratch memory for an input of `dims`, in elements: one padded image.
    #[must_use]
    pub fn scratch_len(&self, dims: [usize; 3]) -> usize {
        planar_scratch_len(&self.shape, dims)
    }

    /// Convolves images `[image][channel][depth][height][width]` of `dims`.
    ///
    /// # Panics
    /// If sizes do not fit each other, or the scratch memory is smaller than [`PlanarConv::scratch_len`].
    ///
    /// # Determinism
    /// Bit-identical for any number of threads and images.
    pub fn forward(
        &self,
        isa: InstructionSet,
        (input, dims): (&[f32], [usize; 3]),
        output: &mut MapMut<'_>,
        epilogue: &Epilogue<'_>,
        scratch: &mut [f32],
    ) {
        assert_eq!(output.layout().dims, self.shape.output_dims(dims), "size of the output");
        self.forward_slab(isa, (input, dims), (output, 0), epilogue, scratch);
    }

    /// As [`PlanarConv::forward`], but only the planes of the output from `first` on that `output` has room
    /// for. Scratch memory is needed for the planes of the input under them.
    ///
    /// # Panics
    /// As [`PlanarConv::forward`].
    pub fn forward_slab(
        &self,
        isa: InstructionSet,
        (input, dims): (&[f32], [usize; 3]),
        (output, first): (&mut MapMut<'_>, usize),
        epilogue: &Epilogue<'_>,
        scratch: &mut [f32],
    ) {
        let layout = *output.layout();
        let image_len = self.shape.channels_in * dims.into_iter().product::<usize>();
        let [depth, height, width] = self.shape.output_dims(dims);
        assert!(first + layout.dims[0] <= depth && layout.dims[1..] == [height, width], "size of the output");
        assert_eq!(layout.channels, self.shape.channels_out, "channels of the output");
        assert_eq!(input.len(), output.n_images() * image_len, "numbers of the input");
        let bias = epilogue.check_and_pad_bias(&layout, output.n_images());
        let [_, height, width] = padded(&self.shape, dims);
        // The planes under those of the output.
        let depth = (layout.dims[0].max(1) - 1) * self.shape.stride[0] + self.shape.kernel[0];
        let padded = [depth, height, width];
        let scratch = &mut scratch[..padded.iter().product::<usize>() * self.shape.channels_in];
        let [plane, row] = [padded[1] * padded[2], padded[2]];
        let channel_len = padded[0] * plane;
        let stride = self.shape.stride;
        for (image, input) in input.chunks_exact(image_len).enumerate() {
            self.pad((input, dims), first * self.shape.stride[0], padded, scratch);
            let taps = (0..self.shape.channels_in)
                .flat_map(|c| {
                    tap_offsets([plane, row, 1], self.shape.kernel).map(move |o| c * channel_len + o)
                })
                .collect();
            let source = Source {
                x: scratch.as_ptr(),
                steps: [plane * stride[0], row * stride[1], stride[2]],
                taps,
                plane_taps: self.shape.kernel[1] * self.shape.kernel[2],
            };
            let job = Job {
                sources: &[source],
                weights: self.weights.as_slice(),
                output: Shared(output.data()[image * layout.image() + layout.origin()..].as_mut_ptr()),
                output_steps: [layout.plane(), layout.row(), LANES],
                output_block: layout.block(),
                output_blocks: layout.blocks(),
                output_dims: layout.dims,
                finish: Some(Finish::new(epilogue, &bias, &layout, image)),
            };
            // SAFETY: the padded image holds every tap of every output, and the output has the
            // convolution's size, both checked above; `isa` is available by construction.
            unsafe {
                job.run::<1>(isa);
            }
        }
    }

    /// Copies the planes of an image into a border of zeros; plane `first` of the padded image comes first.
    fn pad(
        &self,
        (input, dims): (&[f32], [usize; 3]),
        first: usize,
        [depth, height, width]: [usize; 3],
        padded: &mut [f32],
    ) {
        let low = self.shape.padding;
        padded.fill(0.0);
        for (i, row) in input.chunks_exact(dims[2]).enumerate() {
            let (channel, d, h) = (i / (dims[0] * dims[1]), i / dims[1] % dims[0], i % dims[1]);
            let Some(d) = (d + low[0]).checked_sub(first).filter(|d| *d < depth) else { continue };
            let start = ((channel * depth + d) * height + h + low[1]) * width + low[2];
            padded[start..start + dims[2]].copy_from_slice(row);
        }
    }
}

/// Scratch memory that [`PlanarConv::forward`] needs for an input of `dims`, in elements: one padded image.
#[must_use]
pub fn planar_scratch_len(shape: &ConvShape, dims: [usize; 3]) -> usize {
    padded(shape, dims).into_iter().product::<usize>() * shape.channels_in
}

fn padded(shape: &ConvShape, dims: [usize; 3]) -> [usize; 3] {
    std::array::from_fn(|axis| dims[axis] + 2 * shape.padding[axis])
}
