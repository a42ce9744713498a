//! The walk: depth first with a stack of its own, each directory joined by name with the same directory of the parents.

use crate::engine::backup::dir::{Dir, NewDir};
use crate::engine::backup::options::BackupOptions;
use crate::engine::backup::parent::{self, Parent, ParentDir, Reuse};
use crate::engine::backup::selection::Selection;
use crate::engine::backup::store::Store;
use crate::engine::backup::tally::Tally;
use crate::engine::backup::task::{BATCH_BYTES_MAX, BATCH_DIRS_MAX, BATCH_FILES_MAX, Batch, FileTask};
use crate::engine::backup::workers::Executor;
use crate::engine::context::{Context, EngineError, Result, chain};
use crate::format::node::{Content, Metadata, Node};
use crate::fs::{Excludes, FileKind, FsError, SourceDir, SourceFile, Stat, Xattrs};
use crate::id::TreeId;
use crate::progress::Event;
use crate::repository::pack_reader::{PackReader, ReadBuffers};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Deepest directory; far beyond what a path can name, and a bound on open directories.
const DEPTH_MAX: usize = 4096;

/// What the walk needs from the run.
#[derive(Debug, Clone, Copy)]
pub(super) struct WalkContext<'a> {
    pub(super) cx: &'a Context,
    pub(super) options: &'a BackupOptions,
    pub(super) excludes: &'a Excludes,
    pub(super) reader: &'a PackReader,
    pub(super) store: &'a Store,
    pub(super) tally: &'a Tally,
}

impl WalkContext<'_> {
    /// Counts a file that is taken over unread.
    pub(super) fn unchanged(&self, size: u64) {
        self.tally.count(|s| {
            s.files_unmodified += 1;
            s.total_files += 1;
            s.total_bytes += size;
        });
        self.cx.event(&Event::EntryDone { size, unchanged: true });
    }
}

/// A directory of the host that stands elsewhere in the snapshot.
pub(super) struct Grafted {
    pub(super) source: SourceDir,
    /// Its name there; empty for the root.
    pub(super) name: Vec<u8>,
    /// Its node in the first parent.
    pub(super) known: Option<Node>,
    /// What the parents have there.
    pub(super) below: Vec<(Parent, TreeId)>,
}

/// A name and what the host says of it.
type Entry = (Vec<u8>, Stat);

struct Frame {
    dir: Arc<Dir>,
    entries: std::vec::IntoIter<(usize, Vec<u8>, Stat)>,
    parents: Vec<ParentDir>,
    selection: Selection,
    device: u64,
}

/// A walk under way.
pub(super) struct Walker<'a> {
    pub(super) w: WalkContext<'a>,
    buffers: ReadBuffers,
    stack: Vec<Frame>,
    batch: Batch,
    batch_bytes: u64,
    batch_dirs: usize,
    /// When a checkpoint is due, by the clock's elapsed time. Counts from the first file that had to be read: walking over
    /// what is known already must never be what uses the time up, or long walks would make no progress.
    checkpoint_at: Option<Duration>,
    /// Whether a checkpoint was due before the end.
    pub(super) cut: bool,
}

/// What a node knows of attributes.
fn known_attributes(node: &Node) -> Xattrs {
    let Metadata { xattrs, inode_flags, .. } = &node.metadata;
    Xattrs { xattrs: xattrs.clone(), inode_flags: *inode_flags, warnings: Vec::new() }
}

/// Attributes of a file whose content is taken over. Flags can only be asked for where it may be opened for reading; where it
/// may not, they are taken to be what they were.
pub(super) fn attributes(
    dir: &SourceDir,
    name: &[u8],
    stat: &Stat,
    known: &Node,
) -> std::result::Result<Xattrs, FsError> {
    match SourceFile::open(dir, name, stat) {
        Ok(file) => Ok(file.xattrs()),
        Err(_) => Ok(Xattrs { inode_flags: known.metadata.inode_flags, ..dir.entry_xattrs(name)? }),
    }
}

