//! Fictitious days, without a clock or a time zone.

/// A day of the Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    day_number: i64,
}

impl Date {
    /// The day `day_number` days after 1 January 1970.
    #[must_use]
    pub const fn from_day_number(day_number: i64) -> Self {
        Self { day_number }
    }

    /// The day `days` later.
    #[must_use]
    pub const fn plus_days(self, days: i64) -> Self {
        Self { day_number: self.day_number + days }
    }

    /// Year, month (1 to 12) and day of the month (from 1).
    ///
    /// # Reference
    /// Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
    #[must_use]
    pub const fn civil(self) -> (i64, i64, i64) {
        let z = self.day_number + 719_468;
        let era = z.div_euclid(146_097);
        let day_of_era = z.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
        (year, month, day)
    }

    /// As in IDA tables: month/day/year without padding.
    #[must_use]
    pub fn ida(self) -> String {
        let (year, month, day) = self.civil();
        format!("{month}/{day}/{year}")
    }

    /// `YYYY-MM-DD`.
    #[must_use]
    pub fn iso(self) -> String {
        let (year, month, day) = self.civil();
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// `YYYYMMDD`, as in DICOM.
    #[must_use]
    pub fn compact(self) -> String {
        let (year, month, day) = self.civil();
        format!("{year:04}{month:02}{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        assert_eq!(Date::from_day_number(0).iso(), "1970-01-01");
        assert_eq!(Date::from_day_number(13_256).ida(), "4/18/2006");
        assert_eq!(Date::from_day_number(12_784).compact(), "20050101");
        assert_eq!(Date::from_day_number(13_256).plus_days(683).iso(), "2008-03-01");
    }
}
