//! Which part of the data a check reads.

use crate::values::parse_size;
use clap::Args;
use std::num::NonZeroU32;

/// A part of the data.
#[derive(Debug, Args)]
pub(crate) struct SubsetArgs {
    /// Read and verify a part of the data: n/N is the n-th of N parts, so that N runs read every pack once; P% or SIZE is
    /// drawn anew in each run
    #[arg(long, value_name = "n/N|P%|SIZE", value_parser = parse_part, conflicts_with = "read_data")]
    pub(crate) read_data_subset: Option<Part>,
    /// Draw P% or SIZE as the run did that printed this seed
    #[arg(long, value_name = "SEED", requires = "read_data_subset")]
    pub(crate) subset_seed: Option<u64>,
}

/// A part as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The n-th of N.
    Of(NonZeroU32, NonZeroU32),
    /// Millionths of all stored bytes.
    Share(u32),
    /// Stored bytes.
    Bytes(u64),
}

/// `n/N`, `P%` or a size.
fn parse_part(text: &str) -> Result<Part, String> {
    let bad = || format!("{text:?} is not n/N (such as 1/7), a percentage (2.5%) or a size (10G)");
    if let Some((number, of)) = text.split_once('/') {
        let [number, of] = [number, of].map(|digits| digits.parse::<NonZeroU32>());
        let (number, of) = number.ok().zip(of.ok()).ok_or_else(bad)?;
        return if number <= of { Ok(Part::Of(number, of)) } else { Err(format!("there is no part {number} of {of}")) };
    }
    if let Some(percent) = text.strip_suffix('%') {
        // Up to four digits after the point: millionths.
        let (whole, fraction) = percent.split_once('.').unwrap_or((percent, "0"));
        let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || whole.len() > 3 || !is_digits(fraction) || fraction.len() > 4 {
            return Err(bad());
        }
        let millionths: u32 = format!("{whole}{fraction:0<4}").parse().map_err(|_| bad())?;
        return match millionths {
            1..=1_000_000 => Ok(Part::Share(millionths)),
            _ => Err(format!("{text:?} is not more than 0 and at most 100%")),
        };
    }
    match parse_size(text) {
        Ok(0) => Err("0 bytes are no part of the data".to_owned()),
        Ok(bytes) => Ok(Part::Bytes(bytes)),
        Err(_) => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read() {
        let of = |number, of| NonZeroU32::new(number).zip(NonZeroU32::new(of)).map(|(number, of)| Part::Of(number, of));
        assert_eq!(parse_part("1/7").ok(), of(1, 7));
        assert_eq!(parse_part("4294967295/4294967295").ok(), of(u32::MAX, u32::MAX));
        assert_eq!(parse_part("5%"), Ok(Part::Share(50_000)));
        assert_eq!(parse_part("2.5%"), Ok(Part::Share(25_000)));
        assert_eq!(parse_part("0.0001%"), Ok(Part::Share(1)));
        assert_eq!(parse_part("100%"), Ok(Part::Share(1_000_000)));
        assert_eq!(parse_part("10G"), Ok(Part::Bytes(10 << 30)));
        for text in [
            "",
            "/",
            "0/7",
            "8/7",
            "1/0",
            "-1/7",
            "1/7/7",
            "%",
            "0%",
            "0.00001%",
            "100.1%",
            "101%",
            "-5%",
            "5.%",
            ".5%",
            "5 %",
            "0",
            "ten",
            "1e3",
            "4294967296/4294967296",
        ] {
            assert!(parse_part(text).is_err(), "{text}");
        }
    }
}
