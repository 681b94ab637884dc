//! Kernels of transformers beside attention, against plain ones in double precision.

use brainreel_kernels::{
    GridPool, InstructionSet, gelu, gelu_gradient, layer_norm, layer_norm_gradients, max_pool_tokens,
    max_pool_tokens_gradient,
};
use proptest::prelude::*;

use crate::plain::{index, place, places};
use crate::support::{EDGES, assert_near, assert_threads_do_not_matter, bits, on_every_set, random, widen};

/// Normal distribution function: a series of positive terms.
fn normal(x: f64) -> f64 {
    let (mut term, mut sum) = (x.abs(), x.abs());
    for n in 1..400 {
        term *= x * x / f64::from(2 * n + 1);
        sum += term;
    }
    let half = sum * density(x);
    if x < 0.0 { 0.5 - half } else { 0.5 + half }
}

fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

#[test]
fn gelu_at_the_edges_of_chunks() {
    const CHUNK: usize = 1 << 15;
    for n in EDGES.into_iter().chain([0, CHUNK - 1, CHUNK, CHUNK + 1]) {
        let x: Vec<f32> = random(n, 1).iter().map(|x| 6.0 * x).collect();
        let dy = random(n, 2);
        on_every_set(|isa| {
            let (y, dx) = (gelu(isa, &x), gelu_gradient(isa, &x, &dy));
            assert_eq!((y.len(), dx.len()), (n, n));
            for i in (0..n).step_by(1 + n / 500) {
                let at = f64::from(x[i]);
                let error = (f64::from(y[i]) - at * normal(at)).abs();
                assert!(error < 1e-6, "{isa}: {at}: {} off by {error:e}", y[i]);
                let slope = normal(at) + at * density(at);
                let error = (f64::from(dx[i]) - f64::from(dy[i]) * slope).abs();
                assert!(error < 1e-6, "{isa}: slope at {at}: off by {error:e}");
            }
        });
    }
}

/// Far from zero the function is the identity or nothing, never NaN.
#[test]
fn gelu_of_large_numbers() {
    on_every_set(|isa| {
        let y = gelu(isa, &[30.0, -30.0, 1e30, -1e30, 0.0, -0.0]);
        assert_eq!((y[0].to_bits(), y[2].to_bits()), (30.0_f32.to_bits(), 1e30_f32.to_bits()));
        assert!(y[1].abs() < 1e-30 && y[4].abs() < 1e-30 && y[5].abs() < 1e-30, "{isa}: {y:?}");
        assert!(gelu_gradient(isa, &[30.0, -30.0], &[1.0; 2])[0].to_bits() == 1.0_f32.to_bits());
    });
}

/// Layer norm of rows, and its gradients of `x`, `gamma`, `beta`.
fn layer_norm_plainly([x, gamma, beta, dy]: [&[f32]; 4], epsilon: f32) -> [Vec<f64>; 4] {
    let channels = gamma.len();
    let n = channels as f64;
    let (mut y, mut dx) = (Vec::new(), Vec::new());
    let (mut d_gamma, mut d_beta) = (vec![0.0; channels], vec![0.0; channels]);
    for (x, dy) in x.chunks_exact(channels).zip(dy.chunks_exact(channels)) {
        let (x, dy) = (widen(x), widen(dy));
        let mean = x.iter().sum::<f64>() / n;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        let inverse = 1.0 / (variance + f64::from(epsilon)).sqrt();
        let normal: Vec<f64> = x.iter().map(|x| (x - mean) * inverse).collect();
        let slope: Vec<f64> = dy.iter().zip(gamma).map(|(dy, gamma)| dy * f64::from(*gamma)).collect();
        let mean_slope = slope.iter().sum::<f64>() / n;
        let mean_product = slope.iter().zip(&normal).map(|(s, n)| s * n).sum::<f64>() / n;
        for i in 0..channels {
            y.push(normal[i] * f64::from(gamma[i]) + f64::from(beta[i]));
            dx.push(inverse * (slope[i] - mean_slope - normal[i] * mean_product));
            d_gamma[i] += dy[i] * normal[i];
            d_beta[i] += dy[i];
        }
    }
    [y, dx, d_gamma, d_beta]
}

