//! How fast this machine is at the kinds of work.

use std::time::Instant;

use brainreel_engine::{Activation, Conv, ConvShape, Network, Options, Program};
use burn::tensor::{Device, Tensor, activation::relu};
use serde::{Deserialize, Serialize};

use super::Work;
use crate::native::ConvCase;

/// Seconds that a probe may go on measuring.
const PATIENCE: f64 = 0.08;
/// Most measurements of a probe.
const REPEATS: usize = 5;
/// Speed of attention beside that of plain matrix products.
const ATTENTION: f64 = 0.6;

/// Operations and bytes in a second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// Of convolutions on the engine, counted as plain loops would do them.
    pub engine_flops: f64,
    /// Of trained convolutions, forward and backward.
    pub conv_flops: f64,
    /// Of matrix products.
    pub matrix_flops: f64,
    /// Bytes read and written by passes over maps.
    pub bytes: f64,
}

impl Speed {
    /// Measures small cases, in about half a second.
    ///
    /// # Determinism
    /// None: it is a measurement.
    #[must_use]
    pub fn probe() -> Self {
        Self { engine_flops: engine(), conv_flops: convolution(), matrix_flops: matrix(), bytes: traffic() }
    }

    /// Seconds that `work` takes.
    #[must_use]
    pub fn seconds(&self, work: &Work) -> f64 {
        work.engine_effort / self.engine_flops
            + work.conv_effort / self.conv_flops
            + work.matrix_flops / self.matrix_flops
            + work.attention_flops / (ATTENTION * self.matrix_flops)
            + work.bytes / self.bytes
    }
}

/// Amount of work by the shortest time it took, after a first time that does not count.
fn rate(amount: f64, mut work: impl FnMut()) -> f64 {
    work();
    let mut best = f64::INFINITY;
    let start = Instant::now();
    for _ in 0..REPEATS {
        let one = Instant::now();
        work();
        best = best.min(one.elapsed().as_secs_f64());
        if start.elapsed().as_secs_f64() > PATIENCE {
            break;
        }
    }
    amount / best.max(1e-9)
}

const fn cube(channels: usize) -> ConvShape {
    ConvShape {
        channels_in: channels,
        channels_out: channels,
        kernel: [3; 3],
        stride: [1; 3],
        padding: [1; 3],
    }
}

fn flops(shape: &ConvShape, edge: usize) -> f64 {
    2.0 * (edge.pow(3) * shape.n_taps() * shape.channels_in * shape.channels_out) as f64
}

fn engine() -> f64 {
    let (shape, edge) = (cube(64), 24);
    let mut network = Network::new(shape.channels_in);
    let conv = Conv {
        shape,
        weights: vec![0.01; shape.n_taps() * 64 * 64].as_slice().into(),
        bias: vec![0.0; 64],
        norm: None,
        residual: None,
        activation: Activation::Relu,
    };
    let input = network.input();
    let input_values = vec![0.5; 64 * edge * edge * edge];
    let program = network
        .conv(input, conv.clone())
        .and_then(|first| network.conv(first, conv))
        .and_then(|output| Program::new(&network, output, [edge; 3], 1, &Options::default()));
    let Ok(mut program) = program else { return f64::NAN };
    rate(2.0 * flops(&shape, edge), || {
        let _ = program.execute(&input_values, |_| true);
    })
}

fn convolution() -> f64 {
    let (shape, edge) = (cube(128), 16);
    let case = ConvCase::new([1, 128, edge, edge, edge], [128, 128, 3, 3, 3], shape.stride, shape.padding);
    let map = vec![0.5; 128 * edge.pow(3)];
    let weights = vec![0.01; 128 * 128 * 27];
    rate(3.0 * flops(&shape, edge), || {
        let _ = (case.forward(&map, &weights), case.grad_input(&weights, &map), case.grad_weight(&map, &map));
    })
}

fn matrix() -> f64 {
    let device = Device::flex();
    let (rows, inner, columns) = (1024, 384, 1152);
    let a = Tensor::<2>::ones([rows, inner], &device);
    let b = Tensor::<2>::ones([columns, inner], &device);
    rate(2.0 * (rows * inner * columns) as f64, || {
        let _ = a.clone().matmul(b.clone().transpose()).into_data();
    })
}

/// Adding two maps, which takes new memory for the sum, and a rectifier.
fn traffic() -> f64 {
    let device = Device::flex();
    let n = 12 << 20; // more than the allocator keeps for the next time
    let (a, b) = (Tensor::<1>::ones([n], &device), Tensor::<1>::ones([n], &device));
    rate(5.0 * 4.0 * n as f64, || {
        let _ = relu(a.clone() + b.clone()).into_data();
    })
}
