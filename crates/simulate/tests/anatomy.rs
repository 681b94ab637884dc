//! Rendered heads have the anatomy that their subjects were drawn with.

use std::sync::LazyLock;

use brainreel_simulate::{Acquisition, Plane, RenderedHead, SimulateConfig, Subject, Tissue, render};
use brainreel_volume::Volume;

/// Long enough a study that somebody has three visits.
fn subjects() -> Vec<Subject> {
    Subject::draw_cohort(&SimulateConfig { n_subjects: 8, n_visits: 4, ..SimulateConfig::default() })
}

fn plain(spacing_mm: f64, plane: Plane) -> Acquisition {
    Acquisition::plain([spacing_mm; 3], plane)
}

/// Six heads at 2 mm, rendered once for all tests.
static HEADS: LazyLock<Vec<(Subject, RenderedHead)>> = LazyLock::new(|| {
    let scan = |subject: Subject| {
        let head = render(&subject, &subject.visits[0], &plain(2.0, Plane::Sagittal)).expect("a 2 mm grid");
        (subject, head)
    };
    subjects().into_iter().take(6).map(scan).collect()
});

#[test]
fn volumes_are_those_of_adults() {
    for (_, head) in HEADS.iter() {
        let v = &head.volumes;
        for side in [v.hippocampus_left_mm3, v.hippocampus_right_mm3] {
            assert!((1500.0..4800.0).contains(&side), "{v:?}");
        }
        assert!((9_000.0..180_000.0).contains(&v.lateral_ventricles_mm3), "{v:?}");
        assert!((1.1e6..1.95e6).contains(&v.intracranial_mm3), "{v:?}");
        let parenchyma = v.brain_mm3 / v.intracranial_mm3;
        assert!((0.58..0.84).contains(&parenchyma), "{parenchyma}");
        let grey_to_white = v.grey_mm3 / v.white_mm3;
        assert!((0.9..1.5).contains(&grey_to_white), "{grey_to_white}");
        let mask_ml = 8e-3 * head.mask.as_slice().iter().filter(|&&inside| inside == 1).count() as f64;
        assert!((1000.0..1750.0).contains(&mask_ml), "{mask_ml} ml");
    }
}

#[test]
fn rendered_volumes_follow_the_targets() {
    for (subject, head) in HEADS.iter() {
        let targets = subject.targets(&subject.visits[0]);
        let hippocampi = head.volumes.hippocampus_left_mm3 + head.volumes.hippocampus_right_mm3;
        let meant = targets.hippocampus_mm3[0] + targets.hippocampus_mm3[1];
        assert!((hippocampi / meant - 1.0).abs() < 0.12, "hippocampi {hippocampi}, meant {meant}");
        let ventricles = head.volumes.lateral_ventricles_mm3 / targets.ventricles_mm3;
        assert!((ventricles - 1.0).abs() < 0.2, "ventricles {ventricles} of what was meant");
    }
}

#[test]
fn every_tissue_of_the_brain_is_there_on_both_sides() {
    let (_, head) = &HEADS[0];
    let mut counts = [0_usize; 256];
    head.labels.as_slice().iter().for_each(|&label| counts[usize::from(label)] += 1);
    for &tissue in Tissue::all() {
        for right in [false, true] {
            let label = tissue.label(right);
            assert!(
                counts[usize::from(label)] > 20,
                "{tissue:?} right={right}: {}",
                counts[usize::from(label)]
            );
        }
    }
}

#[test]
fn labels_on_the_right_lie_on_the_right() {
    let (_, head) = &HEADS[1];
    let affine = *head.labels.grid().affine();
    for (label, sign) in [(17, -1.0), (53, 1.0)] {
        let x = mean_position(&head.labels, label, |index| affine.apply(index))[0];
        assert!(x * sign > 15.0, "label {label} at x = {x}");
    }
}

