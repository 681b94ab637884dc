//! One quality metric, as a column of a table.

use super::QcRecord;

/// One metric of a [`QcRecord`] with name and description: a column of the table of all scans.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Name of the column.
    pub name: &'static str,
    /// Unit, in the spelling of BIDS. `1` for plain numbers.
    pub unit: &'static str,
    /// Its description.
    pub description: &'static str,
    /// Whether outlier scans are flagged.
    pub marks_outliers: bool,
    /// Whether the column is omitted from a table in which no scan has a value. For steps that are off by
    /// default.
    pub is_optional: bool,
    value: fn(&QcRecord) -> Option<f64>,
}

impl Metric {
    pub(crate) const fn new(
        name: &'static str,
        unit: &'static str,
        description: &'static str,
        value: fn(&QcRecord) -> Option<f64>,
    ) -> Self {
        Self { name, unit, description, marks_outliers: false, is_optional: false, value }
    }

    pub(crate) const fn marking_outliers(self) -> Self {
        Self { marks_outliers: true, ..self }
    }

    pub(crate) const fn optional(self) -> Self {
        Self { is_optional: true, ..self }
    }

    /// Returns the value from a record, if present.
    #[must_use]
    pub fn value(&self, qc: &QcRecord) -> Option<f64> {
        (self.value)(qc)
    }
}
