//! Convolutions of planar arrays, forward and backward, by the kernels of the blocked layout.

use brainreel_engine::{Algorithm, Policy, WeightFormat};
use brainreel_kernels::{
    Buffer, ConvShape, DirectConv, Epilogue, GradInput, Input, InstructionSet, Layout, Map, MapMut,
    PlanarConv, WinogradConv, from_blocked, grad_weight, grad_weight_halos, to_blocked,
};

/// Input channels up to which the planar kernel is used.
const PLANAR_CHANNELS: usize = 4;

/// A convolution of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvCase {
    shape: ConvShape,
    n_images: usize,
    dims: [usize; 3],
}

impl ConvCase {
    /// From the shapes of input `[N, C_in, D, H, W]` and weights `[C_out, C_in, d, h, w]`.
    ///
    /// # Panics
    /// If the channels disagree or the kernel is larger than the padded input.
    pub(crate) fn new(x: [usize; 5], weight: [usize; 5], stride: [usize; 3], padding: [usize; 3]) -> Self {
        let [n_images, channels, d, h, w] = x;
        let [channels_out, channels_in, kd, kh, kw] = weight;
        assert_eq!(channels, channels_in, "channels of the input");
        let shape = ConvShape { channels_in, channels_out, kernel: [kd, kh, kw], stride, padding };
        let _ = shape.output_dims([d, h, w]);
        Self { shape, n_images, dims: [d, h, w] }
    }

    fn dims_out(&self) -> [usize; 3] {
        self.shape.output_dims(self.dims)
    }

    pub(crate) fn input_shape(&self) -> [usize; 5] {
        let [d, h, w] = self.dims;
        [self.n_images, self.shape.channels_in, d, h, w]
    }

    pub(crate) fn output_shape(&self) -> [usize; 5] {
        let [d, h, w] = self.dims_out();
        [self.n_images, self.shape.channels_out, d, h, w]
    }

    pub(crate) fn weight_shape(&self) -> [usize; 5] {
        let [d, h, w] = self.shape.kernel;
        [self.shape.channels_out, self.shape.channels_in, d, h, w]
    }

    /// The convolution.
    pub(crate) fn forward(&self, x: &[f32], weight: &[f32]) -> Vec<f32> {
        let isa = InstructionSet::detect();
        let (shape, n_images, dims) = (self.shape, self.n_images, self.dims);
        let layout = Layout::new(shape.channels_out, self.dims_out());
        let mut y = Buffer::unspecified(n_images * layout.image());
        let mut output = MapMut::new(y.as_mut_slice(), layout);
        let epilogue = Epilogue::default();
        let planar = shape.channels_in <= PLANAR_CHANNELS;
        match Algorithm::choose(
            &shape,
            layout.dims,
            n_images,
            (Policy::Accurate, WeightFormat::Single),
            planar,
            false,
        ) {
            Algorithm::Planar => {
                let conv = PlanarConv::new(shape, weight);
                let mut scratch = Buffer::unspecified(conv.scratch_len(dims));
                conv.forward(isa, (x, dims), &mut output, &epilogue, scratch.as_mut_slice());
            }
            Algorithm::Winograd(size) => {
                let conv = WinogradConv::new(shape, size, weight);
                let (x, layout) = blocked(x, shape.channels_in, dims, n_images, conv.halo(dims));
                let mut scratch = Buffer::unspecified(conv.scratch_len(isa, dims, n_images));
                let input = Input { map: Map::new(x.as_slice(), layout), upsampled: false };
                conv.forward(isa, &[input], &mut output, &epilogue, scratch.as_mut_slice());
            }
            Algorithm::Direct | Algorithm::Narrow => {
                let conv = DirectConv::new(shape, weight);
                let (x, layout) = blocked(x, shape.channels_in, dims, n_images, conv.halo(dims));
                conv.forward(isa, &[Map::new(x.as_slice(), layout)], &mut output, &epilogue);
            }
        }
        planar_values(&Map::new(y.as_slice(), layout))
    }

    /// The gradient of the input, given that of the output.
    pub(crate) fn grad_input(&self, weight: &[f32], grad_output: &[f32]) -> Vec<f32> {
        let isa = InstructionSet::detect();
        let grad = GradInput::new(self.shape, self.dims, weight);
        let (dy, from) =
            blocked(grad_output, self.shape.channels_out, self.dims_out(), self.n_images, grad.halo());
        let to = Layout::new(self.shape.channels_in, self.dims);
        let mut dx = Buffer::zeroed(self.n_images * to.image());
        let mut scratch = Buffer::unspecified(grad.scratch_len(isa, self.n_images));
        let dy = Map::new(dy.as_slice(), from);
        grad.compute(isa, &dy, &mut MapMut::new(dx.as_mut_slice(), to), scratch.as_mut_slice());
        planar_values(&Map::new(dx.as_slice(), to))
    }

    /// The gradient of the weights, given that of the output.
    pub(crate) fn grad_weight(&self, x: &[f32], grad_output: &[f32]) -> Vec<f32> {
        let [halo, halo_out] = grad_weight_halos(&self.shape, self.dims);
        let (x, from) = blocked(x, self.shape.channels_in, self.dims, self.n_images, halo);
        let (dy, of) =
            blocked(grad_output, self.shape.channels_out, self.dims_out(), self.n_images, halo_out);
        let (x, dy) = (Map::new(x.as_slice(), from), Map::new(dy.as_slice(), of));
        grad_weight(InstructionSet::detect(), &self.shape, &x, &dy)
    }
}

/// A planar array in the blocked layout with a halo.
fn blocked(
    values: &[f32],
    channels: usize,
    dims: [usize; 3],
    n_images: usize,
    (low, high): ([usize; 3], [usize; 3]),
) -> (Buffer, Layout) {
    let layout = Layout::new(channels, dims).with_halo(low, high);
    let mut buffer = Buffer::zeroed(n_images * layout.image());
    to_blocked(values, &mut MapMut::new(buffer.as_mut_slice(), layout));
    (buffer, layout)
}

fn planar_values(map: &Map<'_>) -> Vec<f32> {
    let layout = map.layout();
    let mut values = vec![0.0; map.n_images() * layout.channels * layout.n_voxels()];
    from_blocked(map, &mut values);
    values
}
