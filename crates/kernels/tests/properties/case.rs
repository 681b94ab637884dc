//! A convolution with its operands, and every way to compute it.

use brainreel_kernels::{
    Activation, ConvShape, DirectConv, Epilogue, GradInput, Input, InstructionSet, Layout, Map, MapMut,
    NarrowConv, PlanarConv, TileSize, WinogradConv, from_blocked, grad_weight, grad_weight_halos, to_blocked,
};

use crate::plain;
use crate::support::{Guarded, assert_near, random, rms};

/// Halo of a map: low, high.
pub(crate) type Halo = ([usize; 3], [usize; 3]);

/// A case: the convolution, its input and what comes after it.
pub(crate) struct Case {
    pub(crate) shape: ConvShape,
    pub(crate) n_images: usize,
    pub(crate) dims: [usize; 3],
    pub(crate) input: Vec<f32>,
    pub(crate) weights: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    pub(crate) residual: Vec<f32>,
    pub(crate) activation: Activation,
    pub(crate) grad_output: Vec<f32>,
}

/// Planar images in the blocked layout with a halo, in guarded memory that held NaN before.
pub(crate) fn blocked(values: &[f32], layout: Layout) -> Guarded {
    let n_images = values.len() / (layout.channels * layout.n_voxels());
    let mut memory = Guarded::poisoned(n_images * layout.image());
    to_blocked(values, &mut MapMut::new(memory.get_mut(), layout));
    memory
}

/// The planar images of blocked ones.
pub(crate) fn planar(map: &Map<'_>) -> Vec<f32> {
    let layout = map.layout();
    let mut planar = Guarded::poisoned(map.n_images() * layout.channels * layout.n_voxels());
    from_blocked(map, planar.get_mut());
    planar.assert_intact("from_blocked");
    planar.get().to_vec()
}

impl Case {
    pub(crate) fn new(shape: ConvShape, n_images: usize, dims: [usize; 3], activation: Activation) -> Self {
        let out = shape.output_dims(dims);
        assert_eq!(out, plain::output_dims(&shape, dims), "size of the output of {shape:?} for {dims:?}");
        let n_out = n_images * shape.channels_out * out.iter().product::<usize>();
        Self {
            shape,
            n_images,
            dims,
            input: random(n_images * shape.channels_in * dims.iter().product::<usize>(), 1),
            weights: random(shape.n_weights(), 2),
            bias: random(shape.channels_out, 3),
            residual: random(n_out, 4),
            activation,
            grad_output: random(n_out, 5),
        }
    }

    pub(crate) fn out(&self) -> [usize; 3] {
        self.shape.output_dims(self.dims)
    }

    /// The plain convolution without bias, residual and activation.
    pub(crate) fn sums(&self) -> Vec<f64> {
        plain::conv(&self.shape, self.n_images, (&self.input, self.dims), &self.weights)
    }

    /// `sums` with bias, residual and activation.
    fn finished(&self, mut sums: Vec<f64>) -> Vec<f64> {
        let n_out: usize = self.out().iter().product();
        for (i, x) in sums.iter_mut().enumerate() {
            *x += f64::from(self.bias[i / n_out % self.shape.channels_out]) + f64::from(self.residual[i]);
            if *x < 0.0 {
                *x *= match self.activation {
                    Activation::None => 1.0,
                    Activation::Relu => 0.0,
                    Activation::LeakyRelu(slope) => f64::from(slope),
                };
            }
        }
        sums
    }

    /// Runs `forward` on a poisoned output with an uneven halo and gives the planar result back.
    pub(crate) fn run(&self, forward: impl FnOnce(&mut MapMut<'_>, &Epilogue<'_>)) -> Vec<f32> {
        let layout = Layout::new(self.shape.channels_out, self.out()).with_halo([1, 0, 2], [0, 1, 3]);
        let residual = blocked(&self.residual, layout);
        let mut output = Guarded::poisoned(self.n_images * layout.image());
        let epilogue = Epilogue {
            bias: &self.bias,
            residual: Some(Map::new(residual.get(), layout)),
            activation: self.activation,
        };
        forward(&mut MapMut::new(output.get_mut(), layout), &epilogue);
        output.assert_intact("a convolution");
        planar(&Map::new(output.get(), layout))
    }

    /// The input in the blocked layout with the halo asked for.
    pub(crate) fn blocked_input(&self, (low, high): Halo) -> (Guarded, Layout) {
        let layout = Layout::new(self.shape.channels_in, self.dims).with_halo(low, high);
        (blocked(&self.input, layout), layout)
    }

    pub(crate) fn direct(&self, isa: InstructionSet) -> Vec<f32> {
        let conv = DirectConv::new(self.shape, &self.weights);
        let (input, layout) = self.blocked_input(conv.halo(self.dims));
        self.run(|output, epilogue| conv.forward(isa, &[Map::new(input.get(), layout)], output, epilogue))
    }

    pub(crate) fn planar_conv(&self, isa: InstructionSet) -> Vec<f32> {
        let conv = PlanarConv::new(self.shape, &self.weights);
        let input = Guarded::new(&self.input);
        let mut scratch = Guarded::poisoned(conv.scratch_len(self.dims));
        let y = self.run(|output, epilogue| {
            conv.forward(isa, (input.get(), self.dims), output, epilogue, scratch.get_mut());
        });
        scratch.assert_intact("the planar convolution");
        y
    }

