//! A backup from session to commit, with checkpoints on the way.
//!
//! A checkpoint ends the walk where it is: what is done is committed as an ordinary cell, hidden from people, and a new
//! session begins with it as first parent (W8). No reference held in memory survives it.

use crate::engine::backup::dir::Dir;
use crate::engine::backup::options::{BackupOptions, BackupReport};
use crate::engine::backup::parent::{self, Parent};
use crate::engine::backup::placed::{Place, Read};
use crate::engine::backup::queue::SealQueue;
use crate::engine::backup::scan::{ScanContext, Scanner};
use crate::engine::backup::selection::Selection;
use crate::engine::backup::source::Sources;
use crate::engine::backup::store::Coder;
use crate::engine::backup::tally::Tally;
use crate::engine::backup::walk::{WalkContext, Walker};
use crate::engine::backup::workers::{self, Executor, WorkContext};
use crate::engine::backup::writing::{self, Author, Outcomes, Writing};
use crate::engine::context::{Context, EngineError, Result};
use crate::format::cell::{CELL_TEXT_MAX, CellEntries, Failure, Outcome, Statistics};
use crate::fs::Excludes;
use crate::id::{SessionId, TreeId};
use crate::progress::Event;
use crate::repository::pack_reader::PackReader;
use crate::repository::parallel;
use crate::repository::publisher::Published;
use crate::repository::session::OpenSession;
use std::sync::Arc;
use std::time::Duration;

/// One session's work.
struct Pass {
    session: OpenSession,
    parents: Vec<Parent>,
    tree: TreeId,
    started: crate::clock::Timestamp,
    cut: bool,
    published: Published,
    statistics: Statistics,
    failures: Vec<Failure>,
}

/// Backs up.
///
/// # Errors
/// [`EngineError`] when no snapshot could be made. Entries that could not be read are no error: they are in the report.
/// After [`EngineError::Interrupted`] what was stored is taken over by the next run.
pub fn run(cx: &Context, options: &BackupOptions) -> Result<BackupReport> {
    let begun = cx.clock.elapsed();
    let repository = cx.repository.config().repository.to_string();
    cx.event(&Event::RunStarted { operation: "backup", repository, purpose: &options.purpose });
    let result = backup(cx, options, begun);
    let complete = result.as_ref().is_ok_and(|report| report.statistics.failed == 0);
    cx.event(&Event::RunEnded { operation: "backup", complete });
    result
}

fn backup(cx: &Context, options: &BackupOptions, begun: Duration) -> Result<BackupReport> {
    if options.sources.stored().is_empty() {
        return Err(EngineError::NothingToDo);
    }
    let excludes = Excludes::new(&options.excludes)?;
    let (mut checkpoints, mut adopted_packs) = (0, 0);
    // What checkpoints of this run added; the last pass sees it as known already.
    let mut earlier = Statistics::default();
    loop {
        let pass = pass(cx, options, &excludes)?;
        adopted_packs += pass.session.adopted.len() as u64;
        let previous = pass.parents.first().copied();
        let mut report = BackupReport {
            snapshot: None,
            entries: None,
            parent: previous.map(|p| p.session),
            tree: pass.tree,
            statistics: sum(&earlier, pass.statistics),
            failures: pass.failures.clone(),
            adopted_packs,
            checkpoints,
            duration: Duration::ZERO,
        };
        let unchanged =
            options.skip_if_unchanged && !pass.cut && previous.is_some_and(|p| p.is_snapshot && p.tree == pass.tree);
        if options.dry_run || unchanged {
            report.duration = cx.clock.elapsed().saturating_sub(begun);
            return Ok(report);
        }
        let (id, entries) = commit(cx, options, &pass, &report)?;
        if pass.cut {
            checkpoints += 1;
            earlier = report.statistics;
            continue;
        }
        (report.snapshot, report.entries) = (Some(id), Some(entries));
        report.duration = cx.clock.elapsed().saturating_sub(begun);
        return Ok(report);
    }
}

/// Adds to a pass's counts what earlier passes of the same run read and stored.
fn sum(earlier: &Statistics, mut pass: Statistics) -> Statistics {
    pass.data_read_bytes += earlier.data_read_bytes;
    pass.data_added_bytes += earlier.data_added_bytes;
    pass.data_added_packed_bytes += earlier.data_added_packed_bytes;
    pass.chunks_new += earlier.chunks_new;
    pass.chunks_known += earlier.chunks_known;
    pass
}

/// What a worker takes with its share of the queues, and what everything else takes.
const WORKER_BYTES: u64 = 16 << 20;
const BASE_BYTES: u64 = 32 << 20;

/// As many workers as there is memory for, but one at least (none if none were asked for).
fn workers(cx: &Context) -> usize {
    let affordable = cx.memory_bytes.saturating_sub(BASE_BYTES) / WORKER_BYTES;
    cx.workers.min(usize::try_from(affordable).unwrap_or(usize::MAX).max(1))
}

/// What a pass read, whose files may still be under way.
enum Top {
    Root(Arc<Dir>),
    Placed(Box<(Place, Read)>),
}

