//! Visit codes, converted to months since the first visit.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::SessionId;
use crate::error::shorten;

/// A study's visit code, and the month for which the visit was scheduled.
///
/// `sc`, `scmri`, `bl`, `ADNI Screening`, `init` are month 0; `m06`, `Month 6`, `ADNI1/GO Month 6` month 6;
/// `y2`, `Year 2 Visit` month 24. A code without a month (`nv`, `tau`, `v11`) has none; only its date gives
/// the time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VisitCode {
    label: String,
    months: Option<u16>,
}

impl VisitCode {
    /// Reads a code; `None` for an empty cell.
    #[must_use]
    pub fn parse(raw: &str) -> Option<Self> {
        let raw = raw.trim();
        if raw.is_empty() || raw.eq_ignore_ascii_case("n/a") {
            return None;
        }
        let key = raw.to_ascii_lowercase();
        let key = key.strip_prefix("ses-").unwrap_or(&key);
        let months = months_of(key);
        let label = match oasis_session(key) {
            Some(session) => session.to_ascii_uppercase(),
            None => match months {
                Some(0) if key.contains("sc") => "sc".to_owned(),
                Some(0) => "bl".to_owned(),
                Some(months) => format!("m{months:02}"),
                None => shorten(key),
            },
        };
        Some(Self { label, months })
    }

    /// The code: `sc`, `bl`, `m06`, or the table's text in lower case.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Months since the first visit, if the code gives them.
    #[must_use]
    pub fn months(&self) -> Option<u16> {
        self.months
    }

    /// Whether two codes name the same visit. Screening and baseline are the same visit.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self.months, other.months) {
            (Some(one), Some(two)) => one == two,
            _ => self.label == other.label,
        }
    }

    /// The BIDS session of that name, if the code is a valid label.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        SessionId::parse(&self.label).ok()
    }
}

impl fmt::Display for VisitCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.label)
    }
}

/// `mr1` of `oas1_0001_mr1`, `d0129` of `oas30001_mr_d0129`.
fn oasis_session(key: &str) -> Option<&str> {
    key.strip_prefix("oas").and_then(|rest| rest.rsplit_once('_')).map(|(_, session)| session)
}

fn months_of(key: &str) -> Option<u16> {
    let words: Vec<&str> =
        key.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let first = |names: &[&str]| words.iter().any(|word| names.contains(word));
    if first(&["sc", "scmri", "bl", "screening", "baseline", "init", "f", "m00", "m0", "y0"]) {
        return Some(0);
    }
    let number = |word: &str| word.parse::<u16>().ok().filter(|&n| n <= 600);
    for (idx, word) in words.iter().enumerate() {
        let next = || words.get(idx + 1).and_then(|next| number(next));
        let months = match *word {
            "month" => next(),
            "year" => next().map(|years| 12 * years),
            _ => match (word.strip_prefix('m'), word.strip_prefix('y')) {
                (Some(months), _) => number(months),
                (_, Some(years)) => number(years).map(|years| 12 * years),
                _ => None,
            },
        };
        if months.is_some() {
            return months;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_visit_under_many_names() {
        for (raws, label, months) in [
            (vec!["sc", "ADNI Screening", "scmri", "ADNI1/GO Screening", "4_sc"], "sc", Some(0)),
            (vec!["bl", "Baseline", "m00", "ADNI Baseline", "init", "ses-bl"], "bl", Some(0)),
            (vec!["m06", "M6", "Month 6", "ADNI1/GO Month 6", "ses-m06", "4_m6"], "m06", Some(6)),
            (vec!["m108", "Year 9", "y9", "ADNI3 Year 9 Visit"], "m108", Some(108)),
            (vec!["nv", "NV"], "nv", None),
            (vec!["v11"], "v11", None),
            (vec!["OAS1_0001_MR2"], "MR2", None),
            (vec!["OAS30001_MR_d0129"], "D0129", None),
        ] {
            for raw in raws {
                let visit = VisitCode::parse(raw).unwrap();
                assert_eq!((visit.label(), visit.months()), (label, months), "{raw}");
            }
        }
        assert_eq!(VisitCode::parse(" n/a "), None);
        let visit = |raw| VisitCode::parse(raw).unwrap();
        assert!(visit("sc").is_same(&visit("bl")) && !visit("m06").is_same(&visit("m12")));
        assert!(visit("nv").is_same(&visit("NV")) && !visit("nv").is_same(&visit("sc")));
    }
}
