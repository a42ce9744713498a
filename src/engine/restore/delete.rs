//! `--delete`: what is in the target and not in the snapshot goes. A pass of its own after everything else was restored.
//!
//! That an entry is not in the snapshot says that it was not there only where the backup looked: at its sources and below.
//! So nothing is removed in directories on the way to a source, nor outside the target, nor where a directory of the
//! snapshot cannot be read. Nothing is removed that an exclusion hides or no inclusion covers, nor cairn's own repository, cache
//! and state, whatever path leads there. What is mounted below a source was perhaps not backed up: nothing is removed there,
//! unless it is a source itself. What could not be read when the snapshot was made was there, so it stays as well, and so does what
//! the excludes hide that the snapshot has on record.

use crate::engine::browse::{SnapshotTree, Step};
use crate::engine::context::{Context, EngineError, Result};
use crate::engine::restore::options::{Overwrite, RestoreOptions};
use crate::engine::restore::select::{Choice, Selection};
use crate::engine::restore::start::{Start, is_covered, is_source};
use crate::engine::restore::tally::Tally;
use crate::format::cell::{CELL_TEXT_MAX, CellEntries, Failure};
use crate::format::node::{Metadata, Node};
use crate::fs::{
    ExcludeOptions, Excludes, FileId, FileKind, FsError, Removal, RestoreOptions as FsOptions, Stat, TargetDir,
};
use crate::progress::Event;
use std::collections::{BTreeSet, HashSet};
use std::path::Path;

/// Whether entries of a directory may be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// On the way to a source.
    Outside,
    /// At a source or below.
    Inside,
    /// Below a source, on another file system than that.
    Foreign,
}

struct Frame {
    dir: TargetDir,
    path: Vec<u8>,
    /// Of the directory, if it was restored with its metadata.
    metadata: Option<Metadata>,
    choice: Choice,
    scope: Scope,
    /// Names in the target that the snapshot was not seen to have.
    names: BTreeSet<Vec<u8>>,
    /// What the target has under another spelling of a name that the snapshot has.
    aliases: HashSet<FileId>,
    /// Whether all names that the snapshot has are known.
    is_known: bool,
}

impl Frame {
    /// The snapshot has this. A file system that does not tell upper from lower case may list it under the spelling that it
    /// had before.
    fn has(&mut self, node: &Node) {
        if self.names.remove(&node.name) {
            return;
        }
        match self.dir.stat(&node.name) {
            Ok(None) => {}
            Ok(Some(stat)) => drop(self.aliases.insert(stat.id())),
            Err(_) => self.is_known = false,
        }
    }
}

/// Removes what is not in the snapshot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deletion<'a> {
    pub(super) cx: &'a Context,
    pub(super) tally: &'a Tally<'a>,
    pub(super) selection: &'a Selection,
    /// What was backed up.
    pub(super) sources: &'a [Vec<u8>],
    /// What was there, and could not be backed up.
    pub(super) missed: &'a [Failure],
    /// What was left out of the backup, as far as it says.
    pub(super) left_out: &'a Excludes,
    pub(super) rule: Overwrite,
    /// How metadata is set; `None` for a dry run.
    pub(super) fs_options: Option<&'a FsOptions>,
}

/// Refuses what nobody means: to remove from `/` whatever is not in a snapshot, and what a snapshot does not have because it
/// could not be read, without anything telling which that is.
///
/// # Errors
/// [`EngineError::Setting`].
pub(super) fn check(
    options: &RestoreOptions,
    start: &Start,
    entries: &CellEntries,
    selection: &Selection,
) -> Result<()> {
    let sources = &entries.paths;
    let is_named = |failure: &Failure| failure.path.len() < CELL_TEXT_MAX && is_covered(sources, &failure.path);
    let missed = entries.statistics.failed;
    if missed > entries.failures.len() as u64 || !entries.failures.iter().all(is_named) {
        let what = "could not be read when this snapshot was made, and it does not say which they are: --delete would remove them";
        return Err(EngineError::Setting(format!("{missed} entries {what}")));
    }
    let is_root = |path: &Path| path.canonicalize().is_ok_and(|path| path == Path::new("/"));
    if selection.has_include() || !is_covered(sources, &start.path) || !is_root(&options.target) {
        return Ok(());
    }
    let what = "--delete would remove from / whatever is not in the snapshot; say with --include what is meant";
    Err(EngineError::Setting(what.into()))
}

/// What the excludes that a snapshot has on record hide, in either way of looking at case: it does not say which was meant.
///
/// # Errors
/// A pattern that cannot be used.
pub(super) fn left_out(entries: &CellEntries) -> Result<Excludes> {
    let patterns: Vec<String> =
        entries.excludes.iter().map(|pattern| String::from_utf8_lossy(pattern).into_owned()).collect();
    let case_insensitive_patterns = patterns.clone();
    Ok(Excludes::new(&ExcludeOptions { patterns, case_insensitive_patterns, ..ExcludeOptions::default() })?)
}

impl Removal for Deletion<'_> {
    fn spares(&mut self, path: &[u8], stat: &Stat) -> bool {
        self.selection.is_excluded(path, stat) || self.left_out.excludes_entry(path, stat) || self.was_missed(path)
    }

    fn removed(&mut self, path: &[u8]) {
        self.tally.removed(path, self.is_dry_run());
    }

    fn failed(&mut self, path: &[u8], error: FsError) {
        self.tally.not_removed(path, &error.into());
    }

    fn is_dry_run(&self) -> bool {
        self.fs_options.is_none()
    }

    fn is_stopped(&self) -> bool {
        self.cx.is_stopped()
    }
}

