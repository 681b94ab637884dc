//! Every fast convolution against the scalar reference, on every instruction set of the machine.

use brainreel_kernels::{
    Activation, Buffer, ConvShape, DirectConv, Epilogue, GradInput, Input, InstructionSet, Layout, Map,
    MapMut, PlanarConv, TileSize, WinogradConv, average, conv_reference, from_blocked, grad_input_reference,
    grad_weight, grad_weight_halos, grad_weight_reference, max_pool, suits_winograd, to_blocked, upsample,
};
use proptest::prelude::*;

/// Seeded numbers in -1..1.
fn random(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// A case: the convolution, its input and what comes after it.
struct Case {
    shape: ConvShape,
    n_images: usize,
    dims: [usize; 3],
    input: Vec<f32>,
    weights: Vec<f32>,
    bias: Vec<f32>,
    residual: Vec<f32>,
    activation: Activation,
    expected: Vec<f64>,
    /// Root mean square of the plain convolution.
    scale: f64,
}

impl Case {
    fn new(shape: ConvShape, n_images: usize, dims: [usize; 3], activation: Activation) -> Self {
        let n_voxels: usize = dims.iter().product();
        let out = shape.output_dims(dims);
        let n_out: usize = out.iter().product();
        let input = random(n_images * shape.channels_in * n_voxels, 1);
        let weights = random(shape.n_weights(), 2);
        let bias = random(shape.channels_out, 3);
        let residual = random(n_images * shape.channels_out * n_out, 4);
        let mut expected = conv_reference(&shape, &input, dims, &weights);
        let scale = (expected.iter().map(|x| x * x).sum::<f64>() / expected.len() as f64).sqrt();
        for (i, x) in expected.iter_mut().enumerate() {
            *x += f64::from(bias[i / n_out % shape.channels_out]) + f64::from(residual[i]);
            if *x < 0.0 {
                *x *= match activation {
                    Activation::None => 1.0,
                    Activation::Relu => 0.0,
                    Activation::LeakyRelu(slope) => f64::from(slope),
                };
            }
        }
        Self { shape, n_images, dims, input, weights, bias, residual, activation, expected, scale }
    }

    fn out(&self) -> [usize; 3] {
        self.shape.output_dims(self.dims)
    }

    /// Runs `forward` on a poisoned output and gives it back planar.
    fn run(&self, forward: impl FnOnce(&mut MapMut<'_>, &Epilogue<'_>)) -> Vec<f32> {
        let layout = Layout::new(self.shape.channels_out, self.out()).with_halo([1, 0, 2], [0, 1, 3]);
        let mut residual = Buffer::zeroed(self.n_images * layout.image());
        to_blocked(&self.residual, &mut MapMut::new(residual.as_mut_slice(), layout));
        let mut output = Buffer::zeroed(self.n_images * layout.image());
        output.as_mut_slice().fill(f32::NAN);
        let epilogue = Epilogue {
            bias: &self.bias,
            residual: Some(Map::new(residual.as_slice(), layout)),
            activation: self.activation,
        };
        forward(&mut MapMut::new(output.as_mut_slice(), layout), &epilogue);
        self.planar(&output, layout)
    }

    fn planar(&self, output: &Buffer, layout: Layout) -> Vec<f32> {
        let mut planar = vec![0.0; self.expected.len()];
        from_blocked(&Map::new(output.as_slice(), layout), &mut planar);
        planar
    }

    /// The input in the blocked layout with the halo asked for.
    fn blocked(&self, (low, high): ([usize; 3], [usize; 3])) -> (Buffer, Layout) {
        let layout = Layout::new(self.shape.channels_in, self.dims).with_halo(low, high);
        let mut buffer = Buffer::zeroed(self.n_images * layout.image());
        buffer.as_mut_slice().fill(f32::NAN);
        to_blocked(&self.input, &mut MapMut::new(buffer.as_mut_slice(), layout));
        (buffer, layout)
    }

    fn direct(&self, isa: InstructionSet) -> Vec<f32> {
        let conv = DirectConv::new(self.shape, &self.weights);
        let (input, layout) = self.blocked(conv.halo(self.dims));
        self.run(|output, epilogue| {
            conv.forward(isa, &[Map::new(input.as_slice(), layout)], output, epilogue)
        })
    }

    fn planar_conv(&self, isa: InstructionSet) -> Vec<f32> {
        let conv = PlanarConv::new(self.shape, &self.weights);
        let mut scratch = vec![f32::NAN; conv.scratch_len(self.dims)];
        self.run(|output, epilogue| {
            conv.forward(isa, (&self.input, self.dims), output, epilogue, &mut scratch);
        })
    }

    fn winograd(&self, isa: InstructionSet, size: TileSize) -> Vec<f32> {
        let conv = WinogradConv::new(self.shape, size, &self.weights);
        let (input, layout) = self.blocked(conv.halo(self.dims));
        let mut scratch = vec![f32::NAN; conv.scratch_len(isa, self.dims, self.n_images)];
        self.run(|output, epilogue| {
            let input = Input { map: Map::new(input.as_slice(), layout), upsampled: false };
            conv.forward(isa, &[input], output, epilogue, &mut scratch);
        })
    }

    /// `tolerance` in units of the convolution's root mean square.
    fn check(&self, what: &str, got: &[f32], tolerance: f64) {
        let (worst, error) = got
            .iter()
            .zip(&self.expected)
            .map(|(&got, expected)| (f64::from(got) - expected).abs())
            .enumerate()
            .map(|(i, error)| (i, if error.is_nan() { f64::INFINITY } else { error }))
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .expect("there are outputs");
        assert!(
            error <= tolerance * self.scale.max(1.0),
            "{what}, {:?}, {} of {:?}: output {worst} is {}, expected {} (error {error:.2e})",
            self.shape,
            self.n_images,
            self.dims,
            got[worst],
            self.expected[worst]
        );
    }

    /// Both gradients, for an output gradient of random numbers.
    fn check_gradients(&self) {
        let n_out = self.expected.len();
        let grad_output = random(n_out, 5);
        let input_expected = grad_input_reference(&self.shape, &grad_output, self.dims, &self.weights);
        let weight_expected = grad_weight_reference(&self.shape, &self.input, self.dims, &grad_output);
        let grad = GradInput::new(self.shape, self.dims, &self.weights);
        let (low, high) = grad.halo();
        let [input_halo, output_halo] = grad_weight_halos(&self.shape, self.dims);
        let (input, input_layout) = self.blocked(input_halo);
        let both = |a: [usize; 3], b: [usize; 3]| std::array::from_fn(|axis| a[axis].max(b[axis]));
        let (low, high) = (both(low, output_halo.0), both(high, output_halo.1));
        let layout = Layout::new(self.shape.channels_out, self.out()).with_halo(low, high);
        let mut blocked = Buffer::zeroed(self.n_images * layout.image());
        to_blocked(&grad_output, &mut MapMut::new(blocked.as_mut_slice(), layout));
        let grad_output = Map::new(blocked.as_slice(), layout);
        for isa in InstructionSet::available() {
            let to = Layout::new(self.shape.channels_in, self.dims).with_halo([1; 3], [2; 3]);
            let mut grad_input = Buffer::zeroed(self.n_images * to.image());
            grad_input.as_mut_slice().fill(f32::NAN);
            let mut scratch = vec![f32::NAN; grad.scratch_len(isa, self.n_images)];
            grad.compute(isa, &grad_output, &mut MapMut::new(grad_input.as_mut_slice(), to), &mut scratch);
            let mut planar = vec![0.0; self.input.len()];
            from_blocked(&Map::new(grad_input.as_slice(), to), &mut planar);
            self.compare(&format!("gradient of the input, {isa}"), &planar, &input_expected, 2e-5);
            let got = grad_weight(isa, &self.shape, &Map::new(input.as_slice(), input_layout), &grad_output);
            self.compare(&format!("gradient of the weights, {isa}"), &got, &weight_expected, 2e-5);
        }
    }

    /// `tolerance` in units of the expected root mean square.
    fn compare(&self, what: &str, got: &[f32], expected: &[f64], tolerance: f64) {
        let scale = (expected.iter().map(|x| x * x).sum::<f64>() / expected.len() as f64).sqrt();
        for (i, (&got, expected)) in got.iter().zip(expected).enumerate() {
            let error = (f64::from(got) - expected).abs();
            assert!(
                error <= tolerance * scale.max(1.0),
                "{what}, {:?}, {} of {:?}: {i} is {got}, expected {expected}",
                self.shape,
                self.n_images,
                self.dims
            );
        }
    }

    fn check_all(&self) {
        for isa in InstructionSet::available() {
            self.check(&format!("direct {isa}"), &self.direct(isa), 2e-5);
            if self.shape.channels_in <= 4 {
                self.check(&format!("planar {isa}"), &self.planar_conv(isa), 2e-5);
            }
            if suits_winograd(&self.shape) {
                for (size, tolerance) in
                    [(TileSize::Two, 2e-5), (TileSize::TwoFour, 5e-5), (TileSize::Four, 1e-4)]
                {
                    self.check(&format!("{size:?} {isa}"), &self.winograd(isa, size), tolerance);
                }
            }
        }
        self.check_gradients();
    }
}

#[test]
fn odd_sizes_and_channels() {
    for dims in [[1, 1, 1], [3, 5, 7], [2, 4, 4], [5, 17, 19]] {
        for (channels_in, channels_out) in [(1, 16), (3, 5), (45, 64), (16, 1), (64, 33)] {
            for kernel in [[3, 3, 3], [1, 3, 3], [3, 1, 1], [1, 1, 1]] {
                Case::new(ConvShape::same(channels_in, channels_out, kernel), 2, dims, Activation::Relu)
                    .check_all();
            }
        }
    }
}

#[test]
fn wide_layers() {
    for (channels_in, channels_out, dims) in
        [(230, 64, [3, 5, 7]), (64, 230, [3, 4, 5]), (512, 512, [2, 3, 3])]
    {
        Case::new(ConvShape::same(channels_in, channels_out, [3, 3, 3]), 3, dims, Activation::LeakyRelu(0.2))
            .check_all();
    }
}

#[test]
fn long_rows() {
    for (channels_in, dims) in [(1, [2, 3, 65]), (16, [17, 5, 65]), (3, [3, 33, 34])] {
        Case::new(ConvShape::same(channels_in, 16, [3, 3, 3]), 1, dims, Activation::None).check_all();
    }
}

#[test]
fn strides_of_the_networks() {
    let strided = |channels_in, channels_out, kernel: [usize; 3], stride| ConvShape {
        stride,
        ..ConvShape::same(channels_in, channels_out, kernel)
    };
    for shape in [
        strided(1, 64, [3, 7, 7], [1, 2, 2]),
        strided(3, 45, [1, 7, 7], [1, 2, 2]),
        strided(1, 96, [3, 7, 7], [2, 4, 4]),
        strided(64, 128, [3, 3, 3], [2, 2, 2]),
        strided(64, 128, [1, 1, 1], [2, 2, 2]),
        strided(64, 230, [1, 3, 3], [1, 2, 2]),
        strided(230, 64, [3, 1, 1], [2, 1, 1]),
    ] {
        Case::new(shape, 2, [5, 9, 19], Activation::Relu).check_all();
    }
}

/// Concatenated inputs, one of them upsampled, against the convolution of the map they stand for.
#[test]
fn concatenated_and_upsampled() {
    let half = [2, 3, 5];
    let dims = half.map(|n| 2 * n);
    let shape = ConvShape::same(48, 20, [3, 3, 3]);
    let (n_half, n_whole): (usize, usize) = (half.iter().product(), dims.iter().product());
    let (small, skip) = (random(32 * n_half, 7), random(16 * n_whole, 8));
    let mut case = Case::new(shape, 1, dims, Activation::None);
    let mut whole = vec![0.0; 32 * n_whole];
    for (i, value) in whole.iter_mut().enumerate() {
        let (channel, d, h, w) =
            (i / n_whole, i / (dims[1] * dims[2]) % dims[0], i / dims[2] % dims[1], i % dims[2]);
        *value = small[channel * n_half + ((d / 2) * half[1] + h / 2) * half[2] + w / 2];
    }
    case.input = whole.iter().chain(&skip).copied().collect();
    let isa = InstructionSet::detect();
    for size in [TileSize::Two, TileSize::TwoFour, TileSize::Four] {
        let conv = WinogradConv::new(shape, size, &case.weights);
        let expected = case.winograd(isa, size);
        let (low, high) = conv.halo(dims);
        let halves = Layout::new(32, half).with_halo(low, high);
        let wholes = Layout::new(16, dims).with_halo(low, high);
        let (mut a, mut b) = (Buffer::zeroed(halves.image()), Buffer::zeroed(wholes.image()));
        to_blocked(&small, &mut MapMut::new(a.as_mut_slice(), halves));
        to_blocked(&skip, &mut MapMut::new(b.as_mut_slice(), wholes));
        let inputs = [
            Input { map: Map::new(a.as_slice(), halves), upsampled: true },
            Input { map: Map::new(b.as_slice(), wholes), upsampled: false },
        ];
        let mut scratch = vec![0.0; conv.scratch_len(isa, dims, 1)];
        let got = case.run(|output, epilogue| conv.forward(isa, &inputs, output, epilogue, &mut scratch));
        assert_eq!(got, expected, "{size:?}");
    }
}

/// The same bits for one and two threads, and for an image alone and in a batch.
#[test]
fn threads_and_batches_do_not_matter() {
    let isa = InstructionSet::detect();
    for channels in [32, 256] {
        let case = Case::new(ConvShape::same(channels, channels, [3, 3, 3]), 2, [5, 6, 9], Activation::Relu);
        let with_threads = |n| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
            pool.install(|| {
                let sizes = [TileSize::Two, TileSize::TwoFour, TileSize::Four];
                let winograd = sizes.into_iter().flat_map(|size| case.winograd(isa, size));
                winograd.chain(case.direct(isa)).map(f32::to_bits).collect::<Vec<_>>()
            })
        };
        let one = with_threads(1);
        assert!(one == with_threads(2), "1 and 2 threads differ for {channels} channels");
        assert!(one == with_threads(3), "1 and 3 threads differ for {channels} channels");
    }
}

