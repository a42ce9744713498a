//! Times in reports of the gate: UTC, total for every timestamp that anybody may have declared.

use crate::clock::Timestamp;

/// `YYYY-MM-DD HH:MM:SS UTC`. Years beyond four digits keep their digits, years before 1 their sign.
pub(crate) fn utc(time: Timestamp) -> String {
    let second = time.seconds.rem_euclid(86_400);
    format!("{} {:02}:{:02}:{:02} UTC", day(time), second / 3600, second / 60 % 60, second % 60)
}

/// `YYYY-MM-DD`.
pub(crate) fn day(time: Timestamp) -> String {
    // Days since 0000-03-01 in eras of 400 years, which all have 146,097 days; March comes first, so that the leap day
    // is the last of its year.
    let days = time.seconds.div_euclid(86_400) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let at = |seconds| utc(Timestamp { seconds, nanoseconds: 0 });
        assert_eq!(at(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(at(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(at(1_700_000_000), "2023-11-14 22:13:20 UTC");
        assert_eq!(at(-1), "1969-12-31 23:59:59 UTC");
        assert_eq!(at(4_107_542_400), "2100-03-01 00:00:00 UTC");
        for extreme in [i64::MIN, i64::MAX] {
            assert!(at(extreme).ends_with("UTC"));
        }
    }
}
