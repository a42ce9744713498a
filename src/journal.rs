//! The record of what an operation does, as the operation sees it: calls that may refuse, at the points where order matters.
//!
//! [`crate::progress`] tells people; this is evidence. The log implements it, tests and tools leave it out. What is said
//! here is durable when the call returns, so an operation calls before it does what it says it will do.

use crate::id::{LogId, SessionId};
use crate::object::ObjectName;
use std::fmt;

/// The record could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the log cannot be written: {0}")]
pub struct JournalError(pub String);

/// A state of a log that an object refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// Which log.
    pub log: LogId,
    /// Number of its leaves.
    pub size: u64,
    /// Root of their tree (RFC 6962).
    pub root: [u8; 32],
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileEvent {
    /// Its content was read and is in the repository, or about to be.
    Transmitted,
    /// It changed while it was read.
    TransmittedChanging,
    /// It was written to the target of a restore, or opened in a mount.
    Recovered,
    /// It could not be restored, or some of it could not be read in a mount.
    NotRecovered,
}

/// One file, once.
#[derive(Debug, Clone, Copy)]
pub struct FileRecord<'a> {
    /// What happened.
    pub event: FileEvent,
    /// Its absolute path.
    pub path: &'a [u8],
    /// Length of its content in bytes.
    pub size: u64,
    /// What stands for its content, see [`crate::format::node::Body::digest`].
    pub content: Option<&'a [u8; 32]>,
}

/// What a session is about to commit.
#[derive(Debug, Clone, Copy)]
pub struct Prepared<'a> {
    /// The snapshot that it will be.
    pub session: &'a SessionId,
    /// Whether it is only a checkpoint.
    pub checkpoint: bool,
    /// Names of the objects that it published.
    pub objects: &'a [ObjectName],
    /// Their stored bytes.
    pub bytes: u64,
}

/// Keeps the record.
pub trait Journal: Send + Sync + fmt::Debug {
    /// A file; from any thread. Called for each of them, so it may be no more than noted when this returns: it is durable with
    /// [`Journal::prepared`], or with the end of the run.
    ///
    /// # Errors
    /// [`JournalError`] when it cannot be kept. An operation that adds to a repository ends; a restore goes on.
    fn file(&self, record: &FileRecord<'_>) -> Result<(), JournalError>;

    /// All files of a session were told, and what they came to is still being stored: what is kept of them can go where it
    /// belongs meanwhile. That it could not be is said by [`Journal::prepared`].
    fn settle(&self) {}

    /// A session is about to commit; what comes back goes into its cell.
    ///
    /// # Errors
    /// [`JournalError`]: then nothing may be committed.
    fn prepared(&self, prepared: &Prepared<'_>) -> Result<Option<Anchor>, JournalError>;

    /// It has committed this cell, by its BLAKE3.
    fn committed(&self, session: &SessionId, cell: &[u8; 32]);
}

/// Keeps none.
#[derive(Debug, Clone, Copy)]
pub struct Unrecorded;

impl Journal for Unrecorded {
    fn file(&self, _: &FileRecord<'_>) -> Result<(), JournalError> {
        Ok(())
    }

    fn prepared(&self, _: &Prepared<'_>) -> Result<Option<Anchor>, JournalError> {
        Ok(None)
    }

    fn committed(&self, _: &SessionId, _: &[u8; 32]) {}
}
