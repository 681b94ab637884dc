//! `run`: all stages of an experiment, skipping what is up to date.

mod dataset;
mod request;
mod steps;

use brainreel_artifact::FolderLock;
use brainreel_cohort::LeakPolicy;

use self::dataset::make_dataset;
use self::steps::{Derivatives, evaluate_step, preprocess_step, split_step, train_step};
use crate::experiment::{Experiment, Layout};
use crate::stamp::Walk;
use crate::train::TrainRequest;
use crate::{Observer, Remedy, Stage, StageError, folders};

pub use request::{RunRequest, RunSummary};

/// Runs all stages of an experiment.
///
/// # Errors
/// The first [`StageError`] of a stage, with the name of the stage. Everything that can be checked without work is
/// checked before the first stage.
pub fn run(request: &RunRequest, observer: &mut dyn Observer) -> Result<RunSummary, StageError> {
    let RunRequest { experiment, leaks, .. } = request;
    observer.stage_started(Stage::Run);
    check_leaks(experiment, *leaks)?;
    experiment.check()?;
    experiment.check_ready()?;
    let out = &experiment.out;
    folders::check_output(out)?;
    let _lock = FolderLock::acquire(out)?;
    let layout = Layout::new(out);
    let mut walk = Walk::new(out);
    let dataset = make_dataset(request, &layout, &mut walk, observer)?;
    let Derivatives { hash: derivatives, remedies } =
        preprocess_step(request, &layout, &dataset, &mut walk, observer)?;
    let split = split_step(request, &layout, derivatives.clone(), &mut walk, observer)?;
    let training = TrainRequest {
        config: experiment.train.clone(),
        tracking: experiment.tracking.clone(),
        offline: request.offline,
        memory_limit: request.memory_limit,
        leaks: *leaks,
        override_audit: request.override_audit.clone(),
        ..TrainRequest::new(&layout.derivatives, split, &layout.run)
    };
    train_step(&training, &mut walk, observer)?;
    let evaluation = evaluate_step(request, &layout, &derivatives, &mut walk, observer)?;
    Ok(RunSummary { out: out.clone(), stages: walk.finish(), caveat: None, remedies, evaluation })
}

fn check_leaks(experiment: &Experiment, leaks: LeakPolicy) -> Result<(), StageError> {
    if !experiment.split.strategy.is_leaky() || leaks == LeakPolicy::Allow {
        return Ok(());
    }
    let strategy = experiment.split.strategy;
    let reason =
        format!("stage split: strategy = \"{strategy}\" is leaky on purpose, for demonstrations only");
    Err(StageError::refused(reason, Remedy::AllowLeaky))
}
