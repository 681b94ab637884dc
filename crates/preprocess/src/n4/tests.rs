use brainreel_volume::{Affine, Grid, Mask, Volume};

use super::{N4Config, N4Error, N4Mesh, N4Output, NonPositive};

const DIMS: [usize; 3] = [34, 40, 29];

fn grid() -> Grid {
    Grid::new(DIMS, Affine::from_diagonal([5.0, 4.5, -6.0])).unwrap()
}

/// Position of a voxel between the edges of the image, -1 to 1.
fn position(at: [usize; 3]) -> [f64; 3] {
    [0, 1, 2].map(|axis| 2.0 * at[axis] as f64 / (DIMS[axis] - 1) as f64 - 1.0)
}

fn radius(at: [usize; 3], centre: [f64; 3], size: [f64; 3]) -> f64 {
    let p = position(at);
    (0..3).map(|axis| ((p[axis] - centre[axis]) / size[axis]).powi(2)).sum::<f64>().sqrt()
}

fn is_brain(at: [usize; 3]) -> bool {
    radius(at, [0.0; 3], [0.8, 0.85, 0.75]) < 1.0
}

fn is_white(at: [usize; 3]) -> bool {
    radius(at, [0.05, 0.0, 0.0], [0.6, 0.65, 0.5]) < 1.0 && !is_ventricle(at)
}

fn is_ventricle(at: [usize; 3]) -> bool {
    radius(at, [0.1, -0.2, 0.05], [0.15, 0.3, 0.2]) < 1.0
}

fn log_field(at: [usize; 3]) -> f64 {
    let [x, y, z] = position(at);
    0.25 * x + 0.15 * y * y - 0.1 * x * z
}

/// A brain of three tissues with 3 % of noise in dim air, shaded by [`log_field`].
fn shaded() -> Volume<f32> {
    Volume::from_fn(grid(), |at| {
        let noise = ((at[0] * 7919 + at[1] * 104_729 + at[2] * 1_299_709) % 1009) as f64 / 504.5 - 1.0;
        let tissue = match (is_brain(at), is_ventricle(at), is_white(at)) {
            (false, ..) => 8.0,
            (_, true, _) => 45.0,
            (_, _, true) => 120.0,
            _ => 85.0,
        };
        (tissue * (1.0 + 0.03 * noise) * log_field(at).exp()) as f32
    })
}

fn brain() -> Mask {
    Volume::from_fn(grid(), is_brain)
}

fn correct_bias(
    volume: &Volume<f32>,
    mask: Option<&Mask>,
    weights: Option<&Volume<f32>>,
    config: &N4Config,
) -> Result<N4Output, N4Error> {
    super::correct_bias(volume, mask, weights, &config.clone().validated().unwrap())
}

fn config() -> N4Config {
    N4Config { shrink_factor: 2, n_iterations: vec![30, 30, 20], ..N4Config::default() }
}

fn bits(volume: &Volume<f32>) -> Vec<u32> {
    volume.as_slice().iter().map(|value| value.to_bits()).collect()
}

/// Values of `volume` where `is_inside`.
fn values(volume: &Volume<f32>, is_inside: fn([usize; 3]) -> bool) -> Vec<f64> {
    let inside = Volume::from_fn(*volume.grid(), is_inside);
    let pairs = volume.as_slice().iter().zip(inside.as_slice());
    pairs.filter(|&(_, &inside)| inside).map(|(&value, _)| f64::from(value)).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn covariance(a: &[f64], b: &[f64]) -> f64 {
    let (mean_a, mean_b) = (mean(a), mean(b));
    a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum::<f64>() / a.len() as f64
}

fn variation(values: &[f64]) -> f64 {
    covariance(values, values).sqrt() / mean(values)
}

/// The noise alone makes white matter vary by 0.03 / sqrt(3), 1.7 %.
#[test]
fn a_known_field_is_recovered() {
    let image = shaded();
    let done = correct_bias(&image, Some(&brain()), None, &config()).unwrap();
    let (before, after) =
        (variation(&values(&image, is_white)), variation(&values(&done.corrected, is_white)));
    assert!(before > 0.07 && after < 0.019, "white matter varies by {before}, then by {after}");
    let truth = values(&Volume::from_fn(grid(), |at| log_field(at) as f32), is_brain);
    let found: Vec<f64> = values(&done.field, is_brain).into_iter().map(f64::ln).collect();
    let correlation =
        covariance(&truth, &found) / (covariance(&truth, &truth) * covariance(&found, &found)).sqrt();
    assert!(correlation > 0.99, "correlation of the log fields {correlation}");
    for ((image, corrected), field) in
        image.as_slice().iter().zip(done.corrected.as_slice()).zip(done.field.as_slice())
    {
        assert!((corrected * field - image).abs() <= 1e-6 * image, "{corrected} * {field} is not {image}");
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let (image, mask) = (shaded(), brain());
    let run = |n_threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| correct_bias(&image, Some(&mask), None, &config())).unwrap()
    };
    let one = run(1);
    for n_threads in [2, 5] {
        let many = run(n_threads);
        assert_eq!(bits(&many.field), bits(&one.field), "{n_threads} threads");
        assert_eq!(bits(&many.corrected), bits(&one.corrected), "{n_threads} threads");
    }
}

