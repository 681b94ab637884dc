//! The classical brain extraction finds the simulated brains.

use brainreel_preprocess::BrainExtractor;
use brainreel_preprocess::bet::{Bet, BetConfig};
use brainreel_simulate::{Acquisition, Diagnosis, RenderedHead, SimulateConfig, Subject, render};

/// The first subject of a diagnosis, scanned at 2 mm with the habits of its site.
fn scan(diagnosis: Diagnosis) -> RenderedHead {
    let config = SimulateConfig { n_subjects: 4, spacing_mm: 2.0, seed: 31, ..SimulateConfig::default() };
    let subjects = Subject::draw_cohort(&config);
    let subject = subjects.iter().find(|subject| subject.diagnosis == diagnosis).expect("both diagnoses");
    let visit = &subject.visits[0];
    render(subject, visit, &Acquisition::draw(&config, subject, visit)).expect("a grid")
}

fn dice(head: &RenderedHead) -> f64 {
    let bet = Bet::new(BetConfig::default()).expect("defaults are in range");
    let mask = bet.extract(&head.image).expect("a brain");
    let (mut both, mut either) = (0.0, 0.0);
    for (found, truth) in mask.as_slice().iter().zip(head.mask.as_slice()) {
        both += f64::from(u8::from(*found && *truth == 1));
        either += f64::from(u8::from(*found) + truth);
    }
    2.0 * both / either
}

/// The truth is the envelope of cerebrum, cerebellum and brainstem, sulci and ventricles included.
#[test]
fn brains_of_both_groups_are_found() {
    for diagnosis in [Diagnosis::Normal, Diagnosis::Alzheimer] {
        let dice = dice(&scan(diagnosis));
        assert!(dice > 0.95, "{diagnosis:?}: Dice {dice:.4}");
    }
}

/// The first scan of a subject in a cohort like the demo's, with atrophy 2.5 times the literature's.
fn demo_scan(seed: u64, subject: usize) -> RenderedHead {
    let config = SimulateConfig {
        n_subjects: 140,
        n_visits: 2,
        seed,
        spacing_mm: 2.5,
        effect_size: 2.5,
        ..SimulateConfig::default()
    };
    let subject = &Subject::draw_cohort(&config)[subject];
    let visit = &subject.visits[0];
    render(subject, visit, &Acquisition::draw(&config, subject, visit)).expect("a grid")
}

#[test]
fn a_long_neck_is_left_out() {
    let dice = dice(&demo_scan(2, 122));
    assert!(dice > 0.94, "Dice {dice:.4}");
}

#[test]
fn the_surface_does_not_fall_into_large_ventricles() {
    let dice = dice(&demo_scan(2, 116));
    assert!(dice > 0.96, "Dice {dice:.4}");
}

#[test]
fn thin_gyri_in_large_voxels_are_kept() {
    for subject in [50, 107] {
        let dice = dice(&demo_scan(1, subject));
        assert!(dice > 0.94, "subject {subject}: Dice {dice:.4}");
    }
}
