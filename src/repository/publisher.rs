//! Publishing: staged packs become durable in batches, then their entries go into index segments.
//!
//! One thread does it, so that workers never wait for a disk to sync; without threads it happens at once, in the caller.
//! A segment is stored only after every pack it lists is durable.

use crate::format::pack::PackKind;
use crate::format::sealed::encoded;
use crate::format::segment::{PackEntry, SegmentBuilder};
use crate::id::SegmentId;
use crate::object::ObjectName;
use crate::progress::{Event, EventSink};
use crate::repository::error::{RepositoryError, Result};
use crate::repository::handle::Repository;
use crate::storage::Staged;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Staged packs that may wait; each is a file that is written but not yet synced.
const QUEUE_LEN: usize = 2;
/// Packs published together at most.
const BATCH_LEN: usize = 16;

/// What a session has published.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Published {
    /// Names of its objects, in order.
    pub objects: Vec<ObjectName>,
    /// Their stored bytes.
    pub bytes: u64,
    /// Its segments.
    pub segments: Vec<SegmentId>,
}

struct Work {
    repository: Arc<Repository>,
    sink: Arc<dyn EventSink>,
    builder: SegmentBuilder,
    published: Published,
}

impl Work {
    fn publish(&mut self, batch: Vec<(Staged, PackEntry)>) -> Result<()> {
        let (staged, entries): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let (count, bytes) = (staged.len() as u64, staged.iter().map(Staged::len).sum());
        let names: Vec<_> = staged.iter().map(|s| s.name().clone()).collect();
        for (staged, _) in staged.iter().zip(&entries).filter(|(_, entry)| entry.kind == PackKind::Meta) {
            // The next run begins with it.
            staged.bytes().into_iter().for_each(|bytes| self.repository.fetch().offer(staged.name(), bytes));
        }
        self.repository.publish()?.publish_batch(staged)?;
        self.published.objects.extend(names);
        self.published.bytes += bytes;
        self.sink.event(&Event::ObjectsPublished { count, bytes });
        for entry in &entries {
            self.add(entry)?;
        }
        Ok(())
    }

    fn add(&mut self, entry: &PackEntry) -> Result<()> {
        self.builder.push(entry);
        if self.builder.is_full() { self.flush_segment() } else { Ok(()) }
    }

    fn flush_segment(&mut self) -> Result<()> {
        if self.builder.is_empty() {
            return Ok(());
        }
        let repository = &self.repository;
        let bytes = std::mem::take(&mut self.builder)
            .encode(&repository.place(), &repository.keys().index, repository.random())
            .map_err(RepositoryError::encode("index segment"))?;
        let id = crate::crypto::hash::segment_id(&bytes);
        crate::format::segment::decode(&bytes, &repository.place(), &repository.keys().index)
            .map_err(|_| RepositoryError::Verification("an index segment does not read back"))?;
        let name = repository.layout().segment(&id);
        repository.fetch().offer(&name, &bytes);
        repository.publish()?.put_new(&name, encoded(&bytes))?;
        self.published.objects.push(name);
        self.published.bytes += bytes.len() as u64;
        self.published.segments.push(id);
        self.sink.event(&Event::ObjectsPublished { count: 1, bytes: bytes.len() as u64 });
        Ok(())
    }
}

enum Mode {
    Inline(Box<Work>),
    Thread { sender: Option<SyncSender<(Staged, PackEntry)>>, handle: Option<JoinHandle<Result<Box<Work>>>> },
    Done,
}

/// Makes a session's packs and segments durable.
pub struct Publisher(Mutex<Mode>);

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Publisher(..)")
    }
}

fn run(mut work: Box<Work>, receiver: &Receiver<(Staged, PackEntry)>) -> Result<Box<Work>> {
    while let Ok(first) = receiver.recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH_LEN {
            match receiver.try_recv() {
                Ok(next) => batch.push(next),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        work.publish(batch)?;
    }
    Ok(work)
}

impl Publisher {
    /// A publisher, with a thread of its own or without. `adopted` packs are durable already and go into the first segment.
    ///
    /// # Errors
    /// What the store says, when the adopted packs fill a segment.
    pub fn new(
        repository: Arc<Repository>,
        sink: Arc<dyn EventSink>,
        threaded: bool,
        adopted: &[PackEntry],
    ) -> Result<Self> {
        let mut work =
            Box::new(Work { repository, sink, builder: SegmentBuilder::default(), published: Published::default() });
        for entry in adopted {
            work.add(entry)?;
        }
        if !threaded {
            return Ok(Self(Mutex::new(Mode::Inline(work))));
        }
        let (sender, receiver) = sync_channel(QUEUE_LEN);
        let handle = std::thread::Builder::new()
            .name("publisher".into())
            .spawn(move || run(work, &receiver))
            .map_err(|_| RepositoryError::Thread)?;
        Ok(Self(Mutex::new(Mode::Thread { sender: Some(sender), handle: Some(handle) })))
    }

    /// Takes a staged pack; waits while too many are under way.
    ///
    /// # Errors
    /// What the store says. With a thread, a failure may show only at the next call.
    pub fn submit(&self, staged: Staged, entry: PackEntry) -> Result<()> {
        let sender = {
            let mut mode = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match &mut *mode {
                Mode::Inline(work) => return work.publish(vec![(staged, entry)]),
                Mode::Thread { sender: Some(sender), .. } => sender.clone(),
                Mode::Thread { .. } | Mode::Done => return Err(RepositoryError::Thread),
            }
        };
        if sender.send((staged, entry)).is_ok() {
            return Ok(());
        }
        drop(sender);
        // The thread ended early: its own error says why.
        Err(self.finish().err().unwrap_or(RepositoryError::Thread))
    }

    /// Waits until everything is durable and the last segment is stored.
    ///
    /// # Errors
    /// What the store says; [`RepositoryError::Thread`] when it was finished before.
    pub fn finish(&self) -> Result<Published> {
        let mode = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), Mode::Done);
        let mut work = match mode {
            Mode::Inline(work) => work,
            Mode::Thread { sender, handle } => {
                drop(sender);
                handle.ok_or(RepositoryError::Thread)?.join().map_err(|_| RepositoryError::Thread)??
            }
            Mode::Done => return Err(RepositoryError::Thread),
        };
        work.flush_segment()?;
        Ok(work.published)
    }
}
