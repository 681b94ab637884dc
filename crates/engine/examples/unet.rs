//! A small U-Net on the engine alone: `cargo run --release -p brainreel-engine --example unet`.
#![expect(clippy::print_stdout, reason = "an example")]

use std::time::Instant;

use brainreel_engine::{Activation, Conv, ConvShape, EngineError, Network, Node, Options, Program};

fn conv(network: &mut Network, input: Node, channels_out: usize) -> Result<Node, EngineError> {
    let shape = ConvShape::same(network.channels(input), channels_out, [3; 3]);
    let scale = 1.0 / shape.n_weights() as f32;
    let conv = Conv {
        shape,
        weights: (0..shape.n_weights()).map(|i| scale * (i % 7) as f32).collect(),
        bias: vec![0.1; channels_out],
        norm: None,
        residual: None,
        activation: Activation::LeakyRelu(0.2),
    };
    network.conv(input, conv)
}

fn main() -> Result<(), EngineError> {
    let mut network = Network::new(1);
    let input = network.input();
    let skip = conv(&mut network, input, 16)?;
    let down = network.max_pool(skip, [2; 3]);
    let deep = conv(&mut network, down, 32)?;
    let up = network.upsample(deep);
    let both = network.concat(&[up, skip])?;
    let last = conv(&mut network, both, 16)?;

    let dims = [64, 64, 64];
    let mut program = Program::new(&network, last, dims, 1, &Options::default())?;
    let voxels: Vec<f32> = vec![1.0; dims.iter().product()];
    let start = Instant::now();
    let output = program.run(&voxels)?;
    let (seconds, megabytes) = (start.elapsed().as_secs_f64(), program.memory_bytes() / 1_000_000);
    println!("{} numbers in {seconds:.3} s, {megabytes} MB of maps", output.len());
    println!("algorithms: {:?}", program.algorithms());
    Ok(())
}
