//! The same on real images, where they are present.

use brainreel_artifact::Random;
use brainreel_fingerprint::{CANDIDATE, Fingerprint, Verdict, confirm};
use brainreel_formats::dicom::{load_series, scan_tree};
use brainreel_formats::nifti;
use brainreel_testkit::real_data;
use brainreel_volume::reorient::to_closest_canonical;
use brainreel_volume::resample::resample_to_spacing;
use brainreel_volume::{Affine, Grid, Volume};

fn read(name: &str) -> Option<Volume<f32>> {
    let path = real_data()?.join(name);
    path.is_file().then(|| nifti::read_f32(&path).expect("a readable image"))
}

#[test]
fn copies_of_a_real_head_are_found() {
    let Some(head) = read("mri/chris_t1.nii.gz") else { return };
    let head = to_closest_canonical(&head);
    let last = head.dims()[0] - 1;
    let grid = Grid::new(head.dims(), Affine::from_diagonal(head.grid().spacing_mm())).unwrap();
    let copies = [
        ("rescaled", head.map(|v| 1.7 * v + 30.0)),
        ("gamma 0.7", head.map(|v| 255.0 * (v / 255.0).powf(0.7))),
        ("gamma 1.4", head.map(|v| 255.0 * (v / 255.0).powf(1.4))),
        ("header lost", Volume::new(grid, head.as_slice().to_vec()).unwrap()),
        ("flipped", Volume::from_fn(*head.grid(), |[i, j, k]| *head.at([last - i, j, k]))),
        ("1.1 mm", resample_to_spacing(&head, [1.1; 3]).unwrap()),
    ];
    let own = Fingerprint::of(&head);
    for (what, copy) in copies {
        let similarity = own.similarity(&Fingerprint::of(&copy));
        assert!(similarity.value >= CANDIDATE, "{what}: {similarity:?}");
        let found = confirm(&head, &copy);
        assert_eq!(found.verdict, Verdict::SameAcquisition, "{what}: {found:?}");
    }
}

/// The series of `adni_layout` was made from the NIfTI image, its intensities times 8.
#[test]
fn a_head_is_found_again_as_dicom() {
    let Some(head) = read("mri/chris_t1.nii.gz") else { return };
    let Some(folder) = real_data().map(|folder| folder.join("dicom/adni_layout")) else { return };
    let tree = scan_tree(&folder, &|_, _| {});
    let series = tree.series.first().expect("one series");
    let copy = load_series(series).expect("a readable series").volume.to_f32();
    let similarity = Fingerprint::of(&head).similarity(&Fingerprint::of(&copy));
    assert!(similarity.value >= CANDIDATE, "{similarity:?}");
    let found = confirm(&head, &copy);
    assert_eq!(found.verdict, Verdict::SameAcquisition, "{found:?}");
    assert!(found.noise_correlation > 0.95, "{found:?}");
}

/// There is no second scan of this person. Its own head, averaged over 2 x 2 x 2 voxels so that little
/// of its noise is left, stands for the anatomy; two draws of noise make two scans of it, not moved at all.
#[test]
fn the_anatomy_alone_is_no_copy() {
    let Some(head) = read("mri/chris_t1.nii.gz") else { return };
    let grid = Grid::new(head.dims().map(|n| n / 2), *head.grid().affine()).expect("a smaller grid");
    let anatomy = Volume::from_fn(grid, |index| {
        let corners = (0..8_usize).map(|c| [0, 1, 2].map(|axis| 2 * index[axis] + (c >> axis & 1)));
        corners.map(|corner| head.at(corner)).sum::<f32>() / 8.0
    });
    for share in [0.01, 0.02, 0.03] {
        let scans = [1, 2].map(|seed| {
            let mut random = Random::new(seed);
            anatomy.map(|&v| v + 255.0 * share * random.normal() as f32)
        });
        let found = confirm(&scans[0], &scans[1]);
        assert_eq!(found.verdict, Verdict::OtherAcquisition, "noise {share}: {found:?}");
        let copy = confirm(&scans[0], &scans[0].map(|v| (0.8 * v).round()));
        assert_eq!(copy.verdict, Verdict::SameAcquisition, "noise {share}: {copy:?}");
        assert!(share < 0.015 || found.noise_correlation < 0.15, "noise {share}: {found:?}");
    }
}

/// The other series are a few slices of other people, too little for a verdict.
#[test]
fn slabs_of_other_people_are_no_copies() {
    let Some(head) = read("mri/chris_t1.nii.gz") else { return };
    for name in
        ["ge_axial/001_ground_truth", "philips/001_ground_truth", "generic/anatomical/001_ground_truth"]
    {
        let Some(slab) = read(&format!("dicom/{name}.nii.gz")) else { continue };
        let found = confirm(&head, &slab);
        assert_ne!(found.verdict, Verdict::SameAcquisition, "{name}: {found:?}");
    }
}
