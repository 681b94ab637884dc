//! Early stopping.

use serde::{Deserialize, Serialize};

/// Early stopping with one counter for validation accuracy and one for validation loss: training
/// goes on as long as either still improves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyStopping {
    patience: usize,
    best_accuracy: Option<f64>,
    best_loss: Option<f64>,
    epochs_without_accuracy: usize,
    epochs_without_loss: usize,
}

/// Which measures an epoch improved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Improvement {
    /// Accuracy is strictly above all earlier ones.
    pub accuracy: bool,
    /// Loss is strictly below all earlier ones.
    pub loss: bool,
}

impl EarlyStopping {
    /// Stops after `patience` epochs without either improving.
    #[must_use]
    pub const fn new(patience: usize) -> Self {
        Self {
            patience,
            best_accuracy: None,
            best_loss: None,
            epochs_without_accuracy: 0,
            epochs_without_loss: 0,
        }
    }

    /// Records an epoch.
    pub fn update(&mut self, accuracy: f64, loss: f64) -> Improvement {
        let better_accuracy = self.best_accuracy.is_none_or(|best| accuracy > best);
        let better_loss = self.best_loss.is_none_or(|best| loss < best);
        if better_accuracy {
            self.best_accuracy = Some(accuracy);
        }
        if better_loss {
            self.best_loss = Some(loss);
        }
        self.epochs_without_accuracy = if better_accuracy { 0 } else { self.epochs_without_accuracy + 1 };
        self.epochs_without_loss = if better_loss { 0 } else { self.epochs_without_loss + 1 };
        Improvement { accuracy: better_accuracy, loss: better_loss }
    }

    /// Whether both counters have run out.
    #[must_use]
    pub const fn should_stop(&self) -> bool {
        self.epochs_without_accuracy >= self.patience && self.epochs_without_loss >= self.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number of epochs that run on these (accuracy, loss) pairs.
    fn epochs_run(patience: usize, course: &[(f64, f64)]) -> usize {
        let mut stopping = EarlyStopping::new(patience);
        for (epoch, &(accuracy, loss)) in course.iter().enumerate() {
            stopping.update(accuracy, loss);
            if stopping.should_stop() {
                return epoch + 1;
            }
        }
        course.len()
    }

    #[test]
    fn either_counter_keeps_it_going() {
        let flat = vec![(0.5, 1.0); 20];
        assert_eq!(epochs_run(5, &flat), 6);
        // Loss rises, accuracy improves each fourth epoch: never stops.
        let accuracy_only: Vec<_> = (0..20).map(|e| (0.5 + f64::from(e / 4) / 100.0, f64::from(e))).collect();
        assert_eq!(epochs_run(5, &accuracy_only), 20);
        // Loss improves until epoch 9, accuracy never after the first.
        let loss_only: Vec<_> = (0..20).map(|e| (0.5, f64::from(10 - e.min(9)))).collect();
        assert_eq!(epochs_run(5, &loss_only), 15);
    }

    #[test]
    fn equal_is_no_improvement_and_survives_saving() {
        let mut stopping = EarlyStopping::new(2);
        assert_eq!(stopping.update(0.7, 0.3), Improvement { accuracy: true, loss: true });
        let text = serde_json::to_string(&stopping).unwrap();
        let mut restored: EarlyStopping = serde_json::from_str(&text).unwrap();
        assert_eq!(restored.update(0.7, 0.3), Improvement { accuracy: false, loss: false });
        assert!(!restored.should_stop());
        restored.update(0.7, 0.3);
        assert!(restored.should_stop());
    }
}