#[test]
fn pooling() {
    let (channels, dims) = (20, [4, 6, 10]);
    let n_voxels: usize = dims.iter().product();
    let values = random(2 * channels * n_voxels, 9);
    let layout = Layout::new(channels, dims).with_halo([1; 3], [1; 3]);
    let mut buffer = Buffer::zeroed(2 * layout.image());
    to_blocked(&values, &mut MapMut::new(buffer.as_mut_slice(), layout));
    let map = Map::new(buffer.as_slice(), layout);
    let half = Layout::new(channels, [2, 3, 5]);
    let twice = Layout::new(channels, [4, 6, 10]);
    for isa in InstructionSet::available() {
        let mut pooled = Buffer::zeroed(2 * half.image());
        max_pool(isa, &map, [2; 3], &mut MapMut::new(pooled.as_mut_slice(), half));
        let mut repeated = Buffer::zeroed(2 * twice.image());
        let pooled = Map::new(pooled.as_slice(), half);
        upsample(&pooled, 2, &mut MapMut::new(repeated.as_mut_slice(), twice));
        let mut got = vec![0.0; values.len()];
        from_blocked(&Map::new(repeated.as_slice(), twice), &mut got);
        for (i, got) in got.iter().enumerate() {
            let (channel, d, h, w) = (i / n_voxels, i / 60 % 4, i / 10 % 6, i % 10);
            let window = (0..8).map(|j| {
                let at = [d / 2 * 2 + j / 4, h / 2 * 2 + j / 2 % 2, w / 2 * 2 + j % 2];
                values[channel * n_voxels + (at[0] * 6 + at[1]) * 10 + at[2]]
            });
            let expected = window.fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(got.to_bits(), expected.to_bits(), "{isa}: voxel {i}");
        }
    }
    for (got, values) in average(&map).iter().zip(values.chunks_exact(n_voxels)) {
        let expected = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n_voxels as f64;
        assert!((f64::from(*got) - expected).abs() < 1e-7, "{got}, expected {expected}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_convolution(
        channels_in in 1_usize..40,
        channels_out in 1_usize..40,
        n_images in 1_usize..3,
        dims in prop::array::uniform3(1_usize..12),
        kernel in prop::array::uniform3(1_usize..5),
        stride in prop::array::uniform3(1_usize..4),
        padding in prop::array::uniform3(0_usize..3),
        slope in 0.0_f32..0.5,
    ) {
        let shape = ConvShape { channels_in, channels_out, kernel, stride, padding };
        prop_assume!((0..3).all(|axis| dims[axis] + 2 * padding[axis] >= kernel[axis]));
        Case::new(shape, n_images, dims, Activation::LeakyRelu(slope)).check_all();
    }
}