    pub(crate) fn winograd(&self, isa: InstructionSet, size: TileSize) -> Vec<f32> {
        self.winograd_with(isa, &WinogradConv::new(self.shape, size, &self.weights))
    }

    pub(crate) fn winograd_with(&self, isa: InstructionSet, conv: &WinogradConv) -> Vec<f32> {
        let (input, layout) = self.blocked_input(conv.halo(self.dims));
        let mut scratch = Guarded::poisoned(conv.scratch_len(isa, self.dims, self.n_images));
        let y = self.run(|output, epilogue| {
            let input = Input { map: Map::new(input.get(), layout), upsampled: false };
            conv.forward(isa, &[input], output, epilogue, scratch.get_mut());
        });
        scratch.assert_intact("Winograd's convolution");
        y
    }

    /// Without residual and activation, as the narrow convolution has none.
    pub(crate) fn narrow(&self, isa: InstructionSet) -> Vec<f32> {
        let conv = NarrowConv::new(self.shape, &self.weights);
        let (input, layout) = self.blocked_input(conv.halo(self.dims));
        let mut y = Guarded::poisoned(self.residual.len());
        conv.forward(isa, &Map::new(input.get(), layout), y.get_mut(), &self.bias);
        y.assert_intact("the narrow convolution");
        y.get().to_vec()
    }

    pub(crate) fn grad_input(&self, isa: InstructionSet) -> Vec<f32> {
        let grad = GradInput::new(self.shape, self.dims, &self.weights);
        let (low, high) = grad.halo();
        let from = Layout::new(self.shape.channels_out, self.out()).with_halo(low, high);
        let to = Layout::new(self.shape.channels_in, self.dims).with_halo([1; 3], [2; 3]);
        let grad_output = blocked(&self.grad_output, from);
        let mut grad_input = Guarded::poisoned(self.n_images * to.image());
        let mut scratch = Guarded::poisoned(grad.scratch_len(isa, self.n_images));
        grad.compute(
            isa,
            &Map::new(grad_output.get(), from),
            &mut MapMut::new(grad_input.get_mut(), to),
            scratch.get_mut(),
        );
        grad_input.assert_intact("the gradient of the input");
        scratch.assert_intact("the gradient of the input (scratch memory)");
        planar(&Map::new(grad_input.get(), to))
    }

    pub(crate) fn grad_weight(&self, isa: InstructionSet) -> Vec<f32> {
        let [(low, high), of_output] = grad_weight_halos(&self.shape, self.dims);
        let x = Layout::new(self.shape.channels_in, self.dims).with_halo(low, high);
        let y = Layout::new(self.shape.channels_out, self.out()).with_halo(of_output.0, of_output.1);
        let (input, grad_output) = (blocked(&self.input, x), blocked(&self.grad_output, y));
        grad_weight(isa, &self.shape, &Map::new(input.get(), x), &Map::new(grad_output.get(), y))
    }

    pub(crate) fn name(&self, what: &str) -> String {
        format!("{what}, {:?}, {} images of {:?}", self.shape, self.n_images, self.dims)
    }

    /// Every forward convolution that can do the case, on every instruction set. Tolerances are in units of the
    /// plain convolution's root mean square.
    pub(crate) fn check_forward(&self) {
        let sums = self.sums();
        let scale = rms(&sums).max(1.0);
        let expected = self.finished(sums);
        let scale = scale / rms(&expected).max(f64::from(f32::MIN_POSITIVE));
        for isa in InstructionSet::available() {
            let check = |what: &str, got: &[f32], tolerance: f64| {
                assert_near(&self.name(&format!("{what} on {isa}")), got, &expected, tolerance * scale);
            };
            check("direct", &self.direct(isa), 2e-5);
            if self.shape.channels_in <= 4 {
                check("planar", &self.planar_conv(isa), 2e-5);
            }
            if brainreel_kernels::suits_winograd(&self.shape) {
                for (size, tolerance) in
                    [(TileSize::Two, 2e-5), (TileSize::TwoFour, 5e-5), (TileSize::Four, 1e-4)]
                {
                    check(&format!("{size:?}"), &self.winograd(isa, size), tolerance);
                }
            }
        }
    }

    /// Both gradients on every instruction set.
    pub(crate) fn check_gradients(&self) {
        let grad_output = &self.grad_output;
        let of_input = plain::grad_input(&self.shape, self.n_images, (grad_output, self.dims), &self.weights);
        let of_weights =
            plain::grad_weight(&self.shape, self.n_images, (&self.input, self.dims), grad_output);
        for isa in InstructionSet::available() {
            let check = |what: &str, got: &[f32], expected: &[f64]| {
                let scale = rms(expected).max(1.0) / rms(expected).max(f64::from(f32::MIN_POSITIVE));
                assert_near(&self.name(&format!("{what} on {isa}")), got, expected, 2e-5 * scale);
            };
            check("gradient of the input", &self.grad_input(isa), &of_input);
            check("gradient of the weights", &self.grad_weight(isa), &of_weights);
        }
    }

    pub(crate) fn check_all(&self) {
        self.check_forward();
        self.check_gradients();
    }
}
