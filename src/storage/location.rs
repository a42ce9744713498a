//! Where a repository is, as text: recognised and checked for its shape, not yet trusted.

use crate::object::ObjectName;
use std::fmt;
use std::path::PathBuf;

/// Where a repository is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Location {
    /// A directory on this host. A path that is not Unicode cannot come from text but can be put here.
    Local(PathBuf),
    /// A prefix of an S3 bucket. Whether the site may be used is not decided here.
    S3 {
        /// A site's id (`aws:ca-central-1`), an endpoint's host, or the name of a declared site.
        site: String,
        /// Name of the bucket.
        bucket: String,
        /// What every object's name starts with, if the repository is not the whole bucket.
        prefix: Option<ObjectName>,
    },
}

/// Why a text is not a location.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// Nothing there.
    #[error("the repository's location is empty")]
    Empty,
    /// Something before a colon that is neither `file` nor `s3`.
    #[error(
        "no storage of kind {scheme:?} in {text:?}: a location is PATH, file:PATH or s3://SITE/BUCKET[/PREFIX]; a path with a colon is written as ./PATH"
    )]
    UnknownScheme {
        /// What came before the colon.
        scheme: String,
        /// The whole text.
        text: String,
    },
    /// A path that cannot be one.
    #[error("not a path: {text:?}: {reason}")]
    BadPath {
        /// The whole text.
        text: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Not of the form `s3://SITE/BUCKET[/PREFIX]`.
    #[error("not of the form s3://SITE/BUCKET[/PREFIX]: {text:?}: {reason}")]
    BadS3 {
        /// The whole text.
        text: String,
        /// What is wrong.
        reason: &'static str,
    },
}

impl Location {
    /// Recognises `PATH`, `file:PATH` (also `file:///PATH`; nothing in it is decoded) and `s3://SITE/BUCKET[/PREFIX]`.
    ///
    /// What has a colon before its first slash and is neither is refused, not taken for a path: `backup@host:/srv` or
    /// `sftp:…` would otherwise become a directory on this host.
    ///
    /// # Errors
    /// [`LocationError`], saying what is wrong.
    pub fn parse(text: &str) -> Result<Self, LocationError> {
        if text.is_empty() {
            return Err(LocationError::Empty);
        }
        let first = text.split('/').next().unwrap_or(text);
        match first.split_once(':') {
            None => local(text, text),
            Some(("file", _)) => local(text, &text["file:".len()..]),
            Some(("s3", _)) => s3(text, &text["s3:".len()..]),
            Some((scheme, _)) => Err(LocationError::UnknownScheme { scheme: scheme.to_owned(), text: text.to_owned() }),
        }
    }
}

fn local(text: &str, path: &str) -> Result<Location, LocationError> {
    let bad = |reason| Err(LocationError::BadPath { text: text.to_owned(), reason });
    // Only as a URL: a plain path may start with as many slashes as it likes.
    let path = match path.strip_prefix("//") {
        Some(rest) if text.len() > path.len() => {
            if !rest.starts_with('/') {
                return bad("a file URL names no host: file:PATH or file:///PATH");
            }
            rest
        }
        _ => path,
    };
    if path.is_empty() {
        return bad("it is empty");
    }
    if path.contains('\0') {
        return bad("it holds a zero byte");
    }
    Ok(Location::Local(PathBuf::from(path)))
}

/// Longest site or bucket as text, in bytes; longer than any that is accepted.
const WORD_LEN_MAX: usize = 512;

