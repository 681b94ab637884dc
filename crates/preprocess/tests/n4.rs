//! N4 against SimpleITK; golden arrays by `reference/n4.py --golden`.

use brainreel_preprocess::n4::{N4Config, correct_bias};
use brainreel_testkit::{Array, Golden};
use brainreel_volume::{Affine, Grid, Mask, Volume};

struct Phantom {
    image: Volume<f32>,
    mask: Mask,
    weights: Volume<f32>,
}

/// The image of the golden entry; mask and weights follow from it by the script's own rules.
fn phantom(golden: &Golden) -> Phantom {
    let (dims, data) = golden.array("in").first_axis_fastest();
    let spacing: [f64; 3] = golden.array("spacing_mm").data.as_slice().try_into().expect("three spacings");
    let grid = Grid::new(dims, Affine::from_diagonal(spacing)).expect("a grid");
    let image = Volume::new(grid, data.iter().map(|&value| value as f32).collect()).expect("a value a voxel");
    let threshold = golden.parameters["mask_above"].as_f64().expect("a threshold");
    let mask = image.map(|&value| f64::from(value) > threshold);
    let weight = |[i, j, _]: [usize; 3]| if j < 8 { 0.0 } else { 0.2 + 0.8 * i as f64 / dims[0] as f64 };
    let weights = Volume::from_fn(grid, |at| weight(at) as f32);
    Phantom { image, mask, weights }
}

/// Mean and 99th percentile of |ratio - 1| of the corrected images after matching their scale, and the
/// correlation of the log fields.
fn compare(ours: &[f64], theirs: &[f64]) -> (f64, f64, f64) {
    let n = ours.len() as f64;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / n;
    let (mean_a, mean_b) = (mean(ours), mean(theirs));
    let mut off: Vec<f64> =
        ours.iter().zip(theirs).map(|(a, b)| ((b - mean_b) - (a - mean_a)).exp_m1().abs()).collect();
    off.sort_by(f64::total_cmp);
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        ours.iter().zip(theirs).map(|(a, b)| f(a - mean_a, b - mean_b)).sum()
    };
    let correlation = sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt();
    (mean(&off), off[off.len() * 99 / 100], correlation)
}

/// The log fields on every other voxel along each axis, where `is_inside`: ours and the golden one.
fn log_fields(field: &Volume<f32>, golden: &Array, is_inside: impl Fn([usize; 3]) -> bool) -> [Vec<f64>; 2] {
    let (dims, theirs) = golden.first_axis_fastest();
    let at = |n: usize| [n % dims[0], n / dims[0] % dims[1], n / dims[0] / dims[1]].map(|i| 2 * i);
    let inside = theirs.into_iter().enumerate().filter(|&(n, _)| is_inside(at(n)));
    inside.map(|(n, log_field)| (f64::from(*field.at(at(n))).ln(), log_field)).unzip().into()
}

/// ITK works in f32 and by other transforms, and the iterations carry such differences on: found are
/// 1e-5 on average. That is far within the bounds of issue 4, which are 0.5 %, 2 % and 0.999.
fn assert_same_field(name: &str, ours: &[f64], theirs: &[f64]) {
    let (mean, percentile, correlation) = compare(ours, theirs);
    let found =
        format!("{name}: mean {mean:.2e}, 99th percentile {percentile:.2e}, correlation {correlation:.8}");
    assert!(mean < 1e-4 && percentile < 4e-4 && correlation > 0.99999, "{found}");
}

#[test]
fn fields_are_those_of_simple_itk() {
    let golden = Golden::load(env!("CARGO_MANIFEST_DIR"), "n4");
    let Phantom { image, mask, .. } = phantom(&golden);
    let cases = golden.parameters["cases"].as_object().unwrap();
    assert_eq!(cases.len(), 4);
    for (name, case) in cases {
        let is_masked = case["mask"].as_bool().unwrap();
        let config: N4Config = serde_json::from_value(case["config"].clone()).unwrap();
        let done =
            correct_bias(&image, is_masked.then_some(&mask), None, &config.validated().unwrap()).unwrap();
        let theirs = golden.array(&format!("log_field_{name}"));
        let [ours, theirs] = log_fields(&done.field, theirs, |at| !is_masked || *mask.at(at));
        assert_same_field(name, &ours, &theirs);
    }
}

#[test]
fn weighted_field_is_that_of_ants() {
    let Phantom { image, mask, weights } = phantom(&Golden::load(env!("CARGO_MANIFEST_DIR"), "n4"));
    let golden = Golden::load(env!("CARGO_MANIFEST_DIR"), "n4_weights");
    let config: N4Config = serde_json::from_value(golden.parameters["config"].clone()).unwrap();
    let done = correct_bias(&image, Some(&mask), Some(&weights), &config.validated().unwrap()).unwrap();
    let theirs = golden.array("log_field_weights");
    let [ours, theirs] = log_fields(&done.field, theirs, |at| *mask.at(at));
    assert_same_field("weights", &ours, &theirs);
}