fn child_selection(selection: &Selection, name: &[u8]) -> Selection {
    match selection {
        Selection::All => Selection::All,
        Selection::Only(children) => children.get(name).cloned().unwrap_or(Selection::All),
    }
}

impl<'a> Walker<'a> {
    pub(super) fn new(w: WalkContext<'a>) -> Result<Self> {
        let buffers = ReadBuffers::new()?;
        Ok(Self {
            w,
            buffers,
            stack: Vec::new(),
            batch: Vec::new(),
            batch_bytes: 0,
            batch_dirs: 0,
            checkpoint_at: None,
            cut: false,
        })
    }

    /// Walks everything selected below `/`; returns the root directory, whose tree is there when all files are done.
    pub(super) fn walk(
        &mut self,
        selection: Selection,
        parents: &[Parent],
        executor: &mut Executor<'_>,
    ) -> Result<Arc<Dir>> {
        let source = SourceDir::open_root(Path::new("/"))?;
        let device = source.stat_self()?.device;
        let parents = self.load(parents.iter().map(|p| (*p, p.tree)).collect())?;
        let known = None;
        let entering = Entering { name: Vec::new(), stat: None, up: None, known, parents, device };
        self.walk_from(source, selection, entering, executor)
    }

    /// Walks one directory that stands elsewhere in the snapshot; returns it as [`Walker::walk`] does.
    pub(super) fn walk_as(&mut self, grafted: Grafted, executor: &mut Executor<'_>) -> Result<Arc<Dir>> {
        let Grafted { source, name, known, below } = grafted;
        let stat = source.stat_self()?;
        let parents = self.load(below)?;
        // The root of the snapshot has no metadata.
        let own = Some(stat).filter(|_| !name.is_empty());
        let entering = Entering { name, stat: own, up: None, known, parents, device: stat.device };
        self.walk_from(source, Selection::All, entering, executor)
    }

    /// The nodes of a parent on the way to a path, as far as there are any.
    pub(super) fn way(&mut self, parent: &Parent, names: &[Vec<u8>]) -> Result<Vec<Node>> {
        let (mut way, mut tree) = (Vec::new(), parent.tree);
        for name in names {
            let mut dir = parent::load(self.w.reader, &mut self.buffers, *parent, &tree)?;
            let Some(node) = dir.find(name) else { break };
            way.push(node.clone());
            let Content::Directory { tree: next } = node.content else { break };
            tree = next;
        }
        Ok(way)
    }

    fn load(&mut self, trees: Vec<(Parent, TreeId)>) -> Result<Vec<ParentDir>> {
        trees.into_iter().map(|(parent, tree)| parent::load(self.w.reader, &mut self.buffers, parent, &tree)).collect()
    }

    fn walk_from(
        &mut self,
        source: SourceDir,
        selection: Selection,
        entering: Entering,
        executor: &mut Executor<'_>,
    ) -> Result<Arc<Dir>> {
        let root = self.enter(source, selection, entering)?.ok_or(EngineError::NothingToDo)?;
        while let Some(frame) = self.stack.last_mut() {
            if self.w.cx.is_stopped() {
                return Err(EngineError::Interrupted);
            }
            self.cut |= self.checkpoint_at.is_some_and(|due| self.w.cx.clock.elapsed() >= due);
            match frame.entries.next().filter(|_| !self.cut) {
                Some((slot, name, stat)) => self.visit(slot, name, stat, executor)?,
                None => {
                    if let Some(frame) = self.stack.pop() {
                        frame.dir.release(self.w.store, self.w.tally)?;
                    }
                }
            }
        }
        self.submit(executor)?;
        Ok(root)
    }

    fn submit(&mut self, executor: &mut Executor<'_>) -> Result<()> {
        (self.batch_bytes, self.batch_dirs) = (0, 0);
        let every = self.w.options.checkpoint_every;
        self.checkpoint_at.get_or_insert_with(|| self.w.cx.clock.elapsed().saturating_add(every));
        match std::mem::take(&mut self.batch) {
            batch if batch.is_empty() => Ok(()),
            batch => executor.submit(batch),
        }
    }

