//! Publishing: staged packs become durable in batches, then their entries go into index segments.
//!
//! A thread does it, so that workers never wait for a disk to sync; where requests take long it is several, so that a pack is
//! not kept back by the one before. Without threads it happens at once, in the caller. A segment is stored only after every
//! pack it lists is durable.

use crate::format::pack::PackKind;
use crate::format::sealed::encoded;
use crate::format::segment::{PackEntry, SegmentBuilder};
use crate::id::SegmentId;
use crate::object::ObjectName;
use crate::progress::{Event, EventSink};
use crate::repository::error::{RepositoryError, Result};
use crate::repository::handle::Repository;
use crate::storage::{RequestCost, Staged};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

/// Staged packs that may wait; each is a file that is written but not yet synced.
const QUEUE_LEN: usize = 2;
/// Packs published together at most.
const BATCH_LEN: usize = 16;
/// Threads that publish where requests take long. What they have staged is bounded by the store.
const LANES: usize = 2;

/// What a session has published.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Published {
    /// Names of its objects, in the order in which they became durable.
    pub objects: Vec<ObjectName>,
    /// Their stored bytes.
    pub bytes: u64,
    /// Its segments.
    pub segments: Vec<SegmentId>,
}

#[derive(Default)]
struct State {
    builder: SegmentBuilder,
    published: Published,
}

struct Work {
    repository: Arc<Repository>,
    sink: Arc<dyn EventSink>,
    state: Mutex<State>,
    /// A thread met an error: the others need not go on.
    has_failed: AtomicBool,
}

impl Work {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, batch: Vec<(Staged, PackEntry)>) -> Result<()> {
        let (staged, entries): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let (count, bytes) = (staged.len() as u64, staged.iter().map(Staged::len).sum());
        let names: Vec<_> = staged.iter().map(|s| s.name().clone()).collect();
        for (staged, _) in staged.iter().zip(&entries).filter(|(_, entry)| entry.kind == PackKind::Meta) {
            // The next run begins with it.
            staged.bytes().into_iter().for_each(|bytes| self.repository.fetch().offer(staged.name(), bytes));
        }
        self.repository.publish()?.publish_batch(staged)?;
        let mut state = self.lock();
        state.published.objects.extend(names);
        state.published.bytes += bytes;
        self.sink.event(&Event::ObjectsPublished { count, bytes });
        entries.iter().try_for_each(|entry| self.add(&mut state, entry))
    }

    fn add(&self, state: &mut State, entry: &PackEntry) -> Result<()> {
        state.builder.push(entry);
        if state.builder.is_full() { self.flush_segment(state) } else { Ok(()) }
    }

    fn flush_segment(&self, state: &mut State) -> Result<()> {
        if state.builder.is_empty() {
            return Ok(());
        }
        let repository = &self.repository;
        let bytes = std::mem::take(&mut state.builder)
            .encode(&repository.place(), &repository.keys().index, repository.random())
            .map_err(RepositoryError::encode("index segment"))?;
        let id = crate::crypto::hash::segment_id(&bytes);
        crate::format::segment::decode(&bytes, &repository.place(), &repository.keys().index)
            .map_err(|_| RepositoryError::Verification("an index segment does not read back"))?;
        let name = repository.layout().segment(&id);
        repository.fetch().offer(&name, &bytes);
        repository.publish()?.put_new(&name, encoded(&bytes))?;
        let published = &mut state.published;
        published.objects.push(name);
        published.bytes += bytes.len() as u64;
        published.segments.push(id);
        self.sink.event(&Event::ObjectsPublished { count: 1, bytes: bytes.len() as u64 });
        Ok(())
    }

    /// What a thread does until no more packs come or one of the threads fails.
    fn run(&self, packs: &Mutex<Receiver<(Staged, PackEntry)>>) -> Result<()> {
        while let Some(batch) = next_batch(packs) {
            if self.has_failed.load(Ordering::Relaxed) {
                break;
            }
            self.publish(batch).inspect_err(|_| self.has_failed.store(true, Ordering::Relaxed))?;
        }
        Ok(())
    }

    /// Stores the last segment.
    fn end(&self) -> Result<Published> {
        let mut state = self.lock();
        self.flush_segment(&mut state)?;
        Ok(std::mem::take(&mut state.published))
    }
}

