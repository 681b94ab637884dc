//! Scanners and field strengths. The only parser of field strengths.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::merge::fill;

/// Field strengths closer than this, in tesla, have the same nominal value: 3 T scanners report 2.89 or 3.0.
const SAME_FIELD_T: f64 = 0.25;

/// Nominal field strengths of scanners, in tesla.
const NOMINAL_T: [f64; 4] = [1.0, 1.5, 3.0, 7.0];

/// A field strength, in tesla: above 0, at most 30.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct FieldStrength(f64);

impl FieldStrength {
    /// The largest field strength, in tesla.
    pub const LARGEST_T: f64 = 30.0;

    /// Accepted field strengths, for messages.
    pub const EXPECTED: &'static str = "a field strength in tesla, above 0 and at most 30, or n/a";

    /// Creates a field strength from tesla, or from gauss as some scanners write it (above 100). `None` if
    /// out of range.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        let tesla = if value > 100.0 { value / 10_000.0 } else { value };
        (tesla > 0.0 && tesla <= Self::LARGEST_T).then_some(Self(tesla))
    }

    /// Parses `3`, `3.0`, `3T`, `1.5 Tesla MRI`, `15000` (gauss).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let is_unit = unit.is_empty() || unit.trim_start().starts_with(['T', 't', 'G', 'g']);
        Self::new(number.parse().ok().filter(|_| is_unit)?)
    }

    /// The value in tesla.
    #[must_use]
    pub const fn tesla(self) -> f64 {
        self.0
    }

    /// Whether both have the same nominal field strength.
    #[must_use]
    pub fn is_same_as(self, other: Self) -> bool {
        (self.0 - other.0).abs() <= SAME_FIELD_T
    }

    /// The nominal field strength, such as 3 T for 2.89 T.
    #[must_use]
    pub fn nominal(self) -> Self {
        NOMINAL_T.map(Self).into_iter().find(|nominal| nominal.is_same_as(self)).unwrap_or(self)
    }
}

impl fmt::Display for FieldStrength {
    /// The value in tesla, without a unit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<f64> for FieldStrength {
    type Error = String;
    fn try_from(value: f64) -> Result<Self, String> {
        Self::new(value).ok_or_else(|| format!("found {value}, expected {}", Self::EXPECTED))
    }
}

impl From<FieldStrength> for f64 {
    fn from(field_strength: FieldStrength) -> Self {
        field_strength.0
    }
}

/// An MR scanner.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scanner {
    /// Manufacturer.
    pub manufacturer: Option<Arc<str>>,
    /// Model, or manufacturer and model if a table has both in one column.
    pub model: Option<Arc<str>>,
    /// Field strength.
    pub field_strength: Option<FieldStrength>,
}

impl Scanner {
    /// Manufacturer and model, such as `SIEMENS Avanto`.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        let words = [&self.manufacturer, &self.model].into_iter().flatten().map(|word| word.trim());
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        (!words.is_empty()).then(|| words.join(" "))
    }

    /// Fills in unknown facts.
    pub fn fill_missing(&mut self, other: Self) {
        fill(&mut self.manufacturer, other.manufacturer);
        fill(&mut self.model, other.model);
        fill(&mut self.field_strength, other.field_strength);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_one_field_strength() {
        for (text, tesla) in [
            ("3", 3.0),
            ("3.0", 3.0),
            ("3T", 3.0),
            ("3.0 T", 3.0),
            ("1.5 Tesla MRI", 1.5),
            ("1.5t", 1.5),
            ("15000", 1.5),
            ("0.064", 0.064),
            (" 2.89 ", 2.89),
        ] {
            assert_eq!(FieldStrength::parse(text).map(FieldStrength::tesla), Some(tesla), "{text}");
        }
        for text in ["", "T", "0", "-3", "31", "99", "3D MPRAGE", "NaN", "inf", "1.5.2", "high", "1e400"] {
            assert_eq!(FieldStrength::parse(text), None, "{text}");
        }
    }

    #[test]
    fn nominal_strengths_and_text() {
        let field = |tesla| FieldStrength::new(tesla).unwrap();
        assert_eq!(field(2.89).nominal(), field(3.0));
        assert_eq!(field(0.5).nominal(), field(0.5));
        assert!(field(2.9).is_same_as(field(3.0)) && !field(1.5).is_same_as(field(3.0)));
        assert_eq!(field(3.0).to_string(), "3");
        let scanner = Scanner { manufacturer: Some("SIEMENS ".into()), ..Scanner::default() };
        assert_eq!(scanner.name().as_deref(), Some("SIEMENS"));
        assert_eq!(Scanner::default().name(), None);
    }
}
