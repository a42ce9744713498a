//! Which thread does what: the only place of a backup that knows threads.
//!
//! The walker makes batches of files; workers take one through reading, cutting, hashing and claiming in one pass. Groups of
//! new chunks are compressed and sealed by whoever is free: a worker that cuts a huge file hands them over while there is
//! room, and otherwise seals them itself, so one file keeps every core busy and nothing queues without bound. With no
//! workers everything happens at once, in the caller, in one order.

use crate::engine::backup::dir::Dir;
use crate::engine::backup::scan::{ScanContext, ScanError, Scanner};
use crate::engine::backup::store::{Coder, Group, LARGE_GROUP_LEN, Store};
use crate::engine::backup::tally::Tally;
use crate::engine::context::{EngineError, Result};
use crate::fs::Stat;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Files of one batch at most.
pub(super) const BATCH_FILES_MAX: usize = 256;
/// Directories of one batch at most; each is held open until its files are read.
pub(super) const BATCH_DIRS_MAX: usize = 64;
/// Bytes of one batch at most, but for a single larger file.
pub(super) const BATCH_BYTES_MAX: u64 = LARGE_GROUP_LEN as u64;
/// Batches that may wait, for each worker.
const BATCHES_PER_WORKER: usize = 4;
/// Groups that may wait, for each worker; each holds up to [`LARGE_GROUP_LEN`] bytes.
const SEALS_PER_WORKER: usize = 2;

/// A file to be read.
#[derive(Debug)]
pub(super) struct FileTask {
    pub(super) dir: Arc<Dir>,
    pub(super) slot: usize,
    pub(super) name: Vec<u8>,
    pub(super) stat: Stat,
    /// Whether the parent had a file there.
    pub(super) known: bool,
}

/// Files to be read one after the other.
pub(super) type Batch = Vec<FileTask>;

#[derive(Debug, Default)]
struct State {
    batches: VecDeque<Batch>,
    seals: VecDeque<Group>,
    spare: Vec<Group>,
    busy: usize,
    closed: bool,
    error: Option<EngineError>,
    failed: bool,
}

/// Work that waits for a worker.
#[derive(Debug)]
pub(super) struct SealQueue {
    state: Mutex<State>,
    /// Something to do, or the end.
    work: Condvar,
    /// Room for another batch.
    room: Condvar,
    workers: usize,
}

enum Job {
    Batch(Batch),
    Seal(Group),
}

