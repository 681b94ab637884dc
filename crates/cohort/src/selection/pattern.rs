//! Patterns of series descriptions.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const LONGEST: usize = 200;

/// A pattern that matches a whole text, regardless of case: `*` matches any characters, `?` one character.
/// `*mprage*` matches every text that contains `MPRAGE`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    text: String,
    key: Vec<char>,
}

impl Pattern {
    /// Parses a pattern. `None` if it is empty or longer than 200 characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let key: Vec<char> = text.chars().flat_map(char::to_lowercase).collect();
        (!key.is_empty() && key.len() <= LONGEST).then(|| Self { text: text.to_owned(), key })
    }

    /// Whether the pattern matches the whole text.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.trim().chars().flat_map(char::to_lowercase).collect();
        let (mut at, mut in_pattern) = (0, 0);
        // Position of the last star, and how much of the text it has consumed.
        let mut star: Option<(usize, usize)> = None;
        while at < text.len() {
            match self.key.get(in_pattern) {
                Some('*') => {
                    star = Some((in_pattern, at));
                    in_pattern += 1;
                }
                Some(&c) if c == '?' || c == text[at] => {
                    at += 1;
                    in_pattern += 1;
                }
                _ => {
                    let Some((place, taken)) = star else { return false };
                    star = Some((place, taken + 1));
                    (at, in_pattern) = (taken + 1, place + 1);
                }
            }
        }
        self.key[in_pattern..].iter().all(|&c| c == '*')
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| {
            format!(
                "the pattern `{}` is empty or longer than {LONGEST} characters; expected one such as \"*mprage*\"",
                crate::error::shorten(&text)
            )
        })
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, text, expected) in [
            ("*mprage*", "ADNI MPRAGE repeat", true),
            ("*mprage*", "MP-RAGE", false),
            ("mp?rage", "MP-RAGE", true),
            ("mprage", "MPRAGE repeat", false),
            ("*", "", true),
            ("?", "", false),
            ("*a*b*c", "xxaxbxbxc", true),
            ("*a*b*c", "xxaxbxbx", false),
            ("**ü*", "Übersicht", true),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(text), expected, "{pattern} {text}");
        }
        assert!(Pattern::parse(" ").is_none() && Pattern::parse(&"x".repeat(201)).is_none());
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        let pattern = Pattern::parse(&"*a".repeat(100)).unwrap();
        assert!(!pattern.matches(&format!("{}b", "a".repeat(10_000))));
    }
}