    fn lost(&self, path: &[u8], error: &FsError) {
        self.w.tally.lost(path, error, &*self.w.cx.sink);
    }

    /// What is in a directory and wanted, sorted by name.
    fn entries(&self, source: &SourceDir, selection: &Selection) -> Result<Option<Vec<Entry>>> {
        let mut found = Vec::new();
        match selection {
            Selection::Only(children) => {
                for (name, child) in children {
                    if let Some(stat) = self.source_entry(source, name, child)? {
                        found.push((name.clone(), stat));
                    }
                }
            }
            Selection::All => {
                let mut listed = match source.list() {
                    Ok(listed) => listed,
                    Err(error) => {
                        self.lost(source.path(), &error);
                        return Ok(None);
                    }
                };
                match self.w.excludes.tag_excludes_dir(source, &listed) {
                    Ok(true) => listed.clear(),
                    Ok(false) => {}
                    Err(error) => self.lost(source.path(), &error),
                }
                // In the order they lie on the disk; names afterwards.
                listed.sort_unstable_by_key(|entry| entry.inode);
                found.reserve(listed.len());
                for entry in listed {
                    match source.stat(&entry.name) {
                        Ok(stat) => {
                            let path =
                                if self.w.excludes.needs_path() { source.path_of(&entry.name) } else { Vec::new() };
                            if !self.w.excludes.excludes_entry(&path, &stat) {
                                found.push((entry.name, stat));
                            }
                        }
                        Err(error) => self.lost(&source.path_of(&entry.name), &error),
                    }
                }
                found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            }
        }
        Ok(Some(found))
    }

    /// A source, or a directory on the way to one. What is missing stops the run unless the user said otherwise.
    fn source_entry(&self, dir: &SourceDir, name: &[u8], child: &Selection) -> Result<Option<Stat>> {
        let path = dir.path_of(name);
        let stat = match child {
            // On the way to a source links are followed: the user named the path.
            Selection::Only(_) => SourceDir::open_root(Path::new(std::ffi::OsStr::from_bytes(&path)))
                .and_then(|opened| opened.stat_self()),
            Selection::All => dir.stat(name),
        };
        match stat {
            Ok(stat) => {
                if stat.kind == FileKind::Symlink {
                    let message = "is a symbolic link: the link is backed up, not what it points to";
                    self.w.cx.event(&Event::Warning { path: &path, message });
                }
                Ok(Some(stat))
            }
            Err(error) if error.is_vanished() && !self.w.options.allow_empty_source => {
                Err(EngineError::SuspiciousSource {
                    path: String::from_utf8_lossy(&path).into_owned(),
                    what: "missing",
                })
            }
            Err(error) => {
                self.w.tally.fail(&path, &chain(&error), &*self.w.cx.sink);
                Ok(None)
            }
        }
    }

    fn enter(&mut self, source: SourceDir, selection: Selection, entering: Entering) -> Result<Option<Arc<Dir>>> {
        let Entering { name, stat, up, known, parents, device } = entering;
        if self.stack.len() >= DEPTH_MAX {
            self.w.tally.fail(source.path(), "is nested too deeply", &*self.w.cx.sink);
            return Ok(None);
        }
        // A mount point that is not to be crossed is kept as an empty directory.
        let foreign = self.w.options.one_file_system && stat.is_some_and(|s| s.device != device);
        let entries = if foreign { Some(Vec::new()) } else { self.entries(&source, &selection)? };
        let Some(entries) = entries else { return Ok(None) };
        self.guard_empty(&source, &selection, entries.is_empty() && !foreign, &parents, up.as_ref())?;
        let metadata = stat.map(|stat| {
            // Attributes cannot change without the inode's change time, unless within one tick of it.
            let has_settled = parents.first().is_some_and(|first| first.parent.has_settled(stat.ctime));
            let before = known
                .as_ref()
                .filter(|node: &&Node| node.metadata.ctime == stat.ctime && has_settled && !self.w.options.force);
            let xattrs = match before {
                Some(node) => known_attributes(node),
                None => self.w.tally.keep(|| source.path().to_vec(), source.xattrs(), &*self.w.cx.sink),
            };
            self.w.tally.metadata(&stat, xattrs)
        });
        let parent = known.zip(parents.first().map(ParentDir::len));
        let count = entries.len();
        let entries: Vec<_> = entries.into_iter().enumerate().map(|(slot, (name, stat))| (slot, name, stat)).collect();
        let dir = Arc::new(Dir::new(NewDir { source, name, metadata, up, parent, entries: count }));
        self.stack.push(Frame { dir: Arc::clone(&dir), entries: entries.into_iter(), parents, selection, device });
        Ok(Some(dir))
    }