impl SealQueue {
    pub(super) fn new(workers: usize) -> Self {
        Self { state: Mutex::default(), work: Condvar::new(), room: Condvar::new(), workers }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a group over, or seals it here when there is no room. It is empty afterwards.
    pub(super) fn seal(&self, group: &mut Group, coder: &mut Coder, store: &Store) -> Result<()> {
        if group.is_empty() {
            return Ok(());
        }
        if self.workers > 1 {
            let mut state = self.lock();
            if state.seals.len() < self.workers * SEALS_PER_WORKER {
                let spare = state.spare.pop().unwrap_or_default();
                state.seals.push_back(std::mem::replace(group, spare));
                drop(state);
                self.work.notify_one();
                return Ok(());
            }
        }
        store.seal(group, coder)
    }

    /// Queues a batch; waits while too many are queued.
    ///
    /// # Errors
    /// [`EngineError::Worker`] when a worker failed; its own error comes from [`SealQueue::take_error`].
    fn push(&self, batch: Batch) -> Result<()> {
        let mut state = self.lock();
        while state.batches.len() >= self.workers * BATCHES_PER_WORKER && !state.failed {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.failed {
            return Err(EngineError::Worker("failed"));
        }
        state.batches.push_back(batch);
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if state.failed {
                return None;
            }
            let job = match state.seals.pop_front() {
                Some(group) => Some(Job::Seal(group)),
                None => state.batches.pop_front().map(Job::Batch),
            };
            if let Some(job) = job {
                state.busy += 1;
                drop(state);
                self.room.notify_one();
                return Some(job);
            }
            // Only a busy worker can still hand over groups.
            if state.closed && state.busy == 0 {
                drop(state);
                self.work.notify_all();
                return None;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self, spare: Option<Group>) {
        let mut state = self.lock();
        state.busy -= 1;
        state.spare.extend(spare);
        let last = state.closed && state.busy == 0;
        drop(state);
        if last {
            self.work.notify_all();
        }
    }

    fn fail(&self, error: EngineError) {
        let mut state = self.lock();
        state.failed = true;
        state.error.get_or_insert(error);
        drop(state);
        self.work.notify_all();
        self.room.notify_all();
    }

    fn close(&self) {
        self.lock().closed = true;
        self.work.notify_all();
    }

    /// Drops batches that nobody has begun, so that the rest ends soon.
    fn discard(&self) {
        self.lock().batches.clear();
    }
}

/// What a worker needs from the run.
#[derive(Debug, Clone, Copy)]
pub(super) struct WorkContext<'a> {
    pub(super) scan: ScanContext<'a>,
    pub(super) tally: &'a Tally,
}

fn run_batch(batch: Batch, scanner: &mut Scanner, cx: WorkContext<'_>) -> Result<()> {
    for task in batch {
        let scanned = scanner.scan(&task.dir.source, &task.name, &task.stat, cx.scan);
        let node = match scanned {
            Ok(scanned) => Some(cx.tally.scanned(&task, scanned, cx.scan.sink)),
            Err(ScanError::File(error)) => {
                cx.tally.lost(&task.dir.source.path_of(&task.name), &error, cx.scan.sink);
                None
            }
            Err(ScanError::Run(error)) => return Err(error),
        };
        task.dir.complete(task.slot, node, false, cx.scan.store, cx.tally)?;
    }
    Ok(())
}

fn flush(scanner: &mut Scanner, store: &Store) -> Result<()> {
    let Scanner { small, large, coder, .. } = scanner;
    store.seal(small, coder)?;
    store.seal(large, coder)
}

fn work(queue: &SealQueue, mut scanner: Scanner, cx: WorkContext<'_>) {
    while let Some(job) = queue.next() {
        let (result, spare) = match job {
            Job::Batch(batch) => (run_batch(batch, &mut scanner, cx), None),
            Job::Seal(mut group) => (cx.scan.store.seal(&mut group, &mut scanner.coder), Some(group)),
        };
        if let Err(error) = result {
            queue.fail(error);
        }
        queue.done(spare);
    }
    // Claimed chunks must be stored even if what claimed them failed: others rely on them.
    if let Err(error) = flush(&mut scanner, cx.scan.store) {
        queue.fail(error);
    }
}

/// Where the walker sends its batches.
#[derive(Debug)]
pub(super) enum Executor<'a> {
    /// To worker threads.
    Queue(&'a SealQueue),
    /// Nowhere: they are run at once.
    Inline(Box<Scanner>, WorkContext<'a>),
}

impl Executor<'_> {
    pub(super) fn submit(&mut self, batch: Batch) -> Result<()> {
        match self {
            Self::Queue(queue) => queue.push(batch),
            Self::Inline(scanner, cx) => run_batch(batch, scanner, *cx),
        }
    }
}

/// Runs `walk` beside `workers` threads, or alone; afterwards every batch is done and every group sealed.
///
/// # Errors
/// The first of a worker's error and the walker's. After an interruption what is under way is still finished.
pub(super) fn run(
    queue: &SealQueue,
    cx: WorkContext<'_>,
    scanner: impl Fn() -> Result<Scanner>,
    walk: impl FnOnce(&mut Executor<'_>) -> Result<()>,
) -> Result<()> {
    if queue.workers == 0 {
        let mut executor = Executor::Inline(Box::new(scanner()?), cx);
        let walked = walk(&mut executor);
        if let Executor::Inline(scanner, cx) = &mut executor {
            flush(scanner, cx.scan.store)?;
        }
        return walked;
    }
    let scanners = (0..queue.workers).map(|_| scanner()).collect::<Result<Vec<_>>>()?;
    let walked = std::thread::scope(|scope| {
        for scanner in scanners {
            let spawned =
                std::thread::Builder::new().name("worker".into()).spawn_scoped(scope, move || work(queue, scanner, cx));
            if spawned.is_err() {
                queue.fail(EngineError::Worker("could not be started"));
            }
        }
        let walked = walk(&mut Executor::Queue(queue));
        if walked.is_err() {
            queue.discard();
        }
        queue.close();
        walked
    });
    match queue.lock().error.take() {
        Some(error) => Err(error),
        None => walked,
    }
}
