//! The measures that tables show, in their order.

use brainreel_statistics::{Estimate, MetricsReport};

/// A measure and where it is in a report.
#[derive(Debug, Clone, Copy)]
pub struct Measure {
    /// Its title.
    pub title: &'static str,
    /// Its estimate in a report.
    pub of: fn(&MetricsReport) -> &Estimate,
}

/// All measures.
pub const MEASURES: [Measure; 5] = [
    Measure { title: "AUC", of: |report| &report.auc },
    Measure { title: "accuracy", of: |report| &report.accuracy },
    Measure { title: "balanced accuracy", of: |report| &report.balanced_accuracy },
    Measure { title: "sensitivity (AD)", of: |report| &report.sensitivity },
    Measure { title: "specificity (CN)", of: |report| &report.specificity },
];
