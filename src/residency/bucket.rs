//! Names of buckets: plain ones only. What looks like a bucket and leads elsewhere (access points, aliases, directory
//! buckets) is refused.

use crate::residency::refusal::{Refusal, RefusalKind};
use std::fmt;

/// A bucket's name that follows the naming rules of S3 for general purpose buckets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketName(String);

/// Prefixes that the rules reserve.
const PREFIXES: [&str; 4] = ["xn--", "sthree-", "amzn-s3-demo-", "arn:"];
/// Suffixes that the rules reserve for what is no plain bucket, each with what it is.
const SUFFIXES: [(&str, &str); 5] = [
    ("-s3alias", "the alias of an access point, which may lead to a bucket elsewhere"),
    ("--ol-s3", "the alias of an Object Lambda access point, which runs code on the way"),
    (".mrap", "a multi-region access point, which may lead to any region"),
    ("--x-s3", "a directory bucket, which no row of the table covers"),
    ("--table-s3", "a table bucket, which holds no plain objects"),
];

impl BucketName {
    /// Checks a name.
    ///
    /// # Errors
    /// A [`Refusal`] saying which rule the name breaks.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        match problem(text) {
            None => Ok(Self(text.to_owned())),
            Some(why) => Err(Refusal::new(
                RefusalKind::NotAnEndpoint,
                format!("bucket {text:?}"),
                why,
                "Name a plain bucket: 3 to 63 of a-z, 0-9, hyphens and dots.",
            )),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is wrong with a name.
fn problem(text: &str) -> Option<String> {
    if text.starts_with("arn:") {
        return Some("an ARN names an access point or a bucket whose place the name does not tell".into());
    }
    if !(3..=63).contains(&text.len()) {
        return Some("a name has 3 to 63 characters".into());
    }
    if !text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.')) {
        return Some("a name consists of a-z, 0-9, hyphens and dots".into());
    }
    if text.split('.').any(|part| part.is_empty() || part.starts_with('-') || part.ends_with('-')) {
        return Some("every part between dots begins and ends with a letter or digit".into());
    }
    if text.split('.').count() == 4 && text.split('.').all(|part| part.bytes().all(|b| b.is_ascii_digit())) {
        return Some("it looks like an address".into());
    }
    if let Some(prefix) = PREFIXES.iter().find(|prefix| text.starts_with(**prefix)) {
        return Some(format!("names that begin with {prefix} are reserved"));
    }
    let (suffix, what) = SUFFIXES.iter().find(|(suffix, _)| text.ends_with(suffix))?;
    Some(format!("names that end with {suffix} are {what}"))
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
