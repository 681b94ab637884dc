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

/// The truth is the envelope of cerebrum, cerebellum and brainstem, sulci and ventricles included.
#[test]
fn brains_of_both_groups_are_found() {
    let bet = Bet::new(BetConfig::default()).expect("defaults are in range");
    for diagnosis in [Diagnosis::Normal, Diagnosis::Alzheimer] {
        let head = scan(diagnosis);
        let mask = bet.extract(&head.image).expect("a brain");
        let (mut both, mut either) = (0.0, 0.0);
        for (found, truth) in mask.as_slice().iter().zip(head.mask.as_slice()) {
            both += f64::from(u8::from(*found && *truth == 1));
            either += f64::from(u8::from(*found) + truth);
        }
        let dice = 2.0 * both / either;
        assert!(dice > 0.95, "{diagnosis:?}: Dice {dice:.4}");
    }
}
