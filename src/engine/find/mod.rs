//! Find: entries by name, path, type, time and size, over as many snapshots as are asked for.

mod glob;
mod known;
mod query;
#[cfg(test)]
mod tests;

pub use glob::{Pattern, PatternError};
pub use query::{Kind, Query};

use crate::engine::browse::{SnapshotTree, Step};
use crate::engine::context::{Context, EngineError, Result};
use crate::engine::find::known::{BYTES_MAX, Hit, Hits, Key, Known};
use crate::format::node::{Content, Node};
use crate::id::TreeId;
use crate::repository::RepositoryError;
use crate::repository::pack_reader::PackReader;
use std::sync::Arc;

/// Looks through snapshots, one after the other, and remembers what it has looked through.
#[derive(Debug)]
pub struct Finder<'a> {
    cx: &'a Context,
    reader: Arc<PackReader>,
    query: &'a Query,
    known: Known,
    /// Bytes of hits in directories that are in the middle of being looked through.
    pending_bytes: usize,
}

/// What is in the middle of being looked through.
#[derive(Debug)]
struct Frame {
    key: Key,
    /// Its name, and itself if it is a hit.
    name: Vec<u8>,
    node: Option<Node>,
    /// Hits so far; `None` once it cannot be remembered.
    hits: Option<Hits>,
    /// Of these hits.
    bytes: usize,
}

impl Frame {
    fn new(key: Key, name: Vec<u8>, node: Option<Node>) -> Self {
        Self { key, name, node, hits: Some(Hits::default()), bytes: 0 }
    }
}

/// Something that was found, or could not be looked through.
#[derive(Debug)]
pub enum Finding<'a> {
    /// A hit at an absolute path.
    Hit(&'a [u8], &'a Node),
    /// The entries of the directory at this path, or some of them, cannot be read.
    Damaged(&'a [u8], &'a RepositoryError),
}

impl<'a> Finder<'a> {
    /// One that has looked through nothing yet.
    pub fn new(cx: &'a Context, reader: Arc<PackReader>, query: &'a Query) -> Self {
        Self { cx, reader, query, known: Known::default(), pending_bytes: 0 }
    }

    fn key(&self, tree: &TreeId, path: &[u8]) -> Key {
        Key::new(tree, Some(path).filter(|_| !self.query.ignores_place()))
    }

    /// Looks through a snapshot with this root, in order of paths. `visit` returns whether to go on.
    ///
    /// # Errors
    /// [`EngineError::Interrupted`]; when there is no memory for buffers.
    pub fn snapshot(&mut self, root: TreeId, mut visit: impl FnMut(Finding<'_>) -> bool) -> Result<()> {
        let tree = SnapshotTree::new(Arc::clone(&self.reader), root);
        let key = self.key(&root, b"");
        if let Some(known) = self.known.get(&key) {
            let _ = replay(b"", known.as_ref(), &mut visit);
            return Ok(());
        }
        let mut walk = tree.walk(b"", root)?;
        self.pending_bytes = 0;
        let mut frames = vec![Frame::new(key, Vec::new(), None)];
        while let Some(step) = walk.next() {
            if self.cx.is_stopped() {
                return Err(EngineError::Interrupted);
            }
            let path = walk.path();
            match step {
                Step::Enter(node) => {
                    let is_hit = self.query.fits(path, &node);
                    if is_hit && !visit(Finding::Hit(path, &node)) {
                        return Ok(());
                    }
                    let Content::Directory { tree } = node.content else { continue };
                    let key = self.key(&tree, path);
                    let (name, hit) = (node.name.clone(), is_hit.then_some(node));
                    match self.known.get(&key) {
                        Some(known) => {
                            if !replay(path, known.as_ref(), &mut visit) {
                                return Ok(());
                            }
                            self.add(&mut frames, Hit { name, node: hit, below: known });
                            walk.skip();
                        }
                        None => frames.push(Frame::new(key, name, hit)),
                    }
                }
                Step::Entry(node) => {
                    if self.query.fits(path, &node) {
                        if !visit(Finding::Hit(path, &node)) {
                            return Ok(());
                        }
                        let name = node.name.clone();
                        self.add(&mut frames, Hit { name, node: Some(node), below: None });
                    }
                }
                Step::Leave => self.leave(&mut frames),
                Step::Damaged(error) => {
                    // To be named of every snapshot, so nothing above it is remembered.
                    self.give_up(&mut frames);
                    if !visit(Finding::Damaged(path, &error)) {
                        return Ok(());
                    }
                }
            }
        }
        self.leave(&mut frames);
        Ok(())
    }

    /// Remembers the directory that was looked through.
    fn leave(&mut self, frames: &mut Vec<Frame>) {
        let Some(Frame { key, name, node, hits, bytes }) = frames.pop() else { return };
        self.pending_bytes = self.pending_bytes.saturating_sub(bytes);
        match hits.and_then(|hits| self.known.put(key, hits)) {
            Some(below) => self.add(frames, Hit { name, node, below }),
            // What is above it could only be remembered without it.
            None => self.give_up(frames),
        }
    }

    /// A hit in the directory one is in, or below it.
    fn add(&mut self, frames: &mut [Frame], hit: Hit) {
        let Some(frame) = frames.last_mut().filter(|_| hit.node.is_some() || hit.below.is_some()) else { return };
        let Some(Hits(hits)) = &mut frame.hits else { return };
        frame.bytes += hit.bytes();
        self.pending_bytes += hit.bytes();
        hits.push(hit);
        if self.pending_bytes > BYTES_MAX {
            self.give_up(frames);
        }
    }

    /// Nothing that one is in the middle of can be remembered.
    fn give_up(&mut self, frames: &mut [Frame]) {
        self.pending_bytes = 0;
        frames.iter_mut().for_each(|frame| (frame.hits, frame.bytes) = (None, 0));
    }
}

/// Tells of hits that are remembered; says whether to go on. What was remembered was walked, so it is no deeper than a walk goes.
fn replay(path: &[u8], hits: Option<&Arc<Hits>>, visit: &mut impl FnMut(Finding<'_>) -> bool) -> bool {
    let mut path = path.to_vec();
    let mut stack: Vec<(&Hits, usize, usize)> = hits.iter().map(|hits| (&***hits, 0, path.len())).collect();
    while let Some((hits, next, path_len)) = stack.last_mut() {
        let hits: &Hits = hits;
        path.truncate(*path_len);
        let Some(hit) = hits.0.get(*next) else {
            stack.pop();
            continue;
        };
        *next += 1;
        path.push(b'/');
        path.extend_from_slice(&hit.name);
        if let Some(node) = &hit.node
            && !visit(Finding::Hit(&path, node))
        {
            return false;
        }
        if let Some(below) = &hit.below {
            stack.push((&**below, 0, path.len()));
        }
    }
    true
}