    /// A source that is empty where the last snapshot had something is more likely an unmounted disk than the truth.
    fn guard_empty(
        &self,
        source: &SourceDir,
        selection: &Selection,
        is_empty: bool,
        parents: &[ParentDir],
        up: Option<&(Arc<Dir>, usize)>,
    ) -> Result<()> {
        let is_source = *selection == Selection::All
            && (up.is_none() || self.stack.last().is_some_and(|f| matches!(f.selection, Selection::Only(_))));
        if is_source && is_empty && !self.w.options.allow_empty_source && parents.iter().any(|p| p.len() > 0) {
            return Err(EngineError::SuspiciousSource {
                path: String::from_utf8_lossy(source.path()).into_owned(),
                what: "empty, although the last snapshot has entries there",
            });
        }
        Ok(())
    }

    fn visit(&mut self, slot: usize, name: Vec<u8>, stat: Stat, executor: &mut Executor<'_>) -> Result<()> {
        let Some(frame) = self.stack.last_mut() else { return Ok(()) };
        let mut found: Option<(Node, Reuse, bool)> = None;
        for (index, dir) in frame.parents.iter_mut().enumerate() {
            let parent = dir.parent;
            if let Some(node) = dir.find(&name)
                && found.as_ref().is_none_or(|(_, reuse, _)| *reuse == Reuse::Nothing)
            {
                let reuse = parent::compare(&stat, node, &parent, self.w.options);
                if found.is_none() || reuse != Reuse::Nothing {
                    found = Some((node.clone(), reuse, index == 0));
                }
            }
        }
        match stat.kind {
            FileKind::Directory => self.visit_directory(slot, name),
            FileKind::File => self.visit_file(slot, name, stat, found, executor),
            _ => self.visit_other(slot, name, stat, found),
        }
    }

    fn visit_file(
        &mut self,
        slot: usize,
        name: Vec<u8>,
        stat: Stat,
        found: Option<(Node, Reuse, bool)>,
        executor: &mut Executor<'_>,
    ) -> Result<()> {
        let Some(frame) = self.stack.last() else { return Ok(()) };
        let known = match found {
            Some((node, Reuse::Node, first)) => {
                self.w.unchanged(node.size());
                frame.dir.put(slot, node, first);
                return Ok(());
            }
            Some((mut node, Reuse::Content, _)) => match attributes(&frame.dir.source, &name, &stat, &node) {
                Ok(read) => {
                    let xattrs = self.w.tally.keep(|| frame.dir.source.path_of(&name), read, &*self.w.cx.sink);
                    node.metadata = self.w.tally.metadata(&stat, xattrs);
                    self.w.unchanged(node.size());
                    frame.dir.put(slot, node, false);
                    return Ok(());
                }
                Err(error) => {
                    self.w.tally.lost(&frame.dir.source.path_of(&name), &error, &*self.w.cx.sink);
                    return Ok(());
                }
            },
            found => found.map(|(node, ..)| node),
        };
        frame.dir.expect();
        let dir = Arc::clone(&frame.dir);
        let new_dir = self.batch.last().is_none_or(|last| !Arc::ptr_eq(&last.dir, &dir));
        self.batch_dirs += usize::from(new_dir);
        if self.batch.len() >= BATCH_FILES_MAX
            || self.batch_dirs > BATCH_DIRS_MAX
            || self.batch_bytes.saturating_add(stat.size) > BATCH_BYTES_MAX
        {
            self.submit(executor)?;
            self.batch_dirs = 1;
        }
        self.batch_bytes = self.batch_bytes.saturating_add(stat.size);
        self.batch.push(FileTask { dir, slot, name, stat, known });
        Ok(())
    }

