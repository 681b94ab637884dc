//! Images that are not heads cause no panic and no verdict.

use std::time::Instant;

use brainreel_fingerprint::{CANDIDATE, Confirmation, Fingerprint, Verdict, candidates, confirm};
use brainreel_volume::{Affine, Grid, Volume};
use proptest::prelude::*;

fn volume(dims: [usize; 3], spacing_mm: [f64; 3], value: impl FnMut([usize; 3]) -> f32) -> Volume<f32> {
    let grid = Grid::new(dims, Affine::from_diagonal(spacing_mm)).expect("usable dimensions");
    Volume::from_fn(grid, value)
}

fn examine(a: &Volume<f32>, b: &Volume<f32>) -> (f64, Confirmation) {
    let similarity = Fingerprint::of(a).similarity(&Fingerprint::of(b));
    assert!((-1.0..=1.0).contains(&similarity.value), "{similarity:?}");
    let found = confirm(a, b);
    assert!(found.noise_correlation.is_finite() && found.structure_correlation.is_finite(), "{found:?}");
    (similarity.value, found)
}

fn ramp([i, j, k]: [usize; 3]) -> f32 {
    ((i * 7 + j * 13 + k * 29) % 31) as f32
}

#[test]
fn images_without_a_head_get_no_verdict() {
    let odd = [
        volume([1, 1, 1], [1.0; 3], |_| 3.0),
        volume([40, 40, 40], [1.0; 3], |_| 3.0),
        volume([40, 40, 40], [1.0; 3], |_| f32::NAN),
        volume([40, 40, 40], [1.0; 3], |index| if index == [3, 4, 5] { f32::INFINITY } else { 0.0 }),
        volume([2, 3, 4], [1.0; 3], ramp),
        volume([300, 1, 1], [1.0; 3], ramp),
    ];
    for (first, a) in odd.iter().enumerate() {
        for b in &odd[first..] {
            let (_, found) = examine(a, b);
            assert_eq!(found.verdict, Verdict::Undecided, "{:?} {:?}", a.grid(), b.grid());
        }
    }
    let fingerprints: Vec<Fingerprint> = odd.iter().map(Fingerprint::of).collect();
    assert!(candidates(&fingerprints, CANDIDATE).is_empty());
    assert!(candidates(&[], CANDIDATE).is_empty());
}

#[test]
fn absurd_voxel_sizes_do_not_panic() {
    let spacings = [[1e-9, 1e9, 1.0], [1e-60; 3], [1e60; 3], [1e-3; 3], [1e3; 3]];
    let images = spacings.map(|spacing| volume([30, 30, 30], spacing, ramp));
    for (first, a) in images.iter().enumerate() {
        for b in &images[first..] {
            examine(a, b);
        }
    }
}

#[test]
fn extreme_values_do_not_overflow() {
    let dims = [60, 60, 60];
    let large = volume(dims, [3.0; 3], |index| if ramp(index) > 15.0 { f32::MAX } else { f32::MIN });
    let small = volume(dims, [3.0; 3], |index| ramp(index) * 1e-40);
    let wave = volume(dims, [3.0; 3], |[i, j, k]| ((i as f32 * 0.7).sin() + (j * k) as f32 * 0.01) * 1e30);
    for (a, b) in [(&large, &large), (&large, &wave), (&small, &large), (&wave, &wave), (&small, &small)] {
        examine(a, b);
    }
}

#[test]
fn large_images_take_bounded_time() {
    let image = volume([400, 300, 300], [0.5; 3], ramp);
    let start = Instant::now();
    let thick = volume([64, 64, 40], [3.0, 3.0, 5.0], ramp);
    examine(&image, &thick);
    // A debug build is some ten times slower than a release build; this is about hanging.
    assert!(start.elapsed().as_secs() < 120, "{:?}", start.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_shape_and_spacing(
        dims in [1_usize..40, 1..40, 1..40],
        other in [1_usize..40, 1..40, 1..40],
        spacing in [0.05_f64..20.0, 0.05..20.0, 0.05..20.0],
        shear in -3.0_f64..3.0,
    ) {
        let a = volume(dims, spacing, ramp);
        let affine = Affine::new([
            [0.0, spacing[0], shear, 1e3],
            [spacing[1], shear, 0.0, -50.0],
            [0.0, 0.1, -spacing[2], 0.0],
            [0.0, 0.0, 0.0, 1.0],
        ]);
        if let Ok(affine) = affine {
            let b = Volume::from_fn(Grid::new(other, affine).unwrap(), ramp);
            examine(&a, &b);
        }
    }
}
