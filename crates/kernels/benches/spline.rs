//! Cubic B-spline kernels: reference and fast path side by side, in voxels read per second.

use brainreel_kernels::{
    AxisPlan, Outside, resample_mapped, resample_separable, resample_separable_reference, spline_coefficients,
};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

/// A 1 mm head: dimensions of an ADNI scan.
const HEAD: [usize; 3] = [176, 240, 256];

fn main() {
    divan::main();
}

fn head() -> Vec<f32> {
    let n_voxels: usize = HEAD.iter().product();
    (0..n_voxels as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 20) as f32).collect()
}

fn to_cube(size: usize) -> [AxisPlan; 3] {
    HEAD.map(|n| AxisPlan::stretch(n, size))
}

#[divan::bench(args = [64, 128, 192], sample_count = 10)]
fn zoom(bencher: Bencher<'_, '_>, size: usize) {
    let (data, plans) = (head(), to_cube(size));
    bencher.counter(ItemsCount::of_iter(&data)).bench(|| resample_separable(black_box(&data), &plans));
}

#[divan::bench(args = [128], sample_count = 3)]
fn zoom_reference(bencher: Bencher<'_, '_>, size: usize) {
    let (data, plans) = (head(), to_cube(size));
    bencher
        .counter(ItemsCount::of_iter(&data))
        .bench(|| resample_separable_reference(black_box(&data), &plans));
}

#[divan::bench(args = [1, 2], sample_count = 10)]
fn zoom_128_on_threads(bencher: Bencher<'_, '_>, n_threads: usize) {
    let (data, plans) = (head(), to_cube(128));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().expect("a thread pool");
    bencher
        .counter(ItemsCount::of_iter(&data))
        .bench(|| pool.install(|| resample_separable(black_box(&data), &plans)));
}

#[divan::bench(sample_count = 10)]
fn prefilter(bencher: Bencher<'_, '_>) {
    let data = head();
    bencher.counter(ItemsCount::of_iter(&data)).bench(|| spline_coefficients(black_box(&data), HEAD));
}

#[divan::bench(sample_count = 5)]
fn rotated_grid(bencher: Bencher<'_, '_>) {
    let data = head();
    let map = [[0.99, -0.1, 0.0, 5.0], [0.1, 0.99, 0.1, -9.0], [0.0, -0.1, 0.99, 12.0]];
    bencher
        .counter(ItemsCount::of_iter(&data))
        .bench(|| resample_mapped(black_box(&data), HEAD, &map, [128; 3], Outside::Zero));
}
