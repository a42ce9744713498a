//! Opening and reading files. A read is done by a thread of its own and says when it is done, so that nothing else waits for
//! it; who reads a file from one end to the other has the next part of it read ahead.

use crate::engine::mount::content::Contents;
use crate::engine::mount::inodes::{Ino, Known};
use crate::engine::mount::names::Names;
use crate::engine::mount::reads::{Job, Reads};
use crate::engine::mount::report::MountError;
use crate::format::node::Content;
use crate::repository::pack_reader::ReadBuffers;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Result<T> = std::result::Result<T, MountError>;

/// Files that may be open at the same time.
const OPEN_MAX: usize = 1 << 16;
/// Bytes that one read gives out at most; the kernel asks for no more than 1 MiB.
const READ_MAX: u64 = 16 << 20;
/// How far from where the last one ended a read may begin and still be taken for the next: the kernel has several under way.
const SLACK: u64 = 1 << 20;
/// What is read ahead at first, in bytes; each further read doubles it.
const AHEAD_MIN: u64 = 1 << 20;
/// What is read ahead at most.
pub(super) const AHEAD_MAX: u64 = 16 << 20;

/// An open file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle(pub u64);

/// How a file is being read.
#[derive(Debug, Default)]
struct Sequence {
    /// Where the next read would begin.
    next: u64,
    /// Up to where it was read ahead.
    ahead: u64,
    /// How much of it is read ahead; 0 until a second read has followed a first.
    window: u64,
    /// Whether the last read followed another, or began at the beginning.
    follows: bool,
}

impl Sequence {
    /// Takes note of a read, and returns what should be read ahead.
    fn advance(&mut self, range: &Range<u64>, size: u64, ahead_max: u64) -> Option<Range<u64>> {
        let is_near = range.start <= self.next.saturating_add(SLACK) && range.start.saturating_add(SLACK) >= self.next;
        if !is_near {
            *self = Self { next: range.end, ahead: range.end, window: 0, follows: false };
            return None;
        }
        self.next = self.next.max(range.end);
        self.ahead = self.ahead.max(self.next);
        if !std::mem::replace(&mut self.follows, true) {
            return None;
        }
        self.window = (self.window * 2).clamp(AHEAD_MIN.min(ahead_max), ahead_max);
        let end = self.next.saturating_add(self.window).min(size);
        // In large steps, or every read would ask for one blob.
        if self.ahead >= end || self.ahead > self.next + self.window / 2 {
            return None;
        }
        let start = std::mem::replace(&mut self.ahead, end);
        Some(start..end)
    }
}

#[derive(Debug)]
struct Open {
    ino: Ino,
    known: Known,
    size: u64,
    sequence: Mutex<Sequence>,
}

/// What a reading thread needs.
#[derive(Debug)]
struct Shared {
    names: Arc<Names>,
    contents: Contents,
}

/// The open files of a mount.
#[derive(Debug)]
pub struct Files {
    shared: Arc<Shared>,
    open: Mutex<HashMap<Handle, Arc<Open>>>,
    last: AtomicU64,
    reads: Reads,
    ahead_max: u64,
}

impl Shared {
    fn read(&self, open: &Open, range: Range<u64>, buffers: &mut ReadBuffers) -> Result<Vec<u8>> {
        let failed = |error| self.names.failed(open.ino, &open.known, true, &error);
        let entry = self.names.trees.entry(open.known.place, buffers).map_err(failed)?;
        let Content::File { body, .. } = &entry.node().content else { return Err(MountError::NotFile) };
        let note = |error: &_| self.names.report.noted(open.ino, || self.names.path(open.ino, &open.known), error);
        let bytes = self.contents.read(open.known.place, body, range, buffers, &note).map_err(failed)?;
        self.names.report.read(bytes.len() as u64);
        Ok(bytes)
    }

    fn read_ahead(&self, open: &Open, range: Range<u64>, buffers: &mut ReadBuffers) {
        // Nobody asked for this yet; whoever does is told.
        let Ok(entry) = self.names.trees.entry(open.known.place, buffers) else { return };
        if let Content::File { body, .. } = &entry.node().content {
            self.contents.read_ahead(open.known.place, body, range, buffers);
        }
    }
}

