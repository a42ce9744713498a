//! What goes wrong while a mount is used, and what is recorded of it: each file once.

use crate::engine::context::chain;
use crate::engine::mount::inodes::Ino;
use crate::format::node::{Content, Node};
use crate::id::SessionId;
use crate::journal::{FileEvent, FileRecord, Journal};
use crate::progress::{Event, EventSink};
use crate::repository::RepositoryError;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Files that are known to have been recorded. With more, the set starts again, and a file may be recorded twice.
const RECORDED_MAX: usize = 1 << 20;
/// Entries that are known to have been reported. With more, the set starts again.
const REPORTED_MAX: usize = 1 << 16;

/// Why something cannot be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MountError {
    /// Nothing has that name.
    #[error("there is no such entry")]
    NoEntry,
    /// The number is not known (any more).
    #[error("the inode is not known")]
    Stale,
    /// It is no directory.
    #[error("not a directory")]
    NotDirectory,
    /// It is no regular file.
    #[error("not a regular file")]
    NotFile,
    /// It is no symbolic link.
    #[error("not a symbolic link")]
    NotLink,
    /// It has no such attribute.
    #[error("there is no such attribute")]
    NoAttribute,
    /// Too many files are open.
    #[error("too many files are open")]
    TooManyOpen,
    /// The repository does not yield it; why was said as an event.
    #[error("it cannot be read from the repository")]
    Unreadable,
}

/// What came of a mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Files that were opened, each once.
    pub files_opened: u64,
    /// Bytes of content that were given out.
    pub bytes_read: u64,
    /// Files and directories that could not be read, each once.
    pub failed: u64,
    /// How many of these because the repository is damaged.
    pub damaged: u64,
}

/// What is remembered of each entry that was used.
#[derive(Debug, Default)]
struct Seen(Mutex<HashSet<Ino>>);

impl Seen {
    /// Whether this is the first time.
    fn add(&self, ino: Ino, max: usize) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= max {
            seen.clear();
        }
        seen.insert(ino)
    }
}

/// Takes note of what happens.
#[derive(Debug)]
pub(super) struct Report {
    sink: Arc<dyn EventSink>,
    journal: Arc<dyn Journal>,
    opened: Seen,
    failed: Seen,
    noted: Seen,
    files_opened: AtomicU64,
    bytes_read: AtomicU64,
    failures: AtomicU64,
    damaged: AtomicU64,
}

impl Report {
    /// Events go to `sink`, records of files to `journal`.
    pub(super) fn new(sink: Arc<dyn EventSink>, journal: Arc<dyn Journal>) -> Self {
        Self {
            sink,
            journal,
            opened: Seen::default(),
            failed: Seen::default(),
            noted: Seen::default(),
            files_opened: AtomicU64::new(0),
            bytes_read: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
        }
    }

    /// A file was opened. A record that cannot be kept is no reason to keep it from whoever may read it.
    pub(super) fn opened(&self, ino: Ino, path: &[u8], node: &Node) {
        if !self.opened.add(ino, RECORDED_MAX) {
            return;
        }
        self.files_opened.fetch_add(1, Relaxed);
        let content = match &node.content {
            Content::File { body, .. } => Some(body.digest()),
            _ => None,
        };
        let event = FileEvent::Recovered;
        let _ = self.journal.file(&FileRecord { event, path, size: node.size(), content: content.as_ref() });
    }

    /// Content was given out.
    pub(super) fn read(&self, bytes: u64) {
        self.bytes_read.fetch_add(bytes, Relaxed);
    }

    /// A file or directory could not be read. Said once for each.
    pub(super) fn failed(
        &self,
        ino: Ino,
        path: impl FnOnce() -> Vec<u8>,
        snapshot: &SessionId,
        is_file: bool,
        error: &RepositoryError,
    ) -> MountError {
        if self.failed.add(ino, REPORTED_MAX) {
            self.failures.fetch_add(1, Relaxed);
            self.damaged.fetch_add(u64::from(error.is_damage()), Relaxed);
            let path = path();
            if is_file {
                let event = FileEvent::NotRecovered;
                let _ = self.journal.file(&FileRecord { event, path: &path, size: 0, content: None });
            }
            let message = format!("{} (in snapshot {})", chain(error), snapshot.short());
            self.sink.event(&Event::EntryFailed { path: &path, message: &message });
        }
        MountError::Unreadable
    }

    /// Some of a file was taken from a second copy.
    pub(super) fn noted(&self, ino: Ino, path: impl FnOnce() -> Vec<u8>, error: &RepositoryError) {
        if self.noted.add(ino, REPORTED_MAX) {
            let message = format!("read from a second copy, as the first cannot be used: {}", chain(error));
            self.sink.event(&Event::Warning { path: &path(), message: &message });
        }
    }

    /// What it came to until now.
    pub(super) fn totals(&self) -> Totals {
        Totals {
            files_opened: self.files_opened.load(Relaxed),
            bytes_read: self.bytes_read.load(Relaxed),
            failed: self.failures.load(Relaxed),
            damaged: self.damaged.load(Relaxed),
        }
    }
}
