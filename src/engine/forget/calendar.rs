//! Days, weeks and months in UTC, and spans of time such as `1y5m7d2h`.
//!
//! UTC and not the machine's zone: which snapshots go must not depend on where the command runs, nor change twice a year.

use crate::clock::Timestamp;
use std::fmt;

const DAY_S: i64 = 86_400;
const HOUR_S: i64 = 3_600;
/// Largest number in a span: beyond all dates, and far from any overflow.
const SPAN_NUMBER_MAX: u32 = 999_999;

/// A day of the Gregorian calendar, extended to all years.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Date {
    pub(super) year: i64,
    /// 1 to 12.
    pub(super) month: i64,
    /// 1 to 31.
    pub(super) day: i64,
}

/// Days since 1970-01-01 of a date. A month beyond December is one of the next years, and a day beyond the month's end is one
/// of the next months.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = year + (month - 1).div_euclid(12);
    let month = (month - 1).rem_euclid(12) + 1;
    // Years that begin in March have the leap day at their end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468 + day - 1
}

impl Date {
    /// The date of a day, counted from 1970-01-01.
    pub(super) fn of_day(days: i64) -> Self {
        let days = days + 719_468;
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let year = year + era * 400;
        if month < 10 { Self { year, month: month + 3, day } } else { Self { year: year + 1, month: month - 9, day } }
    }
}

/// Days since 1970-01-01.
pub(super) fn day(time: Timestamp) -> i64 {
    time.seconds.div_euclid(DAY_S)
}

/// Hours since 1970-01-01T00.
pub(super) fn hour(time: Timestamp) -> i64 {
    time.seconds.div_euclid(HOUR_S)
}

/// Weeks, which begin on Monday as those of ISO 8601 do.
pub(super) fn week(time: Timestamp) -> i64 {
    // 1970-01-01 was a Thursday.
    (day(time) + 3).div_euclid(7)
}

/// Months since the year 0.
pub(super) fn month(time: Timestamp) -> i64 {
    let date = Date::of_day(day(time));
    date.year * 12 + date.month - 1
}

/// The year.
pub(super) fn year(time: Timestamp) -> i64 {
    Date::of_day(day(time)).year
}

/// A span of calendar time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    years: u32,
    months: u32,
    days: u32,
    hours: u32,
}

/// Why a text is no span.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a span of time such as 1y5m7d2h: numbers up to 999999, each followed by y, m, d or h, each once")]
pub struct SpanError(String);

impl Span {
    /// Reads `1y5m7d2h`: in any order, each unit at most once, and not all of it 0.
    ///
    /// # Errors
    /// [`SpanError`].
    pub fn parse(text: &str) -> Result<Self, SpanError> {
        let bad = || SpanError(text.to_owned());
        let (mut span, mut seen, mut rest) = (Self::default(), Vec::new(), text);
        while !rest.is_empty() {
            let at = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
            let (number, tail) = rest.split_at(at);
            let number: u32 = number.parse().ok().filter(|n| *n <= SPAN_NUMBER_MAX).ok_or_else(bad)?;
            let unit = tail.chars().next().ok_or_else(bad)?;
            let field = match unit {
                'y' => &mut span.years,
                'm' => &mut span.months,
                'd' => &mut span.days,
                'h' => &mut span.hours,
                _ => return Err(bad()),
            };
            if seen.contains(&unit) {
                return Err(bad());
            }
            *field = number;
            seen.push(unit);
            rest = &tail[unit.len_utf8()..];
        }
        if span == Self::default() { Err(bad()) } else { Ok(span) }
    }

    /// The time a span earlier. Months are counted first, then days, then hours; where a month has no such day, it is that
    /// many days after the month's end, as restic counts.
    pub fn before(self, time: Timestamp) -> Timestamp {
        let date = Date::of_day(day(time));
        let months = date.month - i64::from(self.months);
        let days = days_of(date.year - i64::from(self.years), months, date.day) - i64::from(self.days);
        let of_day = time.seconds.rem_euclid(DAY_S) - HOUR_S * i64::from(self.hours);
        Timestamp { seconds: days.saturating_mul(DAY_S).saturating_add(of_day), nanoseconds: time.nanoseconds }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, unit) in [(self.years, 'y'), (self.months, 'm'), (self.days, 'd'), (self.hours, 'h')] {
            if number > 0 {
                write!(f, "{number}{unit}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_system_time(humantime::parse_rfc3339(text).unwrap())
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for text in ["1970-01-01", "2000-02-29", "1999-12-31", "2024-02-29", "2100-03-01", "9999-12-31"] {
            let days = day(at(&format!("{text}T13:14:15Z")));
            let date = Date::of_day(days);
            assert_eq!(format!("{:04}-{:02}-{:02}", date.year, date.month, date.day), text);
            assert_eq!(days_of(date.year, date.month, date.day), days);
        }
        for days in (-1_000_000..1_000_000).step_by(997) {
            let date = Date::of_day(days);
            assert_eq!(days_of(date.year, date.month, date.day), days);
        }
        for seconds in [i64::MIN, i64::MAX] {
            let time = Timestamp { seconds, nanoseconds: 0 };
            let all = [hour(time), day(time), week(time), month(time), year(time)];
            assert!(all.iter().all(|number| number.signum() == seconds.signum()));
            assert!(Span::parse("999999y999999m999999d999999h").unwrap().before(time) <= time);
        }
    }

    #[test]
    fn weeks_begin_on_monday() {
        let of = |text: &str| week(at(text));
        assert_eq!(of("2026-01-05T00:00:00Z"), of("2026-01-11T23:59:59Z"));
        assert_eq!(of("2026-01-04T23:59:59Z") + 1, of("2026-01-05T00:00:00Z"));
        // Week 1 of 2026 begins in 2025.
        assert_eq!(of("2025-12-29T00:00:00Z"), of("2026-01-01T00:00:00Z"));
    }

    #[test]
    fn spans() {
        for (span, time, before) in [
            ("1d", "2026-03-01T10:00:00Z", "2026-02-28T10:00:00Z"),
            ("1m", "2026-03-31T10:00:00Z", "2026-03-03T10:00:00Z"),
            ("1y", "2024-02-29T00:00:00Z", "2023-03-01T00:00:00Z"),
            ("14m", "2026-01-15T00:00:00Z", "2024-11-15T00:00:00Z"),
            ("1y5m7d2h", "2026-11-23T01:00:00Z", "2025-06-15T23:00:00Z"),
        ] {
            assert_eq!(Span::parse(span).unwrap().before(at(time)), at(before), "{span} before {time}");
        }
        assert_eq!(Span::parse("2h7d").unwrap().to_string(), "7d2h");
        for text in ["", "1", "d", "1w", "1d1d", "0d", "1000000d", "-1d", "1d ", "99999999999999999999d", "1é"] {
            assert!(Span::parse(text).is_err(), "{text}");
        }
    }
}
