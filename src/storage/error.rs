//! Errors of a store: what was tried, on what, and what kind of failure it was.

use crate::object::ObjectName;

/// Result of a storage operation.
pub type Result<T> = std::result::Result<T, StorageError>;

/// What kind of failure it was: what a caller may decide by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The object is not there. Only this kind means absence.
    NotFound,
    /// The store's own place (directory, bucket) is not there.
    StoreMissing,
    /// Longer than the caller allowed.
    TooLarge,
    /// Shorter than it has to be.
    Truncated,
    /// No space or quota left.
    NoSpace,
    /// Not allowed.
    Denied,
    /// Read-only medium.
    ReadOnly,
    /// Residency: the gate, a verdict or the guard of the connection stopped sending.
    Refused,
    /// Residency: a required check could not be made now; the same may be allowed later.
    NotNow,
    /// The store keeps no old versions, so there is nothing to read of the past.
    NoVersions,
    /// May go away when tried again.
    Transient,
    /// Something in the store that no store of ours makes: under an object's name, but no object.
    ForeignName,
    /// Anything else.
    Other,
}

/// A failed storage operation.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {subject}: {detail}")]
pub struct StorageError {
    /// What was tried, as a verb: `read`, `list`, `publish`.
    pub operation: &'static str,
    /// On what: an object name, or the store's place.
    pub subject: String,
    /// What kind of failure.
    pub kind: ErrorKind,
    /// What the system said.
    pub detail: String,
}

impl StorageError {
    /// An error of `operation` on `name`.
    pub fn new(operation: &'static str, name: &ObjectName, kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self { operation, subject: name.to_string(), kind, detail: detail.into() }
    }

    /// Classifies an operating-system error.
    pub fn io(operation: &'static str, subject: impl Into<String>, error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match error.kind() {
            Io::NotFound => ErrorKind::NotFound,
            Io::PermissionDenied => ErrorKind::Denied,
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => ErrorKind::NoSpace,
            Io::ReadOnlyFilesystem => ErrorKind::ReadOnly,
            Io::UnexpectedEof => ErrorKind::Truncated,
            Io::Interrupted | Io::TimedOut | Io::WouldBlock => ErrorKind::Transient,
            _ => ErrorKind::Other,
        };
        Self { operation, subject: subject.into(), kind, detail: error.to_string() }
    }

    /// Whether the object is not there.
    pub fn is_not_found(&self) -> bool {
        self.kind == ErrorKind::NotFound
    }
}