/// Waits for a pack; those that wait with it come along.
fn next_batch(packs: &Mutex<Receiver<(Staged, PackEntry)>>) -> Option<Vec<(Staged, PackEntry)>> {
    // Nothing is left half done by who held it.
    let packs = packs.lock().unwrap_or_else(PoisonError::into_inner);
    let mut batch = vec![packs.recv().ok()?];
    batch.extend(packs.try_iter().take(BATCH_LEN - 1));
    Some(batch)
}

enum Mode {
    Inline(Arc<Work>),
    Threads { work: Arc<Work>, sender: SyncSender<(Staged, PackEntry)>, handles: Vec<JoinHandle<Result<()>>> },
    Done,
}

/// Makes a session's packs and segments durable.
pub struct Publisher(Mutex<Mode>);

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Publisher(..)")
    }
}

impl Publisher {
    /// A publisher, with threads of its own or without. `adopted` packs are durable already and go into the first segment.
    ///
    /// # Errors
    /// What the store says, when the adopted packs fill a segment.
    pub fn new(
        repository: Arc<Repository>,
        sink: Arc<dyn EventSink>,
        threaded: bool,
        adopted: &[PackEntry],
    ) -> Result<Self> {
        let lanes = if repository.fetch().request_cost() == RequestCost::NONE { 1 } else { LANES };
        let work = Arc::new(Work { repository, sink, state: Mutex::default(), has_failed: AtomicBool::new(false) });
        let mut state = work.lock();
        adopted.iter().try_for_each(|entry| work.add(&mut state, entry))?;
        drop(state);
        if !threaded {
            return Ok(Self(Mutex::new(Mode::Inline(work))));
        }
        let (sender, receiver) = sync_channel(QUEUE_LEN);
        let receiver = Arc::new(Mutex::new(receiver));
        let mut handles = Vec::with_capacity(lanes);
        for _ in 0..lanes {
            let (work, receiver) = (Arc::clone(&work), Arc::clone(&receiver));
            let started = Builder::new().name("publisher".into()).spawn(move || work.run(&receiver));
            match started {
                Ok(handle) => handles.push(handle),
                // One does it too.
                Err(_) if !handles.is_empty() => break,
                Err(_) => return Err(RepositoryError::Thread),
            }
        }
        Ok(Self(Mutex::new(Mode::Threads { work, sender, handles })))
    }

    /// Takes a staged pack; waits while too many are under way.
    ///
    /// # Errors
    /// What the store says. With threads, a failure may show only at a later call.
    pub fn submit(&self, staged: Staged, entry: PackEntry) -> Result<()> {
        let (sender, work) = {
            let mode = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match &*mode {
                Mode::Inline(work) => return work.publish(vec![(staged, entry)]),
                Mode::Threads { sender, work, .. } => (sender.clone(), Arc::clone(work)),
                Mode::Done => return Err(RepositoryError::Thread),
            }
        };
        if !work.has_failed.load(Ordering::Relaxed) && sender.send((staged, entry)).is_ok() {
            return Ok(());
        }
        drop(sender);
        // A thread ended early: its own error says why.
        Err(self.finish().err().unwrap_or(RepositoryError::Thread))
    }

    /// Waits until everything is durable and the last segment is stored.
    ///
    /// # Errors
    /// What the store says; [`RepositoryError::Thread`] when it was finished before.
    pub fn finish(&self) -> Result<Published> {
        let mode = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), Mode::Done);
        match mode {
            Mode::Inline(work) => work.end(),
            Mode::Threads { work, sender, handles } => {
                drop(sender);
                // All are waited for, whatever the first says: nothing is sent any more when this returns.
                let ended: Vec<Result<()>> =
                    handles.into_iter().map(|handle| handle.join().map_err(|_| RepositoryError::Thread)?).collect();
                ended.into_iter().collect::<Result<()>>()?;
                work.end()
            }
            Mode::Done => Err(RepositoryError::Thread),
        }
    }
}
