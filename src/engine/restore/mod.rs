//! Restore: snapshot → walk → window of pieces in pack order → fetch once, write everywhere → files put in place.
//!
//! Nothing that is restored can lead out of the target, whatever the snapshot says: that is what [`crate::fs::Target`] is
//! for. Nothing is written of a chunk before its id was computed from it again, and a file is under its name only when all
//! of it and its metadata are there. One entry that fails is named and counted, and the rest goes on. Memory is bounded
//! ([`window`]) and descriptors are too ([`dirs`], [`plan`]).

mod delete;
mod dirs;
mod dry;
mod file;
mod links;
mod options;
mod overwrite;
mod place;
mod plan;
mod select;
mod start;
mod tally;
#[cfg(test)]
mod tests;
mod verify;
mod walk;
mod window;
mod work;

pub use options::{EntryFailure, FAILURES_MAX, Overwrite, RestoreOptions, RestoreReport};

use crate::engine::browse::{Found, Snapshot, SnapshotTree};
use crate::engine::context::{Context, Result, chain};
use crate::engine::pool;
use crate::engine::restore::delete::Deletion;
use crate::engine::restore::dirs::Handles;
use crate::engine::restore::links::Links;
use crate::engine::restore::place::Place;
use crate::engine::restore::select::Selection;
use crate::engine::restore::start::Start;
use crate::engine::restore::tally::Tally;
use crate::engine::restore::walk::Walk;
use crate::engine::restore::window::{Limits, Window};
use crate::engine::restore::work::{Job, Work};
use crate::fs::{ExcludeOptions, Excludes, LocalIds, Ownership, RestoreOptions as FsOptions, Target};
use crate::progress::Event;
use crate::repository::RepositoryError;
use crate::repository::pack_reader::{PackReader, ReadBuffers};
use crate::repository::view::Damage;
use std::sync::{Arc, Mutex};

/// Restores a snapshot or a part of it.
///
/// # Errors
/// [`EngineError`] when nothing could be restored, when it was told to stop, and when the store went out of reach; what is
/// under its name then is whole. Entries that could not be restored are no error: they are in the report, with
/// [`RestoreReport::damaged`] saying how many of them because the repository is damaged.
pub fn run(cx: &Context, snapshot: &Snapshot, options: &RestoreOptions) -> Result<RestoreReport> {
    run_with(cx, snapshot, options, Limits::DEFAULT)
}

fn run_with(cx: &Context, snapshot: &Snapshot, options: &RestoreOptions, limits: Limits) -> Result<RestoreReport> {
    let begun = cx.clock.elapsed();
    let repository = cx.repository.config().repository.to_string();
    cx.event(&Event::RunStarted { operation: "restore", repository, purpose: &options.purpose });
    let mut tally = Tally::new(cx);
    let restored = restore(cx, snapshot, options, limits, &tally);
    let restored = match tally.take_lost() {
        Some(error) => Err(RepositoryError::from(error).into()),
        None => restored,
    };
    let report = tally.report(snapshot.id, cx.clock.elapsed().saturating_sub(begun));
    if !options.dry_run {
        // Interrupted or not: this much was taken out of the repository.
        cx.event(&Event::ContentRecovered {
            snapshot: snapshot.id.to_string(),
            files: report.files_restored,
            bytes: report.bytes_restored,
            failed: report.failed,
        });
    }
    cx.event(&Event::RunEnded { operation: "restore", complete: restored.is_ok() && report.failed == 0 });
    restored.map(|()| report)
}

fn restore(
    cx: &Context,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    limits: Limits,
    tally: &Tally<'_>,
) -> Result<()> {
    let selection = Selection::new(options)?;
    let view = cx.repository.load_view_for_reading(Damage::Collect)?;
    for error in &view.damaged {
        // Perhaps nothing of it is needed; if it is, that will be named.
        cx.event(&Event::Warning { path: b"", message: &chain(error) });
    }
    let reader = Arc::new(PackReader::new(Arc::clone(&cx.repository), Arc::new(view.index)));
    let tree = SnapshotTree::new(Arc::clone(&reader), snapshot.references.tree);
    let start = Start::new(&options.path, tree.find(&options.path)?);
    if options.delete {
        delete::check(options, &start, &snapshot.entries, &selection)?;
    }
    let left_out = match options.delete {
        true => delete::left_out(&snapshot.entries)?,
        false => Excludes::new(&ExcludeOptions::default())?,
    };
    let deletion = Deletion {
        cx,
        tally,
        selection: &selection,
        sources: &snapshot.entries.paths,
        missed: &snapshot.entries.failures,
        left_out: &left_out,
        rule: options.overwrite,
        fs_options: None,
    };
    let is_whole = matches!(start.found, Found::Root(_)) && selection.is_all();
    if is_whole {
        let statistics = &snapshot.entries.statistics;
        let (entries, bytes) = (statistics.total_files + statistics.others, statistics.total_bytes);
        cx.event(&Event::Total { entries, bytes });
    }
    if options.dry_run {
        let target = Target::open_existing(&options.target)?;
        let root = target.as_ref().map(Target::root);
        dry::run(cx, &tree, &start, &selection, options, root, tally)?;
        return match root.filter(|_| options.delete) {
            Some(root) => deletion.run(root, &tree, &start),
            None => Ok(()),
        };
    }
    let handles = Handles::new(Target::open(&options.target)?);
    if handles.is_exposed() {
        let message = "others may write to the target: they could interfere while it is being restored";
        cx.event(&Event::Warning { path: b"", message });
    }
    let ownership = match (options.no_owner, options.owners_by_name) {
        (true, _) => Ownership::Ignore,
        (false, true) => Ownership::ByName(Arc::new(LocalIds::new())),
        (false, false) => Ownership::ById,
    };
    let fs_options = FsOptions::new(ownership);
    let deletion = options.delete.then_some(Deletion { fs_options: Some(&fs_options), ..deletion });
    let place = Place {
        cx,
        reader: &reader,
        handles,
        deletion,
        fs_options: fs_options.clone(),
        changes_in_place: options.in_place,
        links: Links::default(),
        tally,
        in_place: options.verify.then(Mutex::default),
    };
    let work = Work { place, retries: Mutex::default() };
    let walked = pool::run(
        cx.readers(),
        || Ok(ReadBuffers::new()?),
        |buffers: &mut ReadBuffers, job: Job| work.run(buffers, job),
        |pool| {
            let window = Window::new(&work, pool, limits, options.sparse)?;
            Walk::new(&work, window, &selection, options, &snapshot.entries.paths).run(&tree, &start, !is_whole)
        },
    )?;
    if options.verify {
        verify::run(&work.place, &tree, &start, &selection, &walked)?;
    }
    match deletion {
        // What is left over may be all that there is of what could not be restored.
        Some(_) if tally.has_failed() => {
            let message = "not everything could be restored, so nothing was removed";
            cx.event(&Event::Warning { path: b"", message });
            Ok(())
        }
        Some(deletion) => deletion.run(work.place.handles.root(), &tree, &start),
        None => Ok(()),
    }
}
