//! Which thread does what: the only place of a backup that knows threads.
//!
//! The walker makes batches of files; workers take one through reading, cutting, hashing and claiming in one pass. Groups of
//! new chunks are compressed and sealed by whoever is free: a worker that cuts a huge file hands them over while there is
//! room, and otherwise seals them itself, so one file keeps every core busy and nothing queues without bound. With no
//! workers everything happens at once, in the caller, in one order.

use crate::engine::backup::queue::{Job, SealQueue};
use crate::engine::backup::reading::{ScanError, TOO_LONG};
use crate::engine::backup::scan::{ScanContext, Scanned, Scanner};
use crate::engine::backup::source::Sources;
use crate::engine::backup::store::Store;
use crate::engine::backup::tally::Tally;
use crate::engine::backup::task::Batch;
use crate::engine::context::{EngineError, Result};
use crate::format::node::{Content, Node};
use crate::journal::{FileEvent, FileRecord, Journal};
use crate::progress::{Event, EventSink};

/// What a worker needs from the run.
#[derive(Debug, Clone, Copy)]
pub(super) struct WorkContext<'a> {
    pub(super) scan: ScanContext<'a>,
    pub(super) tally: &'a Tally,
    pub(super) sources: &'a Sources,
}

/// The node of a file that was read. `known` is what the parent had there: if that is the same, nothing has changed.
pub(super) fn node_of(
    name: Vec<u8>,
    known: Option<&Node>,
    scanned: Scanned,
    tally: &Tally,
    sink: &dyn EventSink,
) -> Node {
    let Scanned { path, stat, xattrs, size, sparse, inconsistent, body } = scanned;
    let xattrs = tally.keep(|| path.clone(), xattrs, sink);
    if inconsistent {
        sink.event(&Event::Warning { path: &path, message: "kept changing while it was read; kept as it came" });
    }
    let content = Content::File { size, sparse, inconsistent, body };
    let node = Node { name, metadata: tally.metadata(&stat, xattrs), content };
    tally.count(|s| {
        match known {
            None => s.files_new += 1,
            Some(known) if *known == node => s.files_unmodified += 1,
            Some(_) => s.files_changed += 1,
        }
        s.inconsistent += u64::from(inconsistent);
        s.data_read_bytes += size;
        s.total_files += 1;
        s.total_bytes += size;
    });
    sink.event(&Event::EntryDone { size, unchanged: false });
    node
}

/// Puts a file that was read on record, under its path in the snapshot.
pub(super) fn record(path: &[u8], scanned: &Scanned, journal: &dyn Journal) -> Result<()> {
    let event = if scanned.inconsistent { FileEvent::TransmittedChanging } else { FileEvent::Transmitted };
    let content = scanned.body.digest();
    Ok(journal.file(&FileRecord { event, path, size: scanned.size, content: Some(&content) })?)
}

fn run_batch(batch: Batch, scanner: &mut Scanner, cx: WorkContext<'_>) -> Result<()> {
    for task in batch {
        cx.scan.go_on()?;
        let scanned = scanner.scan(&task.dir.source, &task.name, &task.stat, cx.scan);
        let node = match scanned {
            Ok(scanned) => {
                record(&cx.sources.stored_path(&scanned.path), &scanned, cx.scan.journal)?;
                Some(node_of(task.name.clone(), task.known.as_ref(), scanned, cx.tally, cx.scan.sink))
            }
            Err(ScanError::File(error)) => {
                cx.tally.lost(&task.dir.source.path_of(&task.name), &error, cx.scan.sink);
                None
            }
            Err(ScanError::TooLong) => {
                cx.tally.fail(&task.dir.source.path_of(&task.name), &format!("is {TOO_LONG}"), cx.scan.sink);
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

    /// Reads something in the caller, beside the workers, to whom it hands groups to be sealed.
    pub(super) fn in_caller<R>(
        &mut self,
        cx: WorkContext<'_>,
        scanner: impl FnOnce() -> Result<Scanner>,
        read: impl FnOnce(&mut Scanner, WorkContext<'_>) -> Result<R>,
    ) -> Result<R> {
        match self {
            Self::Inline(scanner, cx) => read(scanner, *cx),
            Self::Queue(_) => {
                let mut scanner = scanner()?;
                let result = read(&mut scanner, cx);
                // As at the end of a worker: what was claimed must be stored.
                flush(&mut scanner, cx.scan.store)?;
                result
            }
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
    if queue.workers() == 0 {
        let mut executor = Executor::Inline(Box::new(scanner()?), cx);
        let walked = walk(&mut executor);
        if let Executor::Inline(scanner, cx) = &mut executor {
            flush(scanner, cx.scan.store)?;
        }
        return walked;
    }
    let scanners = (0..queue.workers()).map(|_| scanner()).collect::<Result<Vec<_>>>()?;
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
    match queue.take_error() {
        Some(error) => Err(error),
        None => walked,
    }
}
