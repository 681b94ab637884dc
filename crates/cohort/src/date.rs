//! Calendar dates of tables, folders and DICOM headers. The only parser of dates.

use std::fmt;

use jiff::civil;
use serde::{Deserialize, Serialize};

/// A day from 1900 to 2199, displayed as `YYYY-MM-DD` and ordered by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Date(civil::Date);

impl Date {
    /// Creates a day of the Gregorian calendar. `None` if it does not exist or is not between 1900 and 2199.
    #[must_use]
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let (year, month, day) =
            (i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?);
        Self::in_range(civil::Date::new(year, month, day).ok()?)
    }

    fn in_range(date: civil::Date) -> Option<Self> {
        (1900..2200).contains(&date.year()).then_some(Self(date))
    }

    /// Parses `4/18/2006` (month first, as IDA writes it), `2006-04-18` (also with a time after a space, `T`
    /// or `_`), `20060418` (DICOM) or `2006.04.18` (DICOM before 1993).
    #[must_use]
    pub fn parse(raw: &str) -> Option<Self> {
        let day = raw.trim().split([' ', 'T', '_']).next()?;
        for (separator, year_first) in [('/', false), ('-', true), ('.', true)] {
            if day.contains(separator) {
                let mut parts = day.split(separator);
                let (one, two, three) = (parts.next()?, parts.next()?, parts.next()?);
                let (year, month, day) = if year_first { (one, two, three) } else { (three, one, two) };
                return if parts.next().is_none() { Self::from_parts(year, month, day) } else { None };
            }
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

    /// Days from `earlier` to this day; negative if `earlier` is the later one.
    #[must_use]
    pub fn days_since(self, earlier: Self) -> i64 {
        self.0.duration_since(earlier.0).as_hours() / 24
    }

    /// The day `days` later. `None` outside the range of years.
    #[must_use]
    pub fn plus_days(self, days: i64) -> Option<Self> {
        let hours = jiff::SignedDuration::from_hours(days.checked_mul(24)?);
        Self::in_range(self.0.checked_add(hours).ok()?)
    }

    /// `YYYYMMDD`, as in DICOM and in session labels.
    #[must_use]
    pub fn compact(self) -> String {
        format!("{:04}{:02}{:02}", self.0.year(), self.0.month(), self.0.day())
    }

    /// `M/D/YYYY` without leading zeros, as in the tables of IDA.
    #[must_use]
    pub fn month_day_year(self) -> String {
        format!("{}/{}/{}", self.0.month(), self.0.day(), self.0.year())
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.0.year(), self.0.month(), self.0.day())
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
            "2006.04.18",
            "2006-04-18 08:20:30.0",
            "2006-04-18_08_20_30.0",
        ] {
            assert_eq!(Date::parse(raw), Some(expected), "{raw}");
        }
        assert_eq!(expected.to_string(), "2006-04-18");
        assert_eq!(expected.compact(), "20060418");
        assert_eq!(expected.month_day_year(), "4/18/2006");
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
        let day = Date::new(2006, 4, 18).unwrap();
        assert_eq!(day.plus_days(683), Date::new(2008, 3, 1));
        assert_eq!(day.plus_days(-17), Date::new(2006, 4, 1));
        assert_eq!(Date::new(2199, 12, 31).unwrap().plus_days(1), None);
        assert_eq!(day.plus_days(i64::MAX), None);
    }

    #[test]
    fn days_that_do_not_exist() {
        for raw in [
            "",
            "2/30/2006",
            "18/4/2006",
            "18.04.2006",
            "4/18/06",
            "2006-13-01",
            "2006041",
            "200604188",
            "a/b/c",
            "../../..",
            "2005-02-29",
            "+006-01-01",
            "1899-12-31",
        ] {
            assert_eq!(Date::parse(raw), None, "{raw}");
        }
        assert!(Date::parse("2004-02-29").is_some());
    }
}
