//! Counting, and turning what was read into nodes.

use crate::engine::context::chain;
use crate::format::cell::{CELL_FAILURES_MAX, CELL_TEXT_MAX, Failure, Statistics};
use crate::format::node::{Metadata, Owner};
use crate::fs::{FileKind, FsError, Owners, Stat, Xattrs, metadata};
use crate::progress::{Event, EventSink};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most bytes of attributes kept of one entry: a tree page has to hold it.
const XATTR_BYTES_MAX: usize = 4 << 20;

/// Counts of a run, and its failures.
#[derive(Debug, Default)]
pub(super) struct Tally {
    owners: Owners,
    counts: Mutex<(Statistics, Vec<Failure>)>,
}

fn cut(text: &[u8]) -> Vec<u8> {
    text[..text.len().min(CELL_TEXT_MAX)].to_vec()
}

impl Tally {
    fn lock(&self) -> MutexGuard<'_, (Statistics, Vec<Failure>)> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the counts.
    pub(super) fn count(&self, change: impl FnOnce(&mut Statistics)) {
        change(&mut self.lock().0);
    }

    /// The counts and failures so far.
    pub(super) fn report(&self) -> (Statistics, Vec<Failure>) {
        let guard = self.lock();
        (guard.0, guard.1.clone())
    }

    /// An owner by its numbers.
    pub(super) fn owner(&self, uid: u32, gid: u32) -> Arc<Owner> {
        self.owners.get(uid, gid)
    }

    /// Metadata as it is stored: link count and device only where they say something, and the same for each run.
    pub(super) fn metadata(&self, stat: &Stat, xattrs: Xattrs) -> Metadata {
        let linked = stat.links > 1 && stat.kind != FileKind::Directory;
        let mut metadata = metadata(stat, &self.owners, xattrs);
        if !linked {
            (metadata.links, metadata.device) = (1, 0);
        }
        metadata
    }

    /// An entry could not be read.
    pub(super) fn fail(&self, path: &[u8], message: &str, sink: &dyn EventSink) {
        let mut guard = self.lock();
        guard.0.failed += 1;
        if guard.1.len() < CELL_FAILURES_MAX {
            guard.1.push(Failure { path: cut(path), message: cut(message.as_bytes()) });
        }
        drop(guard);
        sink.event(&Event::EntryFailed { path, message });
    }

    /// An entry could not be read, or is gone.
    pub(super) fn lost(&self, path: &[u8], error: &FsError, sink: &dyn EventSink) {
        if error.is_vanished() {
            self.count(|s| s.vanished += 1);
            sink.event(&Event::Warning { path, message: "vanished while it was being backed up" });
        } else {
            self.fail(path, &chain(error), sink);
        }
    }

    /// The attributes that are kept of what was read. An entry without all of its attributes is kept, and counted as failed,
    /// since it will not come back whole.
    pub(super) fn keep(&self, path: impl FnOnce() -> Vec<u8>, read: Xattrs, sink: &dyn EventSink) -> Xattrs {
        for warning in &read.warnings {
            self.fail(&warning.path, &chain(warning), sink);
        }
        if read.xattrs.iter().map(|x| x.name.len() + x.value.len()).sum::<usize>() > XATTR_BYTES_MAX {
            self.fail(&path(), "has more than 4 MiB of extended attributes; they are not kept", sink);
            return Xattrs { xattrs: Vec::new(), ..read };
        }
        read
    }
}
