//! A network with every kind of layer against the same layers in double precision.

use brainreel_engine::{
    Activation, Algorithm, Conv, ConvShape, EngineError, InstructionSet, Network, Node, Norm, NormMode,
    Options, Policy, Program, WeightFormat,
};
use brainreel_kernels::conv_reference;

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

/// A map in double precision beside the node that should compute it.
#[derive(Clone)]
struct Reference {
    values: Vec<f64>,
    dims: [usize; 3],
    channels: usize,
}

const N_IMAGES: usize = 2;

/// Builds a network and, layer by layer, what it should compute.
struct Builder {
    network: Network,
    mode: NormMode,
    seed: u64,
    /// Mean and variance in front of each normalisation.
    moments: Vec<Vec<(f64, f64)>>,
}

type Layer = (Node, Reference);

impl Builder {
    fn conv(
        &mut self,
        input: &Layer,
        shape: ConvShape,
        residual: Option<&Layer>,
        activation: Activation,
    ) -> Layer {
        self.seed += 10;
        let k = shape.channels_out;
        let positive = |x: Vec<f32>| x.into_iter().map(|x| x.abs() + 0.5).collect();
        let scale = 1.0 / (shape.n_weights() as f32 / k as f32).sqrt();
        let conv = Conv {
            shape,
            weights: random(shape.n_weights(), self.seed).into_iter().map(|w| w * scale).collect(),
            bias: vec![],
            norm: Some(Norm {
                gamma: random(k, self.seed + 1),
                beta: random(k, self.seed + 2),
                mean: random(k, self.seed + 3),
                variance: positive(random(k, self.seed + 4)),
                epsilon: 1e-5,
            }),
            residual: residual.map(|(node, _)| *node),
            activation,
        };
        let reference = self.reference(&input.1, &conv, residual);
        (self.network.conv(input.0, conv).expect("the shapes fit"), reference)
    }

    fn reference(&mut self, input: &Reference, conv: &Conv, residual: Option<&Layer>) -> Reference {
        let single: Vec<f32> = input.values.iter().map(|&x| x as f32).collect();
        let mut values = conv_reference(&conv.shape, &single, input.dims, &conv.weights);
        let (dims, channels) = (conv.shape.output_dims(input.dims), conv.shape.channels_out);
        let n_voxels: usize = dims.iter().product();
        let channel = |i: usize| i / n_voxels % channels;
        let norm = conv.norm.as_ref().expect("every layer of the tests has one");
        let moments: Vec<(f64, f64)> = (0..channels)
            .map(|c| match self.mode {
                NormMode::Running => (f64::from(norm.mean[c]), f64::from(norm.variance[c])),
                NormMode::Batch => {
                    let of: Vec<f64> = values
                        .iter()
                        .enumerate()
                        .filter(|(i, _)| channel(*i) == c)
                        .map(|(_, x)| *x)
                        .collect();
                    let mean = of.iter().sum::<f64>() / of.len() as f64;
                    (mean, of.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / of.len() as f64)
                }
            })
            .collect();
        for (i, x) in values.iter_mut().enumerate() {
            let c = channel(i);
            let (mean, variance) = moments[c];
            *x = (*x - mean) / (variance + 1e-5).sqrt() * f64::from(norm.gamma[c]) + f64::from(norm.beta[c]);
            *x += residual.map_or(0.0, |(_, residual)| residual.values[i]);
            *x = f64::from(conv.activation.apply(*x as f32));
        }
        self.moments.push(moments);
        Reference { values, dims, channels }
    }

    fn max_pool(&mut self, (node, map): &Layer) -> Layer {
        let dims = map.dims.map(|n| n / 2);
        let values = at_every_voxel(map.channels, dims, |plane, [d, h, w]| {
            let window = (0..8).map(|j| [2 * d + j / 4, 2 * h + j / 2 % 2, 2 * w + j % 2]);
            window.map(|voxel| map.at(plane, voxel)).fold(f64::NEG_INFINITY, f64::max)
        });
        (self.network.max_pool(*node, [2; 3]), Reference { values, dims, channels: map.channels })
    }

    fn upsample(&mut self, (node, map): &Layer) -> Layer {
        let dims = map.dims.map(|n| 2 * n);
        let values = at_every_voxel(map.channels, dims, |plane, voxel| map.at(plane, voxel.map(|n| n / 2)));
        (self.network.upsample(*node), Reference { values, dims, channels: map.channels })
    }

