//! What may be stored: object kinds, checked names, and the wrapper that only sealed bytes can be put into.

use std::fmt;

/// What an object is. The number is the type byte of its header (`docs/format.md`, "Object header").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ObjectKind {
    /// Repository configuration.
    Config = 1,
    /// Key slot.
    KeySlot = 2,
    /// Wrapped dataset root.
    DatasetRoot = 3,
    /// Pack of file contents.
    DataPack = 4,
    /// Pack of trees and lists.
    MetaPack = 5,
    /// Index segment.
    Segment = 6,
    /// A writer's session.
    Session = 7,
    /// Commit cell: a snapshot, a checkpoint or an abort record.
    Cell = 8,
    /// Declaration of a storage site.
    Declaration = 9,
    /// Residency policy.
    Policy = 10,
    /// The log's records of single files.
    FileRecords = 11,
    /// That a snapshot was forgotten.
    Forget = 12,
}

impl ObjectKind {
    /// The kind with this type byte.
    pub fn from_byte(byte: u8) -> Option<Self> {
        [
            Self::Config,
            Self::KeySlot,
            Self::DatasetRoot,
            Self::DataPack,
            Self::MetaPack,
            Self::Segment,
            Self::Session,
            Self::Cell,
            Self::Declaration,
            Self::Policy,
            Self::FileRecords,
            Self::Forget,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
    }
}

/// Longest object name in bytes. S3 allows 1024 for prefix and name together.
pub const NAME_LEN_MAX: usize = 256;

/// Why a text is not an object name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an object name: {text:?}")]
pub struct NameError {
    /// The offending text.
    pub text: String,
}

/// A relative, slash-separated name of a stored object: parts of `a-z 0-9 - _ .`, none empty, none starting with a dot.
///
/// A name that exists cannot lead out of the repository's directory or prefix, whoever made it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName(String);

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= NAME_LEN_MAX
        && text.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'))
        })
}

impl ObjectName {
    /// Checks a text.
    ///
    /// # Errors
    /// [`NameError`] when it breaks the rule above.
    pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
        let text = text.into();
        if is_name(&text) { Ok(Self(text)) } else { Err(NameError { text }) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part after the last slash.
    pub fn last_part(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectName({})", self.0)
    }
}

/// Bytes that may leave the host: encoded and sealed, or text of the log. Only `format` and the log make them, which
/// `tests/tidy.rs` checks, so plaintext has no way into a store.
#[derive(Clone, Copy)]
pub struct Encoded<'a>(&'a [u8]);

impl<'a> Encoded<'a> {
    /// Marks bytes as encoded. To be called in `format` and in `audit::publish` only.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_root() {
        for good in ["config/00", "d/aa/packs/0f/12", "a.b-c_d"] {
            assert!(ObjectName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "a/", "/a", "a//b", "..", "a/../b", ".tmp", "a/.b", "A", "a b", "a\0", "ä"] {
            assert!(ObjectName::new(bad).is_err(), "{bad}");
        }
        assert!(ObjectName::new("a".repeat(NAME_LEN_MAX + 1)).is_err());
    }
}
