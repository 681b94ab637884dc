//! Times of the gradients of layer4 of R3D-18, batch 2: `cargo run --release -p brainreel-kernels --example
//! gradient_times`.
#![expect(clippy::print_stdout, reason = "a program of its own")]

use std::time::Instant;

use brainreel_kernels::{
    Buffer, ConvShape, DirectConv, Epilogue, GradInput, Input, InstructionSet, Layout, Map, MapMut, TileSize,
    WinogradConv, from_blocked, grad_weight, to_blocked,
};

fn median<T>(what: &str, mut run: impl FnMut() -> T) -> T {
    let mut result = run();
    let mut times: Vec<f64> = (0..5)
        .map(|_| {
            let start = Instant::now();
            result = run();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{what:32} {:8.1} ms", times[2]);
    result
}

fn main() {
    let isa = InstructionSet::detect();
    for (shape, dims) in [
        (ConvShape::same(512, 512, [3; 3]), [16, 8, 8]),
        (ConvShape { stride: [2; 3], ..ConvShape::same(256, 512, [3; 3]) }, [32, 16, 16]),
    ] {
        println!("{shape:?}");
        let weights: Vec<f32> = (0..shape.n_weights()).map(|i| (i % 97) as f32 / 97.0 - 0.5).collect();
        let out = shape.output_dims(dims);
        let x = Layout::new(shape.channels_in, dims).with_halo([1; 3], [4; 3]);
        let y = Layout::new(shape.channels_out, out).with_halo([1; 3], [4; 3]);
        let planar = vec![0.5; 2 * shape.channels_in * dims.iter().product::<usize>()];
        let mut input = Buffer::zeroed(2 * x.image());
        median("to_blocked", || to_blocked(&planar, &mut MapMut::new(input.as_mut_slice(), x)));
        let input = Map::new(input.as_slice(), x);
        let mut output = Buffer::zeroed(2 * y.image());
        let direct = median("pack direct", || DirectConv::new(shape, &weights));
        median("direct", || {
            direct.forward(isa, &[input], &mut MapMut::new(output.as_mut_slice(), y), &Epilogue::default());
        });
        if shape.stride == [1; 3] {
            let conv = median("pack winograd", || WinogradConv::new(shape, TileSize::Two, &weights));
            let mut scratch = Buffer::zeroed(conv.scratch_len(isa, dims, 2));
            median("winograd", || {
                let input = Input { map: input, upsampled: false };
                let mut output = MapMut::new(output.as_mut_slice(), y);
                conv.forward(isa, &[input], &mut output, &Epilogue::default(), scratch.as_mut_slice());
            });
        }
        let grad = median("pack gradient", || GradInput::new(shape, dims, &weights));
        let mut scratch = Buffer::zeroed(grad.scratch_len(isa, 2));
        let mut dx = Buffer::zeroed(2 * x.image());
        let dy = Map::new(output.as_slice(), y);
        median("gradient of the input", || {
            grad.compute(isa, &dy, &mut MapMut::new(dx.as_mut_slice(), x), scratch.as_mut_slice());
        });
        median("gradient of the weights", || grad_weight(isa, &shape, &input, &dy));
        let mut back = vec![0.0; planar.len()];
        median("from_blocked", || from_blocked(&input, &mut back));
    }
}
