//! Under which instruction sets a run was computed.
//!
//! The sets agree within rounding, not always to the bit (ARCHITECTURE.md, "Determinism"), so a run records them. They make
//! nothing out of date.

use std::collections::BTreeSet;
use std::fmt;

use brainreel_models::InstructionSet;

/// Work on a run goes on under an instruction set that the run was not computed with so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstructionSetChange {
    /// The sets so far.
    pub earlier: BTreeSet<String>,
    /// The set from now on.
    pub current: InstructionSet,
}

impl InstructionSetChange {
    /// The change from `earlier` sets to `current`; nothing if that is one of them, or if they are not known, as in runs
    /// of earlier versions.
    #[must_use]
    pub fn detect(earlier: &BTreeSet<String>, current: InstructionSet) -> Option<Self> {
        let is_change = !earlier.is_empty() && !earlier.contains(&current.to_string());
        is_change.then(|| Self { earlier: earlier.clone(), current })
    }
}

impl fmt::Display for InstructionSetChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let earlier: Vec<&str> = self.earlier.iter().map(String::as_str).collect();
        write!(
            f,
            "the run was computed with the instruction set {} so far and goes on with {}: the results are those of one set \
             within rounding, not to the bit",
            earlier.join(" and "),
            self.current
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_names_both_sets() {
        let earlier = BTreeSet::from(["avx2".to_owned()]);
        let change = InstructionSetChange::detect(&earlier, InstructionSet::Scalar).unwrap().to_string();
        assert!(change.contains("avx2") && change.contains("scalar"), "{change}");
        assert_eq!(InstructionSetChange::detect(&earlier, InstructionSet::Avx2), None);
        assert_eq!(
            InstructionSetChange::detect(&BTreeSet::new(), InstructionSet::Avx2),
            None,
            "not recorded"
        );
    }
}
