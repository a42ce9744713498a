//! The walk of a restore: through the snapshot's tree, directories made as they come, everything else handed to the window.

use crate::engine::browse::{Found, SnapshotTree, Step};
use crate::engine::context::{EngineError, Result};
use crate::engine::restore::dirs::Dir;
use crate::engine::restore::options::{Overwrite, RestoreOptions};
use crate::engine::restore::overwrite::{self, Verdict};
use crate::engine::restore::select::{Choice, Selection};
use crate::engine::restore::start::{Start, is_covered};
use crate::engine::restore::tally::Why;
use crate::engine::restore::window::Window;
use crate::engine::restore::work::{DirectoryItem, Item, Work};
use crate::format::node::{Content, Metadata, Node};
use crate::progress::Event;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What the walk found out that verification has to know.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// Paths of directories that could not be made.
    pub(super) not_made: HashSet<Vec<u8>>,
    /// At which file numbers entries could not be read.
    pub(super) unreadable: Vec<u64>,
}

/// A directory one is in.
struct Frame {
    name: Vec<u8>,
    metadata: Option<Metadata>,
    choice: Choice,
    /// Made as soon as something in it is restored.
    dir: Option<Arc<Dir>>,
    /// It could not be made: what is below is passed over.
    failed: bool,
    /// It was there before, and is to stay as it is.
    keeps_metadata: bool,
    path_len: usize,
}

/// Walks.
pub(super) struct Walk<'a, 'w, 'p> {
    work: &'a Work<'w>,
    window: Window<'a, 'w, 'p>,
    selection: &'a Selection,
    options: &'a RestoreOptions,
    /// What was backed up.
    sources: &'a [Vec<u8>],
    frames: Vec<Frame>,
    directories: u64,
    /// Regular files that the walk has come by.
    files: u64,
    others: u64,
    bytes: u64,
    walked: Walked,
}

impl<'a, 'w, 'p> Walk<'a, 'w, 'p> {
    pub(super) fn new(
        work: &'a Work<'w>,
        window: Window<'a, 'w, 'p>,
        selection: &'a Selection,
        options: &'a RestoreOptions,
        sources: &'a [Vec<u8>],
    ) -> Self {
        let (frames, walked) = (Vec::new(), Walked::default());
        let (directories, files, others, bytes) = (0, 0, 0, 0);
        Self { work, window, selection, options, sources, frames, directories, files, others, bytes, walked }
    }

    /// Restores everything from `start` on; with `tell_total`, says how much it is once that is known.
    ///
    /// # Errors
    /// [`EngineError::Interrupted`].
    pub(super) fn run(mut self, tree: &SnapshotTree, start: &Start, tell_total: bool) -> Result<Walked> {
        let (found, base) = (&start.found, start.base().to_vec());
        self.frames.push(Frame {
            name: Vec::new(),
            metadata: None,
            choice: self.selection.root(),
            dir: Some(Dir::root(&base)),
            failed: false,
            keeps_metadata: true,
            path_len: base.len(),
        });
        match (found, found.tree()) {
            (_, Some(root)) => {
                let mut walk = tree.walk(&start.path, root)?;
                while let Some(step) = walk.next() {
                    if self.work.place.is_stopped() {
                        return Err(EngineError::Interrupted);
                    }
                    match step {
                        Step::Enter(node) => {
                            if !self.enter(walk.path(), node) {
                                walk.skip();
                            }
                        }
                        Step::Entry(node) => self.entry(walk.path(), node)?,
                        Step::Leave => self.leave()?,
                        Step::Damaged(error) => {
                            if !self.frames.last().is_some_and(|frame| frame.failed) {
                                self.walked.unreadable.push(self.files);
                            }
                            self.work.place.tally.fail(walk.path(), &self.work.place.tally.why(&error).unreadable());
                        }
                    }
                }
            }
            // A single entry is restored whatever the patterns say: it was named.
            (Found::Node(node), None) => {
                if let Some(frame) = self.frames.last_mut() {
                    frame.choice = Choice::Restore;
                }
                self.entry(&start.path, (**node).clone())?;
            }
            (Found::Root(_), None) => {}
        }
        if tell_total {
            self.work.place.cx.event(&Event::Total { entries: self.files + self.others, bytes: self.bytes });
        }
        self.window.finish()?;
        Ok(self.walked)
    }

    fn parent_choice(&self) -> Choice {
        self.frames.last().map_or(Choice::Leave, |frame| frame.choice)
    }