fn check_layer_norm(rows: usize, channels: usize) {
    const EPSILON: f32 = 1e-6;
    let x: Vec<f32> = random(rows * channels, 3).iter().map(|x| 2.0 * x + 0.5).collect();
    let (gamma, beta, dy) = (random(channels, 4), random(channels, 5), random(x.len(), 6));
    let [y, dx, d_gamma, d_beta] = layer_norm_plainly([&x, &gamma, &beta, &dy], EPSILON);
    on_every_set(|isa| {
        let name = |what: &str| format!("{what} of {rows} x {channels} on {isa}");
        assert_near(&name("layer norm"), &layer_norm(isa, &x, &gamma, &beta, EPSILON), &y, 1e-5);
        let got = layer_norm_gradients(isa, &x, &gamma, &dy, EPSILON);
        assert_near(&name("gradient of gamma"), &got.gamma, &d_gamma, 1e-4);
        assert_near(&name("gradient of beta"), &got.beta, &d_beta, 1e-4);
        // A row of two numbers is always -1, 1: its gradient is what rounding leaves of zero.
        if channels > 2 {
            assert_near(&name("gradient of x"), &got.x, &dx, 1e-4);
        }
    });
}

#[test]
fn layer_norm_at_the_edges_of_blocks() {
    for channels in EDGES.into_iter().chain([96, 768]) {
        check_layer_norm(3, channels);
    }
    for rows in [1, 511, 512, 513, 1025] {
        check_layer_norm(rows, 17);
    }
}

/// The pooling of tokens as a sum over taps, and its gradients of tokens and kernel.
fn grid_pool_plainly(pool: &GridPool, [x, kernel, dy]: [&[f32]; 3]) -> [Vec<f64>; 3] {
    let width = pool.heads * pool.channels;
    let out = [0, 1, 2].map(|axis| pool.grid[axis].div_ceil(pool.stride[axis]));
    let tokens = [pool.grid, out].map(|grid| 1 + grid.iter().product::<usize>());
    let mut y = vec![0.0; pool.n_images * tokens[1] * width];
    let (mut dx, mut dk) = (vec![0.0; x.len()], vec![0.0; kernel.len()]);
    for image in 0..pool.n_images {
        let at = |token: usize, channel: usize, side: usize| (image * tokens[side] + token) * width + channel;
        for channel in 0..width {
            y[at(0, channel, 1)] = f64::from(x[at(0, channel, 0)]);
            dx[at(0, channel, 0)] = f64::from(dy[at(0, channel, 1)]);
        }
        for (to, o) in places(out).enumerate() {
            for (tap, t) in places([3; 3]).enumerate() {
                let from = [0, 1, 2].map(|axis| (o[axis] * pool.stride[axis] + t[axis]).wrapping_sub(1));
                if (0..3).any(|axis| from[axis] >= pool.grid[axis]) {
                    continue;
                }
                for channel in 0..width {
                    let (i, o) = (at(1 + index(from, pool.grid), channel, 0), at(1 + to, channel, 1));
                    let k = channel % pool.channels * 27 + tap;
                    y[o] += f64::from(x[i]) * f64::from(kernel[k]);
                    dx[i] += f64::from(dy[o]) * f64::from(kernel[k]);
                    dk[k] += f64::from(dy[o]) * f64::from(x[i]);
                }
            }
        }
    }
    [y, dx, dk]
}

fn check_grid_pool(pool: GridPool) {
    let width = pool.heads * pool.channels;
    let out = pool.grid_out();
    let n = |grid: [usize; 3]| pool.n_images * (1 + grid.iter().product::<usize>()) * width;
    let (x, kernel, dy) = (random(n(pool.grid), 7), random(pool.channels * 27, 8), random(n(out), 9));
    let [y, dx, dk] = grid_pool_plainly(&pool, [&x, &kernel, &dy]);
    on_every_set(|isa| {
        let name = |what: &str| format!("{what} of {pool:?} on {isa}");
        assert_near(&name("pooling"), &pool.forward(isa, &x, &kernel), &y, 2e-6);
        let (got_x, got_kernel) = pool.gradients(isa, &x, &kernel, &dy);
        assert_near(&name("gradient of tokens"), &got_x, &dx, 2e-6);
        assert_near(&name("gradient of the kernel"), &got_kernel, &dk, 1e-5);
    });
}

