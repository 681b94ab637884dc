//! A running stage on the terminal.

use brainreel_pipeline::{Detail, FailedItem, Observer, ProgressUpdate, Stage, Unit};
use brainreel_training::TrainEvent;

use crate::interrupt;
use crate::training_view::TrainingView;
use crate::ui::{Progress, Ui};

/// How many failed scans of a stage are named on the terminal; its table has them all.
const MAX_NAMED_FAILURES: usize = 5;

/// Shows what a stage reports: bars, notes, warnings. Ctrl-C cancels a training in order.
pub(crate) struct TerminalObserver<'a> {
    ui: &'a Ui,
    bars: Vec<(String, Progress)>,
    training: Option<TrainingView<'a>>,
    n_failed: usize,
}

impl<'a> TerminalObserver<'a> {
    pub(crate) fn new(ui: &'a Ui) -> Self {
        Self { ui, bars: Vec::new(), training: None, n_failed: 0 }
    }

    fn bar(&mut self, update: &ProgressUpdate<'_>) -> &Progress {
        let idx = self.bars.iter().position(|(label, _)| label == update.label).unwrap_or_else(|| {
            let bar = match update.unit {
                Unit::Items => self.ui.progress(update.label, 0),
                Unit::Bytes => self.ui.download_progress(update.label),
            };
            self.bars.push((update.label.to_owned(), bar));
            self.bars.len() - 1
        });
        &self.bars[idx].1
    }
}

impl Observer for TerminalObserver<'_> {
    fn stage_started(&mut self, stage: Stage) {
        self.n_failed = 0;
        if stage == Stage::Train {
            interrupt::start();
        } else {
            interrupt::end();
        }
        if let Some(view) = self.training.take() {
            view.finish();
        }
        self.training = Some(TrainingView::new(self.ui, stage.name()));
    }

    fn progress(&mut self, update: &ProgressUpdate<'_>) {
        let bar = self.bar(update);
        bar.show(update);
    }

    fn progress_finished(&mut self, _stage: Stage, label: &str) {
        if let Some(idx) = self.bars.iter().position(|(known, _)| known == label) {
            self.bars.remove(idx).1.finish();
        }
    }

    fn note(&mut self, stage: Stage, text: &str) {
        self.ui.note(format!("{stage:>12} {text}"));
    }

    fn detail(&mut self, stage: Stage, level: Detail, text: &str) {
        if self.ui.shows(level) {
            self.ui.note(format!("{stage:>12} {text}"));
        }
    }

    fn warning(&mut self, stage: Stage, text: &str) {
        self.ui.warn(format!("{stage}: {text}"));
    }

    fn failed_item(&mut self, stage: Stage, item: &FailedItem<'_>) {
        self.n_failed += 1;
        if self.n_failed <= MAX_NAMED_FAILURES {
            self.ui.warn(format!("{stage}: {}: {}", item.name, item.error));
        } else if self.n_failed == MAX_NAMED_FAILURES + 1 {
            self.ui.warn(format!("{stage}: more scans failed; the table of failures names all of them"));
        }
    }

    fn training_event(&mut self, _stage: Stage, event: &TrainEvent<'_>) {
        if let Some(view) = &mut self.training {
            view.show(event);
        }
    }

    fn is_cancelled(&self) -> bool {
        interrupt::is_requested()
    }
}

impl Drop for TerminalObserver<'_> {
    fn drop(&mut self) {
        interrupt::end();
        if let Some(view) = self.training.take() {
            view.finish();
        }
        for (_, bar) in self.bars.drain(..) {
            bar.finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use brainreel_pipeline::Reporter;

    use super::*;

    #[test]
    fn a_bar_lives_as_long_as_its_phase() {
        let ui = Ui::new(true, None);
        let mut observer = TerminalObserver::new(&ui);
        let reporter = Reporter::new(Stage::Convert, &mut observer);
        let (one, other) = (reporter.progress("read", 3), reporter.progress("compare", 0));
        one.set(2, 3);
        one.finish();
        reporter.with_observer(|observer| assert!(!observer.is_cancelled()));
        drop(other);
        assert!(observer.bars.is_empty());
    }
}
