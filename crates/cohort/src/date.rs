//! Calendar dates as tables, folders and DICOM headers write them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A day. Written `YYYY-MM-DD`; ordered by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// A day of the Gregorian calendar; `None` if there is no such day between 1900 and 2199.
    #[must_use]
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let n_days = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if is_leap => 29,
            2 => 28,
            _ => return None,
        };
        ((1900..2200).contains(&year) && (1..=n_days).contains(&day)).then_some(Self { year, month, day })
    }

    /// Reads `4/18/2006` (month first, as IDA writes it), `2006-04-18` (perhaps with a time behind a
    /// space, `T` or `_`) or `20060418` (DICOM).
    #[must_use]
    pub fn parse(raw: &str) -> Option<Self> {
        let day = raw.trim().split([' ', 'T', '_']).next()?;
        if day.contains('/') {
            let mut parts = day.split('/');
            let (month, date, year) = (parts.next()?, parts.next()?, parts.next()?);
            return if parts.next().is_none() { Self::from_parts(year, month, date) } else { None };
        }
        if day.contains('-') {
            let mut parts = day.split('-');
            let (year, month, date) = (parts.next()?, parts.next()?, parts.next()?);
            return if parts.next().is_none() { Self::from_parts(year, month, date) } else { None };
        }
        if day.len() != 8 {
            return None;
        }
        Self::from_parts(day.get(..4)?, day.get(4..6)?, day.get(6..)?)
    }

    fn from_parts(year: &str, month: &str, day: &str) -> Option<Self> {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if year.len() != 4 || ![year, month, day].into_iter().all(is_number) {
            return None;
        }
        Self::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
    }

    /// Days from `earlier` to this day; negative if it is the later one.
    #[must_use]
    pub fn days_since(self, earlier: Self) -> i64 {
        self.day_number() - earlier.day_number()
    }

    /// Days since the first of March of year 0.
    fn day_number(self) -> i64 {
        // Counting years from March puts the leap day last.
        let month = (i64::from(self.month) + 9) % 12;
        let year = i64::from(self.year) - month / 10;
        365 * year + year / 4 - year / 100 + year / 400 + (306 * month + 5) / 10 + i64::from(self.day) - 1
    }

    /// `YYYYMMDD`, as in DICOM and in session labels.
    #[must_use]
    pub fn compact(self) -> String {
        format!("{:04}{:02}{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl TryFrom<String> for Date {
    type Error = String;
    fn try_from(raw: String) -> Result<Self, String> {
        Self::parse(&raw).ok_or_else(|| format!("`{raw}` is not a date such as 2006-04-18"))
    }
}

impl From<Date> for String {
    fn from(date: Date) -> Self {
        date.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_one_day() {
        let expected = Date::new(2006, 4, 18).unwrap();
        for raw in [
            "4/18/2006",
            "04/18/2006",
            "2006-04-18",
            "20060418",
            "2006-04-18 08:20:30.0",
            "2006-04-18_08_20_30.0",
        ] {
            assert_eq!(Date::parse(raw), Some(expected), "{raw}");
        }
        assert_eq!(expected.to_string(), "2006-04-18");
        assert_eq!(expected.compact(), "20060418");
    }

    #[test]
    fn days_between() {
        let days = |one: &str, two: &str| Date::parse(two).unwrap().days_since(Date::parse(one).unwrap());
        assert_eq!(days("2006-04-18", "2006-04-18"), 0);
        assert_eq!(days("2004-02-28", "2004-03-01"), 2);
        assert_eq!(days("2005-02-28", "2005-03-01"), 1);
        assert_eq!(days("1999-12-31", "2000-01-01"), 1);
        assert_eq!(days("2007-01-01", "2006-01-01"), -365);
        assert_eq!(days("1900-01-01", "2100-01-01"), 73_049);
    }

    #[test]
    fn days_that_do_not_exist() {
        for raw in [
            "",
            "2/30/2006",
            "18/4/2006",
            "4/18/06",
            "2006-13-01",
            "2006041",
            "a/b/c",
            "2005-02-29",
            "+006-01-01",
        ] {
            assert_eq!(Date::parse(raw), None, "{raw}");
        }
        assert!(Date::parse("2004-02-29").is_some());
    }
}