    /// Takes a directory up; says whether to go into it.
    fn enter(&mut self, path: &[u8], node: Node) -> bool {
        let choice = self.selection.choose(path, &node, self.parent_choice());
        if choice == Choice::Leave || self.frames.last().is_some_and(|frame| frame.failed) {
            return false;
        }
        self.frames.push(Frame {
            name: node.name,
            metadata: Some(node.metadata),
            choice,
            dir: None,
            failed: false,
            keeps_metadata: false,
            path_len: path.len(),
        });
        if choice == Choice::Restore && self.make(path).is_none() {
            self.frames.pop();
            return false;
        }
        true
    }

    /// The directory one is in, made if it was not yet, with all above it. `None` if one cannot be made; that is reported.
    fn make(&mut self, path: &[u8]) -> Option<Arc<Dir>> {
        let first = self.frames.iter().rposition(|frame| frame.dir.is_some())?;
        for index in first + 1..self.frames.len() {
            let parent = self.frames[index - 1].dir.clone()?;
            self.directories += 1;
            let frame = &mut self.frames[index];
            let dir = Dir::child(&parent, &frame.name, self.directories);
            match make_directory(self.work, self.options.overwrite, &parent, &dir, frame) {
                Ok(()) => {
                    frame.dir = Some(dir);
                    self.work.place.tally.directories.fetch_add(1, Relaxed);
                }
                Err(why) => {
                    let at = path[..self.frames[index].path_len].to_vec();
                    self.frames[index..].iter_mut().for_each(|frame| frame.failed = true);
                    self.work.place.tally.fail(&at, &why);
                    self.walked.not_made.insert(at);
                    return None;
                }
            }
        }
        self.frames.last()?.dir.clone()
    }

    fn leave(&mut self) -> Result<()> {
        if let Some(Frame { dir: Some(dir), metadata: Some(metadata), keeps_metadata: false, .. }) = self.frames.pop() {
            let was_backed_up = is_covered(self.sources, &dir.path());
            self.window.leave(DirectoryItem { dir, metadata, was_backed_up });
        }
        self.window.flush_if_full()
    }

    fn entry(&mut self, path: &[u8], node: Node) -> Result<()> {
        let is_failed = self.frames.last().is_some_and(|frame| frame.failed);
        if is_failed || self.selection.choose(path, &node, self.parent_choice()) != Choice::Restore {
            return Ok(());
        }
        if matches!(node.content, Content::Socket) {
            self.work.place.tally.sockets.fetch_add(1, Relaxed);
            self.work
                .place
                .cx
                .event(&Event::Warning { path, message: "sockets are not restored: their servers make them" });
            return Ok(());
        }
        let dir_path_len = self.frames.last().map_or(0, |frame| frame.path_len);
        let Some(dir) = self.make(&path[..dir_path_len]) else { return Ok(()) };
        let number = self.files;
        if matches!(node.content, Content::File { .. }) {
            self.files += 1;
            self.bytes += node.size();
        } else {
            self.others += 1;
        }
        self.work.place.cx.event(&Event::EntryStarted { path });
        if self.options.overwrite != Overwrite::Always {
            let verdict =
                self.work.place.handles.open(&dir).and_then(|handle| {
                    overwrite::decide(self.options.overwrite, self.options.no_owner, &handle, &node)
                });
            match verdict {
                Ok(Verdict::Restore) => {}
                Ok(Verdict::Leave) => {
                    self.work.place.tally.left(node.size());
                    return Ok(());
                }
                Err(error) => {
                    self.work.place.tally.fail(path, &error.into());
                    return Ok(());
                }
            }
        }
        self.window.add(Item { dir, node, number })?;
        self.window.flush_if_full()
    }
}

fn make_directory(
    work: &Work<'_>,
    rule: Overwrite,
    parent: &Arc<Dir>,
    dir: &Arc<Dir>,
    frame: &mut Frame,
) -> std::result::Result<(), Why> {
    if rule != Overwrite::Always {
        let handle = work.place.handles.open(parent)?;
        let (in_the_way, there) = overwrite::directory_in_place(rule, &handle, &frame.name, frame.metadata.as_ref())?;
        if in_the_way {
            let message = "something that is no directory is in the way, and is not to be overwritten".into();
            return Err(Why { message, is_damage: false });
        }
        if there && rule == Overwrite::Never {
            // Not even made writable for the while.
            frame.keeps_metadata = true;
            return Ok(work.place.handles.open(dir).map(drop)?);
        }
    }
    Ok(work.place.handles.make(dir)?)
}
