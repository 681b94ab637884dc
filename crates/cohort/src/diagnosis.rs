//! Diagnoses, research groups and sex, as written in tables.

use std::fmt;

use brainreel_named::{Named, named};

named! {
    /// A clinical diagnosis at the time of a session, ordered by severity.
    pub enum Diagnosis {
        /// Cognitively normal.
        Cn = "CN",
        /// Mild cognitive impairment.
        Mci = "MCI",
        /// Dementia of the Alzheimer type.
        Ad = "AD",
    }
}

impl Diagnosis {
    /// The class label: CN 0, AD 1. MCI has none.
    #[must_use]
    pub const fn class_idx(self) -> Option<usize> {
        match self {
            Self::Cn => Some(0),
            Self::Mci => None,
            Self::Ad => Some(1),
        }
    }

    /// Parses `CN`, `MCI` or `AD`, ignoring case.
    #[must_use]
    pub fn parse(raw: &str) -> Option<Self> {
        Self::from_name_ignoring_case(raw)
    }
}

/// Content of a group column: a diagnosis or another word.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// One of the three diagnoses. Early and late MCI (`EMCI`, `LMCI`) are MCI.
    Diagnosis(Diagnosis),
    /// Anything else, verbatim, for example `SMC` (subjective memory concern) or `Patient`.
    Other(String),
}

impl Group {
    /// Parses a group. `None` for an empty cell or `n/a`.
    #[must_use]
    pub fn parse(raw: &str) -> Option<Self> {
        let raw = raw.trim();
        if raw.is_empty() || raw.eq_ignore_ascii_case("n/a") {
            return None;
        }
        let diagnosis = match raw.to_ascii_uppercase().as_str() {
            "CN" | "NL" | "COGNITIVELY NORMAL" => Diagnosis::Cn,
            "MCI" | "EMCI" | "LMCI" => Diagnosis::Mci,
            "AD" | "DEMENTIA" => Diagnosis::Ad,
            _ => return Some(Self::Other(crate::error::shorten(raw))),
        };
        Some(Self::Diagnosis(diagnosis))
    }

    /// The diagnosis, if the group is a diagnosis.
    #[must_use]
    pub fn diagnosis(&self) -> Option<Diagnosis> {
        match self {
            Self::Diagnosis(diagnosis) => Some(*diagnosis),
            Self::Other(_) => None,
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Diagnosis(diagnosis) => diagnosis.fmt(f),
            Self::Other(word) => f.pad(word),
        }
    }
}

named! {
    /// Sex as recorded by the study.
    pub enum Sex {
        /// Female.
        F = "F" | "female",
        /// Male.
        M = "M" | "male",
    }
}

impl Sex {
    /// Parses `F`, `M`, `female` or `male`, ignoring case.
    #[must_use]
    pub fn parse(raw: &str) -> Option<Self> {
        Self::from_name_ignoring_case(raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_keep_words_that_are_no_diagnosis() {
        assert_eq!(Group::parse(" ad "), Some(Group::Diagnosis(Diagnosis::Ad)));
        assert_eq!(Group::parse("EMCI").unwrap().diagnosis(), Some(Diagnosis::Mci));
        assert_eq!(Group::parse("SMC"), Some(Group::Other("SMC".into())));
        assert_eq!(Group::parse("n/a"), None);
        assert_eq!(Group::parse(""), None);
    }

    #[test]
    fn severity_is_the_order() {
        assert!(Diagnosis::Ad > Diagnosis::Mci && Diagnosis::Mci > Diagnosis::Cn);
    }
}
