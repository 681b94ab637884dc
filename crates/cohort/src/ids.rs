//! Normalised identifiers of subjects, sessions, scans and archive images.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::CohortError;
use crate::error::shorten;

const LONGEST_LABEL: usize = 64;

/// A subject id, normalised across the spellings of all sources.
///
/// `002_S_0413`, `002S0413`, `sub-002S0413` and `sub-ADNI002S0413` are the same ADNI participant.
/// `OAS1_0001_MR1` and `OAS1_0001_MR2` are the same OASIS participant. Any other id keeps its letters and
/// digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SubjectId(Arc<str>);

impl SubjectId {
    /// Normalises a subject id.
    ///
    /// # Errors
    /// [`CohortError::InvalidId`] if it is empty, too long or contains invalid characters.
    pub fn parse(raw: &str) -> Result<Self, CohortError> {
        let label = alphanumeric_label("subject", "sub-", raw)?;
        Ok(Self(adni_label(&label).or_else(|| oasis_label(&label)).unwrap_or(label).into()))
    }

    /// The BIDS label: letters and digits, without `sub-`.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.0
    }

    /// An ADNI participant's number in the study: 413 of `002_S_0413`.
    #[must_use]
    pub fn adni_rid(&self) -> Option<u32> {
        let (site, rid) = self.0.split_once('S')?;
        let is_adni = site.len() == 3 && site.bytes().chain(rid.bytes()).all(|b| b.is_ascii_digit());
        rid.parse().ok().filter(|_| is_adni)
    }

    /// An ADNI participant's site: `002` of `002_S_0413`.
    #[must_use]
    pub fn adni_site(&self) -> Option<String> {
        self.adni_rid().and_then(|_| self.0.get(..3)).map(str::to_owned)
    }

    /// The key that identifies a subject. Ids that differ only in case are the same subject, because many
    /// file systems treat their folders as the same.
    #[must_use]
    pub fn person_key(&self) -> String {
        self.0.to_ascii_uppercase()
    }
}

/// Extracts `002S0413` from `002S0413` or `ADNI002S0413`, ignoring case.
fn adni_label(label: &str) -> Option<String> {
    let upper = label.to_ascii_uppercase();
    let ptid = upper.strip_prefix("ADNI").unwrap_or(&upper);
    let (site, rid) = ptid.split_once('S')?;
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    (site.len() == 3 && rid.len() >= 4 && digits(site) && digits(rid)).then(|| ptid.to_owned())
}

/// Extracts `OAS10001` from `OAS10001MR2`: project digit and four-digit number, without the session.
fn oasis_label(label: &str) -> Option<String> {
    let upper = label.to_ascii_uppercase();
    let digits = upper.strip_prefix("OAS")?;
    let number = digits.get(..5)?;
    let session = &digits[5..];
    let is_session = session.is_empty() || session.starts_with("MR") || session.starts_with('D');
    (is_session && number.bytes().all(|b| b.is_ascii_digit())).then(|| format!("OAS{number}"))
}

impl fmt::Display for SubjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sub-{}", self.0)
    }
}

/// A visit of a subject: letters and digits, as in `ses-m06`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId(String);

impl SessionId {
    /// Normalises a session id: `ses-m06`, `m06` and `m_06` are equal.
    ///
    /// # Errors
    /// [`CohortError::InvalidId`] if it is empty, too long or contains invalid characters.
    pub fn parse(raw: &str) -> Result<Self, CohortError> {
        alphanumeric_label("session", "ses-", raw).map(Self)
    }

    /// The BIDS label: letters and digits, without `ses-`.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ses-{}", self.0)
    }
}

/// One T1-weighted image of one session: `sub-002S0413_ses-m06` or `sub-002S0413_ses-m06_run-2`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ScanId {
    subject: SubjectId,
    session: SessionId,
    run: Option<u32>,
}

impl ScanId {
    /// Creates a scan id. `run` distinguishes scans of the same session.
    #[must_use]
    pub fn new(subject: &SubjectId, session: &SessionId, run: Option<u32>) -> Self {
        Self { subject: subject.clone(), session: session.clone(), run }
    }

    /// Parses `sub-X_ses-Y[_run-N]`.
    ///
    /// # Errors
    /// [`CohortError::InvalidId`].
    pub fn parse(raw: &str) -> Result<Self, CohortError> {
        let invalid = || CohortError::InvalidId {
            kind: "scan",
            got: shorten(raw),
            expected: "sub-X_ses-Y or sub-X_ses-Y_run-N",
        };
        let mut parts = raw.trim().split('_');
        let (Some(subject), Some(session)) = (parts.next(), parts.next()) else { return Err(invalid()) };
        if !subject.starts_with("sub-") || !session.starts_with("ses-") {
            return Err(invalid());
        }
        let run = parts.next().map(|part| part.strip_prefix("run-").and_then(|n| n.parse().ok()));
        if run == Some(None) || parts.next().is_some() {
            return Err(invalid());
        }
        Ok(Self {
            subject: SubjectId::parse(subject)?,
            session: SessionId::parse(session)?,
            run: run.flatten(),
        })
    }

