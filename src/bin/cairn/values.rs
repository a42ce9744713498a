//! Values as people write them: sizes, times, compression levels, places; and how sizes, times and counts are printed.

use cairn::clock::Timestamp;
use cairn::codec::Level;
use cairn::residency::place::Pin;
use std::time::Duration;

const UNITS: [(char, u64); 4] = [('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30), ('T', 1 << 40)];

/// A number of bytes: `1000`, `64K`, `1.5GiB`. Units count by 1024, as everywhere in cairn.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let bad = || format!("{text:?} is not a size: a number, with K, M, G or T for units of 1024");
    let upper = text.trim().to_ascii_uppercase();
    let number = upper.strip_suffix("IB").or_else(|| upper.strip_suffix('B')).unwrap_or(&upper);
    let with_unit = UNITS.iter().find_map(|(letter, unit)| number.strip_suffix(*letter).map(|rest| (rest, *unit)));
    if with_unit.is_none() && upper.ends_with("IB") {
        return Err(bad());
    }
    let (number, unit) = with_unit.unwrap_or((number, 1));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) || fraction.len() > 9 {
        return Err(bad());
    }
    if number.contains('.') && (fraction.is_empty() || unit == 1) {
        return Err(bad());
    }
    let too_large = || format!("{text:?} is too large");
    let whole: u64 = whole.parse().map_err(|_| too_large())?;
    let scale = 10_u64.pow(fraction.len() as u32);
    let fraction: u64 = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| bad())? };
    let part = u128::from(fraction) * u128::from(unit) / u128::from(scale);
    let bytes = u128::from(whole) * u128::from(unit) + part;
    u64::try_from(bytes).map_err(|_| too_large())
}

/// Bytes a second: a size that is not 0.
pub(crate) fn parse_rate(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        0 => Err("0 bytes a second never end; leave the option out for no limit".to_owned()),
        rate => Ok(rate),
    }
}

/// A time: RFC 3339 in UTC (`2026-01-31T12:00:00Z`, `2026-01-31 12:00:00`), or a date.
pub(crate) fn parse_time(text: &str) -> Result<Timestamp, String> {
    let full = if text.len() == "2026-01-31".len() { format!("{text}T00:00:00Z") } else { text.to_owned() };
    humantime::parse_rfc3339_weak(&full).map(Timestamp::from_system_time).map_err(|error| {
        format!(
            "{text:?} is not a time such as 2026-01-31T12:00:00Z, \"2026-01-31 12:00:00\" (UTC) or 2026-01-31: {error}"
        )
    })
}

/// A level as given to `--compression`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compression(pub(crate) Level);

/// `off`, `auto`, or 1 to 19.
pub(crate) fn parse_compression(text: &str) -> Result<Compression, String> {
    match text {
        "off" => return Ok(Compression(Level::Off)),
        "auto" => return Ok(Compression(Level::default())),
        _ => {}
    }
    match text.parse::<i32>() {
        Ok(level @ 1..=cairn::codec::LEVEL_MAX) => Ok(Compression(Level::Zstd(level))),
        _ => Err(format!("{text:?} is not off, auto, or a level from 1 to {}", cairn::codec::LEVEL_MAX)),
    }
}

/// `CA`, or provinces.
pub(crate) fn parse_pin(text: &str) -> Result<Pin, String> {
    Pin::parse(text).map_err(|error| error.to_string())
}

/// Bytes for people: three digits and a unit of 1024.
pub(crate) fn size(bytes: u64) -> String {
    const NAMES: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut unit = 0;
    let mut rest = bytes as f64;
    while rest >= 999.5 && unit + 1 < NAMES.len() {
        rest /= 1024.0;
        unit += 1;
    }
    let digits = if unit == 0 || rest >= 99.95 { 0 } else { usize::from(rest < 9.995) + 1 };
    format!("{rest:.digits$} {}", NAMES[unit])
}

/// A count and its noun.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// How long something took, for people.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02} h", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}

/// RFC 3339 in UTC, to the nanosecond where there are any.
pub(crate) fn time(time: Timestamp) -> String {
    rfc3339(time, |system| humantime::format_rfc3339(system).to_string())
}

/// RFC 3339 in UTC, to the second.
pub(crate) fn time_seconds(time: Timestamp) -> String {
    rfc3339(time, |system| humantime::format_rfc3339_seconds(system).to_string())
}

fn rfc3339(time: Timestamp, format: impl Fn(std::time::SystemTime) -> String) -> String {
    // The years that RFC 3339 and the formatter can write: 1970 to 9999. A snapshot may hold any other.
    const END: i64 = 253_402_300_799;
    match time.to_system_time().filter(|_| (0..=END).contains(&time.seconds)) {
        Some(system) => format(system),
        None => format!("@{}", time.seconds),
    }
}

/// The bytes that lower-case hexadecimal digits stand for.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let nibble = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(nibble(high)? << 4 | nibble(low)?),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

/// How many letters have to be inserted, removed or replaced.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes) in [
            ("0", 0),
            ("1000", 1000),
            ("64k", 65_536),
            ("1.5G", 3 << 29),
            ("2MiB", 2 << 20),
            ("3TB", 3 << 40),
            ("17b", 17),
            ("16777215T", 16_777_215 << 40),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in
            ["", "K", "-1", "1.5", "1.", ".5M", "1.M", "1KK", "5iB", "1 K", "1e3", "16777216T", "99999999999999999999"]
        {
            assert!(parse_size(text).is_err(), "{text}");
        }
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "0.98 KiB"),
            (1 << 10, "1.00 KiB"),
            (10 << 20, "10.0 MiB"),
            (100 << 30, "100 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn rates_are_not_nothing() {
        assert_eq!(parse_rate("2M"), Ok(2 << 20));
        assert!(parse_rate("0").is_err() && parse_rate("fast").is_err());
    }

    #[test]
    fn times_are_read_and_written() {
        for text in ["2026-01-31T12:00:00Z", "2026-01-31 12:00:00", "2026-01-31T12:00:00"] {
            assert_eq!(parse_time(text).map(time), Ok("2026-01-31T12:00:00Z".to_owned()), "{text}");
        }
        assert_eq!(parse_time("2026-01-31").map(time), Ok("2026-01-31T00:00:00Z".to_owned()));
        assert_eq!(parse_time("2026-01-31T12:00:00.5Z").map(time_seconds), Ok("2026-01-31T12:00:00Z".to_owned()));
        for text in ["", "yesterday", "2026-02-30", "2026-1-31", "12:00:00", "2026-01-31T25:00:00Z"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
        assert_eq!(time(Timestamp { seconds: -5, nanoseconds: 0 }), "@-5");
        assert_eq!(time(Timestamp { seconds: i64::MAX, nanoseconds: 0 }), format!("@{}", i64::MAX));
    }

    #[test]
    fn levels() {
        assert_eq!(parse_compression("19"), Ok(Compression(Level::Zstd(19))));
        for text in ["0", "20", "-1", "max", ""] {
            assert!(parse_compression(text).is_err(), "{text}");
        }
    }

    #[test]
    fn distances() {
        for (a, b, expected) in
            [("", "abc", 3), ("abc", "abc", 0), ("abc", "axc", 1), ("abcd", "acd", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(a, b), expected);
        }
    }
}
