//! What a front end learns of a stage while it runs.

use brainreel_training::TrainEvent;

use crate::Stage;

/// Receives the reports of a running stage, and can stop it.
///
/// Every method does nothing by default, so an observer implements only what it shows. Calls come from one thread at a
/// time, but not always from the same thread.
pub trait Observer: Send {
    /// A stage starts.
    fn stage_started(&mut self, _stage: Stage) {}

    /// A phase of a stage has got this far. The first call of a label opens the phase.
    fn progress(&mut self, _update: &ProgressUpdate<'_>) {}

    /// A phase of a stage is over.
    fn progress_finished(&mut self, _stage: Stage, _label: &str) {}

    /// Information for a person.
    fn note(&mut self, _stage: Stage, _text: &str) {}

    /// Information that only a curious person wants: see [`Detail`].
    fn detail(&mut self, _stage: Stage, _level: Detail, _text: &str) {}

    /// Something that deserves attention but does not stop the stage.
    fn warning(&mut self, _stage: Stage, _text: &str) {}

    /// A scan, series or file failed; the others go on.
    fn failed_item(&mut self, _stage: Stage, _item: &FailedItem<'_>) {}

    /// An event of training or prediction: epochs, steps, metrics.
    fn training_event(&mut self, _stage: Stage, _event: &TrainEvent<'_>) {}

    /// Whether the stage should stop at the next point from which it can be resumed.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// How far a phase has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgressUpdate<'a> {
    /// The stage.
    pub stage: Stage,
    /// The phase, such as `read headers`.
    pub label: &'a str,
    /// Finished items or bytes.
    pub done: u64,
    /// All items or bytes; `None` as long as that is unknown.
    pub total: Option<u64>,
    /// Items finished before this phase began, by an earlier run. They say nothing about the speed.
    pub resumed_from: u64,
    /// What is counted.
    pub unit: Unit,
    /// What is being worked on; may be empty.
    pub message: &'a str,
}

/// How deep a detail goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// About a stage as a whole: why it runs again, how long a phase took.
    Stage,
    /// About one scan, series or file.
    Item,
}

/// What a progress display counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Scans, series, files, steps.
    Items,
    /// Bytes.
    Bytes,
}

/// A scan, series or file that could not be processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailedItem<'a> {
    /// The scan, series or file.
    pub name: &'a str,
    /// What went wrong, with its causes.
    pub error: &'a str,
}

/// An observer that shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {}
