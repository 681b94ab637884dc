//! Copies of one acquisition are found, other acquisitions are not: on simulated heads.

use std::sync::OnceLock;

use brainreel_artifact::Random;
use brainreel_fingerprint::{CANDIDATE, Fingerprint, Verdict, candidates, confirm};
use brainreel_simulate::{Acquisition, Plane, SimulateConfig, Subject, render};
use brainreel_volume::crop::{BoundingBox, crop};
use brainreel_volume::reorient::to_closest_canonical;
use brainreel_volume::resample::resample_to_spacing;
use brainreel_volume::{Affine, Grid, Volume};

/// A scan of 1.6 mm of one of three people who came at least twice; the seed draws the noise and the bias
/// field.
fn scan(person: usize, visit: usize, seed: u64, moved_mm: f64) -> Volume<f32> {
    let config = SimulateConfig { n_subjects: 12, n_visits: 3, seed: 11, ..SimulateConfig::default() };
    let mut subjects = Subject::draw_cohort(&config);
    subjects.retain(|subject| subject.visits.len() > 1);
    let subject = &subjects[person];
    let acquisition = Acquisition {
        noise: 0.03,
        bias: 0.2,
        seed,
        pose_mm: [moved_mm; 3],
        pose_deg: [moved_mm; 3],
        ..Acquisition::plain([1.6; 3], Plane::Sagittal)
    };
    render(subject, &subject.visits[visit], &acquisition).expect("a usable grid").image
}

/// The scan that copies are made of; rendered once.
fn original() -> &'static Volume<f32> {
    static ORIGINAL: OnceLock<Volume<f32>> = OnceLock::new();
    ORIGINAL.get_or_init(|| scan(0, 0, 1, 0.0))
}

fn assert_copy(what: &str, original: &Volume<f32>, copy: &Volume<f32>, mirrored: bool) {
    let similarity = Fingerprint::of(original).similarity(&Fingerprint::of(copy));
    assert!(similarity.value >= CANDIDATE, "{what}: {similarity:?}");
    for (a, b) in [(original, copy), (copy, original)] {
        let found = confirm(a, b);
        assert_eq!(found.verdict, Verdict::SameAcquisition, "{what}: {found:?}");
        assert_eq!(found.mirrored, mirrored, "{what}: {found:?}");
    }
}

#[test]
fn changed_copies_are_found() {
    let image = original();
    assert_copy("rescaled", image, &image.map(|v| 1.7 * v + 30.0), false);
    for exponent in [0.7, 1.4] {
        assert_copy("gamma", image, &image.map(|v| 1000.0 * (v / 1000.0).powf(exponent)), false);
    }
    let mut random = Random::new(3);
    assert_copy("noise", image, &image.map(|v| v + 30.0 * random.normal() as f32), false);
    assert_copy("8 bit", image, &image.map(|v| (v / 6.0).round().min(255.0)), false);
    let coarser = resample_to_spacing(image, [2.0; 3]).unwrap();
    assert_copy("resampled", image, &coarser, false);
}

#[test]
fn moved_and_cut_copies_are_found() {
    let image = to_closest_canonical(original());
    for axis in 0..3 {
        let shifted = Volume::from_fn(*image.grid(), |mut index| {
            index[axis] = index[axis].saturating_sub(1);
            *image.at(index)
        });
        assert_copy("shifted", &image, &shifted, false);
    }
    let end = image.dims().map(|n| n - 3);
    let cropped = crop(&image, &BoundingBox::new([4, 2, 3], end).unwrap()).unwrap();
    assert_copy("cropped", &image, &cropped, false);
    let grid = Grid::new(cropped.dims(), Affine::from_diagonal([1.6; 3])).unwrap();
    let lost = Volume::new(grid, cropped.as_slice().to_vec()).unwrap();
    assert_copy("header lost", &image, &lost, false);
    let last = lost.dims()[0] - 1;
    let flipped = Volume::from_fn(grid, |[i, j, k]| *lost.at([last - i, j, k]));
    assert_copy("flipped", &image, &flipped, true);
}

#[test]
fn other_acquisitions_are_not_copies() {
    let image = original();
    let others = [
        ("again, not moved", scan(0, 0, 2, 0.0)),
        ("again, moved", scan(0, 0, 3, 0.4)),
        ("other visit, same pose", scan(0, 1, 4, 0.0)),
        ("other person, same pose", scan(1, 0, 5, 0.0)),
    ];
    for (what, other) in others {
        let found = confirm(image, &other);
        assert_eq!(found.verdict, Verdict::OtherAcquisition, "{what}: {found:?}");
        // Chance has a standard deviation of about 0.02 with some thousand voxels.
        assert!(found.noise_correlation < 0.12, "{what}: {found:?}");
        let exported = confirm(&image.map(|v| v.sqrt()), &other.map(|v| 0.3 * v + 7.0));
        assert_eq!(exported.verdict, Verdict::OtherAcquisition, "{what}: {exported:?}");
    }
}

/// Means over 3 x 3 x 3 voxels leave anatomy without noise, which two scans at the same place share.
#[test]
fn smoothed_images_get_no_verdict() {
    let smooth = |image: &Volume<f32>| {
        let last = image.dims().map(|n| n - 1);
        Volume::from_fn(*image.grid(), |index| {
            let around = (0..27_usize).map(|n| [n % 3, n / 3 % 3, n / 9]);
            let near =
                around.map(|step| [0, 1, 2].map(|a| (index[a] + step[a]).saturating_sub(1).min(last[a])));
            near.map(|index| image.at(index)).sum::<f32>() / 27.0
        })
    };
    let found = confirm(&smooth(&smooth(original())), &smooth(&smooth(&scan(0, 0, 2, 0.0))));
    assert_eq!(found.verdict, Verdict::Undecided, "{found:?}");
    assert!(found.n_voxels > 0, "{found:?}");
}

#[test]
fn a_cohort_is_searched_in_a_stable_order() {
    let image = original();
    let images =
        [scan(1, 0, 5, 0.0), image.clone(), image.map(|v| 0.5 * v), scan(2, 0, 6, 0.0), image.clone()];
    let fingerprints: Vec<Fingerprint> = images.iter().map(Fingerprint::of).collect();
    let found = candidates(&fingerprints, CANDIDATE);
    let pairs: Vec<(usize, usize)> = found.iter().map(|pair| (pair.first, pair.second)).collect();
    assert_eq!(pairs[0], (1, 4));
    assert!(found[0].similarity.identical && !found[1].similarity.identical);
    assert!(pairs.contains(&(1, 2)) && pairs.contains(&(2, 4)), "{pairs:?}");
    for n_threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        let again: Vec<Fingerprint> = pool.install(|| images.iter().map(Fingerprint::of).collect());
        assert_eq!(again, fingerprints, "{n_threads} threads");
        assert_eq!(pool.install(|| candidates(&fingerprints, CANDIDATE)), found, "{n_threads} threads");
        let [one, two] = [0, 1].map(|_| pool.install(|| confirm(&images[1], &images[2])));
        assert_eq!(one, two);
        assert_eq!(one, confirm(&images[1], &images[2]), "{n_threads} threads");
    }
}
