//! What waits for a worker: batches of files, and groups of new chunks to be sealed. Both are bounded.

use crate::engine::backup::store::{Coder, Group, Store};
use crate::engine::backup::task::Batch;
use crate::engine::context::{EngineError, Result};
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Batches that may wait, for each worker.
const BATCHES_PER_WORKER: usize = 4;
/// Groups that may wait, for each worker; each holds up to [`LARGE_GROUP_LEN`] bytes.
const SEALS_PER_WORKER: usize = 2;

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

/// One thing to do.
pub(super) enum Job {
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
    ///
    /// # Errors
    /// What the store says; [`EngineError::Worker`] when a worker failed.
    pub(super) fn seal(&self, group: &mut Group, coder: &mut Coder, store: &Store) -> Result<()> {
        if group.is_empty() {
            return Ok(());
        }
        if self.workers > 1 {
            let mut state = self.lock();
            if state.failed {
                return Err(EngineError::Worker("failed"));
            }
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
    pub(super) fn push(&self, batch: Batch) -> Result<()> {
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

    pub(super) fn next(&self) -> Option<Job> {
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

    pub(super) fn done(&self, spare: Option<Group>) {
        let mut state = self.lock();
        state.busy -= 1;
        state.spare.extend(spare);
        let last = state.closed && state.busy == 0;
        drop(state);
        if last {
            self.work.notify_all();
        }
    }

    pub(super) fn fail(&self, error: EngineError) {
        let mut state = self.lock();
        state.failed = true;
        state.error.get_or_insert(error);
        drop(state);
        self.work.notify_all();
        self.room.notify_all();
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_all();
    }

    /// Drops batches that nobody has begun, so that the rest ends soon.
    pub(super) fn discard(&self) {
        self.lock().batches.clear();
    }

    /// The first error, if a worker failed.
    pub(super) fn take_error(&self) -> Option<EngineError> {
        self.lock().error.take()
    }

    /// Worker threads; 0 if everything runs in the caller.
    pub(super) fn workers(&self) -> usize {
        self.workers
    }
}