    fn concat(&mut self, a: &Layer, b: &Layer) -> Layer {
        let channels = a.1.channels + b.1.channels;
        let values = at_every_voxel(channels, a.1.dims, |plane, voxel| {
            let (image, channel) = (plane / channels, plane % channels);
            match channel.checked_sub(a.1.channels) {
                None => a.1.at(image * a.1.channels + channel, voxel),
                Some(channel) => b.1.at(image * b.1.channels + channel, voxel),
            }
        });
        (
            self.network.concat(&[a.0, b.0]).expect("channels are multiples of sixteen"),
            Reference { values, dims: a.1.dims, channels },
        )
    }
}

impl Reference {
    fn at(&self, plane: usize, [d, h, w]: [usize; 3]) -> f64 {
        self.values[((plane * self.dims[0] + d) * self.dims[1] + h) * self.dims[2] + w]
    }
}

fn at_every_voxel(channels: usize, dims: [usize; 3], value: impl Fn(usize, [usize; 3]) -> f64) -> Vec<f64> {
    let n: usize = dims.iter().product();
    (0..N_IMAGES * channels * n)
        .map(|i| value(i / n, [i / (dims[1] * dims[2]) % dims[0], i / dims[2] % dims[1], i % dims[2]]))
        .collect()
}

/// A stem, a residual block with a strided shortcut, and a U-Net with a skip connection behind it.
fn build(channels: usize, dims: [usize; 3], mode: NormMode) -> (Builder, Vec<f32>, Layer, Layer) {
    let n: usize = dims.iter().product();
    let input = random(N_IMAGES * channels * n, 1);
    let mut builder = Builder { network: Network::new(channels), mode, seed: 100, moments: Vec::new() };
    let values = input.iter().map(|&x| f64::from(x)).collect();
    let x = (builder.network.input(), Reference { values, dims, channels });
    let stem = ConvShape { stride: [1, 2, 2], ..ConvShape::same(channels, 32, [3, 7, 7]) };
    let stem = builder.conv(&x, stem, None, Activation::Relu);
    let down = ConvShape { stride: [2; 3], ..ConvShape::same(32, 48, [3; 3]) };
    let a = builder.conv(&stem, down, None, Activation::Relu);
    let short = ConvShape { stride: [2; 3], ..ConvShape::same(32, 48, [1; 3]) };
    let short = builder.conv(&stem, short, None, Activation::None);
    let block = builder.conv(&a, ConvShape::same(48, 48, [3; 3]), Some(&short), Activation::Relu);
    let pooled = builder.max_pool(&block);
    let leaky = Activation::LeakyRelu(0.2);
    let deep = builder.conv(&pooled, ConvShape::same(48, 32, [3; 3]), None, leaky);
    let up = builder.upsample(&deep);
    let both = builder.concat(&up, &block);
    let flat = builder.conv(&both, ConvShape::same(80, 20, [1, 3, 3]), None, leaky);
    let last = builder.conv(&flat, ConvShape::same(20, 16, [3, 1, 1]), None, Activation::None);
    (builder, input, last, block)
}

fn error(got: &[f32], expected: &[f64]) -> f64 {
    let rms = (expected.iter().map(|x| x * x).sum::<f64>() / expected.len() as f64).sqrt();
    assert_eq!(got.len(), expected.len());
    got.iter().zip(expected).map(|(&a, b)| (f64::from(a) - b).abs()).fold(0.0, f64::max) / rms
}

#[test]
fn every_layer_mode_policy_and_instruction_set() {
    for (channels, dims) in [(1, [8, 16, 24]), (20, [12, 16, 16])] {
        for norm in [NormMode::Running, NormMode::Batch] {
            let (builder, input, last, block) = build(channels, dims, norm);
            for (policy, tolerance) in [(Policy::Accurate, 3e-5), (Policy::Fast, 1e-4)] {
                for isa in InstructionSet::available() {
                    let options = Options { policy, norm, isa, ..Options::default() };
                    for layer in [&last, &block] {
                        let mut program =
                            Program::new(&builder.network, layer.0, dims, N_IMAGES, &options).unwrap();
                        // Twice, so that what one run leaves in the arena meets the next.
                        let first = program.run(&input).unwrap();
                        let second = program.run(&input).unwrap();
                        let error = error(&first, &layer.1.values);
                        assert!(error < tolerance, "{norm:?} {policy:?} {isa}: error {error:.2e}");
                        assert!(first == second, "{norm:?} {policy:?} {isa}: two runs differ");
                        for (got, expected) in program.moments().iter().zip(&builder.moments) {
                            for (got, expected) in got.channels.iter().zip(expected) {
                                assert!((got.0 - expected.0).abs() < 1e-4, "{got:?}, expected {expected:?}");
                                assert!((got.1 - expected.1).abs() < 1e-3, "{got:?}, expected {expected:?}");
                            }
                        }
                        assert_eq!(program.moments().is_empty(), norm == NormMode::Running);
                    }
                }
            }
        }
    }
}

