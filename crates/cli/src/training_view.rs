//! What training looks like on the terminal.

use brainreel_training::{EpochMetrics, EpochTiming, Improvement, StepMetrics, TrainEvent};

use crate::ui::{Progress, Ui};

/// Share of the time spent waiting for scans from which the bar tells it.
const NOTED_WAIT: f64 = 0.05;

/// Draws training events: one bar at a time, and a row of a table an epoch.
pub(crate) struct TrainingView<'a> {
    ui: &'a Ui,
    stage: &'static str,
    bar: Option<(&'static str, Progress)>,
    epoch: Epoch,
    has_header: bool,
}

/// The epoch on its way.
#[derive(Default)]
struct Epoch {
    number: usize,
    most: usize,
    loss_sum: f64,
    n_losses: usize,
}

impl<'a> TrainingView<'a> {
    /// `stage` begins every line.
    pub(crate) fn new(ui: &'a Ui, stage: &'static str) -> Self {
        Self { ui, stage, bar: None, epoch: Epoch::default(), has_header: false }
    }

    /// Shows an event.
    pub(crate) fn show(&mut self, event: &TrainEvent<'_>) {
        match *event {
            TrainEvent::Network { architecture, parameters } => self.ui.note(format!(
                "{:>12} {architecture}: {} parameters, {} trainable, {} frozen",
                self.stage,
                thousands(parameters.total),
                thousands(parameters.trainable),
                thousands(parameters.frozen)
            )),
            TrainEvent::Resumed { state } => {
                self.ui.note(format!("{:>12} goes on {}", self.stage, state.position()));
            }
            TrainEvent::Calibrating { done, total } => self.bar("norms").set(done, total),
            TrainEvent::Features { done, total } => self.bar("features").set(done, total),
            TrainEvent::EpochStart { epoch, max_epochs, first_step, n_steps } => {
                self.epoch = Epoch { number: epoch + 1, most: max_epochs, ..Epoch::default() };
                self.bar("epoch").start_at(first_step, n_steps);
            }
            TrainEvent::Step { metrics, share_waiting } => self.step(metrics, share_waiting),
            TrainEvent::Evaluating { done, total } => self.bar("evaluate").set(done, total),
            TrainEvent::EpochEnd { metrics, improvement, timing, .. } => {
                self.row(metrics, timing, improvement);
            }
            _ => {}
        }
    }

    fn step(&mut self, metrics: &StepMetrics, share_waiting: f64) {
        let epoch = &mut self.epoch;
        epoch.loss_sum += metrics.loss;
        epoch.n_losses += 1;
        let (number, most, mean) = (epoch.number, epoch.most, epoch.loss_sum / epoch.n_losses as f64);
        let mut message = format!(
            "epoch {number} of at most {most}, loss {mean:.4}, rate {:.1e}, {:.1e} fc",
            metrics.learning_rate, metrics.learning_rate_fc
        );
        if share_waiting >= NOTED_WAIT {
            message += &format!(", {:.0} % waiting for scans", 100.0 * share_waiting);
        }
        let bar = self.bar("epoch");
        bar.message(message);
        bar.set(metrics.step + 1, metrics.n_steps);
    }

    /// A row of the validation table, the first one below a header.
    fn row(&mut self, metrics: &EpochMetrics, timing: &EpochTiming, improvement: Improvement) {
        if !self.has_header {
            self.has_header = true;
            self.ui.note(format!(
                "{:>12} epoch   train loss   val loss   accuracy     AUC   seconds  waiting",
                self.stage
            ));
        }
        let auc = metrics.validation_auc.map_or_else(|| "n/a".to_owned(), |auc| format!("{auc:.3}"));
        let best = match (improvement.accuracy, improvement.loss) {
            (true, true) => "  best accuracy and loss",
            (true, false) => "  best accuracy",
            (false, true) => "  best loss",
            (false, false) => "",
        };
        self.ui.note(format!(
            "{:>12} {:>5}   {:>10.4} {:>10.4} {:>10.3} {auc:>7} {:>9.1} {:>7.0} %{best}",
            self.stage,
            metrics.epoch + 1,
            metrics.train_loss,
            metrics.validation_loss,
            metrics.validation_accuracy,
            timing.seconds_train + timing.seconds_validate,
            100.0 * timing.seconds_waiting / timing.seconds_train.max(1e-9),
        ));
    }

    /// Removes the last bar.
    pub(crate) fn finish(self) {
        if let Some((_, bar)) = self.bar {
            bar.finish();
        }
    }

    fn bar(&mut self, label: &'static str) -> &Progress {
        if let Some((_, bar)) = self.bar.take_if(|(current, _)| *current != label) {
            bar.finish();
        }
        let ui = self.ui;
        &self.bar.get_or_insert_with(|| (label, ui.progress(label, 0))).1
    }
}

/// `33148482` as `33,148,482`.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).expect("digits are ASCII"))
        .collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(thousands(33_148_482), "33,148,482");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1000), "1,000");
    }
}