fn s3(text: &str, rest: &str) -> Result<Location, LocationError> {
    let bad = |reason| LocationError::BadS3 { text: text.to_owned(), reason };
    let rest = rest.strip_prefix("//").ok_or_else(|| bad("two slashes have to follow the colon"))?;
    let mut parts = rest.splitn(3, '/');
    let site = parts.next().unwrap_or_default();
    let bucket = parts.next().unwrap_or_default();
    let prefix = parts.next().unwrap_or_default();
    // What may stand there is for `residency` to say: a wrong place is refused, not taken for a slip of the pen.
    let is_word = |word: &str| (1..=WORD_LEN_MAX).contains(&word.len()) && !word.contains(char::is_control);
    if !is_word(site) {
        return Err(bad("SITE is the id or host of a site"));
    }
    if !is_word(bucket) {
        return Err(bad("BUCKET is the name of a bucket"));
    }
    // One slash at the end is a habit, not another place.
    let prefix = match prefix.strip_suffix('/').unwrap_or(prefix) {
        "" => None,
        prefix => Some(
            ObjectName::new(prefix)
                .map_err(|_| bad("PREFIX is made of parts of a-z 0-9 - _ . that start with no dot"))?,
        ),
    };
    Ok(Location::S3 { site: site.to_owned(), bucket: bucket.to_owned(), prefix })
}

/// A text that names the same place: for a local path that is Unicode, one that [`Location::parse`] takes back.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => {
                let text = path.to_string_lossy();
                let looks_like_scheme = text.split('/').next().is_some_and(|first| first.contains(':'));
                write!(f, "{}{text}", if looks_like_scheme { "./" } else { "" })
            }
            Self::S3 { site, bucket, prefix } => {
                write!(f, "s3://{site}/{bucket}")?;
                prefix.iter().try_for_each(|prefix| write!(f, "/{prefix}"))
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn locations_are_recognised() {
        for (text, path) in [
            ("/srv/backup", "/srv/backup"),
            ("relative", "relative"),
            ("//srv", "//srv"),
            ("./a:b", "./a:b"),
            ("/a:b", "/a:b"),
            ("file:/srv", "/srv"),
            ("file:relative", "relative"),
            ("file:///srv", "/srv"),
            ("file:a:b", "a:b"),
        ] {
            let location = Location::parse(text).unwrap();
            assert_eq!(location, Location::Local(path.into()), "{text}");
            let back = Location::parse(&location.to_string()).unwrap();
            let Location::Local(back) = back else { unreachable!("a path stays a path") };
            assert_eq!(
                back.strip_prefix("./").unwrap_or(&back),
                PathBuf::from(path).strip_prefix("./").unwrap_or(path.as_ref())
            );
        }
        for (text, site, bucket, prefix) in [
            ("s3://aws:ca-central-1/backups", "aws:ca-central-1", "backups", None),
            ("s3://s3.ca-central-1.amazonaws.com/my.bucket/", "s3.ca-central-1.amazonaws.com", "my.bucket", None),
            ("s3://garage/abc/hosts/web-1", "garage", "abc", Some("hosts/web-1")),
            ("s3://garage/abc/hosts/", "garage", "abc", Some("hosts")),
        ] {
            let location = Location::parse(text).unwrap();
            let prefix = prefix.map(|prefix| ObjectName::new(prefix).unwrap());
            let expected = Location::S3 { site: site.to_owned(), bucket: bucket.to_owned(), prefix };
            assert_eq!(location, expected, "{text}");
            assert_eq!(Location::parse(&location.to_string()).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_location_is_refused_with_its_reason() {
        assert_eq!(Location::parse(""), Err(LocationError::Empty));
        for text in ["sftp:host:/srv", "backup@host:/srv", "http://host/x", "S3://site/bucket", "rest:x", ":x", "C:\\x"]
        {
            assert!(matches!(Location::parse(text), Err(LocationError::UnknownScheme { .. })), "{text}");
        }
        for text in ["file:", "file://", "file://host/srv", "a\0b"] {
            assert!(matches!(Location::parse(text), Err(LocationError::BadPath { .. })), "{text}");
        }
        for text in [
            "s3:",
            "s3:bucket",
            "s3:/site/bucket",
            "s3://",
            "s3://site",
            "s3://site/",
            "s3:///bucket",
            "s3://si\tte/bucket",
            "s3://site/buck\net",
            "s3://site/bucket//x",
            "s3://site/bucket/../x",
            "s3://site/bucket/.x",
            "s3://site/bucket/x?y",
        ] {
            assert!(matches!(Location::parse(text), Err(LocationError::BadS3 { .. })), "{text}");
        }
    }
}