#[test]
fn pooling_of_tokens_at_edge_sizes() {
    for n in EDGES {
        for (grid, stride) in [([1, 2, n], [1, 1, 2]), ([2, n, 1], [1, 2, 2]), ([n, 1, 3], [1; 3])] {
            check_grid_pool(GridPool { n_images: 1, heads: 1, channels: 32, grid, stride });
        }
    }
    check_grid_pool(GridPool { n_images: 2, heads: 3, channels: 64, grid: [3, 5, 7], stride: [1, 2, 2] });
    check_grid_pool(GridPool { n_images: 3, heads: 2, channels: 96, grid: [2, 9, 8], stride: [2, 4, 8] });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_pooling_of_tokens(
        n_images in 1_usize..3,
        heads in 1_usize..4,
        blocks in 1_usize..4,
        grid in prop::array::uniform3(1_usize..7),
        stride in prop::array::uniform3(1_usize..9),
    ) {
        check_grid_pool(GridPool { n_images, heads, channels: 32 * blocks, grid, stride });
    }
}

/// The largest of the 3 x 3 neighbours, and where it lies first.
fn largest_neighbour(
    x: &[f32],
    grid: [usize; 3],
    output: [usize; 3],
    (width, channel): (usize, usize),
) -> (usize, f32) {
    let mut best = (0, f32::NEG_INFINITY);
    for [_, h, w] in places([1, 3, 3]) {
        let at = [output[0], (2 * output[1] + h).wrapping_sub(1), (2 * output[2] + w).wrapping_sub(1)];
        if at[1] < grid[1] && at[2] < grid[2] {
            let i = (1 + index(at, grid)) * width + channel;
            if x[i] > best.1 {
                best = (i, x[i]);
            }
        }
    }
    best
}

#[test]
fn the_largest_of_neighbouring_tokens() {
    let grids = EDGES.into_iter().flat_map(|n| [[1, n, 2], [2, 1, n], [n, 3, 3]]);
    for (grid, width) in grids.map(|grid| (grid, 5)).chain([([3, 5, 7], 33), ([2, 4, 6], 16)]) {
        let out = [grid[0], grid[1].div_ceil(2), grid[2].div_ceil(2)];
        let [n_in, n_out] = [grid, out].map(|grid| (1 + grid.iter().product::<usize>()) * width);
        // Few values, so that ties occur.
        let x: Vec<f32> = random(2 * n_in, 10).iter().map(|x| (x * 4.0).round()).collect();
        let dy = random(2 * n_out, 11);
        let (mut y, mut dx) = (vec![0.0_f32; 2 * n_out], vec![0.0_f64; 2 * n_in]);
        for i in 0..2 * n_out {
            let (image, token, channel) = (i / n_out, i % n_out / width, i % width);
            let x = &x[image * n_in..][..n_in];
            let (from, value) = if token == 0 {
                (channel, x[channel])
            } else {
                largest_neighbour(x, grid, place(token - 1, out), (width, channel))
            };
            y[i] = value;
            dx[image * n_in + from] += f64::from(dy[i]);
        }
        assert_eq!(bits(&max_pool_tokens(&x, 2, grid, width)), bits(&y), "{grid:?} x {width}");
        let got = max_pool_tokens_gradient(&x, &dy, 2, grid, width);
        assert_near(&format!("gradient of the largest of {grid:?}"), &got, &dx, 1e-6);
    }
}

#[test]
fn threads_do_not_matter_to_tokens() {
    let isa = InstructionSet::detect();
    let pool = GridPool { n_images: 2, heads: 2, channels: 32, grid: [5, 9, 7], stride: [1, 2, 2] };
    let n = |grid: [usize; 3]| 2 * (1 + grid.iter().product::<usize>()) * 64;
    let (x, kernel, dy) = (random(n(pool.grid), 1), random(32 * 27, 2), random(n(pool.grid_out()), 3));
    assert_threads_do_not_matter("pooling of tokens", || {
        let (dx, dk) = pool.gradients(isa, &x, &kernel, &dy);
        [pool.forward(isa, &x, &kernel), dx, dk].concat()
    });
    let (x, gamma, dy) = (random(1500 * 48, 4), random(48, 5), random(1500 * 48, 6));
    assert_threads_do_not_matter("layer norm", || {
        let gradients = layer_norm_gradients(isa, &x, &gamma, &dy, 1e-6);
        [layer_norm(isa, &x, &gamma, &gamma, 1e-6), gradients.x, gradients.gamma, gradients.beta].concat()
    });
}
