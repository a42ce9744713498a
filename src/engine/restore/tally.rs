//! Counting what was restored and what was not.

use crate::engine::context::{Context, chain};
use crate::engine::restore::options::{EntryFailure, FAILURES_MAX, RestoreReport};
use crate::fs::{Operation, Warning};
use crate::id::SessionId;
use crate::journal::{FileEvent, FileRecord};
use crate::progress::Event;
use crate::repository::RepositoryError;
use crate::storage::{ErrorKind as StoreErrorKind, StorageError};
use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Why an entry could not be restored.
#[derive(Debug, Clone)]
pub(super) struct Why {
    pub(super) message: String,
    pub(super) is_damage: bool,
}

impl From<&RepositoryError> for Why {
    fn from(error: &RepositoryError) -> Self {
        Self { message: chain(error), is_damage: error.is_damage() }
    }
}

impl From<crate::fs::FsError> for Why {
    fn from(error: crate::fs::FsError) -> Self {
        Self { message: chain(&error), is_damage: false }
    }
}

/// Counts of one restore.
#[derive(Debug)]
pub(super) struct Tally<'a> {
    cx: &'a Context,
    pub(super) files: AtomicU64,
    pub(super) unchanged: AtomicU64,
    pub(super) hard_links: AtomicU64,
    pub(super) directories: AtomicU64,
    pub(super) others: AtomicU64,
    pub(super) sockets: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) bytes_unchanged: AtomicU64,
    pub(super) verified: AtomicU64,
    removed: AtomicU64,
    failed: AtomicU64,
    damaged: AtomicU64,
    warnings: AtomicU64,
    owners_not_set: AtomicU64,
    failures: Mutex<Vec<EntryFailure>>,
    /// The store is out of reach.
    lost: OnceLock<StorageError>,
}

impl<'a> Tally<'a> {
    pub(super) fn new(cx: &'a Context) -> Self {
        Self {
            cx,
            files: AtomicU64::new(0),
            unchanged: AtomicU64::new(0),
            hard_links: AtomicU64::new(0),
            directories: AtomicU64::new(0),
            others: AtomicU64::new(0),
            sockets: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            bytes_unchanged: AtomicU64::new(0),
            verified: AtomicU64::new(0),
            removed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            warnings: AtomicU64::new(0),
            owners_not_set: AtomicU64::new(0),
            failures: Mutex::default(),
            lost: OnceLock::new(),
        }
    }

    /// Why something of the repository could not be read. If that is because the store is out of reach, the restore ends:
    /// a request that failed for that reason was repeated for as long as seemed useful, and the next would be as well, so
    /// going on from entry to entry would take for ever to name them all.
    pub(super) fn why(&self, error: &RepositoryError) -> Why {
        if let RepositoryError::Storage(StorageError { operation, subject, kind, detail }) = error
            && matches!(kind, StoreErrorKind::Transient | StoreErrorKind::StoreMissing)
        {
            let (subject, detail) = (subject.clone(), detail.clone());
            let _ = self.lost.set(StorageError { operation, subject, kind: *kind, detail });
        }
        Why::from(error)
    }

    /// Whether the store is out of reach.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.get().is_some()
    }

    /// Why the store is out of reach, if it is.
    pub(super) fn take_lost(&mut self) -> Option<StorageError> {
        self.lost.take()
    }

    /// Whether something could not be restored, or is not as it should be.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Relaxed) > 0
    }

    /// Content of a file is in place. A record that cannot be kept is no reason to stop a restore.
    pub(super) fn recovered(&self, path: &[u8], size: u64, content: &[u8; 32]) {
        let record = FileRecord { event: FileEvent::Recovered, path, size, content: Some(content) };
        let _ = self.cx.journal.file(&record);
    }

    /// An entry could not be restored.
    pub(super) fn fail(&self, path: &[u8], why: &Why) {
        let _ = self.cx.journal.file(&FileRecord { event: FileEvent::NotRecovered, path, size: 0, content: None });
        self.not_done(path, why);
    }

    /// An entry could not be removed.
    pub(super) fn not_removed(&self, path: &[u8], why: &Why) {
        self.not_done(path, why);
    }

    /// An entry was removed, or would be.
    pub(super) fn removed(&self, path: &[u8], dry_run: bool) {
        self.removed.fetch_add(1, Relaxed);
        self.cx.event(&Event::EntryRemoved { path, dry_run });
    }

    fn not_done(&self, path: &[u8], why: &Why) {
        self.failed.fetch_add(1, Relaxed);
        self.damaged.fetch_add(u64::from(why.is_damage), Relaxed);
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() < FAILURES_MAX {
            let (message, is_damage) = (why.message.clone(), why.is_damage);
            failures.push(EntryFailure { path: path.to_vec(), message, is_damage });
        }
        drop(failures);
        self.cx.event(&Event::EntryFailed { path, message: &why.message });
    }

    /// An entry is in place.
    pub(super) fn done(&self, counter: &AtomicU64, size: u64) {
        counter.fetch_add(1, Relaxed);
        self.cx.event(&Event::EntryDone { size, unchanged: false });
    }

    /// An entry was left as it is.
    pub(super) fn left(&self, size: u64) {
        self.unchanged.fetch_add(1, Relaxed);
        self.cx.event(&Event::EntryDone { size, unchanged: true });
    }

    /// Metadata could not be set.
    pub(super) fn warn(&self, warnings: &[Warning]) {
        for warning in warnings {
            let is_owner =
                warning.operation == Operation::SetOwner && warning.source.kind() == ErrorKind::PermissionDenied;
            let count = if is_owner { &self.owners_not_set } else { &self.warnings };
            count.fetch_add(1, Relaxed);
            self.cx.event(&Event::AttributeLost { path: &warning.path, message: &chain(warning) });
        }
    }

    /// The report.
    pub(super) fn report(self, snapshot: SessionId, duration: Duration) -> RestoreReport {
        let owners_not_set = self.owners_not_set.into_inner();
        if owners_not_set > 0 {
            let message = format!("owners of {owners_not_set} entries could not be set: only root may");
            self.cx.event(&Event::Warning { path: b"", message: &message });
        }
        RestoreReport {
            snapshot,
            files_restored: self.files.into_inner(),
            files_unchanged: self.unchanged.into_inner(),
            hard_links: self.hard_links.into_inner(),
            directories: self.directories.into_inner(),
            others: self.others.into_inner(),
            sockets_skipped: self.sockets.into_inner(),
            removed: self.removed.into_inner(),
            bytes_restored: self.bytes.into_inner(),
            bytes_unchanged: self.bytes_unchanged.into_inner(),
            files_verified: self.verified.into_inner(),
            failed: self.failed.into_inner(),
            damaged: self.damaged.into_inner(),
            failures: self.failures.into_inner().unwrap_or_else(PoisonError::into_inner),
            warnings: self.warnings.into_inner(),
            owners_not_set,
            duration,
        }
    }
}