    fn visit_other(
        &mut self,
        slot: usize,
        name: Vec<u8>,
        stat: Stat,
        found: Option<(Node, Reuse, bool)>,
    ) -> Result<()> {
        let Some(frame) = self.stack.last() else { return Ok(()) };
        self.w.tally.count(|s| s.others += 1);
        if let Some((node, Reuse::Node, first)) = found {
            frame.dir.put(slot, node, first);
            return Ok(());
        }
        let source = &frame.dir.source;
        let (major, minor) = (stat.rdev_major, stat.rdev_minor);
        let content = match stat.kind {
            FileKind::Symlink => source.read_link(&name).map(|target| Content::Symlink { target }),
            FileKind::Fifo => Ok(Content::Fifo),
            FileKind::CharDevice => Ok(Content::CharDevice { major, minor }),
            FileKind::BlockDevice => Ok(Content::BlockDevice { major, minor }),
            _ => Ok(Content::Socket),
        };
        match content.and_then(|content| Ok((content, source.entry_xattrs(&name)?))) {
            Ok((content, read)) => {
                let xattrs = self.w.tally.keep(|| source.path_of(&name), read, &*self.w.cx.sink);
                let metadata = self.w.tally.metadata(&stat, xattrs);
                frame.dir.put(slot, Node { name, metadata, content }, false);
            }
            Err(error) => self.lost(&source.path_of(&name), &error),
        }
        Ok(())
    }

    fn visit_directory(&mut self, slot: usize, name: Vec<u8>) -> Result<()> {
        let Some(frame) = self.stack.last_mut() else { return Ok(()) };
        let selection = child_selection(&frame.selection, &name);
        let path = frame.dir.source.path_of(&name);
        let opened = match &selection {
            Selection::Only(_) => SourceDir::open_root(Path::new(std::ffi::OsStr::from_bytes(&path))),
            Selection::All => frame.dir.source.open_child(&name),
        };
        let opened = opened.and_then(|dir| Ok((dir.stat_self()?, dir)));
        let (stat, source) = match opened {
            Ok((stat, source)) => (Some(stat), source),
            Err(error) => {
                self.lost(&path, &error);
                return Ok(());
            }
        };
        let device = match frame.selection {
            Selection::All => frame.device,
            // A source begins here, on its own file system.
            Selection::Only(_) => stat.map_or(frame.device, |s| s.device),
        };
        let mut known = None;
        let mut inside: Vec<(Parent, TreeId)> = Vec::new();
        for (index, dir) in frame.parents.iter_mut().enumerate() {
            let parent = dir.parent;
            let Some(node) = dir.find(&name) else { continue };
            if let Content::Directory { tree } = node.content {
                inside.push((parent, tree));
                // Only what the first parent has can make a tree identical to it.
                if index == 0 {
                    known = Some(node.clone());
                }
            }
        }
        frame.dir.expect();
        let up = Some((Arc::clone(&frame.dir), slot));
        let owner = Arc::clone(&frame.dir);
        let parents = self.load(inside)?;
        let entering = Entering { name, stat, up, known, parents, device };
        if self.enter(source, selection, entering)?.is_none() {
            owner.complete(slot, None, false, self.w.store, self.w.tally)?;
        }
        Ok(())
    }
}

/// A directory that is about to be entered.
struct Entering {
    name: Vec<u8>,
    stat: Option<Stat>,
    up: Option<(Arc<Dir>, usize)>,
    known: Option<Node>,
    parents: Vec<ParentDir>,
    device: u64,
}
