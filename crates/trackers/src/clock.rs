//! Wall-clock time. Logs may contain it; results must not.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Start time of this process, and the time that the run had taken before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunClock {
    started: Instant,
    earlier_s: f64,
}

impl RunClock {
    /// Starts the clock, for a run that already took `earlier_s` seconds.
    pub(crate) fn start(earlier_s: f64) -> Self {
        Self { started: Instant::now(), earlier_s }
    }

    /// Elapsed seconds of the run over all its processes.
    pub(crate) fn runtime_s(&self) -> f64 {
        self.earlier_s + self.started.elapsed().as_secs_f64()
    }
}

/// Unix time in seconds. 0 if the clock is before 1970.
pub(crate) fn unix_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// `YYYYmmdd_HHMMSS` in UTC, from seconds since 1970.
pub(crate) fn stamp(unix_s: u64) -> String {
    let (days, seconds) = (unix_s / 86_400, unix_s % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}_{hour:02}{minute:02}{second:02}")
}

/// Year, month and day for a day number since 1970. Years start in March, so that a leap day is the last day
/// of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_FROM_YEAR_0: u64 = 719_468;
    let days = days + DAYS_FROM_YEAR_0;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_utc() {
        // `date -u -d @N +%Y%m%d_%H%M%S`
        for (seconds, expected) in [
            (0, "19700101_000000"),
            (951_782_399, "20000228_235959"),
            (951_782_400, "20000229_000000"),
            (1_795_473_748, "20261123_224228"),
            (4_107_542_399, "21000228_235959"),
            (4_107_542_400, "21000301_000000"),
        ] {
            assert_eq!(stamp(seconds), expected);
        }
    }
}