/// Every voxel that `is_changed` multiplied by 50 or turned to zero or below.
fn damaged(is_changed: impl Fn([usize; 3]) -> bool) -> Volume<f32> {
    let image = shaded();
    Volume::from_fn(grid(), |at| match (is_changed(at), at[0] % 3) {
        (false, _) => *image.at(at),
        (true, 0) => 50.0 * *image.at(at),
        (true, 1) => 0.0,
        (true, _) => -*image.at(at),
    })
}

#[test]
fn what_the_mask_leaves_out_does_not_matter() {
    let field = |image: &Volume<f32>| correct_bias(image, Some(&brain()), None, &config()).unwrap().field;
    let want = field(&shaded());
    assert_eq!(bits(&field(&damaged(|at| !is_brain(at)))), bits(&want));
    let whole = correct_bias(&shaded(), None, None, &config()).unwrap().field;
    assert_ne!(bits(&whole), bits(&want));
}

#[test]
fn weights_count_and_a_weight_of_zero_leaves_out() {
    let mask = brain();
    let run = |image: &Volume<f32>, weights: &Volume<f32>| -> N4Output {
        correct_bias(image, Some(&mask), Some(weights), &config()).unwrap()
    };
    let left = Volume::from_fn(grid(), |at| f32::from(u8::from(at[0] < 17)));
    let masked = Volume::from_fn(grid(), |at| at[0] < 17 && is_brain(at));
    let want = correct_bias(&shaded(), Some(&masked), None, &config()).unwrap();
    assert_eq!(bits(&run(&shaded(), &left).field), bits(&want.field));
    assert_eq!(bits(&run(&damaged(|at| at[0] >= 17), &left).field), bits(&want.field));

    let equal = run(&shaded(), &Volume::from_fn(grid(), |_| 1.0));
    let scaled = run(&shaded(), &Volume::from_fn(grid(), |_| 2.0_f32.powi(-40)));
    assert_eq!(bits(&scaled.field), bits(&equal.field), "a power of two cancels exactly");
    let ramp = run(&shaded(), &Volume::from_fn(grid(), |at| 0.05 + at[1] as f32));
    assert_ne!(bits(&ramp.field), bits(&equal.field));
}

#[test]
fn voxels_that_are_not_positive_are_left_out() {
    let is_dark = |at: [usize; 3]| at[2] == 14 && !at[0].is_multiple_of(3);
    let mask = Volume::from_fn(grid(), |at| is_brain(at) && !is_dark(at));
    let want = correct_bias(&shaded(), Some(&mask), None, &config()).unwrap().field;
    let got = correct_bias(&damaged(is_dark), Some(&brain()), None, &config()).unwrap().field;
    assert_eq!(bits(&got), bits(&want));
}

#[test]
fn nothing_to_sharpen_gives_a_field_of_one() {
    let flat = Volume::from_fn(grid(), |_| 7.5_f32);
    let done = correct_bias(&flat, None, None, &config()).unwrap();
    assert_eq!(done.n_iterations, [0, 0, 0]);
    assert_eq!(done.corrected, flat);
}

