//! What training looks like on the terminal.

use brainreel_training::TrainEvent;

use crate::ui::{Progress, Ui};

/// Draws training events: one bar at a time, and a line an epoch.
pub(crate) struct TrainingView<'a> {
    ui: &'a Ui,
    stage: &'static str,
    bar: Option<(&'static str, Progress)>,
    /// Epoch, bound on epochs, sum of losses so far.
    epoch: (usize, usize, f64),
}

impl<'a> TrainingView<'a> {
    /// `stage` begins every line.
    pub(crate) fn new(ui: &'a Ui, stage: &'static str) -> Self {
        Self { ui, stage, bar: None, epoch: (0, 0, 0.0) }
    }

    /// Shows an event.
    pub(crate) fn show(&mut self, event: &TrainEvent<'_>) {
        match *event {
            TrainEvent::Network { parameters } => self.ui.note(format!(
                "{:>12} R3D-18: {} parameters, {} trainable, {} frozen",
                self.stage,
                thousands(parameters.total),
                thousands(parameters.trainable),
                thousands(parameters.frozen)
            )),
            TrainEvent::Resumed { epoch } => {
                self.ui.note(format!("{:>12} goes on after epoch {epoch}", self.stage));
            }
            TrainEvent::Calibrating { done, total } => self.bar("norms").set(done, total),
            TrainEvent::Features { done, total } => self.bar("features").set(done, total),
            TrainEvent::EpochStart { epoch, max_epochs, n_steps } => {
                self.epoch = (epoch + 1, max_epochs, 0.0);
                self.bar("epoch").set(0, n_steps);
            }
            TrainEvent::Step { step, n_steps, loss, .. } => {
                self.epoch.2 += loss;
                let (epoch, max_epochs, sum) = self.epoch;
                let mean = sum / (step + 1) as f64;
                let bar = self.bar("epoch");
                bar.message(format!("epoch {epoch} of at most {max_epochs}, loss {mean:.4}"));
                bar.set(step + 1, n_steps);
            }
            TrainEvent::Evaluating { done, total } => self.bar("evaluate").set(done, total),
            TrainEvent::EpochEnd { metrics, best_loss, .. } => self.ui.note(format!(
                "{:>12} epoch {:>2}  train loss {:.4}  validation loss {:.4}  accuracy {:.3}{}",
                self.stage,
                metrics.epoch + 1,
                metrics.train_loss,
                metrics.validation_loss,
                metrics.validation_accuracy,
                if best_loss { "  best" } else { "" }
            )),
            _ => {}
        }
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