fn mean_position(labels: &Volume<u8>, label: u8, to_world: impl Fn([f64; 3]) -> [f64; 3]) -> [f64; 3] {
    let [ni, nj, nk] = labels.dims();
    let (mut sum, mut n) = ([0.0; 3], 0.0);
    for (at, &found) in labels.as_slice().iter().enumerate() {
        if found == label {
            let index = [at % ni, at / ni % nj, at / ni / nj];
            assert!(index[2] < nk);
            let world = to_world(index.map(|v| v as f64));
            (0..3).for_each(|axis| sum[axis] += world[axis]);
            n += 1.0;
        }
    }
    sum.map(|s| s / n)
}

#[test]
fn a_sagittal_and_an_oblique_axial_scan_agree_in_the_world() {
    let (subject, sagittal) = &HEADS[2];
    let oblique = Acquisition { oblique_deg: [4.0, -3.0, 5.0], ..plain(2.0, Plane::Axial) };
    let axial = render(subject, &subject.visits[0], &oblique).unwrap();
    let to_sagittal = sagittal.labels.grid().affine().inverse().unwrap();
    let (mut same, mut total) = (0, 0);
    let [ni, nj, _] = axial.labels.dims();
    for (at, &label) in axial.labels.as_slice().iter().enumerate() {
        let index = [at % ni, at / ni % nj, at / ni / nj].map(|v| v as f64);
        let there = to_sagittal.apply(axial.labels.grid().affine().apply(index)).map(f64::round);
        let inside =
            (0..3).all(|axis| there[axis] >= 0.0 && there[axis] < sagittal.labels.dims()[axis] as f64);
        // Structures thicker than a voxel: white matter, ventricles, thalamus, brainstem.
        if inside && [2, 41, 4, 43, 10, 49, 16].contains(&label) {
            total += 1;
            same += i32::from(*sagittal.labels.at(there.map(|v| v as usize)) == label);
        }
    }
    let share = f64::from(same) / f64::from(total);
    assert!(total > 20_000 && share > 0.85, "{share} of {total} voxels agree");
}

#[test]
fn visits_share_anatomy_and_differ_in_noise() {
    let subject = subjects().into_iter().find(|subject| subject.visits.len() >= 3).unwrap();
    let noisy = |seed| Acquisition { noise: 0.03, seed, ..plain(3.0, Plane::Sagittal) };
    let first = render(&subject, &subject.visits[0], &noisy(1)).unwrap();
    let later = render(&subject, &subject.visits[2], &noisy(2)).unwrap();
    let labels = |head: &RenderedHead| head.labels.as_slice().to_vec();
    let brain: Vec<(u8, u8)> =
        labels(&first).into_iter().zip(labels(&later)).filter(|(a, b)| a.max(b) > &0).collect();
    let same = brain.iter().filter(|(a, b)| a == b).count() as f64 / brain.len() as f64;
    assert!(same > 0.95, "{same}");
    let air = |head: &RenderedHead| head.image.as_slice()[..50].to_vec();
    assert_ne!(air(&first), air(&later));
    assert!(later.volumes.lateral_ventricles_mm3 > first.volumes.lateral_ventricles_mm3);
    assert!(later.volumes.hippocampus_left_mm3 < first.volumes.hippocampus_left_mm3);
}

#[test]
fn volumes_hardly_depend_on_the_voxel_size() {
    let (subject, at_2mm) = &HEADS[3];
    let at_3mm = render(subject, &subject.visits[0], &plain(3.0, Plane::Sagittal)).unwrap();
    for value in [
        |head: &RenderedHead| head.volumes.hippocampus_left_mm3,
        |head: &RenderedHead| head.volumes.lateral_ventricles_mm3,
        |head: &RenderedHead| head.volumes.grey_mm3,
        |head: &RenderedHead| head.volumes.white_mm3,
    ] {
        let ratio = value(&at_3mm) / value(at_2mm);
        assert!((ratio - 1.0).abs() < 0.08, "{ratio}");
    }
}
