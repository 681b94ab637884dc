//! Gradient with respect to the input: convolutions of the output's gradient with flipped weights.

use super::super::job::{Job, Source};
use super::super::pack::pack_weights;
use super::super::parallel::Shared;
use super::super::{
    Buffer, ConvShape, Epilogue, Input, Map, MapMut, TileSize, WinogradConv, clear_halo, suits_winograd,
};
use crate::LANES;
use crate::simd::InstructionSet;

/// The gradient of a convolution with respect to its input, with the weights packed for it.
///
/// With stride `s` the inputs fall into `s` classes an axis by their remainder; each class sees only some
/// taps of the kernel and is an ordinary convolution of stride 1. Where Winograd's algorithm suits, it is
/// used with the smallest tiles, whose errors are those of a direct convolution.
#[derive(Debug, Clone)]
pub struct GradInput {
    shape: ConvShape,
    dims: [usize; 3],
    method: Method,
}

#[derive(Debug, Clone)]
enum Method {
    Winograd(WinogradConv),
    Classes(Vec<Class>),
}

/// The inputs with one remainder along each axis.
#[derive(Debug, Clone)]
struct Class {
    /// First input of the class.
    first: [usize; 3],
    /// Inputs of the class along each axis.
    counts: [usize; 3],
    /// For each axis: output seen through each tap, less the input's number within the class.
    offsets: [Vec<isize>; 3],
    /// `[block in][block out][tap][channel out][channel in]`.
    weights: Buffer,
}

impl GradInput {
    /// Packs weights `[channels_out, channels_in, depth, height, width]` of a convolution of an input of `dims`.
    ///
    /// # Panics
    /// If the number of weights is not [`ConvShape::n_weights`].
    #[must_use]
    pub fn new(shape: ConvShape, dims: [usize; 3], weights: &[f32]) -> Self {
        assert_eq!(weights.len(), shape.n_weights(), "weights of {shape:?}");
        let method = if suits_winograd(&shape) && shape.stride == [1; 3] && shape.channels_in >= LANES {
            Method::Winograd(WinogradConv::turned(&shape, TileSize::Two, weights))
        } else {
            Method::Classes(classes(&shape, dims, weights))
        };
        Self { shape, dims, method }
    }

    /// Halo that the gradient of the output needs: low, high.
    #[must_use]
    pub fn halo(&self) -> ([usize; 3], [usize; 3]) {
        match &self.method {
            Method::Winograd(conv) => conv.halo(self.dims),
            Method::Classes(classes) => {
                let out = self.shape.output_dims(self.dims);
                let (mut low, mut high) = ([0; 3], [0; 3]);
                for class in classes {
                    for axis in 0..3 {
                        for &offset in &class.offsets[axis] {
                            let last = class.counts[axis] as isize - 1 + offset;
                            low[axis] = low[axis].max((-offset).max(0) as usize);
                            high[axis] = high[axis].max((last - out[axis] as isize + 1).max(0) as usize);
                        }
                    }
                }
                (low, high)
            }
        }
    }

    /// Scratch memory for `n_images`, in elements.
    #[must_use]
    pub fn scratch_len(&self, isa: InstructionSet, n_images: usize) -> usize {
        match &self.method {
            Method::Winograd(conv) => conv.scratch_len(isa, self.dims, n_images),
            Method::Classes(_) => 0,
        }
    }

    /// Writes the gradient of the input.
    ///
    /// # Panics
    /// If sizes are inconsistent, a halo is too narrow or there is too little scratch memory.
    ///
    /// # Determinism
    /// Bit-identical for any number of threads and images.
    pub fn compute(
        &self,
        isa: InstructionSet,
        grad_output: &Map<'_>,
        grad_input: &mut MapMut<'_>,
        scratch: &mut [f32],
    ) {
        let (from, to) = (*grad_output.layout(), *grad_input.layout());
        assert_eq!(from.dims, self.shape.output_dims(self.dims), "size of the output's gradient");
        assert_eq!(from.channels, self.shape.channels_out, "channels of the output's gradient");
        assert_eq!((to.dims, to.channels), (self.dims, self.shape.channels_in), "the input's gradient");
        assert_eq!(grad_output.n_images(), grad_input.n_images(), "images of input and output");
        let (low, high) = self.halo();
        assert!(from.has_halo(low, high), "{from:?} needs a halo of {low:?}, {high:?}");
        match &self.method {
            Method::Winograd(conv) => {
                let input = Input { map: *grad_output, upsampled: false };
                conv.forward(isa, &[input], grad_input, &Epilogue::default(), scratch);
            }
            Method::Classes(classes) => {
                if classes.iter().any(Class::sees_nothing) {
                    grad_input.data().fill(0.0);
                } else {
                    clear_halo(grad_input);
                }
                for class in classes.iter().filter(|class| !class.sees_nothing()) {
                    self.class(isa, class, grad_output, grad_input);
                }
            }
        }
    }