    /// The subject.
    #[must_use]
    pub fn subject(&self) -> &SubjectId {
        &self.subject
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// The run: number of the scan within the session.
    #[must_use]
    pub fn run(&self) -> Option<u32> {
        self.run
    }
}

impl fmt::Display for ScanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.subject, self.session)?;
        self.run.map_or(Ok(()), |run| write!(f, "_run-{run}"))
    }
}

/// An archive's image id. `I13893`, `D13893` and `13893` are the same image; `S7820` and `7820` are the same
/// series. Anything that is not a number is kept verbatim.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageId(Arc<str>);

impl ImageId {
    /// Normalises an image id.
    ///
    /// # Errors
    /// [`CohortError::InvalidId`] if it is empty or too long.
    pub fn parse(raw: &str) -> Result<Self, CohortError> {
        let raw = raw.trim();
        if raw.is_empty() || raw.len() > 4 * LONGEST_LABEL {
            return Err(CohortError::InvalidId {
                kind: "image id",
                got: shorten(raw),
                expected: "a number such as I13893",
            });
        }
        let number = raw.strip_prefix(['I', 'i', 'D', 'd', 'S', 's']).unwrap_or(raw);
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(Self(raw.into()));
        }
        let significant = number.trim_start_matches('0');
        Ok(Self(format!("I{}", if significant.is_empty() { "0" } else { significant }).into()))
    }

    /// The normalised id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn alphanumeric_label(kind: &'static str, prefix: &str, raw: &str) -> Result<String, CohortError> {
    let invalid = || CohortError::InvalidId {
        kind,
        got: shorten(raw),
        expected: "letters and digits, perhaps with `_`, `-`, `.` or spaces between them",
    };
    let trimmed = raw.trim();
    let body = match trimmed.get(..prefix.len()) {
        Some(start) if start.eq_ignore_ascii_case(prefix) => &trimmed[prefix.len()..],
        _ => trimmed,
    };
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ');
    if body.len() > LONGEST_LABEL || !body.chars().all(is_allowed) || body.eq_ignore_ascii_case("n/a") {
        return Err(invalid());
    }
    let label: String = body.chars().filter(char::is_ascii_alphanumeric).collect();
    if label.is_empty() { Err(invalid()) } else { Ok(label) }
}

macro_rules! string_conversions {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = CohortError;
            fn try_from(raw: String) -> Result<Self, CohortError> {
                Self::parse(&raw)
            }
        }
        impl FromStr for $name {
            type Err = CohortError;
            fn from_str(raw: &str) -> Result<Self, CohortError> {
                Self::parse(raw)
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    )*};
}
string_conversions!(SubjectId, SessionId, ScanId, ImageId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_person_has_one_name() {
        let adni = [
            "002_S_0413",
            "002S0413",
            "sub-ADNI002S0413",
            "sub-002S0413",
            " adni002s0413 ",
            "SUB-002_s_0413",
        ];
        for raw in adni {
            assert_eq!(SubjectId::parse(raw).unwrap().to_string(), "sub-002S0413", "{raw}");
        }
        for raw in ["OAS1_0001_MR1", "OAS1_0001_MR2", "OAS1_0001", "sub-OAS10001", "oas1_0001_mr1"] {
            assert_eq!(SubjectId::parse(raw).unwrap().label(), "OAS10001", "{raw}");
        }
        assert_eq!(SubjectId::parse("OAS30001_MR_d0129").unwrap().label(), "OAS30001");
        assert_eq!(SubjectId::parse("pilot-07").unwrap().label(), "pilot07");
        assert_ne!(SubjectId::parse("002_S_0413").unwrap(), SubjectId::parse("002_S_0414").unwrap());
    }

    #[test]
    fn names_that_are_paths_or_nothing_are_refused() {
        for raw in ["", "  ", "sub-", "../x", "a/b", "a\\b", "___", "naïve", "n/a", &"x".repeat(65)] {
            assert!(SubjectId::parse(raw).is_err(), "{raw}");
        }
    }

    #[test]
    fn scan_ids_round_trip() {
        for raw in ["sub-002S0413_ses-m06", "sub-002S0413_ses-m06_run-2"] {
            assert_eq!(ScanId::parse(raw).unwrap().to_string(), raw);
        }
        for raw in ["sub-1", "sub-1_ses-2_run-x", "sub-1_ses-2_run-1_T1w", "1_2", "ses-1_sub-1", ""] {
            assert!(ScanId::parse(raw).is_err(), "{raw}");
        }
    }

    #[test]
    fn image_ids_with_and_without_prefix() {
        for raw in ["I13893", "D13893", "13893", " i013893"] {
            assert_eq!(ImageId::parse(raw).unwrap().as_str(), "I13893", "{raw}");
        }
        assert_eq!(ImageId::parse("scan-a").unwrap().as_str(), "scan-a");
    }
}