impl Files {
    /// No file is open yet. `ahead_max` bytes of each are read ahead.
    pub(super) fn new(names: Arc<Names>, contents: Contents, reads: Reads, ahead_max: u64) -> Self {
        let shared = Arc::new(Shared { names, contents });
        Self { shared, open: Mutex::default(), last: AtomicU64::new(0), reads, ahead_max }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Handle, Arc<Open>>> {
        // Changed in single steps.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a file, which is recorded when it is the first time.
    ///
    /// # Errors
    /// [`MountError::NotFile`], [`MountError::TooManyOpen`], [`MountError::Stale`], [`MountError::Unreadable`].
    pub fn open(&self, ino: Ino) -> Result<Handle> {
        let names = &self.shared.names;
        if names.layout.get(ino).is_some() {
            return Err(MountError::NotFile);
        }
        let (known, entry) = names.with_buffers(|buffers| names.entry(ino, buffers))?;
        let Content::File { size, .. } = entry.node().content else { return Err(MountError::NotFile) };
        let handle = Handle(self.last.fetch_add(1, Relaxed) + 1);
        {
            let mut open = self.lock();
            if open.len() >= OPEN_MAX {
                return Err(MountError::TooManyOpen);
            }
            open.insert(handle, Arc::new(Open { ino, known, size, sequence: Mutex::default() }));
        }
        names.report.opened(ino, &names.path(ino, &known), entry.node());
        Ok(handle)
    }

    /// Closes a file.
    pub fn release(&self, handle: Handle) {
        self.lock().remove(&handle);
    }

    /// Reads up to `len` bytes from `offset` on and passes them to `done`, from any thread: fewer only at the end of the file.
    /// An error is [`MountError::Stale`] or [`MountError::Unreadable`]; then no byte is given out.
    pub fn read(&self, handle: Handle, offset: u64, len: u64, done: impl FnOnce(Result<Vec<u8>>) + Send + 'static) {
        let open = self.lock().get(&handle).map(Arc::clone);
        let Some(open) = open else { return done(Err(MountError::Stale)) };
        let end = offset.saturating_add(len.min(READ_MAX)).min(open.size);
        if offset >= end {
            return done(Ok(Vec::new()));
        }
        let range = offset..end;
        let ahead = {
            let mut sequence = open.sequence.lock().unwrap_or_else(PoisonError::into_inner);
            sequence.advance(&range, open.size, self.ahead_max)
        };
        let (shared, read) = (Arc::clone(&self.shared), Arc::clone(&open));
        let job: Job = Box::new(move |buffers| done(shared.read(&read, range, buffers)));
        if let Err(job) = self.reads.read(job) {
            // That there are no buffers drops the job, and with it what waits for the answer learns that there is none.
            let _ = self.shared.names.with_buffers(|buffers| {
                job(buffers);
                Ok(())
            });
        }
        if let Some(range) = ahead {
            let shared = Arc::clone(&self.shared);
            self.reads.ahead(Box::new(move |buffers| shared.read_ahead(&open, range, buffers)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 100 << 20;
    const READ: u64 = 128 << 10;

    #[test]
    fn whoever_reads_on_is_read_ahead_of_in_growing_steps() {
        let mut sequence = Sequence::default();
        let (mut at, mut ahead, mut asked) = (0, 0, 0);
        while at < SIZE {
            let range = at..at + READ;
            if let Some(wanted) = sequence.advance(&range, SIZE, AHEAD_MAX) {
                assert!(wanted.start >= ahead && wanted.end <= SIZE && wanted.start < wanted.end, "{wanted:?}");
                assert!(wanted.start <= ahead.max(range.end), "nothing is left out: {wanted:?}");
                assert!(wanted.end <= range.end + AHEAD_MAX);
                (ahead, asked) = (wanted.end, asked + 1);
            }
            at += READ;
        }
        assert_eq!(ahead, SIZE);
        assert!(asked < 30, "{asked} requests for 100 MiB");
    }

    #[test]
    fn whoever_jumps_is_not() {
        let mut sequence = Sequence::default();
        assert_eq!(sequence.advance(&(0..READ), SIZE, AHEAD_MAX), None, "only the beginning");
        for at in [50 << 20, 10 << 20, 90 << 20, 30 << 20] {
            assert_eq!(sequence.advance(&(at..at + READ), SIZE, AHEAD_MAX), None);
        }
        let at = (30 << 20) + READ;
        assert_eq!(sequence.advance(&(at..at + READ), SIZE, AHEAD_MAX), None);
        let at = at + READ;
        let wanted = sequence.advance(&(at..at + READ), SIZE, AHEAD_MAX);
        assert_eq!(wanted, Some(at + READ..at + READ + AHEAD_MIN));
    }

    #[test]
    fn reads_that_overtake_each_other_are_one_sequence() {
        let mut sequence = Sequence::default();
        let order = [0, 2, 1, 4, 3, 5].map(|n| n * READ);
        let asked: Vec<_> =
            order.iter().filter_map(|at| sequence.advance(&(*at..at + READ), SIZE, AHEAD_MAX)).collect();
        assert!(!asked.is_empty());
        assert!(asked.windows(2).all(|pair| pair[0].end == pair[1].start), "{asked:?}");
    }
}