impl Deletion<'_> {
    /// Removes everything below `root`, where `start` was restored to.
    ///
    /// # Errors
    /// [`EngineError::Interrupted`].
    pub(super) fn run(mut self, root: &TargetDir, tree: &SnapshotTree, start: &Start) -> Result<()> {
        let Some(first) = start.found.tree() else { return Ok(()) };
        let mut walk = tree.walk(&start.path, first)?;
        let top = self.frame(root.clone(), &start.path, None, self.selection.root(), None);
        let mut frames: Vec<Frame> = top.into_iter().collect();
        while let Some(step) = walk.next() {
            let Some(frame) = frames.last_mut() else { break };
            if self.cx.is_stopped() || self.tally.is_lost() {
                return Err(EngineError::Interrupted);
            }
            match step {
                Step::Enter(node) => {
                    frame.has(&node);
                    let child = self.enter(frame, walk.path(), &node);
                    match child {
                        Some(child) => frames.push(child),
                        None => walk.skip(),
                    }
                }
                Step::Entry(node) => {
                    frame.has(&node);
                    if self.is_dry_run() && !node.is_directory() && frame.scope != Scope::Outside {
                        self.make_way(&frame.dir, walk.path(), &node.name);
                    }
                }
                Step::Leave => {
                    if let Some(frame) = frames.pop() {
                        self.clean(frame);
                    }
                }
                Step::Damaged(error) => {
                    // Named when it was restored; in a dry run, when it was counted.
                    let _ = self.tally.why(&error);
                    frame.is_known = false;
                }
            }
        }
        frames.into_iter().rev().for_each(|frame| self.clean(frame));
        if self.cx.is_stopped() { Err(EngineError::Interrupted) } else { Ok(()) }
    }

    fn enter(&self, above: &Frame, path: &[u8], node: &Node) -> Option<Frame> {
        let choice = self.selection.choose(path, node, above.choice);
        if choice == Choice::Leave {
            return None;
        }
        match above.dir.child_if_there(&node.name) {
            Ok(Some(dir)) => self.frame(dir, path, Some(node), choice, Some(above)),
            Ok(None) => None,
            Err(error) => {
                self.tally.not_removed(path, &error.into());
                None
            }
        }
    }

    fn frame(
        &self,
        dir: TargetDir,
        path: &[u8],
        node: Option<&Node>,
        choice: Choice,
        above: Option<&Frame>,
    ) -> Option<Frame> {
        let scope = match above {
            _ if !is_covered(self.sources, path) => Scope::Outside,
            None => Scope::Inside,
            Some(Frame { scope: Scope::Outside, .. }) => Scope::Inside,
            Some(_) if is_source(self.sources, path) => Scope::Inside,
            Some(Frame { scope: Scope::Foreign, .. }) => Scope::Foreign,
            Some(above) if dir.same_mount(&above.dir).unwrap_or(false) => Scope::Inside,
            Some(_) => Scope::Foreign,
        };
        let names = match scope {
            Scope::Outside => Ok(Vec::new()),
            _ => dir.source().and_then(|source| source.list()),
        };
        match names {
            Ok(names) => {
                let names = names.into_iter().map(|entry| entry.name).collect();
                let metadata = node.filter(|_| choice == Choice::Restore).map(|node| node.metadata.clone());
                let is_known = !self.was_missed(path);
                let path = path.to_vec();
                Some(Frame { dir, path, metadata, choice, scope, names, aliases: HashSet::new(), is_known })
            }
            Err(error) => {
                self.tally.not_removed(path, &error.into());
                None
            }
        }
    }

    /// Removes what is left of a directory's names.
    fn clean(&mut self, frame: Frame) {
        let Frame { dir, path, metadata, choice, scope, names, aliases, is_known } = frame;
        if !is_known || names.is_empty() || scope == Scope::Outside {
            return;
        }
        if scope == Scope::Foreign {
            let message = "is on another file system than what was backed up with it: nothing was removed there";
            self.cx.event(&Event::Warning { path: &path, message });
            return;
        }
        // What is set again afterwards; the target itself belongs to whoever restores.
        let metadata = metadata.filter(|_| self.rule != Overwrite::Never);
        let mut is_open = false;
        for name in names {
            if self.cx.is_stopped() {
                break;
            }
            let entry = [&path, &b"/"[..], &name].concat();
            let stat = match dir.stat(&name) {
                Ok(Some(stat)) => stat,
                Ok(None) => continue,
                Err(error) => {
                    self.tally.not_removed(&entry, &error.into());
                    continue;
                }
            };
            let is_meant = self.selection.choose_stat(&entry, &stat, choice) == Choice::Restore;
            if !is_meant || aliases.contains(&stat.id()) || self.spares(&entry, &stat) {
                continue;
            }
            if !is_open && metadata.is_some() && !self.is_dry_run() {
                dir.make_writable();
                is_open = true;
            }
            dir.remove_unless_spared(&name, &entry, self);
        }
        // What was set before: its times changed, and it may be immutable. What cannot be set was said then.
        if let (true, Some(metadata), Some(fs_options)) = (is_open, metadata, self.fs_options) {
            let _ = dir.finish(&metadata, fs_options);
        }
    }

    /// Whether an entry was there when the snapshot was made, and could not be read.
    fn was_missed(&self, path: &[u8]) -> bool {
        let was = self.missed.iter().any(|failure| failure.path == path);
        if was {
            let message = "could not be read when the snapshot was made: nothing of it was removed";
            self.cx.event(&Event::Warning { path, message });
        }
        was
    }

    /// Removes a directory that is where something else has to go.
    pub(super) fn make_way(mut self, dir: &TargetDir, path: &[u8], name: &[u8]) {
        if dir.stat(name).is_ok_and(|stat| stat.is_some_and(|stat| stat.kind == FileKind::Directory)) {
            dir.remove_unless_spared(name, path, &mut self);
        }
    }
}