impl Top {
    /// Reads all sources. Returns whether it was cut short for a checkpoint, too: never for a stream, which cannot be read again.
    fn read(
        options: &BackupOptions,
        parents: &[Parent],
        mut walker: Walker<'_>,
        executor: &mut Executor<'_>,
        work: WorkContext<'_>,
        scanner: impl FnOnce() -> Result<Scanner>,
    ) -> Result<(Self, bool)> {
        let top = match &options.sources {
            Sources::Paths(paths) => Self::Root(walker.walk(Selection::new(paths)?, parents, executor)?),
            Sources::PathAs { path, stored } => {
                let place = Place::new(stored, parents, &mut walker)?;
                let read = place.read_path(path, &mut walker, executor, work, scanner)?;
                Self::Placed(Box::new((place, read)))
            }
            Sources::Stream { stored, stream } => {
                let place = Place::new(stored, parents, &mut walker)?;
                let read = place.read_stream(&**stream, walker.w, executor, work, scanner)?;
                Self::Placed(Box::new((place, read)))
            }
        };
        Ok((top, walker.cut))
    }

    /// The root of the snapshot, when nothing is under way any more.
    fn tree(&self, w: WalkContext<'_>) -> Result<TreeId> {
        let tree = match self {
            Self::Root(dir) => dir.tree(),
            Self::Placed(placed) => placed.0.finish(&placed.1, w)?,
        };
        tree.ok_or(EngineError::Worker("left a directory open"))
    }
}

fn pass(cx: &Context, options: &BackupOptions, excludes: &Excludes) -> Result<Pass> {
    let author = Author {
        identity: &options.identity,
        host_name: options.host_name.as_bytes(),
        pack_sizes: options.pack_sizes,
        dry_run: options.dry_run,
    };
    let writing = Writing::begin(cx, &author)?;
    let parents = parent::choose(&writing.session.view, &options.identity.host_key(), options)?;
    if let Some(parent) = parents.last() {
        cx.event(&Event::Total { entries: parent.totals.0, bytes: parent.totals.1 });
    }
    let store = &writing.store;
    let reader = PackReader::new(Arc::clone(&cx.repository), Arc::clone(&writing.known));
    let (chunker, tally, queue) = (cx.repository.chunker(), Tally::default(), SealQueue::new(workers(cx)));
    let started = cx.clock.now();

    let scan =
        ScanContext { chunker: &chunker, store, seals: &queue, sink: &*cx.sink, journal: &*cx.journal, stop: &cx.stop };
    let work = WorkContext { scan, tally: &tally, sources: &options.sources };
    let w = WalkContext { cx, options, excludes, reader: &reader, store, tally: &tally };
    let scanner = || Ok(Scanner::new(&chunker, Coder::new(options.compression)?));
    let mut read = None;
    let worked = workers::run(&queue, work, scanner, |executor| {
        read = Some(Top::read(options, &parents, Walker::new(w)?, executor, work, scanner)?);
        Ok(())
    });
    let tree = worked.and_then(|()| match &read {
        Some((top, cut)) => Ok((top.tree(w)?, *cut)),
        None => Err(EngineError::Worker("left nothing")),
    });
    // Interrupted or not, what was sealed becomes durable, so that the next run can take it over.
    let published = match &tree {
        Err(_) => writing.finish(),
        Ok(_) if cx.workers > 0 => parallel::both(|| writing.finish(), || cx.journal.settle())?.0,
        Ok(_) => {
            cx.journal.settle();
            writing.finish()
        }
    };
    let (tree, cut) = tree?;
    let published = published?;
    let (mut statistics, mut failures) = tally.report();
    for failure in &mut failures {
        // One that is cut stays as it is: it is long enough to show that.
        if failure.path.len() < CELL_TEXT_MAX {
            let mut path = options.sources.stored_path(&failure.path).into_owned();
            path.truncate(CELL_TEXT_MAX);
            failure.path = path;
        }
    }
    [statistics.chunks_new, statistics.chunks_known, statistics.data_added_bytes] = writing.added();
    statistics.data_added_packed_bytes = published.bytes;
    Ok(Pass { session: writing.session, parents, tree, started, cut, published, statistics, failures })
}

fn commit(
    cx: &Context,
    options: &BackupOptions,
    pass: &Pass,
    report: &BackupReport,
) -> Result<(SessionId, CellEntries)> {
    let text = |list: &[String]| {
        let mut list: Vec<Vec<u8>> = list.iter().map(|item| item.as_bytes().to_vec()).collect();
        list.sort();
        list.dedup();
        list
    };
    let excludes = [&options.excludes.patterns[..], &options.excludes.case_insensitive_patterns[..]].concat();
    let entries = CellEntries {
        time: options.time.unwrap_or(pass.started),
        started: pass.started,
        ended: cx.clock.now(),
        host_name: options.host_name.as_bytes().to_vec(),
        user_name: options.user_name.as_bytes().to_vec(),
        program_version: options.program_version.as_bytes().to_vec(),
        purpose: options.purpose.as_bytes().to_vec(),
        paths: parent::paths(options),
        tags: text(&options.tags),
        excludes: text(&excludes),
        statistics: report.statistics,
        failures: pass.failures.clone(),
    };
    let outcome = if pass.cut { Outcome::Checkpoint } else { Outcome::Snapshot };
    let parent = pass.parents.first().map(|p| p.session);
    let outcomes = Outcomes { outcome, tree: pass.tree, parent, entries: entries.clone() };
    Ok((writing::commit(cx, &pass.session, &pass.published, outcomes)?, entries))
}
