//! Copies of one acquisition are found, other acquisitions are not: on simulated heads.

use brainreel_artifact::Random;
use brainreel_fingerprint::{CANDIDATE, Fingerprint, Verdict, candidates, confirm, voxel_hash};
use brainreel_simulate::{Acquisition, Plane, SimulateConfig, Subject, render};
use brainreel_volume::crop::{BoundingBox, crop};
use brainreel_volume::reorient::to_closest_canonical;
use brainreel_volume::resample::resample_to_spacing;
use brainreel_volume::{Affine, Grid, Volume};

/// A scan of 1.6 mm of one of three people; the seed draws the noise and the bias field.
fn scan(person: usize, visit: usize, seed: u64, moved_mm: f64) -> Volume<f32> {
    let config = SimulateConfig { n_subjects: 3, n_visits: 3, seed: 11, ..SimulateConfig::default() };
    let subject = Subject::draw(&config, person);
    let visit = &subject.visits[visit.min(subject.visits.len() - 1)];
    let acquisition = Acquisition {
        noise: 0.03,
        bias: 0.2,
        seed,
        pose_mm: [moved_mm; 3],
        pose_deg: [moved_mm; 3],
        ..Acquisition::plain([1.6; 3], Plane::Sagittal)
    };
    render(&subject, visit, &acquisition).expect("a usable grid").image
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
    let image = scan(0, 0, 1, 0.0);
    assert_copy("rescaled", &image, &image.map(|v| 1.7 * v + 30.0), false);
    for exponent in [0.7, 1.4] {
        assert_copy("gamma", &image, &image.map(|v| 1000.0 * (v / 1000.0).powf(exponent)), false);
    }
    let mut random = Random::new(3);
    assert_copy("noise", &image, &image.map(|v| v + 30.0 * random.normal() as f32), false);
    assert_copy("8 bit", &image, &image.map(|v| (v / 6.0).round().min(255.0)), false);
    let coarser = resample_to_spacing(&image, [2.0; 3]).unwrap();
    assert_copy("resampled", &image, &coarser, false);
}

#[test]
fn moved_and_cut_copies_are_found() {
    let image = to_closest_canonical(&scan(0, 0, 1, 0.0));
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
    let image = scan(0, 0, 1, 0.0);
    let others = [
        ("again, not moved", scan(0, 0, 2, 0.0)),
        ("again, moved", scan(0, 0, 3, 0.4)),
        ("other visit", scan(0, 1, 4, 0.0)),
        ("other person", scan(1, 0, 5, 0.0)),
        ("other person, same noise", scan(2, 0, 1, 0.0)),
    ];
    for (what, other) in others {
        let found = confirm(&image, &other);
        // A person in the noise of another does not exist outside a simulator: any verdict is right.
        let is_simulated_noise = what.ends_with("same noise");
        assert!(is_simulated_noise || found.verdict != Verdict::SameAcquisition, "{what}: {found:?}");
        assert_ne!(voxel_hash(&image), voxel_hash(&other), "{what}");
    }
}

#[test]
fn a_cohort_is_searched_in_a_stable_order() {
    let image = scan(0, 0, 1, 0.0);
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

#[test]
fn fingerprints_are_small_and_come_back_from_text() {
    let fingerprint = Fingerprint::of(&scan(0, 0, 1, 0.0));
    let text = serde_json::to_string(&fingerprint).unwrap();
    assert!(text.len() < 3_000, "{} bytes", text.len());
    assert_eq!(serde_json::from_str::<Fingerprint>(&text).unwrap(), fingerprint);
    assert!(serde_json::from_str::<Fingerprint>(&text.replace("world", "wurld")).is_err());
}
