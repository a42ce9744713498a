//! How keeping a log fails.

use crate::audit::note::NoteError;
use crate::crypto::random::RandomError;
use crate::storage::StorageError;
use std::io;
use std::path::{Path, PathBuf};

/// Result of a step.
pub type Result<T> = std::result::Result<T, AuditError>;

/// A failure of the log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// A file of the log on this host.
    #[error("cannot {what} {path}: {source}", path = path.display())]
    Io {
        /// `read`, `write` …
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The log on this host does not verify.
    #[error("the log in {path} does not verify: {why}", path = path.display())]
    Unverified {
        /// Its folder.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// An object of a log does not verify.
    #[error("{object} does not verify: {source}")]
    Object {
        /// Its name.
        object: String,
        /// What is wrong.
        source: NoteError,
    },
    /// The repository.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Keys and ids need randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// Records of files could not be sealed.
    #[error("records of files cannot be sealed: {0}")]
    Seal(String),
    /// A leaf that is too long, or a text that cannot be in one.
    #[error("the log cannot hold {0}")]
    Leaf(&'static str),
    /// Neither this host nor the repository can take the record.
    #[error("the log can be written neither on this host ({host}) nor in the repository ({repository})")]
    Nowhere {
        /// Why not here.
        host: String,
        /// Why not there.
        repository: String,
    },
}

impl AuditError {
    /// What happened to a file.
    pub(in crate::audit) fn io<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Self + 'a {
        move |source| Self::Io { what, path: path.to_owned(), source }
    }

    /// Whether the log is there and wrong, as opposed to out of reach.
    pub fn is_unverified(&self) -> bool {
        matches!(self, Self::Unverified { .. } | Self::Object { .. })
    }
}