#[test]
fn weights_in_bf16() {
    let dims = [12, 16, 16];
    let (builder, input, last, _) = build(20, dims, NormMode::Running);
    for isa in InstructionSet::available() {
        let options = Options { weights: WeightFormat::Bf16, isa, ..Options::default() };
        let mut program = Program::new(&builder.network, last.0, dims, N_IMAGES, &options).unwrap();
        let error = error(&program.run(&input).unwrap(), &last.1.values);
        assert!((1e-4..0.1).contains(&error), "{isa}: error {error:.2e}, expected that of eight bits");
    }
}

#[test]
fn threads_do_not_matter() {
    let dims = [16, 32, 24];
    let (builder, input, last, _) = build(1, dims, NormMode::Batch);
    let with_threads = |n: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        pool.install(|| {
            let options = Options { norm: NormMode::Batch, ..Options::default() };
            let mut program = Program::new(&builder.network, last.0, dims, N_IMAGES, &options).unwrap();
            (program.run(&input).unwrap(), program.moments().to_vec())
        })
    };
    let one = with_threads(1);
    assert!(one == with_threads(2), "1 and 2 threads differ");
    assert!(one == with_threads(5), "1 and 5 threads differ");
}

/// Maps of a network like SynthStrip's, with a first convolution of the planar input and a planar output.
fn build_unet(dims: [usize; 3]) -> (Network, Node, Vec<f32>) {
    let mut network = Network::new(1);
    let mut seed = 0;
    let mut conv = |network: &mut Network, input: Node, channels_out: usize| {
        seed += 1;
        let shape = ConvShape::same(network.channels(input), channels_out, [3; 3]);
        let scale = 1.0 / (27.0 * shape.channels_in as f32).sqrt();
        let weights = random(shape.n_weights(), seed).into_iter().map(|w| w * scale).collect();
        let bias = random(channels_out, seed + 100);
        let activation = if channels_out == 1 { Activation::None } else { Activation::LeakyRelu(0.2) };
        network
            .conv(input, Conv { shape, weights, bias, norm: None, residual: None, activation })
            .expect("the shapes fit")
    };
    let input = network.input();
    let fine = conv(&mut network, input, 16);
    let fine = conv(&mut network, fine, 16);
    let pooled = network.max_pool(fine, [2; 3]);
    let middle = conv(&mut network, pooled, 32);
    let pooled = network.max_pool(middle, [2; 3]);
    let deep = conv(&mut network, pooled, 32);
    let up = network.upsample(deep);
    let both = network.concat(&[up, middle]).expect("whole blocks");
    let back = conv(&mut network, both, 32);
    let up = network.upsample(back);
    let both = network.concat(&[up, fine]).expect("whole blocks");
    let last = conv(&mut network, both, 16);
    let last = conv(&mut network, last, 1);
    (network, last, random(dims.iter().product(), 7))
}

/// The same outputs with less and less memory, down to what no slab is thin enough for: how many times less.
fn shrink(network: &Network, output: Node, dims: [usize; 3], n_images: usize, input: &[f32]) -> f64 {
    let mut options = Options::default();
    let mut program = Program::new(network, output, dims, n_images, &options).expect("no limit");
    let whole = program.run(input).expect("the input's length");
    let expected: Vec<f64> = whole.iter().map(|&x| f64::from(x)).collect();
    let most = program.memory_bytes();
    let mut least = most;
    loop {
        options.max_memory_bytes = Some(least - 1);
        let mut program = match Program::new(network, output, dims, n_images, &options) {
            Ok(program) => program,
            Err(EngineError::Memory { need_bytes, limit_bytes }) => {
                assert_eq!((need_bytes, limit_bytes), (least, least - 1));
                return most as f64 / least as f64;
            }
            Err(other) => panic!("{other}"),
        };
        assert!(program.memory_bytes() < least);
        least = program.memory_bytes();
        for _ in 0..2 {
            let error = error(&program.run(input).expect("the input's length"), &expected);
            assert!(error < 1e-4, "{least} of {most} bytes: error {error:.2e}");
        }
    }
}

