//! Times of the convolutions of R3D-18 and SynthStrip: `cargo run --release -p brainreel-kernels --example
//! conv_times [filter]`.
#![expect(clippy::print_stdout, reason = "a program of its own")]

use std::time::Instant;

use brainreel_kernels::{
    Activation, Buffer, ConvShape, DirectConv, Epilogue, Input, InstructionSet, Layout, Map, MapMut,
    PlanarConv, TileSize, WinogradConv,
};

fn median(mut run: impl FnMut()) -> f64 {
    run();
    let mut times: Vec<f64> = (0..7)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[3]
}

fn fill(buffer: &mut [f32]) {
    for (i, x) in buffer.iter_mut().enumerate() {
        *x = ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0;
    }
}

fn main() {
    let filter = std::env::args().nth(1).unwrap_or_default();
    let isa = InstructionSet::detect();
    let same = |c, k| ConvShape::same(c, k, [3; 3]);
    let down = |c, k| ConvShape { stride: [2; 3], ..same(c, k) };
    let cases = [
        ("l1", same(64, 64), [128, 64, 64]),
        ("l2", same(128, 128), [64, 32, 32]),
        ("l3", same(256, 256), [32, 16, 16]),
        ("l4", same(512, 512), [16, 8, 8]),
        ("u16", same(16, 16), [192, 256, 192]),
        ("u48", same(48, 16), [192, 256, 192]),
        ("d2", down(64, 128), [128, 64, 64]),
        ("d3", down(128, 256), [64, 32, 32]),
        ("d4", down(256, 512), [32, 16, 16]),
        ("p2", ConvShape { stride: [2; 3], ..ConvShape::same(64, 128, [1; 3]) }, [128, 64, 64]),
        ("m3", ConvShape::same(128, 128, [1, 3, 3]), [128, 32, 32]),
        ("t1", ConvShape::same(144, 64, [3, 1, 1]), [128, 64, 64]),
        ("s1", ConvShape::same(64, 144, [1, 3, 3]), [128, 64, 64]),
    ];
    for (name, shape, dims) in cases {
        if !name.contains(&filter) {
            continue;
        }
        bench(name, isa, shape, dims);
    }
    if "stem".contains(&filter) {
        stem(isa);
    }
}

fn bench(name: &str, isa: InstructionSet, shape: ConvShape, dims: [usize; 3]) {
    let mut weights = vec![0.0; shape.n_weights()];
    fill(&mut weights);
    let out = Layout::new(shape.channels_out, shape.output_dims(dims)).with_halo([1; 3], [1; 3]);
    let layout = Layout::new(shape.channels_in, dims).with_halo([1; 3], [4; 3]);
    let mut input = Buffer::zeroed(layout.image());
    fill(input.as_mut_slice());
    let mut output = Buffer::zeroed(out.image());
    let bias = vec![0.1; shape.channels_out];
    let epilogue = Epilogue { bias: &bias, residual: None, activation: Activation::Relu };
    let flops = shape.n_flops(out.dims) as f64;
    let report =
        |method: &str, ms: f64| println!("{name:4} {method:8} {ms:8.2} ms {:7.0} GF/s", flops / ms / 1e6);
    let map = Map::new(input.as_slice(), layout);
    let mut output = MapMut::new(output.as_mut_slice(), out);
    let direct = DirectConv::new(shape, &weights);
    report("direct", median(|| direct.forward(isa, &[map], &mut output, &epilogue)));
    if brainreel_kernels::suits_winograd(&shape) {
        for size in [TileSize::Two, TileSize::TwoFour, TileSize::Four] {
            let start = Instant::now();
            let conv = WinogradConv::new(shape, size, &weights);
            let packing = start.elapsed().as_secs_f64() * 1e3;
            let mut scratch = Buffer::zeroed(conv.scratch_len(isa, dims, 1));
            let input = [Input { map, upsampled: false }];
            let ms = median(|| conv.forward(isa, &input, &mut output, &epilogue, scratch.as_mut_slice()));
            report(&format!("{size:?} ({packing:.0})"), ms);
        }
    }
}

fn stem(isa: InstructionSet) {
    let shape = ConvShape { stride: [1, 2, 2], ..ConvShape::same(1, 64, [3, 7, 7]) };
    let dims = [128; 3];
    let mut weights = vec![0.0; shape.n_weights()];
    fill(&mut weights);
    let mut input = vec![0.0; 128 * 128 * 128];
    fill(&mut input);
    let conv = PlanarConv::new(shape, &weights);
    let out = Layout::new(64, shape.output_dims(dims)).with_halo([1; 3], [1; 3]);
    let mut output = Buffer::zeroed(out.image());
    let mut output = MapMut::new(output.as_mut_slice(), out);
    let mut scratch = Buffer::zeroed(conv.scratch_len(dims));
    let epilogue = Epilogue { bias: &[], residual: None, activation: Activation::Relu };
    let ms = median(|| conv.forward(isa, (&input, dims), &mut output, &epilogue, scratch.as_mut_slice()));
    println!("stem direct   {ms:8.2} ms {:7.0} GF/s", shape.n_flops(out.dims) as f64 / ms / 1e6);
}
