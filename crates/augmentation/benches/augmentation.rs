//! Speed of transforms on a network input of 128³ voxels, in voxels per second.

use brainreel_augmentation::{AugmentationConfig, Axis, Draw, Transform};
use brainreel_volume::{Affine, Grid, Volume};
use divan::Bencher;
use divan::counter::ItemsCount;

fn main() {
    divan::main();
}

fn image() -> Volume<f32> {
    let grid = Grid::new([128; 3], Affine::from_diagonal([1.1, 1.4, 1.2])).expect("a cube");
    let mut state = 1_u32;
    Volume::from_fn(grid, |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 20) as f32
    })
}

fn measure(bencher: Bencher<'_, '_>, draw: &Draw) {
    let mut image = image();
    bencher.counter(ItemsCount::of_iter(image.as_slice())).bench_local(|| {
        draw.apply(&mut image).expect("an image with contrast");
    });
}

/// Gamma, z-normalisation and noise, all drawn.
#[divan::bench(args = [1, 2], sample_count = 20)]
fn default_preset_on_threads(bencher: Bencher<'_, '_>, n_threads: usize) {
    let config = AugmentationConfig {
        noise_probability: 1.0,
        gamma_probability: 1.0,
        ..AugmentationConfig::default()
    };
    let draw = config.draw(1, "scan", 0);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().expect("a thread pool");
    let mut image = image();
    bencher.counter(ItemsCount::of_iter(image.as_slice())).bench_local(|| {
        pool.install(|| draw.apply(&mut image)).expect("an image with contrast");
    });
}

#[divan::bench(sample_count = 20)]
fn z_normalization(bencher: Bencher<'_, '_>) {
    measure(bencher, &Draw::default());
}

#[divan::bench(sample_count = 20)]
fn noise(bencher: Bencher<'_, '_>) {
    measure(bencher, &Draw::new(vec![Transform::Noise { mean: 0.0, std: 0.1, seed: 1 }]));
}

#[divan::bench(sample_count = 20)]
fn gamma(bencher: Bencher<'_, '_>) {
    // Z-normalised before, so that repeated powers stay in range.
    measure(bencher, &Draw::new(vec![Transform::ZNormalization, Transform::Gamma { gamma: 0.9 }]));
}

#[divan::bench(sample_count = 20)]
fn flip(bencher: Bencher<'_, '_>) {
    measure(bencher, &Draw::new(vec![Transform::Flip { axes: Axis::ALL.to_vec() }]));
}

#[divan::bench(sample_count = 20)]
fn rotate90(bencher: Bencher<'_, '_>) {
    measure(bencher, &Draw::new(vec![Transform::Rotate90 { axis: Axis::X, quarters: 3 }]));
}

#[divan::bench(sample_count = 20)]
fn affine(bencher: Bencher<'_, '_>) {
    let affine = Transform::Affine { scales: [0.95, 1.05, 1.0], degrees: [5.0, -8.0, 3.0] };
    measure(bencher, &Draw::new(vec![affine]));
}

#[divan::bench(sample_count = 20)]
fn bias_field(bencher: Bencher<'_, '_>) {
    let coefficients = (0..20).map(|i| f64::from(i % 7) * 0.1 - 0.3).collect();
    measure(
        bencher,
        &Draw::new(vec![Transform::BiasField { order: 3, coefficients }, Transform::ZNormalization]),
    );
}

#[divan::bench(args = [0.5, 1.0, 2.0], sample_count = 10)]
fn blur(bencher: Bencher<'_, '_>, std_mm: f64) {
    measure(bencher, &Draw::new(vec![Transform::Blur { std_mm: [std_mm; 3] }]));
}

#[divan::bench(args = [0, 1, 2], sample_count = 10)]
fn ghosting(bencher: Bencher<'_, '_>, axis: usize) {
    let ghosting = Transform::Ghosting { number: 7, axis: Axis::ALL[axis], intensity: 0.8, restore: None };
    measure(bencher, &Draw::new(vec![ghosting]));
}
