//! The observer of a stage, shared between the threads that work for it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use brainreel_training::TrainEvent;

use crate::{Detail, FailedItem, Observer, ProgressUpdate, Stage, StageError, Unit};

/// Reports of one stage to its observer. Threads may share it.
pub struct Reporter<'a> {
    stage: Stage,
    observer: Mutex<&'a mut (dyn Observer + 'a)>,
}

impl<'a> Reporter<'a> {
    /// Reports that the stage starts.
    pub fn new(stage: Stage, observer: &'a mut (dyn Observer + 'a)) -> Self {
        observer.stage_started(stage);
        Self { stage, observer: Mutex::new(observer) }
    }

    /// The stage that reports.
    #[must_use]
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// Information for a person.
    pub fn note(&self, text: impl AsRef<str>) {
        self.lock().note(self.stage, text.as_ref());
    }

    /// Information that only a curious person wants.
    pub fn detail(&self, level: Detail, text: impl AsRef<str>) {
        self.lock().detail(self.stage, level, text.as_ref());
    }

    /// Something that deserves attention but does not stop the stage.
    pub fn warn(&self, text: impl AsRef<str>) {
        self.lock().warning(self.stage, text.as_ref());
    }

    /// A scan, series or file failed.
    pub fn failed_item(&self, name: &str, error: &str) {
        self.lock().failed_item(self.stage, &FailedItem { name, error });
    }

    /// An event of training or prediction.
    pub fn training_event(&self, event: &TrainEvent<'_>) {
        self.lock().training_event(self.stage, event);
    }

    /// Opens a phase of `total` items; 0 if that is not known yet.
    pub fn progress(&self, label: &'static str, total: usize) -> Progress<'_> {
        self.progress_of(label, total as u64, Unit::Items)
    }

    /// Opens a phase that counts bytes.
    pub fn progress_in_bytes(&self, label: &'static str) -> Progress<'_> {
        self.progress_of(label, 0, Unit::Bytes)
    }

    fn progress_of(&self, label: &'static str, total: u64, unit: Unit) -> Progress<'_> {
        let state = ProgressState { done: 0, total, resumed_from: 0, message: String::new() };
        let progress = Progress { sink: self, stage: self.stage, label, unit, state: Mutex::new(state) };
        progress.update(|_| {});
        progress
    }

    /// Whether the stage should stop.
    pub fn is_cancelled(&self) -> bool {
        self.lock().is_cancelled()
    }

    /// Stops a stage that was cancelled.
    ///
    /// # Errors
    /// [`StageError::Cancelled`] if the observer asks to stop.
    pub fn check_cancelled(&self) -> Result<(), StageError> {
        if self.is_cancelled() { Err(StageError::Cancelled { stage: self.stage }) } else { Ok(()) }
    }

    /// Lends the observer, for a stage that runs inside this one.
    ///
    /// The reporter must not be used inside `work`: the observer is locked.
    pub fn with_observer<T>(&self, work: impl FnOnce(&mut dyn Observer) -> T) -> T {
        work(&mut **self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, &'a mut (dyn Observer + 'a)> {
        self.observer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a phase reports to; hides the lifetime of the observer.
trait Sink: Sync {
    fn show(&self, update: &ProgressUpdate<'_>);
    fn end(&self, label: &str);
}

impl Sink for Reporter<'_> {
    fn show(&self, update: &ProgressUpdate<'_>) {
        self.lock().progress(update);
    }

    fn end(&self, label: &str) {
        self.lock().progress_finished(self.stage, label);
    }
}

/// One phase of a stage, shown as a progress bar. Threads may share it; dropping it ends the phase.
pub struct Progress<'r> {
    sink: &'r dyn Sink,
    stage: Stage,
    label: &'static str,
    unit: Unit,
    state: Mutex<ProgressState>,
}

struct ProgressState {
    done: u64,
    total: u64,
    resumed_from: u64,
    message: String,
}

impl Progress<'_> {
    /// One more item is done.
    pub fn inc(&self) {
        self.update(|state| state.done += 1);
    }

    /// `done` of `total` items are done.
    pub fn set(&self, done: usize, total: usize) {
        self.update(|state| (state.done, state.total) = (done as u64, total as u64));
    }

    /// `done` of `total` items were done by an earlier run.
    pub fn start_at(&self, done: usize, total: usize) {
        self.update(|state| {
            (state.done, state.total, state.resumed_from) = (done as u64, total as u64, done as u64);
        });
    }

    /// `done` bytes of `total` have arrived.
    pub fn set_bytes(&self, done: u64, total: Option<u64>) {
        self.update(|state| (state.done, state.total) = (done, total.unwrap_or(0)));
    }

    /// Shows a text beside the bar.
    pub fn message(&self, text: impl Into<String>) {
        self.update(|state| state.message = text.into());
    }

    /// Ends the phase.
    pub fn finish(self) {}

    fn update(&self, change: impl FnOnce(&mut ProgressState)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        let update = ProgressUpdate {
            stage: self.stage,
            label: self.label,
            done: state.done,
            total: (state.total > 0).then_some(state.total),
            resumed_from: state.resumed_from,
            unit: self.unit,
            message: &state.message,
        };
        self.sink.show(&update);
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.sink.end(self.label);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Silent;

    /// Records the reports.
    #[derive(Default)]
    struct Log {
        lines: Vec<String>,
        is_cancelled: bool,
    }

    impl Observer for Log {
        fn stage_started(&mut self, stage: Stage) {
            self.lines.push(format!("start {stage}"));
        }
        fn progress(&mut self, update: &ProgressUpdate<'_>) {
            self.lines.push(format!("{} {} of {:?}", update.label, update.done, update.total));
        }
        fn progress_finished(&mut self, _stage: Stage, label: &str) {
            self.lines.push(format!("{label} finished"));
        }
        fn warning(&mut self, stage: Stage, text: &str) {
            self.lines.push(format!("warning {stage}: {text}"));
        }
        fn is_cancelled(&self) -> bool {
            self.is_cancelled
        }
    }

    #[test]
    fn reports_arrive_in_order_from_any_thread() {
        let mut log = Log::default();
        let reporter = Reporter::new(Stage::Convert, &mut log);
        let progress = reporter.progress("read", 0);
        progress.set(0, 2);
        std::thread::scope(|scope| {
            scope.spawn(|| progress.inc());
            scope.spawn(|| progress.inc());
        });
        progress.finish();
        reporter.warn("odd");
        let expected = [
            "start convert",
            "read 0 of None",
            "read 0 of Some(2)",
            "read 1 of Some(2)",
            "read 2 of Some(2)",
            "read finished",
            "warning convert: odd",
        ];
        assert_eq!(log.lines, expected);
    }

    #[test]
    fn a_cancelled_stage_stops() {
        let mut log = Log { is_cancelled: true, ..Log::default() };
        let error = Reporter::new(Stage::Train, &mut log).check_cancelled().unwrap_err();
        assert!(matches!(error, StageError::Cancelled { stage: Stage::Train }));
        assert!(Reporter::new(Stage::Train, &mut Silent).check_cancelled().is_ok());
    }
}
