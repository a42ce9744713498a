//! Canada and its provinces and territories, and the pin: the set of them that an owner allows.

use std::fmt;

/// The thirteen provinces and territories by their postal abbreviation (Canada Post addressing guidelines).
const PROVINCES: [&str; 13] = ["AB", "BC", "MB", "NB", "NL", "NS", "NT", "NU", "ON", "PE", "QC", "SK", "YT"];

/// A province or territory of Canada, by its postal abbreviation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Province(&'static str);

impl Province {
    /// The province with this abbreviation, in upper case.
    pub fn parse(text: &str) -> Option<Self> {
        PROVINCES.into_iter().find(|known| *known == text).map(Self)
    }

    /// The abbreviation.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Province {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Where a site is, as its operator states it or somebody declared it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// City, or "unknown".
    pub city: String,
    /// Province or territory, if known.
    pub province: Option<Province>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.province {
            Some(province) => write!(f, "{} ({province})", self.city),
            None => write!(f, "{} (province unknown)", self.city),
        }
    }
}

/// Where data may be: all of Canada, or some of its provinces and territories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin {
    /// Anywhere in Canada.
    Canada,
    /// Only these, sorted, each once.
    Provinces(Vec<&'static str>),
}

/// A text that is no pin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a place in Canada: {0:?} (use CA, or provinces such as QC,ON)")]
pub struct PinError(String);

impl Pin {
    /// Reads `CA`, or province abbreviations separated by commas.
    ///
    /// # Errors
    /// [`PinError`] naming the first part that is no place.
    pub fn parse(text: &str) -> Result<Self, PinError> {
        if text == "CA" {
            return Ok(Self::Canada);
        }
        let mut places = text
            .split(',')
            .map(|part| {
                let part = part.trim();
                PROVINCES.into_iter().find(|p| *p == part).ok_or_else(|| PinError(part.to_owned()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        places.sort_unstable();
        places.dedup();
        Ok(Self::Provinces(places))
    }

    /// Whether a place in Canada is inside. One whose province nobody knows fits only the whole of Canada.
    pub fn allows(&self, province: Option<Province>) -> bool {
        match self {
            Self::Canada => true,
            Self::Provinces(places) => province.is_some_and(|province| places.contains(&province.as_str())),
        }
    }

    /// Whether it has places that the other one does not have. All provinces together are less than Canada, which also
    /// allows places whose province nobody knows.
    pub fn is_wider_than(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Canada) => false,
            (Self::Canada, Self::Provinces(_)) => true,
            (Self::Provinces(places), Self::Provinces(others)) => !places.iter().all(|place| others.contains(place)),
        }
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Canada => f.write_str("CA"),
            Self::Provinces(places) => f.write_str(&places.join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_have_one_spelling() {
        assert_eq!(Pin::parse("CA").map(|p| p.to_string()), Ok("CA".into()));
        assert_eq!(Pin::parse("QC, ON,QC").map(|p| p.to_string()), Ok("ON,QC".into()));
        for bad in ["", "ca", "US", "QC,US", "QC;ON"] {
            assert!(Pin::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn wider_is_what_allows_more() {
        for (pin, other, wider) in [
            ("CA", "CA", false),
            ("QC", "CA", false),
            ("CA", "QC", true),
            ("QC", "ON,QC", false),
            ("AB,QC", "ON,QC", true),
            ("ON,QC", "ON,QC", false),
        ] {
            let wider_than = |pin: Pin| Pin::parse(other).map(|other| pin.is_wider_than(&other));
            assert_eq!(Pin::parse(pin).and_then(wider_than), Ok(wider), "{pin} of {other}");
        }
    }
}