    fn class(&self, isa: InstructionSet, class: &Class, grad_output: &Map<'_>, grad_input: &mut MapMut<'_>) {
        let (from, to) = (*grad_output.layout(), *grad_input.layout());
        let steps = [from.plane(), from.row(), LANES];
        // The corner that every tap of every input of the class reaches with an offset of zero or more.
        let least: [isize; 3] =
            std::array::from_fn(|axis| *class.offsets[axis].iter().min().expect("the class sees a tap"));
        let corner: isize = (0..3).map(|axis| least[axis] * steps[axis] as isize).sum();
        let corner = (from.origin() as isize + corner) as usize;
        let mut taps = Vec::new();
        for block in 0..from.blocks() {
            for d in &class.offsets[0] {
                for h in &class.offsets[1] {
                    for w in &class.offsets[2] {
                        let ahead = [d - least[0], h - least[1], w - least[2]];
                        let offset: usize = (0..3).map(|axis| ahead[axis] as usize * steps[axis]).sum();
                        taps.push(block * from.block() + offset);
                    }
                }
            }
        }
        let first =
            class.first[0] * to.plane() + class.first[1] * to.row() + class.first[2] * LANES + to.origin();
        let stride = self.shape.stride;
        for image in 0..grad_input.n_images() {
            let source = Source {
                x: grad_output.data()[image * from.image() + corner..].as_ptr(),
                steps,
                taps: taps.clone(),
                plane_taps: class.offsets[1].len() * class.offsets[2].len(),
            };
            let job = Job {
                sources: &[source],
                weights: class.weights.as_slice(),
                output: Shared(grad_input.data()[image * to.image() + first..].as_mut_ptr()),
                output_steps: [to.plane() * stride[0], to.row() * stride[1], LANES * stride[2]],
                output_block: to.block(),
                output_blocks: to.blocks(),
                output_dims: class.counts,
                finish: None,
            };
            // SAFETY: the halo and the sizes were checked, so that each tap of each input of the class
            // lies in the output's gradient, and each input of the class in the input's.
            unsafe { job.run::<LANES>(isa) };
        }
    }
}

impl Class {
    /// Whether no tap reaches these inputs: their gradient is zero.
    fn sees_nothing(&self) -> bool {
        self.offsets.iter().any(Vec::is_empty)
    }
}

fn classes(shape: &ConvShape, dims: [usize; 3], weights: &[f32]) -> Vec<Class> {
    let mut classes = Vec::new();
    let [sd, sh, sw] = shape.stride;
    for first in (0..sd).flat_map(|d| (0..sh).flat_map(move |h| (0..sw).map(move |w| [d, h, w]))) {
        if (0..3).any(|axis| first[axis] >= dims[axis]) {
            continue;
        }
        // Tap `t` of input `i * s + r` belongs to output `i + (r + padding - t) / s`, where that divides.
        let ahead = |axis: usize, tap: usize| (first[axis] + shape.padding[axis]) as isize - tap as isize;
        let taps: [Vec<usize>; 3] = std::array::from_fn(|axis| {
            let divides = |tap: &usize| ahead(axis, *tap).rem_euclid(shape.stride[axis] as isize) == 0;
            (0..shape.kernel[axis]).filter(divides).collect()
        });
        let offsets = std::array::from_fn(|axis| {
            taps[axis].iter().map(|&tap| ahead(axis, tap) / shape.stride[axis] as isize).collect()
        });
        let counts = std::array::from_fn(|axis| (dims[axis] - first[axis]).div_ceil(shape.stride[axis]));
        let weights = if taps.iter().any(Vec::is_empty) {
            Buffer::zeroed(0)
        } else {
            let (turned_shape, turned) = turn(shape, weights, &taps);
            pack_weights(&turned_shape, &turned)
        };
        classes.push(Class { first, counts, offsets, weights });
    }
    classes
}

/// Weights `[channels in, channels out, taps]` with only the given taps of each axis, in their order.
fn turn(shape: &ConvShape, weights: &[f32], taps: &[Vec<usize>; 3]) -> (ConvShape, Vec<f32>) {
    let [_, height, width] = shape.kernel;
    let mut turned = Vec::with_capacity(weights.len());
    for c in 0..shape.channels_in {
        for k in 0..shape.channels_out {
            let start = (k * shape.channels_in + c) * shape.n_taps();
            for &d in &taps[0] {
                for &h in &taps[1] {
                    turned.extend(taps[2].iter().map(|&w| weights[start + (d * height + h) * width + w]));
                }
            }
        }
    }
    let shape = ConvShape {
        channels_in: shape.channels_out,
        channels_out: shape.channels_in,
        kernel: std::array::from_fn(|axis| taps[axis].len()),
        stride: [1; 3],
        padding: [0; 3],
    };
    (shape, turned)
}
