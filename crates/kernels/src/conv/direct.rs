//! Direct convolution on the blocked layout: any kernel, stride and padding.

use super::epilogue::Finish;
use super::job::{Job, Source};
use super::pack::pack_weights;
use super::parallel::Shared;
use super::{Buffer, ConvShape, Epilogue, Map, MapMut};
use crate::LANES;
use crate::simd::InstructionSet;

/// A convolution with its weights packed for [`DirectConv::forward`].
#[derive(Debug, Clone)]
pub struct DirectConv {
    shape: ConvShape,
    /// `[block out][block in][tap][channel in][channel out]`, channels filled up with zeros.
    weights: Buffer,
}

impl DirectConv {
    /// Packs weights `[channels_out, channels_in, depth, height, width]`.
    ///
    /// # Panics
    /// If their number is not [`ConvShape::n_weights`].
    #[must_use]
    pub fn new(shape: ConvShape, weights: &[f32]) -> Self {
        Self { shape, weights: pack_weights(&shape, weights) }
    }

    /// Its shape.
    #[must_use]
    pub const fn shape(&self) -> &ConvShape {
        &self.shape
    }

    /// Halo that [`DirectConv::forward`] needs around an input of `dims`: low, high.
    #[must_use]
    pub fn halo(&self, dims: [usize; 3]) -> ([usize; 3], [usize; 3]) {
        direct_halo(&self.shape, dims)
    }

    /// Convolves `inputs` with concatenated channels.
    ///
    /// # Panics
    /// If sizes are inconsistent or a halo is too narrow.
    ///
    /// # Determinism
    /// Bit-identical for any number of threads and images.
    pub fn forward(
        &self,
        isa: InstructionSet,
        inputs: &[Map<'_>],
        output: &mut MapMut<'_>,
        epilogue: &Epilogue<'_>,
    ) {
        check_sizes(&self.shape, inputs, output);
        let (low, high) = self.halo(inputs[0].layout().dims);
        for input in inputs {
            let layout = input.layout();
            assert!(layout.has_halo(low, high), "{layout:?} needs a halo of {low:?}, {high:?}");
        }
        let bias = epilogue.check_and_pad_bias(output.layout(), output.n_images());
        let layout = *output.layout();
        for image in 0..output.n_images() {
            let finish = Finish::new(epilogue, &bias, &layout, image);
            let sources: Vec<Source> = inputs.iter().map(|input| self.source(input, image)).collect();
            let job = Job {
                sources: &sources,
                weights: self.weights.as_slice(),
                output: Shared(output.data()[image * layout.image() + layout.origin()..].as_mut_ptr()),
                output_steps: [layout.plane(), layout.row(), LANES],
                output_block: layout.block(),
                output_blocks: layout.blocks(),
                output_dims: layout.dims,
                finish: Some(finish),
            };
            // SAFETY: the halo and the sizes were checked above, so that every tap of every output
            // lies in the input, and every output in the output; `isa` is available by construction.
            unsafe {
                job.run::<LANES>(isa);
            }
        }
    }

    /// One input as the job sees it.
    fn source(&self, input: &Map<'_>, image: usize) -> Source {
        let layout = input.layout();
        let corner = layout.origin()
            - self.shape.padding[0] * layout.plane()
            - self.shape.padding[1] * layout.row()
            - self.shape.padding[2] * LANES;
        let taps = (0..layout.blocks())
            .flat_map(|block| {
                tap_offsets([layout.plane(), layout.row(), LANES], self.shape.kernel)
                    .map(move |offset| block * layout.block() + offset)
            })
            .collect();
        let stride = self.shape.stride;
        Source {
            x: input.data()[image * layout.image() + corner..].as_ptr(),
            steps: [layout.plane() * stride[0], layout.row() * stride[1], LANES * stride[2]],
            taps,
            plane_taps: self.shape.kernel[1] * self.shape.kernel[2],
        }
    }
}

/// Halo that a direct convolution needs around an input of `dims`: low, high.
#[must_use]
pub fn direct_halo(shape: &ConvShape, dims: [usize; 3]) -> ([usize; 3], [usize; 3]) {
    let out = shape.output_dims(dims);
    let high = std::array::from_fn(|axis| {
        let end = (out[axis] - 1) * shape.stride[axis] + shape.kernel[axis];
        end.saturating_sub(shape.padding[axis] + dims[axis])
    });
    (shape.padding, high)
}

/// Checks that maps and convolution are consistent.
///
/// # Panics
/// If they are not.
pub(crate) fn check_sizes(shape: &ConvShape, inputs: &[Map<'_>], output: &MapMut<'_>) {
    let dims = inputs[0].layout().dims;
    let channels: usize = inputs.iter().map(|input| input.layout().channels).sum();
    assert_eq!(channels, shape.channels_in, "channels of the input");
    assert_eq!(output.layout().dims, shape.output_dims(dims), "size of the output");
    assert_eq!(output.layout().channels, shape.channels_out, "channels of the output");
    for (number, input) in inputs.iter().enumerate() {
        assert_eq!(input.n_images(), output.n_images(), "images of input and output");
        assert_eq!(input.layout().dims, dims, "inputs of one size");
        assert!(
            number + 1 == inputs.len() || input.layout().channels.is_multiple_of(LANES),
            "only the last of several inputs may have a block that is not full"
        );
    }
}

/// Offsets of a kernel's taps, in order depth, height, width.
pub(crate) fn tap_offsets(steps: [usize; 3], kernel: [usize; 3]) -> impl Iterator<Item = usize> {
    (0..kernel[0]).flat_map(move |d| {
        (0..kernel[1])
            .flat_map(move |h| (0..kernel[2]).map(move |w| d * steps[0] + h * steps[1] + w * steps[2]))
    })
}