#[test]
fn a_level_ends_at_the_limit_or_when_the_field_stands_still() {
    let done = correct_bias(&shaded(), Some(&brain()), None, &config()).unwrap();
    assert_eq!(done.n_iterations, [30, 30, 20]);
    let loose = N4Config { convergence_threshold: 1e-3, ..config() };
    let stopped = correct_bias(&shaded(), Some(&brain()), None, &loose).unwrap();
    for (n, change) in stopped.n_iterations.iter().zip(&stopped.convergence) {
        assert!(
            (2..30).contains(n) && *change <= 1e-3,
            "{:?} {:?}",
            stopped.n_iterations,
            stopped.convergence
        );
    }
}

#[test]
fn flat_and_tiny_images_are_no_trouble() {
    for (dims, mesh) in [
        ([1, 1, 1], N4Mesh::Elements([1; 3])),
        ([3, 17, 1], N4Mesh::Elements([2, 1, 1])),
        ([9, 2, 5], N4Mesh::SplineDistanceMm(20.0)),
    ] {
        let grid = Grid::new(dims, Affine::from_diagonal([2.0, 3.0, 4.0])).unwrap();
        let image = Volume::from_fn(grid, |[i, j, k]| (1 + i * i + 3 * j + 5 * k) as f32);
        let config = N4Config { shrink_factor: 2, mesh, ..config() };
        let done = correct_bias(&image, None, None, &config).unwrap();
        assert!(done.field.as_slice().iter().all(|gain| gain.is_finite() && *gain > 0.0), "{dims:?}");
    }
}

#[test]
fn inputs_that_cannot_be_used_are_named() {
    let image = shaded();
    let error = |image: &Volume<f32>, mask: Option<&Mask>, weights: Option<&Volume<f32>>| {
        correct_bias(image, mask, weights, &config()).unwrap_err()
    };
    let nowhere = Volume::from_fn(grid(), |_| false);
    assert_eq!(error(&image, Some(&nowhere), None), N4Error::EmptyMask);
    assert_eq!(error(&image, None, Some(&Volume::from_fn(grid(), |_| 0.0))), N4Error::EmptyMask);

    let small = Volume::from_fn(Grid::new([2, 2, 2], Affine::IDENTITY).unwrap(), |_| true);
    let message = error(&image, Some(&small), None).to_string();
    assert!(message.contains("mask") && message.contains("[2, 2, 2]"), "{message}");

    let mut broken = image.clone();
    broken.as_mut_slice()[1 + 34 * (2 + 40 * 3)] = f32::INFINITY;
    assert_eq!(error(&broken, None, None), N4Error::NonFinite { at: [1, 2, 3], value: f32::INFINITY });
    let mut weights = Volume::from_fn(grid(), |_| 1.0_f32);
    weights.as_mut_slice()[5] = -1.0;
    assert_eq!(error(&image, None, Some(&weights)), N4Error::Weight { at: [5, 0, 0], value: -1.0 });

    let dark = image.map(|value| -value);
    assert!(matches!(error(&dark, Some(&brain()), None), N4Error::NoPositiveVoxel { .. }));
    let fine = N4Config { n_iterations: vec![1; 8], mesh: N4Mesh::Elements([64; 3]), ..config() };
    assert!(matches!(correct_bias(&image, None, None, &fine), Err(N4Error::Mesh { .. })));
}

/// `reference`: the field agrees with ANTsPy's on a whole head to 0.001 % with `AsLogarithm`
/// (`bench/parts/n4.py`).
#[test]
fn zeros_take_part_only_if_they_are_asked_to() {
    let image = shaded();
    let with_zeros = Volume::from_fn(grid(), |at| if is_brain(at) { *image.at(at) } else { 0.0 });
    let field = |mask: Option<&Mask>, non_positive| {
        let config = N4Config { non_positive, ..config() };
        bits(&correct_bias(&with_zeros, mask, None, &config).unwrap().field)
    };
    let left_out = field(None, NonPositive::LeftOut);
    assert!(left_out == field(Some(&brain()), NonPositive::LeftOut));
    assert!(left_out != field(None, NonPositive::AsLogarithm));
    assert!(left_out == field(Some(&brain()), NonPositive::AsLogarithm));
}
