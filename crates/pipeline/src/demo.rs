//! `demo`: the whole pipeline on a simulated cohort that is small enough for a few minutes.

use std::path::PathBuf;

use brainreel_cohort::SplitConfig;
use brainreel_preprocess::{ExtractorChoice, PreprocessConfig};
use brainreel_simulate::SimulateConfig;
use brainreel_training::{AugmentationConfig, TrainConfig};

use crate::experiment::{Experiment, Input};

/// Size of the demo's disease effect, relative to the literature. A network that starts from random numbers and sees 90
/// subjects for two minutes would learn little at 1.
const EFFECT_SIZE: f64 = 2.5;

/// Why the numbers of the demo are not a result.
#[must_use]
pub fn caveat() -> String {
    format!(
        "Simulated heads, disease effect {EFFECT_SIZE} times the literature's, network from random numbers: a check of the \
         way through, not a result"
    )
}

/// An experiment that takes about three minutes on two cores. With `shuffle_labels` the diagnoses are permuted among
/// subjects, and the result must fall to chance level.
pub fn experiment(out: impl Into<PathBuf>, seed: u64, shuffle_labels: bool) -> Experiment {
    let cohort = SimulateConfig {
        n_subjects: 140,
        n_visits: 2,
        seed,
        spacing_mm: 2.5,
        effect_size: EFFECT_SIZE,
        truth_images: false,
        ..SimulateConfig::default()
    };
    let input =
        Input { simulate: Some(cohort), shuffle_labels: shuffle_labels.then_some(seed), ..Input::default() };
    Experiment {
        preprocess: PreprocessConfig {
            brain_extractor: ExtractorChoice::Bet, // works without weights
            size_voxels: 48,
            spacing_mm: 2.5,
            ..PreprocessConfig::default()
        },
        split: SplitConfig { train: 0.63, validation: 0.12, test: 0.25, ..SplitConfig::default() },
        train: TrainConfig {
            seed,
            max_epochs: 5,
            batch_size: 6,
            calibration_scans: 12,
            augmentation: AugmentationConfig::none(),
            ..TrainConfig::default()
        },
        ..Experiment::new(out, input)
    }
}
