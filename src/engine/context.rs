//! What every operation is given, and how it fails.

use crate::clock::Clock;
use crate::fs::{FsError, StreamError};
use crate::journal::{Journal, JournalError};
use crate::progress::{Event, EventSink};
use crate::repository::{Repository, RepositoryError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Result of an operation.
pub type Result<T> = std::result::Result<T, EngineError>;

/// A failed operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The repository.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The host's files, where one failure ends the operation.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// No snapshot fits.
    #[error("no snapshot fits {0:?}")]
    NoSnapshot(String),
    /// Several snapshots fit.
    #[error("{text:?} fits several snapshots")]
    AmbiguousSnapshot {
        /// What was asked for.
        text: String,
        /// Those that fit, a line each.
        candidates: Vec<String>,
    },
    /// A path is not in the snapshot.
    #[error("{0} is not in the snapshot")]
    NoPath(String),
    /// A source is missing or empty although it was not before.
    #[error("{path} is {what}")]
    SuspiciousSource {
        /// Which source.
        path: String,
        /// `missing`, `empty, although the last snapshot has entries there`.
        what: &'static str,
    },
    /// There is nothing to back up.
    #[error("nothing to back up: no source is left after excludes")]
    NothingToDo,
    /// Content of an entry cannot be read.
    #[error("{path} cannot be read")]
    Content {
        /// Its path in the snapshot.
        path: String,
        /// Why.
        source: RepositoryError,
    },
    /// Something that has no content to give out.
    #[error("{path} is {what}; what can be dumped are files and directories")]
    NotDumped {
        /// Its path in the snapshot.
        path: String,
        /// `a symbolic link` …
        what: &'static str,
    },
    /// What is given out cannot be written.
    #[error("the output cannot be written")]
    Output(#[source] std::io::Error),
    /// The stream that is backed up.
    #[error(transparent)]
    Stream(StreamError),
    /// Told to stop.
    #[error("interrupted")]
    Interrupted,
    /// A setting that cannot be.
    #[error("{0}")]
    Setting(String),
    /// The log took no record of it.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A worker thread could not be started or ended early.
    #[error("a worker thread {0}")]
    Worker(&'static str),
}

impl From<StreamError> for EngineError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Interrupted => Self::Interrupted,
            error => Self::Stream(error),
        }
    }
}

/// What an operation works with: store, clock, randomness (inside the repository), executor and sink are all parameters, so
/// that the same code runs inline, on one thread, from a seed.
#[derive(Debug, Clone)]
pub struct Context {
    /// The repository.
    pub repository: Arc<Repository>,
    /// Where events go.
    pub sink: Arc<dyn EventSink>,
    /// The record of what is done.
    pub journal: Arc<dyn Journal>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Set from outside to end the operation; what was stored is kept.
    pub stop: Arc<AtomicBool>,
    /// Worker threads; 0 runs everything inline in the caller, in one order.
    pub workers: usize,
    /// Bytes that buffers may take.
    pub memory_bytes: u64,
}

impl Context {
    /// Whether to end.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Threads for reading from the store: where a request takes long, more than there are workers.
    pub fn readers(&self) -> usize {
        if self.workers == 0 { 0 } else { self.workers.max(self.repository.fetch().request_cost().parallel) }
    }

    /// Sends an event.
    pub fn event(&self, event: &Event<'_>) {
        self.sink.event(event);
    }
}

/// An error with its causes, on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