#[test]
fn slabs_give_what_whole_maps_give() {
    // Scratch memory depends on the threads and the instruction set, maps do not.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        for dims in [[96, 32, 40], [44, 20, 12]] {
            let (network, last, input) = build_unet(dims);
            let times = shrink(&network, last, dims, 1, &input);
            assert!(times > 1.2, "{dims:?}: {times} times less memory");
        }
        // Strides, residuals, an upsampling in front of a direct convolution, several images.
        for dims in [[64, 16, 24], [40, 16, 16]] {
            let (builder, input, last, block) = build(1, dims, NormMode::Running);
            for layer in [last, block] {
                let times = shrink(&builder.network, layer.0, dims, N_IMAGES, &input);
                assert!(times > 1.2, "{dims:?}: {times} times less memory");
            }
        }
    });
}

#[test]
fn narrow_output_and_averages() {
    let dims = [6, 10, 9];
    let n: usize = dims.iter().product();
    let mut network = Network::new(16);
    let shape = ConvShape::same(16, 2, [3; 3]);
    let weights = random(shape.n_weights(), 3);
    let conv = Conv {
        shape,
        weights: weights.clone().into(),
        bias: vec![0.5, -0.25],
        norm: None,
        residual: None,
        activation: Activation::None,
    };
    let last = network.conv(network.input(), conv).unwrap();
    let input = random(N_IMAGES * 16 * n, 4);
    let mut expected = conv_reference(&shape, &input, dims, &weights);
    expected.iter_mut().enumerate().for_each(|(i, x)| *x += [0.5, -0.25][i / n % 2]);
    let mut program = Program::new(&network, last, dims, N_IMAGES, &Options::default()).unwrap();
    assert_eq!(program.algorithms(), [Algorithm::Narrow]);
    let got = program.run(&input).unwrap();
    assert!(error(&got, &expected) < 1e-5);
    for (got, expected) in program.averaged().iter().zip(expected.chunks_exact(n)) {
        assert!((f64::from(*got) - expected.iter().sum::<f64>() / n as f64).abs() < 1e-5);
    }
}

#[test]
fn refusals() {
    let (builder, input, last, _) = build(1, [8, 16, 24], NormMode::Running);
    let options = Options::default();
    let compile = |dims, options: &Options| Program::new(&builder.network, last.0, dims, N_IMAGES, options);
    assert!(matches!(compile([1, 1, 1], &options), Err(EngineError::TooSmall { .. })));
    // An odd size of the map that is pooled: it comes back one voxel smaller than its skip.
    assert!(matches!(compile([8, 20, 24], &options), Err(EngineError::Size { .. })));
    let small = Options { max_memory_bytes: Some(1000), ..options };
    assert!(matches!(compile([8, 16, 24], &small), Err(EngineError::Memory { limit_bytes: 1000, .. })));
    let mut program = compile([8, 16, 24], &options).unwrap();
    assert!(matches!(program.run(&input[1..]), Err(EngineError::Input { .. })));
    let mut seen = Vec::new();
    let stopped = program.execute(&input, |progress| {
        seen.push(progress.layer);
        progress.layer < 2
    });
    assert!(matches!(stopped, Err(EngineError::Cancelled { layer: 2, .. })), "{stopped:?}");
    assert_eq!(seen, [0, 1, 2]);
    assert!(program.run(&input).is_ok(), "a stopped program runs again");
    let mut network = Network::new(3);
    let plain = |shape: ConvShape| Conv {
        shape,
        weights: vec![0.0; shape.n_weights()].into(),
        bias: vec![],
        norm: None,
        residual: None,
        activation: Activation::None,
    };
    let refused = network.conv(network.input(), plain(ConvShape::same(4, 8, [3; 3])));
    assert!(matches!(refused, Err(EngineError::Build { got: 3, expected: 4, .. })), "{refused:?}");
    assert!(matches!(network.concat(&[]), Err(EngineError::Build { got: 0, expected: 1, .. })));
    let shape = ConvShape { stride: [1, 0, 1], ..ConvShape::same(3, 8, [3; 3]) };
    let refused = network.conv(network.input(), plain(shape));
    assert!(matches!(refused, Err(EngineError::Build { got: 1, expected: 0, .. })), "{refused:?}");
}
